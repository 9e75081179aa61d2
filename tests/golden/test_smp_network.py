"""U-Net and U-Net++ with the weights of segmentation_models_pytorch, imported by the command."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from deeplab.bundles.load import load_bundle
from deeplab.bundles.weights import named_weights
from deeplab_cli.main import main
from tests.golden.golden_files import each_golden, golden_image, meta_of, rebuild_checkpoint

NORMALISATIONS = {
    "uint8 / 255, nothing else": "zero_to_one",
    "uint8 / 255, minus (0.485, 0.456, 0.406), divided by (0.229, 0.224, 0.225)": "backbone",
}
COLOURS = ("red", "green", "blue")
FILES = {"parallel.pth": ("--prefix", "module."), "old.pth": ("--legacy",), "net.safetensors": ()}


def shown(meta: dict[str, Any]) -> NDArray[np.uint8]:
    """What the original was shown, (1, height, width, channels): "RGB", "green only", "red, blue"."""
    told = meta["input"]["channels"]
    letters = {colour[0].upper(): number for number, colour in enumerate(COLOURS)}
    if set(told) <= set(letters):
        numbers = [letters[letter] for letter in told]
    else:
        numbers = [COLOURS.index(name) for name in re.findall("|".join(COLOURS), told)]
    assert len(numbers) == meta["options"]["in_channels"], f"which channels are {told}?"
    return golden_image(meta)[None, ..., numbers]


def imported(golden: Path, folder: Path, name: str = "net.pth", *options: str) -> Path:
    """The bundle that the command makes of a golden's checkpoint."""
    source = rebuild_checkpoint(golden, folder / name, *options)
    normalisation = NORMALISATIONS[meta_of(golden)["preprocessing"]]
    words = ["--output", str(folder / f"{name}.zip"), "--normalisation", normalisation]
    assert main(["import-checkpoint", str(source), *words]) == 0
    return folder / f"{name}.zip"


@pytest.mark.slow
@each_golden("smp", "network")
def test_the_original_weights_give_the_original_logits(golden: Path, tmp_path: Path):
    meta = meta_of(golden)
    bundle = load_bundle(imported(golden, tmp_path))
    config, options = bundle.card.config, meta["options"]
    assert bundle.family.name == meta["arch"].lower()
    backbone = options["encoder_name"].replace("resnet", "resnet_").replace("-", "_")
    assert config.backbone == backbone
    assert config.depth == options.get("encoder_depth", 5)
    assert list(config.decoder_channels) == list(
        options.get("decoder_channels", (256, 128, 64, 32, 16))
    )
    assert config.attention == (options.get("decoder_attention_type") or "none")
    assert len(config.channels) == options["in_channels"]
    assert config.head == ("sigmoid" if options["classes"] == 1 else "softmax")
    logits = tf.function(bundle.network)(shown(meta))["semantic_logits"].numpy()[0]
    if options["classes"] == 1:
        logits = logits[..., 1:] - logits[..., :1]
    facts = meta["outputs"]["logits"]
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
@each_golden("smp", "network")
def test_every_kind_of_file_holds_the_same_network(golden: Path, tmp_path: Path):
    first = named_weights(load_bundle(imported(golden, tmp_path)).network)
    with np.load(golden) as arrays:
        whole = {"whole.pt": ("--module",)} if "module_pickle" in arrays else {}
    for name, options in (FILES | whole).items():
        other = named_weights(load_bundle(imported(golden, tmp_path, name, *options)).network)
        assert list(other) == list(first)
        for each, weight in first.items():
            np.testing.assert_array_equal(weight.numpy(), other[each].numpy())
