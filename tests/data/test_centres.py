"""Sides by the centres of CAMELYON17."""

import pytest

from deeplab.annotations.shapes import Annotations
from deeplab.data.centres import centre_of, patient_of, split_by_centre, with_patients
from deeplab.errors import SourceError, TrainingError
from deeplab.exchange.samples import Found, Sample


def found(*patients):
    return Found(
        [
            Sample(name=f"patient_{n:03}_node_{node}.tif", slide="s", load=lambda: Annotations(()))
            for n in patients
            for node in (0, 4)
        ]
    )


def sides(split):
    return {(s.patient, s.split) for s in with_patients(split).samples}


@pytest.mark.parametrize(
    ("patient", "centre"), [(0, 0), (19, 0), (20, 1), (99, 4), (100, 0), (121, 1), (199, 4)]
)
def test_each_centre_has_twenty_patients_of_either_part(patient, centre):
    assert centre_of(patient) == centre


def test_a_patient_is_told_by_the_name():
    assert patient_of("patient_017_node_4.tif") == 17
    assert patient_of("Patient_117.svs") == 117
    assert patient_of("tumor_001.tif") is None


def test_a_patient_that_is_known_is_not_taken_from_the_name():
    one, other = (
        Sample(name=name, slide="s", load=lambda: Annotations(()), patient="P9")
        for name in ("patient_017_node_4.tif", "tumor_001.tif")
    )
    assert with_patients(Found([one, other])).samples == [one, other]


def test_centres_say_the_sides_and_others_are_left_out():
    split = split_by_centre(found(1, 21, 45), (0,), (1,))
    assert sides(split) == {("patient_001", "train"), ("patient_021", "validation")}
    assert {left.why for left in split.left_out} == {"is of centre 2"}


def test_without_centres_to_learn_from_all_others_are():
    split = split_by_centre(found(1, 21, 45), (), (1,))
    assert {p for p, side in sides(split) if side == "train"} == {"patient_001", "patient_045"}


def test_without_held_out_centres_the_fraction_decides():
    assert sides(split_by_centre(found(1, 21), (1,), ())) == {("patient_021", "")}


@pytest.mark.parametrize(
    ("train", "validation", "said"),
    [
        ((3,), (0,), r"train_centers 3 leaves no slide to learn from; .* of centre 0, 1"),
        ((0,), (4,), "val_centers 4 leaves no slide to validate on"),
        ((), (0, 1), "val_centers 0 1 leaves no slide to learn from"),
        ((2,), (), "train_centers 2 leaves no slide to learn from"),
    ],
)
def test_a_side_that_is_left_empty_is_said(train, validation, said):
    with pytest.raises(TrainingError, match=said):
        split_by_centre(found(1, 21), train, validation)


def test_a_slide_that_says_no_patient_is_said():
    other = Sample(name="tumor_001.tif", slide="s", load=lambda: Annotations(()))
    with pytest.raises(SourceError, match="tumor_001.tif does not say its patient"):
        split_by_centre(Found([other]), (0,), ())
