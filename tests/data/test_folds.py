"""Patients dealt out to folds: together, once each, and no class without something to learn from."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deeplab.data.folds import deal
from deeplab.data.split import SplitCase
from deeplab.errors import TrainingError


def claim(name, patient="", classes=(1,), **more):
    return SplitCase(name=name, patient=patient, classes=frozenset(classes), **more)


@st.composite
def studies(draw):
    """Slides of patients, each class drawn for three patients at least, and a number of folds."""
    patients = draw(st.integers(4, 12))
    claims = []
    for patient in range(patients):
        for slide in range(draw(st.integers(1, 3))):
            classes = draw(st.sets(st.integers(3, 4)))
            # Two classes that all have, so that no fold can take the last of one.
            claims.append(claim(f"{patient}-{slide}", f"p{patient}", {1, 2} | (classes - {3, 4})))
    return claims, draw(st.integers(2, patients)), draw(st.integers(0, 99))


@given(studies())
def test_patients_stay_together_and_no_fold_is_empty(study):
    claims, count, seed = study
    folds = deal(claims, count, seed)
    assert set(folds) == set(range(1, count + 1))
    of = {}
    for each, fold in zip(claims, folds, strict=True):
        assert of.setdefault(each.patient, fold) == fold


@given(studies(), st.randoms())
def test_the_order_of_the_slides_plays_no_part(study, random):
    claims, count, seed = study
    shuffled = random.sample(claims, len(claims))
    named = dict(zip([c.name for c in claims], deal(claims, count, seed), strict=True))
    again = dict(zip([c.name for c in shuffled], deal(shuffled, count, seed), strict=True))
    assert named == again


def test_patients_with_a_rare_class_are_in_different_folds():
    claims = [claim(f"{n}", f"p{n}") for n in range(9)]
    claims += [claim(f"rare {n}", f"r{n}", {1, 2}) for n in range(3)]
    for seed in range(20):
        folds = deal(claims, 3, seed)
        assert sorted(folds[9:]) == [1, 2, 3]
        assert [folds.count(fold) for fold in (1, 2, 3)] == [4, 4, 4]


def test_slides_of_no_known_patient_count_as_one_each():
    assert sorted(deal([claim(f"{n}") for n in range(6)], 6, 0)) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("claims", "sentence"),
    [
        (
            [claim("a", "p"), claim("b", "p"), claim("c", "q")],
            "there are 2 patients for 3 folds .* ask for no more folds than there are patients",
        ),
        (
            [claim("a", side="train"), claim("b"), claim("c"), claim("d")],
            "a has a split, but of 3 folds each holds its patients out in turn",
        ),
        (
            [claim("a"), claim("b", classes={1, 2}), claim("c"), claim("d")],
            "class 2 is drawn on b and on slides that are held out with it, and on no others",
        ),
    ],
)
def test_what_cannot_be_dealt_out_is_one_sentence(claims, sentence):
    with pytest.raises(TrainingError, match=sentence):
        deal(claims, 3, 0)
