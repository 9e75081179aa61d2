"""The classes of a model."""

import pytest

from deeplab.config.classes import PALETTE, ClassList, parse_colour
from deeplab.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "colour"),
    [
        ("#00ff80", (0, 255, 128)),
        ("#0F8", (0, 255, 136)),
        ("rgb(1, 2, 3)", (1, 2, 3)),
        ("rgba(10,20,300,0.5)", (10, 20, 255)),
        (" RGB(0,0,0) ", (0, 0, 0)),
    ],
)
def test_a_colour_is_read_in_every_form_that_histomicsui_writes(text, colour):
    assert parse_colour(text) == colour


@pytest.mark.parametrize("text", ["", "red", "#12", "rgb(1,2)", "rgb(1,2,3,4,5)(", "#gggggg"])
def test_what_is_no_colour_is_refused(text):
    with pytest.raises(ConfigError, match="colour must be"):
        parse_colour(text)


def test_labels_count_from_one_and_the_background_is_zero():
    classes = ClassList.named(["glomerulus", " artery "])
    assert classes.names == ("glomerulus", "artery")
    assert classes.label("artery") == 2
    assert classes.of_label(2).name == "artery"
    assert classes.label_count == 3


def test_more_classes_than_colours_begin_the_palette_anew():
    classes = ClassList.named(str(n) for n in range(len(PALETTE) + 1))
    assert classes.of_label(len(PALETTE) + 1).colour == PALETTE[0]


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ([], "at least one name"),
        (["a", "b", "a"], "different from each other"),
        (["a", "  "], "not blank"),
        ([str(n) for n in range(255)], "at most 254"),
    ],
)
def test_impossible_lists_are_refused(names, sentence):
    with pytest.raises(ConfigError, match=sentence):
        ClassList.named(names)


def test_an_unknown_class_is_answered_with_the_known_ones():
    with pytest.raises(ConfigError, match="one of glomerulus, artery"):
        ClassList.named(["glomerulus", "artery"]).label("arterie")
