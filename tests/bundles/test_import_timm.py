"""Files of timm's patch classifiers are told apart by names and shapes, in old and new layouts."""

import pickle
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from deeplab.bundles.importers.stored_tensors import StoredTensors
from deeplab.bundles.importers.timm import import_classifier, infer_classifier, is_classifier
from deeplab.bundles.importers.timm_names import name_of
from deeplab.bundles.importers.torch_encoders import (
    LAYOUTS,
    read_encoder_weights,
    stored_shape,
)
from deeplab.bundles.weights import named_weights
from deeplab.config.channels import named_channels
from deeplab.config.patch_classifier import ENCODERS, PatchClassifierConfig
from deeplab.config.patch_encoders import PATCH_ENCODERS
from deeplab.errors import CheckpointError, ConfigError
from deeplab.models.patch_classifier.network import build
from deeplab_cli.main import main
from tests.bundles import torch_for_tests as torch_files

SMALL = ("vit_tiny_patch16", "swin_tiny_window7", "convnext_tiny")


def config_of(backbone: str, side: int = 224, classes: int = 3) -> PatchClassifierConfig:
    return PatchClassifierConfig(
        classes=classes, crop_size=side, problem="multi_class", backbone=backbone
    )


def tensors_of(network, layout, renamed=lambda name: name) -> StoredTensors:
    """A file of all weights of a network under timm's names; values depend on ours."""
    ours = named_weights(network)
    names = {renamed(layout.name_of(name)): name for name in ours}

    def read(name: str) -> np.ndarray:
        weight = names[name]
        random = np.random.default_rng(zlib.crc32(weight.encode()))
        shape = stored_shape(weight, tuple(ours[weight].shape))
        values = random.normal(0, 0.02, shape).astype(np.float32)
        return np.abs(values) + 0.5 if weight.endswith("variance") else values

    shapes = {n: stored_shape(w, tuple(ours[w].shape)) for n, w in names.items()}
    return StoredTensors(path=Path("a.pth"), shapes=shapes, read=read, held_bytes=0)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", SMALL)
def test_each_layout_is_recognised_and_read(backbone: str):
    network = build(config_of(backbone))
    imported = []
    for layout in LAYOUTS[backbone]:
        tensors = tensors_of(network, layout)
        assert is_classifier(tensors)
        config = infer_classifier(tensors, crop_size=None, problem=None)
        assert config == config_of(backbone)
        imported.append(import_classifier(tensors, config).network)
    for other in imported[1:]:  # of Swin: today's names and those before timm 0.8
        for one, same in zip(imported[0].weights, other.weights, strict=True):
            if one.path not in ("logits/kernel", "logits/bias"):
                np.testing.assert_array_equal(one.numpy(), same.numpy(), err_msg=one.path)


@pytest.mark.slow
def test_an_efficientnet_is_timms_own_unless_it_is_told_to_be_tensorflows():
    network = build(config_of("timm_efficientnet_b0"))
    tensors = tensors_of(network, LAYOUTS["timm_efficientnet_b0"][1])
    assert {"conv_head.weight", "classifier.weight"} <= set(tensors.shapes)
    own = infer_classifier(tensors, crop_size=224, problem=None)
    assert own == config_of("timm_efficientnet_b0")
    told = {"crop_size": 224, "problem": None, "architecture": "efficientnet_b0"}
    other = infer_classifier(tensors, **told)
    assert other == config_of("efficientnet_b0")
    one, two = (import_classifier(tensors, each).network for each in (own, other))
    for weight, same in zip(one.weights, two.weights, strict=True):
        np.testing.assert_array_equal(weight.numpy(), same.numpy(), err_msg=weight.path)
    noise = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3)).astype(np.uint8)
    assert np.abs(one(noise)["classes"] - two(noise)["classes"]).max() > 0


@pytest.mark.slow
def test_old_swin_says_the_side_of_its_patches_and_keeps_buffers_out():
    network = build(config_of("swin_tiny_window7"))
    new, old = LAYOUTS["swin_tiny_window7"]
    tensors = tensors_of(network, old)
    assert "layers.0.downsample.norm.weight" in tensors.shapes
    assert "head.weight" in tensors.shapes
    assert "layers.1.downsample.norm.weight" in tensors_of(network, new).shapes
    buffers = {
        "layers.0.blocks.0.attn.relative_position_index": (49, 49),
        "layers.0.blocks.1.attn_mask": (64, 49, 49),
    }
    more = StoredTensors(
        path=tensors.path, shapes={**tensors.shapes, **buffers}, read=tensors.read, held_bytes=0
    )
    config = infer_classifier(more, crop_size=None, problem="multi_label")
    assert (config.crop_size, config.problem) == (224, "multi_label")
    assert set(import_classifier(more, config).skipped) == set(buffers)
    with pytest.raises(CheckpointError, match="is of patches of 224 x 224 pixels, not of 384"):
        infer_classifier(more, crop_size=384, problem=None)


