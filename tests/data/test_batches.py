"""Batches made ahead by threads."""

import threading
import time

import numpy as np
import pytest

from deeplab.data.batches import AHEAD, batches
from deeplab.data.mining import BLOCK_STEPS, Place
from deeplab.data.sampling import Patch
from deeplab.errors import ConfigError


def numbered(number):
    time.sleep(0.001 * (number % 3))  # so that later patches are ready before earlier ones
    value = number % 256
    place = Place(number % 3, number + 0.25, 7.0)
    return Patch(
        np.full((2, 2, 3), value, np.uint8), {"out": np.full((2, 2), value, np.uint8)}, place
    )


def numbers(made):
    return [batch.targets["out"][:, 0, 0].tolist() for batch in made]


def test_batches_hold_their_own_patches_in_order():
    made = numbers(batches(numbered, size=3, steps=range(5), threads=4))
    assert made == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11], [12, 13, 14]]


def test_a_run_taken_up_again_goes_on_with_the_patches_it_would_have_had():
    whole = numbers(batches(numbered, size=2, steps=range(6), threads=2))
    rest = numbers(batches(numbered, size=2, steps=range(4, 6), threads=2))
    assert rest == whole[4:]


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_any_number_of_workers_sees_the_same_patches_in_a_step(workers):
    shares = [
        list(batches(numbered, size=8, steps=range(3), threads=2, share=(worker, workers)))
        for worker in range(workers)
    ]
    for step in range(3):
        seen = np.concatenate([share[step].numbers for share in shares])
        assert seen.tolist() == list(range(step * 8, step * 8 + 8))


def test_patches_that_cannot_be_shared_out_equally_are_refused():
    with pytest.raises(ConfigError, match="batch_size must be a multiple of 3"):
        batches(numbered, size=4, steps=range(3), threads=1, share=(0, 3))


def test_a_batch_says_which_patches_it_holds_and_where_they_lie():
    (batch,) = batches(numbered, size=2, steps=range(3, 4), threads=1)
    assert batch.numbers.tolist() == [6, 7]
    assert batch.places.tolist() == [[0, 6.25, 7], [1, 7.25, 7]]


@pytest.mark.parametrize(
    ("patch_s", "step_s", "least", "most"), [(0, 0.02, 0, 0.1), (0.03, 0, 0.8, 1)]
)
def test_the_share_of_time_spent_waiting_is_measured(patch_s, step_s, least, most):
    def slow(number):
        time.sleep(patch_s)
        return numbered(number)

    stream = batches(slow, size=1, steps=range(12), threads=1)
    assert stream.waiting_share == 0
    for _ in stream:
        time.sleep(step_s)
    assert least <= stream.waiting_share <= most


def test_no_more_is_made_ahead_than_allowed():
    made, lock = [], threading.Lock()

    def counted(number):
        with lock:
            made.append(number)
        return numbered(number)

    stream = batches(counted, size=2, steps=range(100), threads=2)
    next(stream)
    time.sleep(0.2)
    stream.close()
    assert len(made) <= 2 * (AHEAD + 1)
    assert AHEAD + 1 < BLOCK_STEPS, "hard places are not drawn before they are noted"


def test_an_error_in_a_patch_reaches_the_step_that_wants_it():
    def broken(number):
        if number == 5:
            raise RuntimeError("unreadable")
        return numbered(number)

    stream = batches(broken, size=2, steps=range(10), threads=2)
    next(stream)
    next(stream)
    with pytest.raises(RuntimeError, match="unreadable"):
        next(stream)
