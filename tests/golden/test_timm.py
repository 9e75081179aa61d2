"""Patch classifiers with timm's weights, from each kind of file, give timm's logits."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab.bundles.importers.tensor_files import open_tensor_file
from deeplab.bundles.importers.timm import import_classifier, infer_classifier
from deeplab.models.patch_classifier.blocks import WHOLE
from tests.golden.golden_files import each_golden, golden_image, meta_of, rebuild_checkpoint


def imported(path: Path, side: int, model: str) -> keras.Model:
    told = None
    if model.startswith("tf_"):  # what timm took over from TensorFlow has the names of its own
        told = model.removeprefix("tf_").partition(".")[0]
    with open_tensor_file(path) as tensors:
        config = infer_classifier(tensors, crop_size=side, problem=None, architecture=told)
        return import_classifier(tensors, config).network


@pytest.mark.slow
@each_golden("timm", "network")
def test_the_original_weights_give_the_original_logits(golden: Path, tmp_path: Path):
    meta, image = meta_of(golden), golden_image(meta_of(golden))
    path = rebuild_checkpoint(golden, tmp_path / "net.safetensors")
    network = imported(path, len(image), meta["model"])
    assert sum(np.prod(w.shape) for w in network.trainable_weights) == meta["parameters"]
    seen = keras.Model(
        network.input,
        {"logits": network.output["classes"], "features": network.get_layer(WHOLE).output},
    )
    maps = tf.function(seen)(image[None])
    with np.load(golden) as expected:
        assert "logits" in meta["outputs"]
        for name, facts in meta["outputs"].items():
            found, wanted = maps[name].numpy()[0], expected[f"out:{name}"]
            if name == "features":
                found = found[..., :: found.shape[-1] // wanted.shape[-1]]
            step = facts["step"]
            if step > 1:
                found = found[::step, ::step]
            off = np.abs(found - wanted).max() / facts["std"]
            assert off <= 5e-4, (name, off)


@pytest.mark.slow
@each_golden("timm", "network")
def test_every_kind_of_file_holds_the_same_network(golden: Path, tmp_path: Path):
    files = {"net.pth": (), "old.pth": ("--legacy",), "parallel.pth": ("--prefix", "module.")}
    with np.load(golden) as arrays:
        if "module_pickle" in arrays:
            files["module.pt"] = ("--module",)
    side, model = len(golden_image(meta_of(golden))), meta_of(golden)["model"]
    first = imported(rebuild_checkpoint(golden, tmp_path / "net.safetensors"), side, model)
    for name, options in files.items():
        other = imported(rebuild_checkpoint(golden, tmp_path / name, *options), side, model)
        (tmp_path / name).unlink()
        for one, same in zip(first.weights, other.weights, strict=True):
            np.testing.assert_array_equal(one.numpy(), same.numpy())
