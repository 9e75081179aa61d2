"""Which slides are held out for validation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deeplab.data.split import SplitCase, sides
from deeplab.errors import TrainingError

CLAIM = st.builds(
    SplitCase,
    name=st.sampled_from("abcdefgh"),
    patient=st.sampled_from(["", "", "p1", "p2", "p3"]),
    file=st.sampled_from(["", "f1", "f2"]),
    classes=st.frozensets(st.integers(1, 3)),
)


def names(claims, split, side):
    return [claim.name for claim, where in zip(claims, split, strict=True) if where == side]


@given(st.lists(CLAIM, min_size=1, max_size=12), st.floats(0, 0.99), st.integers(0, 99))
def test_no_patient_no_file_and_no_class_is_lost_to_validation(claims, fraction, seed):
    split = sides(claims, fraction, seed)
    learnt = {c.patient for c, s in zip(claims, split, strict=True) if s == "train"} - {""}
    held = {c.patient for c, s in zip(claims, split, strict=True) if s == "validation"} - {""}
    assert not learnt & held
    read = {c.file or c.name for c, s in zip(claims, split, strict=True) if s == "train"}
    checked = {c.file or c.name for c, s in zip(claims, split, strict=True) if s == "validation"}
    assert not read & checked
    drawn = [c.classes for c, s in zip(claims, split, strict=True) if s == "train"]
    assert frozenset().union(*drawn) == frozenset().union(*(c.classes for c in claims))


def test_the_fraction_counts_patients():
    claims = [SplitCase(name=f"s{i}", patient=f"p{i % 10}") for i in range(40)]
    split = sides(claims, 0.3, seed=3)
    held = {c.patient for c, s in zip(claims, split, strict=True) if s == "validation"}
    assert len(held) == 3
    assert split.count("validation") == 12


def test_a_slide_more_does_not_move_many_others():
    claims = [SplitCase(name=f"s{i}") for i in range(20)]
    more = [*claims, SplitCase(name="new")]
    before = set(names(claims, sides(claims, 0.25, seed=0), "validation"))
    after = set(names(more, sides(more, 0.25, seed=0), "validation"))
    assert len(before ^ (after - {"new"})) <= 1


def test_sides_that_the_user_chose_are_kept_and_none_is_added():
    claims = [
        SplitCase(name="a", side="validation"),
        SplitCase(name="b", side="train"),
        SplitCase(name="c"),
    ]
    assert sides(claims, 0.5, seed=0) == ["validation", "train", "train"]


def test_the_only_slide_of_a_class_is_learnt_from_whatever_the_seed():
    claims = [SplitCase(name=f"s{i}", classes=frozenset({1})) for i in range(5)]
    claims += [SplitCase(name="rare", classes=frozenset({1, 2}))]
    for seed in range(30):
        assert names(claims, sides(claims, 0.4, seed), "validation") != []
        assert "rare" in names(claims, sides(claims, 0.4, seed), "train")


def test_a_single_slide_is_learnt_from_and_not_held_out():
    assert sides([SplitCase(name="only")], 0.9, seed=0) == ["train"]


def test_a_patient_on_both_sides_of_the_list_is_refused():
    claims = [
        SplitCase(name="a", patient="P1", side="train"),
        SplitCase(name="b", patient="P1", side="validation"),
    ]
    with pytest.raises(TrainingError, match="^patient P1 is in both splits"):
        sides(claims, 0.2, seed=0)


def test_one_file_under_two_names_on_both_sides_is_refused():
    claims = [
        SplitCase(name="a", patient="P1", file="/x", side="train"),
        SplitCase(name="b", patient="P2", file="/x", side="validation"),
    ]
    with pytest.raises(TrainingError, match="^a and b are in both splits, but are the same file"):
        sides(claims, 0.2, seed=0)


def test_a_list_that_leaves_nothing_to_learn_from_is_refused():
    claims = [SplitCase(name=n, side="validation") for n in "ab"]
    with pytest.raises(TrainingError, match="^all slides are held out for validation"):
        sides(claims, 0.2, seed=0)
