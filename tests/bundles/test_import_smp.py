"""Files of segmentation_models_pytorch through the front door, good ones and such as are none."""

from pathlib import Path

import numpy as np
import pytest

from deeplab.bundles.importers.smp import infer_smp
from deeplab.bundles.importers.smp_state import ENCODERS, state_dict, state_entries
from deeplab.bundles.importers.stored_tensors import StoredTensors
from deeplab.bundles.load import load_bundle
from deeplab.config.unet import UNetConfig
from deeplab_cli.main import main
from tests.bundles import torch_for_tests as torch
from tests.bundles.smp_for_tests import EACH, GATED, NESTED, PLAIN, state_of
from tests.bundles.tiny_models import noise_tile

HEAD = "segmentation_head.0.weight"


def run(source: Path, folder: Path, *words: str) -> int:
    return main(["import-checkpoint", str(source), "--output", str(folder / "m.zip"), *words])


def complaint(capsys, source: Path, folder: Path, *words: str) -> str:
    assert run(source, folder, *words) == 2
    assert not (folder / "m.zip").exists()
    return capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("config", EACH, ids=lambda config: config.describe())
def test_a_network_is_told_by_its_state_dict_and_keeps_every_number(config, tmp_path: Path, capsys):
    state = state_of(config)
    assert run(torch.write_state(tmp_path / "a.pth", state), tmp_path) == 0
    said = capsys.readouterr().out
    assert config.describe() in said
    assert "pixels are brought from 0 to 255 to 0 to 1 and no more" in said
    assert "give --work_mpp wherever it is used" in said
    bundle = load_bundle(tmp_path / "m.zip")
    assert bundle.card.config == config
    assert bundle.card.work_mpp is None
    again = dict(state_dict(config, bundle.network))
    assert {n: v.shape for n, v in again.items()} == {n: v.shape for n, v in state.items()}
    assert list(again) == list(state)
    used = [name for name, value in again.items() if value.any() and not (value == 1).all()]
    assert len(used) > 60
    for name in used:
        np.testing.assert_array_equal(again[name], state[name])


@pytest.mark.slow
def test_what_the_file_does_not_tell_is_told(tmp_path: Path, capsys):
    # As checkpoints of a training have them: names behind that of the network, and other things.
    state = {f"model.{name}": value for name, value in state_of(GATED).items()}
    state |= {"loss.weight": np.ones(2, np.float32)}
    source = torch.write_state(tmp_path / "a.pth", state, wrap="state_dict")
    words = ("--channels", "DAPI,FITC", "--normalisation", "backbone", "--classes", "nucleus")
    assert run(source, tmp_path, *words, "--work-mpp", "0.5", "--crop-size", "256") == 0
    assert "pixels are" not in capsys.readouterr().out
    card = load_bundle(tmp_path / "m.zip").card
    assert card.config.channels.names == ("DAPI", "FITC")
    assert (card.config.normalisation, card.config.crop_size) == ("backbone", 256)
    assert (card.classes.names, card.work_mpp) == (("nucleus",), 0.5)


@pytest.mark.slow
def test_a_single_logit_is_the_probability_of_its_class(tmp_path: Path):
    assert run(torch.write_state(tmp_path / "a.pth", state_of(GATED)), tmp_path) == 0
    bundle = load_bundle(tmp_path / "m.zip")
    tiles = noise_tile(64)[..., :2]
    logits = bundle.network(tiles)["semantic_logits"].numpy()
    assert not logits[..., 0].any()
    maps = bundle.family.predictor(bundle.network, maps=("probabilities",))(tiles)
    single = 1 / (1 + np.exp(-logits[..., 1]))
    np.testing.assert_allclose(maps["probabilities"][..., 1], single, atol=1e-6)


@pytest.mark.parametrize("backbone", ENCODERS)
def test_an_encoder_is_told_from_each_other_by_names_and_shapes(backbone):
    config = UNetConfig(label_count=3, backbone=backbone, depth=5, normalisation="zero_to_one")
    shapes = {entry.name: entry.shape for entry in state_entries(config)}
    tensors = StoredTensors(path=Path("a.pth"), shapes=shapes, read=shapes.get, held_bytes=0)
    assert infer_smp(tensors) == config


def without(state, *names):
    return {name: value for name, value in state.items() if name not in names}


@pytest.mark.parametrize(
    ("change", "words", "sentence"),
    [
        (lambda s: without(s, HEAD), (), "it lacks segmentation_head.0.weight"),
        (lambda s: s | {"encoder.fc.weight": s[HEAD]}, (), "it has beside it encoder.fc.weight"),
        (lambda s: s | {"encoder.bn1.bias": np.ones(3, np.float32)}, (), "of shape (3,), where"),
        (
            lambda s: without(s, "encoder.layer4.1.conv1.weight"),
            (),
            "has an encoder that is not known; those are resnet18, 34, 50, 101, efficientnet-b0",
        ),
        (
            lambda s: without(s, "encoder.conv1.weight"),
            (),
            "has an encoder that is not known",
        ),
        (
            lambda s: without(s, "decoder.blocks.1.conv1.0.weight"),
            (),
            "has a decoder of 1 steps, where 3 to 5 are known",
        ),
        (
            lambda s: {n: v for n, v in s.items() if not n.startswith("decoder")},
            (),
            "has no decoder of U-Net or U-Net++",
        ),
        (lambda s: s, ("--channels", "DAPI"), "channels must be 3 names, as many as the network"),
        (lambda s: s, ("--nr-types", "5"), "is a U-Net or U-Net++, which has no nr types"),
        (lambda s: s, ("--classes", "a"), "classes must be 2 names, or 3 with the background's"),
        (lambda s: s, ("--architecture", "resnet_34"), "is of resnet_18, not of resnet_34"),
        (lambda s: s, ("--crop-size", "100"), "crop_size must be a multiple of 8"),
    ],
)
def test_what_is_no_whole_network_or_told_wrongly_is_one_sentence(
    tmp_path: Path, capsys, change, words, sentence
):
    source = torch.write_state(tmp_path / "a.pth", change(state_of(PLAIN)))
    assert sentence in complaint(capsys, source, tmp_path, *words)


def test_a_value_that_is_no_number_is_named(tmp_path: Path, capsys):
    state = state_of(NESTED)
    state["decoder.blocks.x_1_1.conv2.1.bias"][3] = np.nan
    source = torch.write_state(tmp_path / "a.pth", state)
    said = complaint(capsys, source, tmp_path)
    assert "not a finite number in decoder.blocks.x_1_1.conv2.1.bias" in said


def test_what_is_asked_of_a_u_net_is_not_asked_of_a_checkpoint(tmp_path: Path, capsys):
    source = tmp_path / "model.ckpt-1"
    source.with_name("model.ckpt-1.index").touch()
    said = complaint(capsys, source, tmp_path, "--channels", "DAPI")
    assert "is no U-Net or patch classifier, which is a .pth" in said
