"""How the slides of a training look, kept in a card, and how far another slide is from them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deeplab.bundles.card import Card, card_from_json, card_to_json
from deeplab.bundles.learnt_appearance import (
    LEAST_DEVIATION,
    LIMIT,
    LearntAppearance,
    appearance_facts,
    facts_to_tell,
)
from deeplab.slides.appearance import FEATURES, Appearance
from tests.flows.models_for_tests import CLASSES, CONFIG

USUAL = np.array([-2.0, -0.4, 0.4])
CARD = Card(config=CONFIG, classes=CLASSES, work_mpp=0.5, tile=257, halo=48)


def slide(change=(0, 0, 0), *, within=None, squares=100.0):
    within = None if within is None else np.array(within, float)
    return Appearance(USUAL + np.array(change, float), within, squares)


def changes(least=1, most=12):
    one = st.tuples(*[st.floats(-1, 1)] * 3)
    return st.lists(one, min_size=least, max_size=most)


def alike(one, other):
    return all(
        np.allclose(getattr(one, name), getattr(other, name), atol=2e-5)
        for name in ("mean", "deviation", "least", "most", "within")
    )


@given(changes(), st.booleans())
def test_a_card_gives_back_what_was_put_in_it(some, has_within):
    learnt = LearntAppearance.of(
        slide(change, within=(0.1, 0.02, 0.03) if has_within else None) for change in some
    )
    card = replace(CARD, training={"steps": 3, **learnt.facts()})
    # As in a bundle: facts are plain values, which a reader that knows nothing of them keeps.
    again = card_from_json(card_to_json(card), "a.zip")
    assert alike(LearntAppearance.from_card(again), learnt)
    assert LearntAppearance.from_card(again).slides == len(some)
    assert facts_to_tell(again.training) == {"steps": 3}


@pytest.mark.parametrize("spoilt", [None, "many", True, 1e400])
def test_a_card_without_it_or_with_something_else_says_nothing(spoilt):
    assert LearntAppearance.from_card(CARD) is None
    facts = LearntAppearance.of([slide()]).facts()
    facts[f"appearance {FEATURES[1]} mean"] = spoilt
    assert LearntAppearance.from_card(replace(CARD, training=facts)) is None
    assert LearntAppearance.from_card(replace(CARD, training={"appearance slides": 0})) is None


@given(changes(), changes())
def test_slides_of_two_trainings_are_as_those_of_one(some, others):
    first, second = (LearntAppearance.of(map(slide, each)) for each in (some, others))
    both = LearntAppearance.of(map(slide, [*some, *others]))
    assert alike(first.with_more(second), both)
    facts = appearance_facts([first, second])
    assert facts["appearance slides"] == len(some) + len(others)


def test_nothing_is_said_where_a_part_is_not_known():
    known = LearntAppearance.of([slide()])
    assert appearance_facts([known, None]) == {}
    assert appearance_facts([]) == {}
    assert LearntAppearance.of([None, None]) is None
    assert LearntAppearance.of([None, slide()]).slides == 1


@given(changes())
def test_no_slide_of_the_training_is_unlike_it(some):
    learnt = LearntAppearance.of(map(slide, some))
    assert not any(learnt.unlike(slide(change)) for change in some)


@given(st.integers(1, 50), st.sampled_from(range(3)), st.sampled_from([-1, 1]))
def test_slides_that_look_the_same_leave_room_for_what_slides_of_one_laboratory_have(
    count, feature, sign
):
    learnt = LearntAppearance.of([slide()] * count)
    change = np.zeros(3)
    change[feature] = sign * LIMIT * LEAST_DEVIATION[feature] * np.sqrt(1 + 1 / count)
    assert not learnt.unlike(slide(0.99 * change))
    (found,) = learnt.unlike(slide(1.01 * change)).items()
    assert found == (FEATURES[feature], pytest.approx(1.01 * sign * LIMIT))


def test_slides_that_differ_leave_more_room_than_slides_that_do_not():
    various = LearntAppearance.of(slide((x, 0, 0)) for x in (-1, -0.5, 0, 0.5, 1))
    even = LearntAppearance.of([slide()] * 5)
    paler = slide((-1.5, 0, 0))
    assert even.unlike(paler)
    assert not various.unlike(paler)


def test_a_piece_of_a_slide_may_differ_as_pieces_do():
    learnt = LearntAppearance.of([slide(within=(0.6, 0, 0))] * 20)
    paler = (-1.2, 0, 0)
    assert learnt.unlike(slide(paler, squares=100))
    assert not learnt.unlike(slide(paler, squares=0.3))
