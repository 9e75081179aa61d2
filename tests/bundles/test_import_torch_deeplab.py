"""DeepLabV3+ of PyTorch, WSSS-Tissue's second stage, is imported and trained on from."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from deeplab.bundles.importers.stored_tensors import StoredTensors
from deeplab.bundles.importers.timm_names import name_of
from deeplab.bundles.importers.torch_deeplab import (
    LOGITS,
    NEVER,
    RULES,
    infer_torch_deeplab,
    is_torch_deeplab,
)
from deeplab.bundles.importers.torch_encoders import stored_shape
from deeplab.bundles.load import load_bundle
from deeplab.bundles.start import start_encoder, start_from
from deeplab.bundles.weights import named_weights
from deeplab.config.classes import ClassList
from deeplab.errors import CheckpointError
from deeplab.models.registry import family_of
from deeplab_cli.main import main
from tests.bundles import torch_for_tests as torch

KERNEL, BIAS, PROJECTION = f"{LOGITS}.weight", f"{LOGITS}.bias", "aspp.conv1.weight"
SHAPES = {
    "aspp.aspp1.atrous_conv.weight": (256, 2048, 1, 1),
    "backbone.layer3.22.conv3.weight": (1024, 256, 1, 1),
    KERNEL: (4, 256, 1, 1),
}


def tensors_of(shapes) -> StoredTensors:
    return StoredTensors(path=Path("a.pth"), shapes=shapes, read=shapes.get, held_bytes=0)


def state(outputs: int) -> dict[str, np.ndarray]:
    """Return a state dict in float16, which is smaller; random where the order is looked at."""
    config = infer_torch_deeplab(
        tensors_of(SHAPES | {KERNEL: (outputs, 256, 1, 1)}),
        crop_size=None,
        normalisation=None,
        named=outputs - 1,
    )
    random = np.random.default_rng(7)
    values = {"backbone.bn1.num_batches_tracked": np.ones((), np.int64)}
    for ours, weight in named_weights(family_of(config).build(config)).items():
        name, shape = name_of(ours, RULES), stored_shape(ours, tuple(weight.shape))
        values[name] = np.full(shape, 1 if len(shape) == 1 else 0, np.float16)
        if name in (KERNEL, BIAS, PROJECTION):
            values[name] = random.normal(size=shape).astype(np.float16)
    return values


@pytest.fixture(scope="module")
def stored() -> dict[str, np.ndarray]:
    return state(4)


def run(folder: Path, source: Path, *words: str) -> int:
    return main(["import-checkpoint", str(source), "--output", str(folder / "m.zip"), *words])


@pytest.mark.slow
def test_the_second_stage_is_imported_with_a_background_that_never_wins(stored, tmp_path, capsys):
    source = torch.write_state(tmp_path / "a.pth", stored, wrap="state_dict")
    assert run(tmp_path, source, "--classes", "TE,NEC,LYM,TAS", "--work-mpp", "0.5") == 0
    said = capsys.readouterr().out
    assert "every output is taken for a class" in said
    assert "pixels are brought from 0 to 255 to 0 to 1 and no more" in said
    bundle = load_bundle(tmp_path / "m.zip")
    assert bundle.card.classes.names == ("TE", "NEC", "LYM", "TAS")
    assert (bundle.card.config.crop_size, bundle.card.config.multi_grid) == (224, (1, 2, 4))
    weights = {name: value.numpy() for name, value in named_weights(bundle.network).items()}
    kernel = stored[KERNEL][:, :, 0, 0].T
    np.testing.assert_array_equal(weights["logits/kernel"][0, 0, :, 1:], kernel)
    np.testing.assert_array_equal(weights["logits/bias"], [NEVER, *stored[BIAS]])
    assert not weights["logits/kernel"][..., 0].any()
    # The pooling is the last of their branches and the first of ours.
    projection = stored[PROJECTION][:, :, 0, 0].T
    np.testing.assert_array_equal(weights["aspp.project/kernel"][0, 0, :256], projection[1024:])
    np.testing.assert_array_equal(weights["aspp.project/kernel"][0, 0, 256:], projection[:1024])


@pytest.mark.slow
def test_of_one_name_less_the_first_output_is_the_background(stored, tmp_path, capsys):
    source = torch.write_state(tmp_path / "a.pth", stored, wrap="state_dict")
    assert run(tmp_path, source, "--classes", "a,b,c", "--normalisation", "backbone") == 0
    assert "every output" not in capsys.readouterr().out
    bundle = load_bundle(tmp_path / "m.zip")
    assert (bundle.card.config.label_count, bundle.card.config.normalisation) == (4, "backbone")
    bias = named_weights(bundle.network)["logits/bias"].numpy()
    np.testing.assert_array_equal(bias, stored[BIAS].astype(np.float32))


@pytest.mark.slow
def test_a_training_starts_from_a_file_of_before_pytorch_1_6_of_other_classes(tmp_path: Path):
    source = torch.write_state(
        tmp_path / "deeplab-resnet.pth.tar", state(21), wrap="state_dict", legacy=True
    )
    config = infer_torch_deeplab(tensors_of(SHAPES), crop_size=None, normalisation=None, named=None)
    network = family_of(config).build(config)
    loaded = start_from(network, config, ClassList.named(tuple("abcd")), source, fresh=())
    assert len(loaded.taken) == len(network.weights) - 2
    assert all(sentence.startswith("logits/") for sentence in loaded.unfit)
    # Of other convolutions what is alike, or the encoder alone.
    plain = dataclasses.replace(config, convolutions="separable")
    network = family_of(plain).build(plain)
    encoder = start_encoder(network, plain, source)
    assert len(encoder.taken) == sum(n.startswith("backbone.") for n in named_weights(network))
    loaded = start_from(network, plain, ClassList.named(tuple("abcd")), source, fresh=())
    assert any(name.startswith("aspp.project") for name in loaded.taken)
    assert all("wise" in name for name in loaded.absent)


def test_it_is_told_by_its_names():
    assert is_torch_deeplab(tensors_of(SHAPES))
    assert not is_torch_deeplab(tensors_of({KERNEL: (4, 256, 1, 1)}))
    config = infer_torch_deeplab(tensors_of(SHAPES), crop_size=112, normalisation=None, named=4)
    assert (config.label_count, config.crop_size, config.convolutions) == (5, 112, "full")


def test_patches_that_are_too_small_are_refused():
    with pytest.raises(CheckpointError, match="is of a network in which crop_size must be"):
        infer_torch_deeplab(tensors_of(SHAPES), crop_size=8, normalisation=None, named=None)


def test_a_file_that_lacks_a_layer_is_refused(tmp_path: Path, capsys):
    arrays = {name: np.zeros(shape, np.float16) for name, shape in SHAPES.items()}
    assert run(tmp_path, torch.write_state(tmp_path / "a.pth", arrays, wrap="state_dict")) == 2
    said = capsys.readouterr().err
    assert "does not fit DeepLabV3+ on resnet_101" in said
    assert "it lacks" in said
