"""Batch norm of a single value: what a training sees is what a slide will see."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab.config.efficientdet_seg import EfficientDetSegConfig
from deeplab.models.layers.norm import BatchNorm
from tests.bundles.tiny_models import TINY, noise_tile, tiny_network

SETTINGS = {"momentum": 0.9, "epsilon": 1e-3}


def trained(layer, maps, *, compiled):
    """What a layer makes of maps in training, one after the other, and the last one's gradient."""

    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
            loss = tf.reduce_sum(y * tf.reshape(tf.range(tf.size(y), dtype="float32"), tf.shape(y)))
        return y, tape.gradient(loss, x)

    if compiled:  # sizes are not known beforehand
        step = tf.function(step, input_signature=[tf.TensorSpec((None, None, None, 3))])
    found = [step(tf.constant(x)) for x in maps]
    return [y.numpy() for y, _ in found], found[-1][1].numpy()


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("shape", [(2, 1, 1, 3), (1, 3, 2, 3), (4, 5, 5, 3)])
def test_several_values_are_normalised_as_ever(shape, compiled):
    maps = np.random.default_rng(1).normal(3, 2, (4, *shape)).astype(np.float32)
    usual, own = keras.layers.BatchNormalization(**SETTINGS), BatchNorm(**SETTINGS)
    expected, expected_gradient = trained(usual, maps, compiled=compiled)
    found, gradient = trained(own, maps, compiled=compiled)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(gradient, expected_gradient)
    for value, of_usual in zip(own.variables, usual.variables, strict=True):
        np.testing.assert_array_equal(value, of_usual)
    x = tf.constant(maps[0])
    np.testing.assert_array_equal(own(x, training=False), usual(x, training=False))


@pytest.mark.parametrize("compiled", [False, True])
def test_one_value_is_normalised_by_what_is_known_and_teaches_nothing(compiled):
    values = np.random.default_rng(2).normal(3, 2, (5, 1, 1, 1, 3)).astype(np.float32)
    layer = BatchNorm(**SETTINGS)
    layer.build((None, None, None, 3))
    mean, variance = np.array([1, 2, 3], np.float32), np.array([4, 9, 1], np.float32)
    layer.moving_mean.assign(mean)
    layer.moving_variance.assign(variance)
    found, gradient = trained(layer, values, compiled=compiled)
    expected = (values - mean) / np.sqrt(variance + 1e-3)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_array_equal(layer.moving_mean, mean)
    np.testing.assert_array_equal(layer.moving_variance, variance)
    np.testing.assert_allclose(gradient.ravel(), np.arange(3) / np.sqrt(variance + 1e-3), rtol=1e-5)


def test_what_is_frozen_counts_nothing():
    layer = BatchNorm(**SETTINGS)
    layer.build((None, None, None, 3))
    layer.trainable = False
    x = tf.ones((1, 1, 1, 3))
    np.testing.assert_array_equal(layer(x, training=True), layer(x, training=False))
    np.testing.assert_array_equal(layer.moving_mean, np.zeros(3))


EFFICIENTDET = EfficientDetSegConfig(label_count=2, fpn_filters=8, fpn_cells=1, crop_size=128)


@pytest.mark.parametrize(
    ("config", "place"),
    [(TINY, "image_pooling.norm"), (EFFICIENTDET, "fpn.cell_0.node_9.pointwise.norm")],
)
def test_of_one_patch_a_network_learns_no_variance_of_what_is_one_value(config, place):
    network = tiny_network(config)
    variance = network.get_layer(place).moving_variance
    before = variance.numpy()
    for count in (1, 2):
        network(noise_tile(config.crop_size, count=count), training=True)
        assert (variance.numpy() == before).all() == (count == 1)
