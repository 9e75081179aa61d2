"""The autoencoder gives what DEDL's gave, and so do the losses of both kinds of logits."""

from pathlib import Path

import numpy as np
import pytest

from deeplab.config.deeplabv3plus import DeepLabV3PlusConfig
from deeplab.config.train_request import LossSettings
from deeplab.models.dense.autoencoder import (
    COMPANION_LOGITS,
    AutoencoderLoss,
    build,
    units_of,
)
from deeplab.models.dense.losses import semantic_loss
from deeplab.models.outputs import SEMANTIC_LOGITS
from tests.golden.golden_files import each_golden, meta_of, rebuild_checkpoint


@pytest.mark.slow
@each_golden("dedl", "network")
def test_the_original_weights_give_the_original_logits_and_losses(golden: Path, tmp_path: Path):
    meta = meta_of(golden)
    with np.load(golden) as file:
        expected = {name: file[name] for name in ("input", "mask", "out:output", "names")}
    with np.load(rebuild_checkpoint(golden, tmp_path / "app.npz")) as file:
        stored = [file[str(name)] for name in expected["names"]]
    labels, _, width = expected["input"].shape
    network = build(width, labels, "relu")
    assert sum(np.prod(w.shape) for w in network.weights) == meta["parameters"]
    for variable, array in zip(network.weights, stored, strict=True):
        variable.assign(array.T)  # PyTorch's matrices are (out, in)

    logits = np.moveaxis(expected["input"] / 64, 0, -1)[None].astype(np.float32)
    maps = network({SEMANTIC_LOGITS: logits})
    found = np.moveaxis(maps[COMPANION_LOGITS].numpy()[0], -1, 0)
    off = np.abs(found - expected["out:output"]).max() / meta["outputs"]["output"]["std"]
    assert off <= 5e-4

    config = DeepLabV3PlusConfig(label_count=labels)
    settings = LossSettings(class_weights=tuple(meta["loss"]["class_weights"]), dice_weight=0)
    of_logits = semantic_loss(config, settings)
    targets = {SEMANTIC_LOGITS: expected["mask"][None]}
    # Theirs is the sum over the pixels, so it is our errors alone, not yet over the weights.
    segmentation = of_logits.errors(targets, {SEMANTIC_LOGITS: logits}, 0)
    beside = AutoencoderLoss(of_logits).errors(targets, maps, 0)
    assert float(segmentation[0, 0]) == pytest.approx(meta["loss"]["segmentation"], rel=1e-5)
    assert float(beside[0, 0]) == pytest.approx(meta["loss"]["autoencoder"], rel=1e-5)


def test_other_rows_have_layers_in_the_same_proportions():
    assert units_of(480) == (15360, 256, 128, 64, 32, 16, 32, 64, 128, 256, 480)
    assert units_of(960)[:6] == (30720, 512, 256, 128, 64, 32)
    assert units_of(129) == (4128, 69, 34, 17, 9, 8, 9, 17, 34, 69, 129)
