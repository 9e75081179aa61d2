"""How the scale of a loss moves from step to step."""

import numpy as np
import pytest
import tensorflow as tf

from deeplab.training.loss_scaling import GROWS_AFTER, LossScaling, ScaleState


def after(scaling, scale, since, *, moves, overflows):
    before = ScaleState(tf.constant(scale), tf.constant(since, tf.int64))
    told = scaling.after(before, moves=tf.constant(moves), overflows=tf.constant(overflows))
    return float(told.scale), int(told.since_overflow)


def test_the_scale_is_halved_by_an_overflow_and_doubled_after_long_without_one():
    scaling = LossScaling(is_used=True)
    assert after(scaling, 8.0, 5, moves=True, overflows=False) == (8.0, 6)
    assert after(scaling, 8.0, 5, moves=False, overflows=True) == (4.0, 0)
    assert after(scaling, 8.0, 5, moves=False, overflows=False) == (8.0, 5)
    assert after(scaling, 8.0, GROWS_AFTER - 2, moves=True, overflows=False) == (
        8.0,
        GROWS_AFTER - 1,
    )
    assert after(scaling, 8.0, GROWS_AFTER - 1, moves=True, overflows=False) == (16.0, 0)


def test_a_scale_that_is_not_used_stays_1_and_counts_its_updates():
    scaling = LossScaling(is_used=False)
    assert scaling.first_scale == 1.0
    assert after(scaling, 1.0, 10 * GROWS_AFTER, moves=True, overflows=False) == (
        1.0,
        10 * GROWS_AFTER + 1,
    )


@pytest.mark.parametrize("norm", [np.inf, -np.inf, np.nan])
def test_only_a_scale_above_1_can_be_to_blame_for_gradients_that_are_no_numbers(norm):
    used, unused = LossScaling(is_used=True), LossScaling(is_used=False)
    assert used.overflows(tf.constant(norm), tf.constant(2.0))
    assert not used.overflows(tf.constant(norm), tf.constant(1.0))
    assert not used.overflows(tf.constant(1e30), tf.constant(2.0))
    assert not unused.overflows(tf.constant(norm), tf.constant(2.0))
