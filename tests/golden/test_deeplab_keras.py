"""DeepLabV3+ with the weights of Keras, imported by the command."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from deeplab.bundles.importers.keras_deeplab import infer_keras_deeplab, keras_names
from deeplab.bundles.load import load_bundle
from deeplab.bundles.weights import named_weights
from deeplab.models.layers.resize import resize_align_corners
from deeplab.models.registry import family_of
from deeplab_cli.main import main
from tests.golden.golden_files import (
    GOLDEN,
    each_golden,
    golden_image,
    meta_of,
    rebuild_checkpoint,
)

BACKBONES = {"mobilenetv2": "mobilenet_v2", "xception": "xception_65"}
LISTS = sorted((GOLDEN / "deeplab_keras/variables").glob("*.tsv"))


@pytest.mark.slow
@each_golden("deeplab_keras", "network")
def test_the_original_weights_give_the_original_logits(golden: Path, tmp_path: Path):
    meta = meta_of(golden)
    tile = golden_image(meta)[None]
    source, model = rebuild_checkpoint(golden, tmp_path / "weights.h5"), tmp_path / "m.zip"
    words = ["--crop-size", tile.shape[1], "--output-stride", meta.get("output_stride", 16)]
    assert main(["import-checkpoint", *map(str, (source, "--output", model, *words))]) == 0
    bundle = load_bundle(model)
    assert bundle.family.name == "deeplabv3plus"
    assert bundle.card.config.backbone == BACKBONES[meta["backbone"]]
    assert bundle.card.config.label_count == meta["classes"]
    assert bundle.network.count_params() == meta["parameters"]

    @tf.function
    def upsampled(rgb):
        return resize_align_corners(bundle.network(rgb)["semantic_logits"], *rgb.shape[1:3])

    logits, facts = upsampled(tile).numpy()[0], meta["outputs"]["logits"]
    assert list(logits.shape) == facts["shape"]
    step, std = facts["step"], facts["std"]
    with np.load(golden) as expected:
        off = np.abs(logits[::step, ::step] - expected["out:logits"]).max() / std
        assert off <= 5e-4, off
        for sums, axis in (("rows", 1), ("cols", 0)):
            if f"{sums}:logits" in expected:
                off = np.abs(logits.mean(axis) - expected[f"{sums}:logits"]).max() / std
                assert off <= 1e-4, (sums, off)


@pytest.mark.slow
@pytest.mark.skipif(not LISTS, reason=f"{GOLDEN} holds no lists of Keras' DeepLab's variables")
@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.stem)
def test_a_file_has_the_names_and_shapes_of_the_original(path: Path):
    rows = [line.split("\t")[:2] for line in path.read_text(encoding="utf-8").splitlines()]
    listed = {name.removesuffix(":0"): tuple(json.loads(shape)) for name, shape in rows}
    config = infer_keras_deeplab(listed, path, crop_size=None, output_stride=None, atrous_rates=())
    network = family_of(config).build(config)
    names = keras_names(network, listed)
    assert names.keys() == named_weights(network).keys()
    assert {names[n]: tuple(v.shape) for n, v in named_weights(network).items()} == listed
