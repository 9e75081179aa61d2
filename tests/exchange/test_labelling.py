"""What the layers of a slide stand for."""

import pytest

from deeplab.config.train_request import SourceSettings
from deeplab.exchange.labelling import Labelling

RULES = Labelling.of(
    SourceSettings(
        source="x",
        classes=("tumour", "stroma"),
        aliases=("Krebs = tumour", "artefact=ignore"),
        exhaustive_layer="finished",
        untyped_layer="any cell",
    )
)


@pytest.mark.parametrize(
    ("drawn", "meaning"),
    [
        ("tumour", "tumour"),
        ("Tumour", "tumour"),
        (" TUMOUR ", "tumour"),
        ("Krebs", "tumour"),
        ("krebs", "tumour"),
        ("artefact", "ignore"),
        ("Ignore", "ignore"),
        ("finished", "finished"),
        ("Any cell", "any cell"),
        ("tumor", ""),
        ("stroma 2", ""),
        ("", ""),
    ],
)
def test_a_layer_is_known_by_any_of_its_names(drawn, meaning):
    assert RULES.meaning(drawn) == meaning


def test_blanks_and_composed_letters_make_no_difference():
    rules = Labelling(classes=("small vessel", "glom\u00e9rulus"))
    assert rules.meaning("Small   vessel") == "small vessel"
    assert rules.meaning("glome\u0301rulus") == "glom\u00e9rulus"


def test_classes_that_differ_in_case_only_are_told_apart_to_the_letter():
    rules = Labelling(classes=("A", "a"))
    assert [rules.meaning(name) for name in ("A", "a", " a")] == ["A", "a", ""]


@pytest.mark.parametrize(
    ("drawn", "near"),
    [("tumor", "tumour"), ("Tumors", "tumour"), ("stroma_", "stroma"), ("vessel", "")],
)
def test_a_misspelt_name_is_near_to_one_that_is_asked_for(drawn, near):
    assert RULES.near(drawn) == near


def test_later_classes_lie_over_earlier_ones_and_ignore_over_all():
    assert list(RULES.values.items()) == [
        ("finished", 0),
        ("any cell", 255),
        ("tumour", 1),
        ("stroma", 2),
        ("ignore", 255),
    ]


def test_aliases_of_which_no_layer_has_the_name_are_idle():
    rules = Labelling(classes=("a", "b"), aliases={"A 1": "a", "layr": "b"})
    assert rules.idle_aliases({" a  1", "layer"}) == ("layr=b",)
    assert rules.idle_aliases({"a 1", "LAYR"}) == ()
