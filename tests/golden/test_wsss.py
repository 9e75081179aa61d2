"""WSSS-Tissue's first stage: its checkpoint, in each kind of file, gives its logits."""

import functools
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab.bundles.importers.tensor_files import open_tensor_file
from deeplab.bundles.importers.timm import import_classifier, infer_classifier
from deeplab.models.layers.dropout_attention import dropped_attention
from deeplab.models.patch_classifier.blocks import WHOLE
from tests.golden.golden_files import each_golden, golden_image, meta_of, rebuild_checkpoint

TOLERANCE = 5e-4  # of an output's standard deviation


@functools.cache  # 105 million weights
def imported(golden: Path, folder: Path) -> keras.Model:
    path = rebuild_checkpoint(golden, folder / "stage1.pth")
    side = len(golden_image(meta_of(golden)))
    with open_tensor_file(path) as tensors:
        config = infer_classifier(tensors, crop_size=side, problem=None)
        network = import_classifier(tensors, config).network
    path.unlink()
    return network


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("wsss")


@pytest.mark.slow
@each_golden("wsss", "network")
def test_the_first_stage_gives_the_original_logits(golden: Path, folder: Path):
    meta, image = meta_of(golden), golden_image(meta_of(golden))
    network = imported(golden, folder)
    assert sum(np.prod(w.shape) for w in network.trainable_weights) == meta["parameters"]
    logits = tf.function(network)(image[None])["classes"].numpy()[0]
    with np.load(golden) as expected:
        wanted = expected["out:logits"]
        assert np.abs(logits - wanted).max() <= TOLERANCE * meta["outputs"]["logits"]["std"]
        np.testing.assert_allclose(1 / (1 + np.exp(-logits)), expected["out:sigmoid"], atol=1e-4)


@pytest.mark.slow
@each_golden("wsss", "network")
def test_attention_gives_the_original_logits(golden: Path, folder: Path):
    meta, image = meta_of(golden), golden_image(meta_of(golden))
    network = imported(golden, folder)
    features = tf.function(keras.Model(network.input, network.get_layer(WHOLE).output))(image[None])
    logits = network.get_layer("logits")
    # The original divides by four, whatever the number of classes.
    factor = logits.units / 4
    with np.load(golden) as expected:
        for name in (name for name in meta["outputs"] if name.startswith("logits_pda_")):
            attention = dropped_attention(logits(features), float(name.rpartition("_")[2]))
            found = logits(tf.reduce_mean(factor * attention * features, axis=(1, 2))).numpy()[0]
            off = np.abs(found - expected[f"out:{name}"]).max()
            assert off <= TOLERANCE * meta["outputs"][name]["std"], name


@pytest.mark.slow
@each_golden("wsss", "network")
def test_a_file_before_pytorch_1_6_and_one_of_several_gpus_hold_the_same(
    golden: Path, folder: Path
):
    first = imported(golden, folder)
    path = rebuild_checkpoint(golden, folder / "old.pth", "--legacy", "--prefix", "module.")
    with open_tensor_file(path) as tensors:
        config = infer_classifier(tensors, crop_size=None, problem=None)
        other = import_classifier(tensors, config).network
    path.unlink()
    for one, same in zip(first.weights, other.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), same.numpy())
