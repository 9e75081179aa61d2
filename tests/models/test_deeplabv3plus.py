import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab.errors import ConfigError
from deeplab.models.deeplabv3plus.network import build
from deeplab.models.dense.decode import labels_of, predictor
from deeplab.models.dense.targets import encode
from deeplab.models.layers.drop_path import DropPath
from deeplab.models.outputs import SEMANTIC_LOGITS
from tests.bundles.tiny_models import TINY, noise_tile, tiny_network
from tests.openvino_for_tests import openvino_predict


def test_a_tile_and_a_larger_one_agree_on_what_neither_border_reaches():
    network = tiny_network()
    reach = (
        352  # pixels: the backbone's convolutions, the atrous branch, a pooling window, the decoder
    )
    large = noise_tile(1041)
    place, side = 160, 769
    small = large[:, place : place + side, place : place + side]
    run = tf.function(lambda tiles: network(tiles)[SEMANTIC_LOGITS], reduce_retracing=True)
    first = place // 4
    whole = run(large).numpy()[:, first : first + side // 4 + 1, first : first + side // 4 + 1]
    part = run(small).numpy()
    inside = slice(reach // 4, -reach // 4)
    assert whole[:, inside, inside].shape[1] >= 16
    np.testing.assert_allclose(part[:, inside, inside], whole[:, inside, inside], atol=1e-4)
    # The claim is not empty: the border itself does differ.
    assert np.abs(part - whole).max() > 0.01


def test_the_crop_sets_how_far_image_pooling_sees():
    tile = noise_tile(129)
    near, far = (
        tiny_network(dataclasses.replace(TINY, crop_size=crop))(tile)[SEMANTIC_LOGITS]
        for crop in (33, 129)
    )
    assert np.abs(near - far).max() > 1e-3


def test_without_atrous_branches_and_decoder_logits_have_the_output_stride():
    config = dataclasses.replace(TINY, atrous_rates=(), decoder_output_stride=None, output_stride=8)
    network = build(config)
    assert network(noise_tile(65))[SEMANTIC_LOGITS].shape == (1, 9, 9, 3)
    assert not [layer for layer in network.layers if layer.name.startswith("decoder")]


@pytest.mark.parametrize(
    ("backbone", "expected"),
    [
        ("xception_41", [-1, 1, -0.6]),
        ("resnet_v1_18_beta", [-1, 1, -0.6]),
        ("resnet_v1_18", [-123.15, 139.1, -52.06]),
    ],
)
def test_pixels_are_normalised_as_the_backbone_wants_them(backbone: str, expected: list[float]):
    pixel = np.array([[[[0, 255, 51]]]], np.uint8)
    network = build(dataclasses.replace(TINY, backbone=backbone, depth_multiplier=1.0))
    inside = keras.Model(network.input, network.get_layer("normalisation").output)
    np.testing.assert_allclose(inside(pixel)[0, 0, 0], expected, atol=1e-5)


def test_batch_norms_learn_in_training_and_stand_still_when_frozen():
    network = build(TINY)
    norm = network.get_layer("backbone.stem.norm")
    tiles = noise_tile(65, count=2)
    before = norm.moving_mean.numpy()
    network(tiles, training=False)
    np.testing.assert_array_equal(norm.moving_mean, before)
    network(tiles, training=True)
    moved = norm.moving_mean.numpy()
    assert np.abs(moved - before).max() > 0
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
    network(tiles, training=True)
    np.testing.assert_array_equal(norm.moving_mean, moved)
    assert not [v for v in network.trainable_variables if v.name in ("gamma", "beta")]


def test_mixed_precision_ends_in_float32():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = build(TINY)
    finally:
        keras.config.set_dtype_policy(policy)
    logits = network(noise_tile(65))[SEMANTIC_LOGITS]
    assert logits.dtype == tf.float32
    assert network.get_layer("decoder.concat").compute_dtype == "bfloat16"


def test_labels_are_the_likeliest_after_upsampling_the_lowest_of_equals():
    labels = np.random.default_rng(0).integers(0, 3, (9, 9)).astype(np.uint8)
    target = encode(TINY, {"labels": labels})[SEMANTIC_LOGITS]
    certain = 10 * np.eye(3, dtype=np.float32)[target][None]
    np.testing.assert_array_equal(labels_of(certain, 1)[0], labels)
    np.testing.assert_array_equal(labels_of(certain, 4)[0, ::4, ::4], labels)
    assert np.all(np.asarray(labels_of(np.zeros((1, 2, 2, 3), np.float32), 4)) == 0)


def test_a_predictor_wants_maps_it_knows():
    network = build(TINY)
    with pytest.raises(ConfigError, match="maps must be some of labels, confidence, probabilities"):
        predictor(network, tile=65, maps=("labels", "boxes"))


@pytest.mark.slow
def test_later_cells_of_a_nas_backbone_drop_more_paths():
    knobs = {"backbone": "nas_hnasnet", "output_stride": 8, "drop_path_keep_prob": 0.4}
    network = build(dataclasses.replace(TINY, **knobs))
    kept = {
        layer.name.split(".")[1]: layer.keep
        for layer in network.layers
        if isinstance(layer, DropPath)
    }
    assert kept == {
        f"cell_{index}": pytest.approx(1 - (index + 1) / 12 * 0.6) for index in range(12)
    }
    whole = build(dataclasses.replace(TINY, **{**knobs, "drop_path_keep_prob": 1.0}))
    assert [w.path for w in whole.weights] == [w.path for w in network.weights]
    assert not [layer for layer in whole.layers if isinstance(layer, DropPath)]


@pytest.mark.parametrize("backbone", ["mobilenet_v2", "mobilenet_v3_small_seg", "resnet_v1_18"])
def test_openvino_takes_the_predictor_and_gives_its_labels(backbone: str):
    pytest.importorskip("openvino", reason="OpenVINO is an optional runtime")
    tiles = noise_tile(97)
    multiplier = 1.0 if backbone == "resnet_v1_18" else TINY.depth_multiplier
    config = dataclasses.replace(
        TINY, backbone=backbone, depth_multiplier=multiplier, pooling_crop_size=33
    )
    network = tiny_network(config, seed=2)  # one that finds every label
    graph = predictor(network, tile=97, maps=("labels", "confidence", "probabilities"))
    answers = openvino_predict(graph, 97)(tiles)
    expected = graph(tiles)
    assert answers["labels"].dtype == np.uint8
    assert len(np.unique(answers["labels"])) == 3
    assert np.mean(answers["labels"] == expected["labels"]) > 0.999
    for name in ("confidence", "probabilities"):
        np.testing.assert_allclose(answers[name], expected[name], atol=1e-3)
