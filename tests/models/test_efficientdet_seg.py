import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab.config.efficientdet_seg import EfficientDetSegConfig
from deeplab.models.efficientdet_seg.bifpn import EPSILON, WeightedSum, cell_nodes
from deeplab.models.efficientdet_seg.network import LogitsTranspose
from deeplab.models.registry import family_of
from tests.bundles.tiny_models import noise_tile

SMALL = EfficientDetSegConfig(label_count=2, fpn_filters=8, fpn_cells=1, crop_size=128)


def test_a_cell_goes_down_and_up_and_takes_in_what_there_is_of_each_level():
    nodes = cell_nodes(range(5, 8))
    assert [(node.level, node.inputs) for node in nodes] == [
        (6, (1, 2)),
        (5, (0, 3)),
        (6, (1, 3, 4)),
        (7, (2, 5)),
    ]


@pytest.mark.parametrize(("fusion", "shares"), [("linear", (0.8, -0.3)), ("relu", (0.8, 0))])
def test_maps_are_added_in_the_shares_of_their_weights(fusion, shares):
    layer = WeightedSum(fusion)
    maps = [np.full((1, 2, 2, 3), value, np.float32) for value in (3, 5)]
    np.testing.assert_allclose(layer(maps), np.full((1, 2, 2, 3), 8 / (2 + EPSILON)), rtol=1e-6)
    for variable, value in zip(layer.weights, (0.8, -0.3), strict=True):
        variable.assign(value)
    wanted = (3 * shares[0] + 5 * shares[1]) / (sum(shares) + EPSILON)
    np.testing.assert_allclose(layer(maps), np.full((1, 2, 2, 3), wanted), rtol=1e-5)


def test_the_last_kernel_ends_in_labels_and_computes_as_keras_own():
    x = np.random.default_rng(0).normal(size=(1, 4, 6, 5)).astype(np.float32)
    ours, theirs = LogitsTranspose(3), keras.layers.Conv2DTranspose(3, 3, 2, padding="same")
    assert ours(x).shape == (1, 8, 12, 3)
    theirs(x)
    kernel, bias = ours.kernel.numpy(), np.arange(3, dtype=np.float32)
    assert kernel.shape == (3, 3, 5, 3)
    ours.bias.assign(bias)
    theirs.set_weights([kernel.transpose(0, 1, 3, 2), bias])
    np.testing.assert_allclose(ours(x), theirs(x), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("min_level", [1, 3])
def test_logits_have_twice_the_sides_of_the_finest_map_and_are_doubled_to_a_pixel(min_level):
    config = dataclasses.replace(SMALL, min_level=min_level)
    network = family_of(config).build(config)
    both = keras.Model(network.input, [network.get_layer("logits").output, network.output])
    logits, maps = both(noise_tile(128))
    stride = 2 ** (min_level - 1)
    assert logits.shape == (1, 128 // stride, 128 // stride, 2)
    assert maps["semantic_logits"].shape == (1, 128, 128, 2)


@pytest.mark.slow
def test_an_answer_does_not_depend_on_the_grid_of_tiles():
    """What is kept of overlapping tiles is what one large tile gives there."""
    keras.utils.set_random_seed(1)
    network, halo = family_of(SMALL).build(SMALL), SMALL.tiling.halo
    predict = tf.function(network, reduce_retracing=True)
    side = 2 * halo + 256
    field = noise_tile(side + 256)
    whole = predict(field)["semantic_logits"].numpy()
    for top, step in ((0, 256), (128, 256), (128, 128)):
        end = top + step + 2 * halo
        part = predict(field[:, top:end, 128 : 128 + step + 2 * halo])["semantic_logits"].numpy()
        kept = part[:, halo : halo + step, halo : halo + step]
        first = halo + 128
        same = whole[:, top + halo : top + halo + step, first : first + step]
        assert np.abs(kept - same).max() <= 1e-3 * whole.std()
