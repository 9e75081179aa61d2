"""HoVer-Net's network with the original's weights, from each kind of file, gives its outputs."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from deeplab.bundles.importers.hovernet import import_hovernet
from deeplab.bundles.importers.tensor_files import open_tensor_file
from tests.golden.golden_files import each_golden, golden_image, meta_of, rebuild_checkpoint

FILES = {
    "net.tar": (),
    "parallel.tar": ("--prefix", "module."),
    "old.tar": ("--legacy",),
    "tensorflow.npz": ("--tf-names",),
    "net.safetensors": (),
}


@pytest.mark.slow
@each_golden("hovernet", "network")
def test_the_original_weights_give_the_original_maps(golden: Path, tmp_path: Path):
    meta, image = meta_of(golden), golden_image(meta_of(golden))
    with open_tensor_file(rebuild_checkpoint(golden, tmp_path / "net.tar")) as tensors:
        imported = import_hovernet(tensors)
    config, network = imported.config, imported.network
    assert config.mode == meta["mode"]
    assert config.type_count == max(0, (meta["nr_types"] or 0) - 1)
    assert sum(np.prod(w.shape) for w in network.trainable_weights) == meta["parameters"]
    maps = tf.function(network)(image[None])
    assert set(maps) == set(meta["outputs"])
    with np.load(golden) as expected:
        for name, facts in meta["outputs"].items():
            found, step, std = maps[name].numpy()[0], facts["step"], facts["std"]
            assert list(found.shape) == facts["shape"]
            off = np.abs(found[::step, ::step] - expected[f"out:{name}"]).max() / std
            assert off <= 5e-4, (name, off)
            for sums, axis in (("rows", 1), ("cols", 0)):
                if f"{sums}:{name}" in expected:
                    off = np.abs(found.mean(axis) - expected[f"{sums}:{name}"]).max() / std
                    assert off <= 1e-4, (name, sums, off)


@pytest.mark.slow
@each_golden("hovernet", "network")
def test_every_kind_of_file_holds_the_same_network(golden: Path, tmp_path: Path):
    networks = []
    for name, options in FILES.items():
        with open_tensor_file(rebuild_checkpoint(golden, tmp_path / name, *options)) as tensors:
            networks.append(import_hovernet(tensors).network)
        (tmp_path / name).unlink()
    first, *others = networks
    for other in others:
        for one, same in zip(first.weights, other.weights, strict=True):
            np.testing.assert_array_equal(one.numpy(), same.numpy())
