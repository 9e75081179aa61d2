"""Places where the network was wrong."""

import json
from collections import Counter

import numpy as np
import pytest

from deeplab.data.mining import BLOCK_STEPS, KEPT_SHARE, WINDOW, HardPlaces, Place
from deeplab.errors import TrainingError

BATCH = 4
BLOCK = BLOCK_STEPS * BATCH


def loss_of(number):
    return float((number * 7919) % 101)


def learn(hard, steps, *, loss=loss_of):
    for step in steps:
        numbers = np.arange(step * BATCH, (step + 1) * BATCH)
        places = np.column_stack([numbers % 3, numbers + 0.5, numbers * 2.0])
        hard.note(numbers, places, [loss(int(n)) for n in numbers])


def drawn(hard, number, count=300):
    return [hard.draw(number, np.random.default_rng([number, n])) for n in range(count)]


def test_nothing_is_drawn_before_two_blocks_are_learnt_from():
    hard = HardPlaces(BATCH)
    learn(hard, range(2 * BLOCK_STEPS))
    assert hard.draw(2 * BLOCK - 1, np.random.default_rng(0)) is None
    assert isinstance(hard.draw(2 * BLOCK, np.random.default_rng(0)), Place)


def test_the_hardest_quarter_is_drawn_and_the_harder_the_more_often():
    hard = HardPlaces(BATCH)
    learn(hard, range(BLOCK_STEPS))
    seen = Counter(int(place.x0) for place in drawn(hard, 2 * BLOCK, 4000))
    by_loss = sorted(range(BLOCK), key=loss_of, reverse=True)
    hardest = by_loss[: round(KEPT_SHARE * BLOCK)]
    assert min(map(loss_of, seen)) >= loss_of(hardest[-1])
    total = sum(map(loss_of, hardest))
    for number in (hardest[0], hardest[-1]):
        assert seen[number] / 4000 == pytest.approx(loss_of(number) / total, rel=0.4)


def test_a_draw_does_not_depend_on_how_far_the_steps_are():
    # Threads make patches ahead: what is noted in the last block and this one must not count yet.
    early, late = HardPlaces(BATCH), HardPlaces(BATCH)
    learn(early, range(3 * BLOCK_STEPS))
    learn(late, range(5 * BLOCK_STEPS - 1))
    number = 4 * BLOCK + 3
    assert drawn(early, number) == drawn(late, number)


def test_the_order_of_notes_does_not_matter_and_none_counts_twice():
    one, other = HardPlaces(BATCH), HardPlaces(BATCH)
    learn(one, range(BLOCK_STEPS))
    learn(other, reversed(range(BLOCK_STEPS)))
    learn(other, range(7))
    assert drawn(one, 2 * BLOCK) == drawn(other, 2 * BLOCK)


def test_a_run_taken_up_again_draws_what_it_would_have_drawn():
    whole, first = HardPlaces(BATCH), HardPlaces(BATCH)
    learn(whole, range(4 * BLOCK_STEPS))
    stopped = 2 * BLOCK_STEPS + 5  # in the middle of a block
    learn(first, range(stopped))
    second = HardPlaces(BATCH)
    second.restore(json.loads(json.dumps(first.state())))
    learn(second, range(stopped, 4 * BLOCK_STEPS))
    for number in (3 * BLOCK, 4 * BLOCK, 5 * BLOCK - 1):
        assert drawn(whole, number) == drawn(second, number)


def test_what_is_kept_is_bounded_and_old_places_are_forgotten():
    hard = HardPlaces(BATCH)
    learn(hard, range((WINDOW + 20) * BLOCK_STEPS))
    assert sum(map(len, hard.state()["noted"].values())) <= (WINDOW + 3) * KEPT_SHARE * BLOCK
    number = (WINDOW + 20) * BLOCK
    assert min(place.x0 for place in drawn(hard, number)) > 19 * BLOCK


def test_a_loss_that_is_no_number_is_not_noted():
    hard = HardPlaces(BATCH)
    learn(hard, range(BLOCK_STEPS), loss=lambda n: np.nan if n % 2 else 1.0)
    assert all(int(place.x0) % 2 == 0 for place in drawn(hard, 2 * BLOCK))


def test_the_table_of_another_batch_size_is_refused():
    with pytest.raises(TrainingError, match="noted with another batch size"):
        HardPlaces(2).restore(HardPlaces(4).state())