@pytest.mark.slow
def test_a_network_that_is_shown_one_channel_is_told_and_the_channel_named():
    config = replace(config_of("vit_tiny_patch16"), channels=named_channels(("DAPI",)))
    (layout,) = LAYOUTS["vit_tiny_patch16"]
    tensors = tensors_of(build(config), layout)
    assert tensors.shapes["patch_embed.proj.weight"] == (192, 1, 16, 16)
    told = {"crop_size": None, "problem": None}
    named = infer_classifier(tensors, channels=("DAPI",), **told)
    assert named == config
    assert import_classifier(tensors, named).network.input_shape == (None, 224, 224, 1)
    assert infer_classifier(tensors, **told).channels.names == ("channel 1",)
    with pytest.raises(ConfigError, match="1 names, as many as the network has channels"):
        infer_classifier(tensors, channels=("DAPI", "CD3"), **told)


@pytest.mark.slow
def test_what_does_not_fit_is_named():
    network = build(config_of("vit_tiny_patch16"))
    (layout,) = LAYOUTS["vit_tiny_patch16"]
    whole = tensors_of(network, layout)
    lacking = {name: s for name, s in whole.shapes.items() if name != "norm.bias"}
    config = infer_classifier(whole, crop_size=None, problem=None)
    for shapes, sentence in (
        (lacking, "it lacks norm.bias"),
        ({**whole.shapes, "fc_norm.weight": (192,)}, "it has beside it fc_norm.weight"),
        ({**whole.shapes, "norm.bias": (5,)}, r"has norm.bias of shape \(5,\)"),
    ):
        tensors = StoredTensors(path=whole.path, shapes=shapes, read=whole.read, held_bytes=0)
        with pytest.raises(CheckpointError, match=sentence):
            import_classifier(tensors, config)
    headless = {name: s for name, s in whole.shapes.items() if not name.startswith("head.")}
    alone = StoredTensors(path=whole.path, shapes=headless, read=whole.read, held_bytes=0)
    with pytest.raises(CheckpointError, match="is the encoder vit_tiny_patch16 alone"):
        infer_classifier(alone, crop_size=None, problem=None)


@pytest.mark.slow
def test_the_encoder_of_a_transformer_starts_a_training_of_its_own_side_only():
    network = build(config_of("vit_tiny_patch16"))
    (layout,) = LAYOUTS["vit_tiny_patch16"]
    tensors = tensors_of(network, layout)
    values = read_encoder_weights(tensors, network, "vit_tiny_patch16")
    assert set(values) == {n for n in named_weights(network) if n.startswith("backbone.")}
    larger = build(config_of("vit_tiny_patch16", side=384))
    with pytest.raises(CheckpointError, match=r"learnt the places of 196 cells.*patch_size to 224"):
        read_encoder_weights(tensors, larger, "vit_tiny_patch16")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("stages.0.blocks.0.conv2_kxk.weight", "of CoAtNet or another MaxxViT of timm's, which is"),
        ("stages.0.0.skipinit_gain", "of an NFNet of timm's, which is not known"),
    ],
)
def test_a_network_of_timms_that_is_not_known_is_named(tmp_path: Path, capsys, name, sentence):
    state = {"stem.conv1.weight": np.zeros((8, 3, 3, 3), np.float32), name: np.zeros(1, np.float32)}
    source = torch_files.write_state(tmp_path / "a.pth", state)
    assert main(["import-checkpoint", str(source), "--output", str(tmp_path / "m.zip")]) == 2
    assert sentence in capsys.readouterr().err


def test_no_name_of_a_weight_stands_for_two():
    for backbone, facts in PATCH_ENCODERS.items():
        assert backbone in ENCODERS
        assert facts.side % facts.multiple == 0
    for layout in LAYOUTS["swin_tiny_window7"]:
        merged = [f"backbone.stage{at}.merge.reduce/kernel" for at in (1, 2, 3)]
        assert len({name_of(name, layout.rules) for name in merged}) == 3


def test_a_pickle_that_would_run_something_is_refused(tmp_path: Path, capsys):
    class Evil:
        def __reduce__(self):
            return (print, ("run",))

    with zipfile.ZipFile(tmp_path / "evil.pth", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"a": Evil()}, protocol=2))
        archive.writestr("archive/version", "3\n")
    words = ["import-checkpoint", str(tmp_path / "evil.pth"), "--output", str(tmp_path / "m.zip")]
    assert main(words) == 2
    said = capsys.readouterr()
    assert "is refused: it would run" in said.err
    assert "run" not in said.out
