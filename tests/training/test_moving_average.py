"""Moving averages of weights and statistics, against their formula written out."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab.training.moving_average import BatchStatistics, WeightAverage, young_share


def test_weights_are_averaged_by_the_young_share_until_it_is_more_than_the_decay():
    average = WeightAverage(0.5)
    random = np.random.default_rng(0)
    found = expected = np.zeros(3, np.float32)
    for step in range(20):
        weight = random.normal(size=3).astype(np.float32)
        share = min(0.5, (1 + step) / (10 + step))
        expected = share * expected + (1 - share) * weight
        (moved,) = average.after([found], [tf.constant(weight)], tf.constant(step, tf.int64))
        found = moved.numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert float(young_share(tf.constant(8, tf.int64))) == pytest.approx(0.5)


def test_without_averages_none_is_made():
    assert WeightAverage(0.0).after([], [tf.constant(1.0)], tf.constant(0, tf.int64)) == []


def test_statistics_keep_what_their_layer_says_once_they_are_old_and_less_before():
    network = keras.Sequential([keras.Input((4,)), keras.layers.BatchNormalization(momentum=0.8)])
    statistics = BatchStatistics.of(network)
    assert statistics.kept == (0.8, 0.8)
    before, of_batch = [tf.constant(0.0), tf.constant(1.0)], [5.0, 3.0]
    by_layer = [0.8 * old.numpy() + 0.2 * new for old, new in zip(before, of_batch, strict=True)]
    counted = [tf.constant(value) for value in by_layer]
    young = [float(x) for x in statistics.after(before, counted, tf.constant(0, tf.int64))]
    old = [float(x) for x in statistics.after(before, counted, tf.constant(1000, tf.int64))]
    assert young == pytest.approx([0.9 * 5.0, 0.1 + 0.9 * 3.0])
    assert old == pytest.approx(by_layer)
