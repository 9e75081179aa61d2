import math

import keras
import numpy as np
import pytest

from deeplab.config.hovernet import FORMS, LIGHT_BACKBONES, PREACT, HoverNetConfig
from deeplab.models.hovernet.network import build
from tests.bundles.tiny_models import noise_tile

# Of the original's own network, run (trainable numbers).
COUNTS = [
    ("original", 4, 54_744_457),
    ("original", 0, 45_028_676),
    ("fast", 5, 37_639_626),
    ("fast", 0, 33_625_412),
]


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "type_count", "parameters"), COUNTS)
def test_the_published_networks_have_their_numbers_and_sizes(mode, type_count, parameters):
    side = FORMS[mode].crop_size
    config = HoverNetConfig(type_count=type_count, mode=mode, backbone=PREACT, crop_size=side)
    network = build(config)
    assert sum(math.prod(weight.shape) for weight in network.trainable_weights) == parameters
    for height, width in ((side, side), (side + 8, side + 40)):
        maps = network.compute_output_spec(keras.KerasTensor((1, height, width, 3), "uint8"))
        assert {name: maps[name].shape for name in maps} == {
            name: (1, height - 2 * config.margin, width - 2 * config.margin, channels)
            for name, channels in config.branches
        }
    assert config.least_weight_count <= network.count_params()


@pytest.mark.slow
@pytest.mark.parametrize("backbone", LIGHT_BACKBONES)
def test_a_light_network_answers_all_of_any_tile_that_its_tiling_promises(backbone: str):
    config = HoverNetConfig(type_count=2, backbone=backbone, decoder_width=16)
    network = build(config)
    assert config.least_weight_count <= network.count_params()
    for height, width in ((16, 16), (48, 80)):
        maps = network.compute_output_spec(keras.KerasTensor((2, height, width, 3), "uint8"))
        for name, channels in config.branches:
            assert maps[name].shape == (2, height, width, channels)
            assert maps[name].dtype == "float32"


@pytest.mark.slow
def test_what_lies_far_inside_does_not_depend_on_the_tile():
    config = HoverNetConfig(
        type_count=0, backbone="mobilenet_v2", depth_multiplier=0.35, decoder_width=8
    )
    keras.utils.set_random_seed(1)  # some draws of weights make more of float32's rounding
    network = build(config)
    tile = noise_tile(640)
    inner = tile[:, 16:-16, 16:-16]
    far = 288  # farther than any convolution looks
    for name, maps in network(tile).items():
        same = network(inner)[name][:, far - 16 : 16 - far, far - 16 : 16 - far]
        np.testing.assert_allclose(maps[:, far:-far, far:-far], same, atol=1e-3 * np.std(maps))
