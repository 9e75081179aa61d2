"""EfficientDet with the weights of SURF-segmentation, imported by the command and exported."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab.bundles.importers.efficientdet import VALUE, infer_efficientdet, object_key
from deeplab.bundles.importers.tf1_checkpoint import open_checkpoint
from deeplab.bundles.importers.tf1_network import Variables
from deeplab.bundles.load import load_bundle
from deeplab.bundles.weights import named_weights
from deeplab.models.registry import family_of
from deeplab_cli.main import main
from tests.golden.golden_files import (
    GOLDEN,
    each_golden,
    golden_image,
    meta_of,
    rebuild_checkpoint,
)

LISTS = sorted((GOLDEN / "efficientdet/variables").glob("*.tsv"))


def imported(golden: Path, folder: Path) -> Path:
    """The bundle that the command makes of a golden's checkpoint."""
    source = rebuild_checkpoint(golden, folder / "7_ckpt.ckpt")
    words = [
        "--output",
        str(folder / "m.zip"),
        "--crop-size",
        str(len(golden_image(meta_of(golden)))),
    ]
    assert main(["import-checkpoint", str(source), *words]) == 0
    return folder / "m.zip"


@pytest.mark.slow
@each_golden("efficientdet", "network")
def test_the_original_weights_give_the_original_logits_and_go_out_as_they_came(
    golden: Path, tmp_path: Path
):
    meta = meta_of(golden)
    model = imported(golden, tmp_path)
    config, network = (bundle := load_bundle(model)).card.config, bundle.network
    assert bundle.family.name == "efficientdet_seg"
    assert f"efficientdet-{config.size}" == meta["model"]
    assert config.backbone == meta["backbone"].replace("-", "_")
    assert config.fpn_cells == meta["fpn_cell_repeats"]
    assert config.fpn_filters == meta["fpn_num_filters"]
    assert config.min_level == meta["min_level"]
    assert config.label_count == meta["seg_num_classes"]
    assert network.count_params() == meta["parameters"]
    maps = keras.Model(network.input, [network.get_layer("logits").output, network.output])
    logits, whole = tf.function(maps)(golden_image(meta)[None])
    assert whole["semantic_logits"].shape[1:3] == golden_image(meta).shape[:2]
    logits, facts = logits.numpy()[0], meta["outputs"]["logits"]
    assert list(logits.shape) == facts["shape"]
    step, std = facts["step"], facts["std"]
    with np.load(golden) as expected:
        off = np.abs(logits[::step, ::step] - expected["out:logits"]).max() / std
        assert off <= 5e-4, off
        for sums, axis in (("rows", 1), ("cols", 0)):
            if f"{sums}:logits" in expected:
                off = np.abs(logits.mean(axis) - expected[f"{sums}:logits"]).max() / std
                assert off <= 1e-4, (sums, off)
        keys = set(map(str, expected["object_keys"]))
    out = tmp_path / "out"
    assert main(["export", str(model), "--format", "checkpoint", "--output", str(out)]) == 0
    with (
        open_checkpoint(tmp_path / "7_ckpt.ckpt") as before,
        open_checkpoint(out / "model_ckpt") as after,
    ):
        assert {name for name in after.shapes if name.endswith(VALUE)} == keys
        for key in keys:
            np.testing.assert_array_equal(after.tensor(key), before.tensor(key))


@pytest.mark.slow
@pytest.mark.skipif(not LISTS, reason=f"{GOLDEN} holds no lists of EfficientDet's variables")
@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.stem)
def test_a_checkpoint_has_the_keys_and_shapes_of_the_original(path: Path):
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    listed = {key.removesuffix(VALUE): tuple(json.loads(shape)) for _, shape, key in rows}
    variables = Variables(
        path=path,
        shapes={key + VALUE: shape for key, shape in listed.items()},
        tensor=lambda name: pytest.fail(f"{name} was read"),
        held_bytes=0,
    )
    network = family_of(config := infer_efficientdet(variables, None)).build(config)
    ours = {object_key(n): tuple(v.shape) for n, v in named_weights(network).items()}
    head = "seg_head/head_transpose/kernel"
    ours[head] = (*ours[head][:2], ours[head][3], ours[head][2])
    assert ours == listed
