"""What in a patch speaks for a class, held against the formulas of the papers."""

import keras
import numpy as np
import pytest

from deeplab.config.patch_classifier import PatchClassifierConfig
from deeplab.inference.activation import ACTIVATION, activating
from deeplab.models.registry import family_of
from tests.bundles.tiny_models import noise_tile, tiny_network


@pytest.mark.slow
def test_of_classes_read_from_the_mean_of_a_map_it_is_cam():
    shape = {"classes": 3, "crop_size": 128, "backbone": "mobilenet_v2", "depth_multiplier": 0.35}
    config = PatchClassifierConfig(problem="multi_label", **shape)
    assert config.reads_the_mean
    network = tiny_network(config)
    tiles = noise_tile(128, count=2)
    found = activating(family_of(config).explain(network))(tiles)[ACTIVATION]
    # Zhou et al. 2016: each cell's features, by the weights that the mean is read with.
    last_map = keras.Model(network.input, network.get_layer("features").output)(tiles)
    cam = np.maximum(np.asarray(last_map) @ network.get_layer("logits").kernel.numpy(), 0)
    assert (cam.max(axis=(1, 2)) > 0).any()
    highest = np.maximum(cam.max(axis=(1, 2), keepdims=True), 1e-12)
    np.testing.assert_allclose(found, cam / highest, atol=1e-4)
