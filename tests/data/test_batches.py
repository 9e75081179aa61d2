"""Batches made ahead by threads."""

import threading
import time

import numpy as np
import pytest

from deeplab.data.batches import batches
from deeplab.data.sampling import Patch


def numbered(number):
    time.sleep(0.001 * (number % 3))  # so that later patches are ready before earlier ones
    return Patch(
        np.full((2, 2, 3), number % 256, np.uint8), np.full((2, 2), number % 256, np.uint8)
    )


def numbers(made):
    return [batch.labels[:, 0, 0].tolist() for batch in made]


def test_batches_hold_their_own_patches_in_order():
    made = numbers(batches(numbered, size=3, steps=range(5), threads=4))
    assert made == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11], [12, 13, 14]]


def test_a_run_taken_up_again_goes_on_with_the_patches_it_would_have_had():
    whole = numbers(batches(numbered, size=2, steps=range(6), threads=2))
    rest = numbers(batches(numbered, size=2, steps=range(4, 6), threads=2))
    assert rest == whole[4:]


def test_no_more_is_made_ahead_than_allowed():
    made, lock = [], threading.Lock()

    def counted(number):
        with lock:
            made.append(number)
        return numbered(number)

    stream = batches(counted, size=2, steps=range(100), threads=2, ahead=3)
    next(stream)
    time.sleep(0.2)
    stream.close()
    assert len(made) <= 2 * (3 + 1)


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
