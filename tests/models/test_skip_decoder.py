import dataclasses
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab.config.unet import UNetConfig
from deeplab.config.unetplusplus import UNetPlusPlusConfig
from deeplab.config.views import View
from deeplab.models.dense.decode import predictor
from deeplab.models.registry import family_of
from tests.bundles.tiny_models import noise_tile, tiny_network

SKIPS = {"label_count": 2, "depth_multiplier": 0.1, "crop_size": 64, "depth": 3}
PLAIN = UNetConfig(**SKIPS, decoder_channels=(16, 16, 16))
GATED = dataclasses.replace(PLAIN, attention="scse")
NESTED = UNetPlusPlusConfig(**SKIPS, decoder_channels=(16, 16, 16), attention="scse")


@pytest.mark.slow
@pytest.mark.parametrize("config", [PLAIN, GATED, NESTED], ids=["plain", "gated", "nested"])
def test_an_answer_does_not_depend_on_the_grid_of_tiles(config):
    """What is kept of overlapping tiles is what one large tile gives there."""
    keras.utils.set_random_seed(1)
    network, halo = family_of(config).build(config), config.tiling.halo
    predict = tf.function(network, reduce_retracing=True)
    field = noise_tile(4 * halo + 192)
    whole = predict(field)["semantic_logits"].numpy()
    for step in (96, 192):
        for top in range(0, 192, step):
            side = step + 2 * halo
            part = predict(field[:, top : top + side, halo : halo + side])["semantic_logits"]
            kept = part.numpy()[:, halo : halo + step, halo : halo + step]
            same = whole[:, top + halo : top + halo + step, 2 * halo : 2 * halo + step]
            assert np.abs(kept - same).max() <= 1e-3 * whole.std()


def test_a_training_crop_is_gated_by_its_own_means():
    network = tiny_network(GATED)
    blocks = network.get_layer("decoder.block_0.attention2.blocks").output
    gates = network.get_layer("decoder.block_0.attention2.places").output
    gated = keras.Model(network.input, [blocks, gates])
    _, gates = gated(noise_tile(64))
    assert np.ptp(gates.numpy(), axis=(1, 2)).max() < 1e-6
    _, gates = gated(noise_tile(128))
    assert np.ptp(gates.numpy(), axis=(1, 2)).max() > 1e-4


def test_means_in_blocks_have_one_gate_a_block():
    network = tiny_network(GATED)
    up = keras.Model(network.input, network.get_layer("decoder.block_2.attention2.up").output)
    gates = up(noise_tile(96)).numpy()[0]
    blocks = gates.reshape(12, 8, 12, 8, -1)
    assert np.ptp(blocks, axis=(1, 3)).max() == 0


@pytest.mark.slow
@pytest.mark.parametrize("quarters", [2, 3, 5, 8])
def test_a_tile_that_is_resized_keeps_its_borders(quarters):
    network = tiny_network(PLAIN)
    tile = noise_tile(96)
    views = (View(), View(quarters=quarters))
    maps = predictor(network, maps=("labels", "probabilities"), views=views)(tile)
    assert maps["labels"].shape == (1, 96, 96)
    probabilities = maps["probabilities"].numpy()
    np.testing.assert_array_equal(maps["labels"], probabilities.argmax(axis=-1))
    both = [View(quarters=quarters), View(quarters=quarters, mirrored=True)]
    symmetric = predictor(network, maps=("probabilities",), views=both)
    one, other = (symmetric(each)["probabilities"].numpy() for each in (tile, tile[:, :, ::-1]))
    np.testing.assert_allclose(one, other[:, :, ::-1], atol=1e-6)


def test_an_atrous_encoder_serves_a_decoder_at_stride_16_with_all_its_layers():
    """So that networks of depth 4 that were saved before it had a tap there still open."""
    knobs = {"label_count": 2, "depth_multiplier": 0.1, "crop_size": 64}
    names = {}
    for depth in (3, 4, 5):
        config = UNetConfig(**knobs, depth=depth, decoder_channels=(4,) * depth)
        network = family_of(config).build(config)
        names[depth] = {weight.path for weight in network.weights}
        rates = {layer.dilation_rate[0] for layer in network.layers if "depthwise" in layer.name
                 and hasattr(layer, "dilation_rate")}  # fmt: skip
        assert rates == ({1, 2} if depth == 4 else {1})
        assert network(noise_tile(64))["semantic_logits"].shape == (1, 64, 64, 2)
    encoders = {
        depth: {name for name in found if name.startswith("backbone.")}
        for depth, found in names.items()
    }
    assert encoders[3] < encoders[4] == encoders[5]


def test_a_network_has_no_layer_that_it_does_not_use():
    config = UNetConfig(label_count=2, backbone="resnet_18", depth=3)
    network = family_of(config).build(config)
    names = [weight.path for weight in network.weights]
    assert any(name.startswith("backbone.block2") for name in names)
    assert not any(name.startswith("backbone.block3") for name in names)
    assert config.least_weight_count <= sum(math.prod(w.shape) for w in network.weights)
