"""Networks give the logits of the original graphs, which tests write out once more."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from deeplab.config.deeplabv3plus import DeepLabV3PlusConfig
from tests.bundles.tf1_for_tests import tf1_variables
from tests.bundles.tiny_models import noise_tile, tiny_network
from tests.models import original_graphs as original
from tests.models.original_graphs import Original

# Of the standard deviation of the logits.
TOLERANCE = 1e-4
CROP = 129
SMALL = DeepLabV3PlusConfig(
    label_count=3,
    depth_multiplier=0.2,
    crop_size=CROP,
    aspp_filters=8,
    decoder_filters=8,
    low_level_filters=4,
)
LIGHT = dataclasses.replace(
    SMALL,
    backbone="mobilenet_v3_small_seg",
    depth_multiplier=1.0,
    atrous_rates=(),
    output_stride=32,
    decoder_output_stride=8,
    image_pooling="hard_gate",
    aspp_merge="concat",
    decoder_merge="sum",
    decoder_filters=3,
    decoder_output="logits",
)


def graph_and_logits(config: DeepLabV3PlusConfig) -> tuple[Original, tf.Tensor, np.ndarray]:
    """The variables of a network, the pixels that it was shown as the original sees them, and
    what it answered."""
    network = tiny_network(config)
    tile = noise_tile(config.crop_size)
    variables = {
        name: value
        for name, value in tf1_variables(network, config.backbone).items()
        if not name.endswith("Momentum") and name != "global_step"
    }
    pixels = (2.0 / 255.0) * tf.cast(tile, tf.float32) - 1.0
    return Original(variables), pixels, network(tile)["semantic_logits"].numpy()


def check_alike(graph: Original, expected: tf.Tensor, found: np.ndarray) -> None:
    assert graph.used == set(graph.variables)
    scale = np.std(expected)
    assert scale > 0
    np.testing.assert_allclose(found / scale, expected / scale, atol=TOLERANCE, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("output_stride", "crop", "window", "strides"),
    [
        (32, CROP, CROP, (4, 5)),
        (16, CROP, 65, (2, 3)),
        (8, 97, 65, (1, 1)),
        (32, 128, 128, (1, 1)),  # what TensorFlow pads at an even size
    ],
)
def test_mobilenet_v3(output_stride: int, crop: int, window: int, strides: tuple[int, int]):
    config = dataclasses.replace(
        LIGHT,
        output_stride=output_stride,
        crop_size=crop,
        pooling_crop_size=window,
        pooling_strides=strides,
    )
    graph, pixels, found = graph_and_logits(config)
    features, widened = original.mobilenet_v3_small(graph, pixels, output_stride)
    logits = original.light_head(
        graph,
        features,
        widened[2],
        sides=(window, crop),
        output_stride=output_stride,
        strides=strides,
    )
    check_alike(graph, logits, found)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "plan", "output_stride", "tap"),
    [("pnasnet", original.PNASNET, 16, 0), ("hnasnet", original.HNASNET, 8, 3)],
)
def test_nas(backbone: str, plan: tuple, output_stride: int, tap: int):
    config = dataclasses.replace(SMALL, backbone=f"nas_{backbone}", output_stride=output_stride)
    graph, pixels, found = graph_and_logits(config)
    features, maps = original.nas(graph, pixels, backbone, plan)
    logits = original.usual_head(
        graph, features, maps[tap], crop=CROP, output_stride=output_stride, rates=(6, 12, 18)
    )
    check_alike(graph, logits, found)
