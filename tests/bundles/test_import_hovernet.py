"""HoVer-Net's files through the front door, good ones and such as are none."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from deeplab.bundles.importers.hovernet_names import PYTORCH, TENSORFLOW
from deeplab.bundles.importers.type_classes import read_type_classes
from deeplab.bundles.load import load_bundle
from deeplab.bundles.start import start_from
from deeplab.bundles.weights import named_weights
from deeplab.config.classes import ClassList
from deeplab.config.hovernet import FORMS, PREACT, HoverNetConfig
from deeplab.errors import BundleError, DeeplabError
from deeplab.models.hovernet.network import build
from deeplab_cli.main import main
from tests.bundles import torch_for_tests as torch
from tests.bundles.tiny_models import noise_tile

CONFIG = HoverNetConfig(
    type_count=0, mode="fast", backbone=PREACT, crop_size=FORMS["fast"].crop_size
)
INFO = {"0": ["nolabe", [0, 0, 0]], "1": ["neopla", [255, 0, 0]], "2": ["inflam", [0, 255, 0]]}
SIGN = np.zeros((64, 3, 7, 7), np.float32)


@cache
def values() -> dict[str, np.ndarray]:
    """Weights of the network, by our names, that only depend on their places."""
    shapes = {name: tuple(weight.shape) for name, weight in named_weights(build(CONFIG)).items()}
    rng = np.random.default_rng(0)
    return {
        name: rng.uniform(0.01, 0.02, shape).astype(np.float32) for name, shape in shapes.items()
    }


def pytorch_state() -> dict[str, np.ndarray]:
    state = {
        PYTORCH.name_of(name): value.transpose(3, 2, 0, 1) if value.ndim == 4 else value
        for name, value in values().items()
    }
    state = {name: np.ascontiguousarray(value) for name, value in state.items()}
    return state | {"conv0.bn.num_batches_tracked": np.array(1, np.int64)}


def run(source: Path, folder: Path, *words: str) -> int:
    return main(["import-checkpoint", str(source), "--output", str(folder / "m.zip"), *words])


def complaint(capsys, source: Path, folder: Path, *words: str) -> str:
    assert run(source, folder, *words) == 2
    assert not (folder / "m.zip").exists()
    return capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tar", "npz"])
def test_an_imported_network_is_saved_and_loaded_with_every_number(tmp_path: Path, kind, capsys):
    source = tmp_path / f"hovernet.{kind}"
    if kind == "tar":
        torch.write_state(source, pytorch_state(), wrap="desc")
    else:
        arrays = {TENSORFLOW.name_of(name): value for name, value in values().items()}
        np.savez(source, **arrays, **{"linear/W:0": np.zeros(3), "global_step:0": np.array(3)})
    assert run(source, tmp_path, "--nr-types", "0") == 0
    said = capsys.readouterr().out
    assert "HoVer-Net (fast) on preact_resnet50, no types" in said
    assert "classes: background, nucleus" in said
    bundle = load_bundle(tmp_path / "m.zip")
    assert bundle.card.work_mpp == 0.25
    assert bundle.card.config.convention == "original"
    weights = named_weights(bundle.network)
    assert list(weights) == list(values())
    for name, value in values().items():
        np.testing.assert_array_equal(weights[name], value)
    tile = noise_tile(96)
    again = load_bundle(tmp_path / "m.zip").network(tile)
    for name, maps in bundle.network(tile).items():
        np.testing.assert_array_equal(maps, again[name])


@pytest.mark.slow
def test_a_variable_too_few_or_too_many_is_named(tmp_path: Path, capsys):
    state = pytorch_state()
    state["d9.weight"] = state.pop("decoder.hv.u1.conva.weight")
    said = complaint(capsys, torch.write_state(tmp_path / "a.tar", state), tmp_path)
    assert "it lacks decoder.hv.u1.conva.weight; it has beside it d9.weight" in said
    state["decoder.hv.u1.conva.weight"] = state.pop("d9.weight")[:1]
    said = complaint(capsys, torch.write_state(tmp_path / "a.tar", state), tmp_path)
    assert "has decoder.hv.u1.conva.weight of shape (1, 256, 3, 3), where the network has" in said


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ({"backbone.conv1.weight": SIGN}, "is not of HoVer-Net but of DeepLabV3+ or another"),
        ({"encoder.conv1.weight": SIGN}, "is not of HoVer-Net but of a U-Net"),
        ({"w": SIGN}, "is not of HoVer-Net, which has a conv0./.weight; its first tensor is w"),
        ({"conv0./.weight": SIGN}, "has an encoder of HoVer-Net and no decoder; it can start"),
        ({"conv0./.weight": SIGN, "decoder.np.u3.conva.weight": SIGN}, "kernels are 7 wide"),
    ],
)
def test_what_is_no_whole_hovernet_is_one_sentence(tmp_path: Path, capsys, state, sentence):
    source = torch.write_state(tmp_path / "a.tar", state, wrap="desc")
    assert sentence in complaint(capsys, source, tmp_path)


def test_a_pickle_that_would_run_something_is_refused(tmp_path: Path, capsys):
    value = torch.name("os", "system") + b"(" + torch.text(f"touch {tmp_path}/made") + b"tR"
    source = torch.write_zip(tmp_path / "a.tar", torch.table({"desc": value}), {})
    assert "is refused: it would run os.system" in complaint(capsys, source, tmp_path)
    assert not (tmp_path / "made").exists()


def test_a_checkpoint_of_deeplab_given_as_hovernet_is_one_sentence(tmp_path: Path, capsys):
    source = tmp_path / "model.ckpt-1"
    source.with_name("model.ckpt-1.index").touch()
    said = complaint(capsys, source, tmp_path, "--nr-types", "5")
    assert "is no HoVer-Net, which is a .tar, .pth or .npz of tensors" in said


@pytest.mark.parametrize(
    ("info", "sentence"),
    [
        ("{", "is not JSON"),
        ("", "is empty"),
        ("[]", r'tells of no types as {"1": \["name", \[red, green, blue\]\]}'),
        (" " * (1 << 20) + "{}", "longer than any list of types, 1 MiB"),
        ('{"1": ["a", [0, 0, 0]]}', "type_info must be of types 1 to 2, those of the network"),
        ('{"1": ["a", [0, 0, 0]], "2": "b"}', "does not tell of type 2 as"),
        (
            '{"1": ["a", [0, 0, 0]], "2": ["b", [0, 0, 256]]}',
            "of type 2 no colour of three numbers",
        ),
        ('{"1": ["a", [0, 0, 0]], "2": ["b", [0, 0, "x"]]}', "of type 2 no colour of three"),
        ('{"1": ["a", [0, 0, 0]], "2": [" ", [0, 0, 0]]}', "does not tell of type 2 as"),
        ('{"1": ["a", [0, 0, 0]], "x": ["b", [0, 0, 0]]}', "does not tell of type x as"),
        ('{"1": ["a", [0, 0, 0]], "2": ["a", [0, 0, 0]]}', "different from each other"),
    ],
)
def test_a_list_of_types_that_makes_no_sense_is_one_sentence(tmp_path: Path, info, sentence):
    (tmp_path / "t.json").write_text(info)
    with pytest.raises(DeeplabError, match=sentence):
        read_type_classes(tmp_path / "t.json", 2)


def test_a_list_of_types_gives_names_and_colours(tmp_path: Path):
    (tmp_path / "t.json").write_text(json.dumps(INFO))
    classes = read_type_classes(tmp_path / "t.json", 2)
    assert classes.names == ("neopla", "inflam")
    assert classes.of_label(1).colour == (255, 0, 0)


@pytest.mark.slow
def test_an_encoder_of_hovernet_starts_a_training(tmp_path: Path):
    state = {n: v for n, v in pytorch_state().items() if not n.startswith(("decoder", "conv_bot"))}
    source = torch.write_state(tmp_path / "resnet.tar", state, wrap="desc")
    network = build(CONFIG)
    taken = start_from(network, CONFIG, ClassList.named(["nucleus"]), source, fresh=())
    assert len(taken.taken) == sum(name.startswith("backbone.") for name in values())
    for name in taken.taken:
        np.testing.assert_array_equal(named_weights(network)[name], values()[name])


@pytest.mark.slow
def test_an_encoder_of_another_network_is_named(tmp_path: Path):
    config = HoverNetConfig(type_count=0, decoder_width=8)
    source = torch.write_state(tmp_path / "a.tar", {"conv0./.weight": SIGN})
    with pytest.raises(BundleError, match="is of HoVer-Net, whose encoder is preact_resnet50"):
        start_from(build(config), config, ClassList.named(["nucleus"]), source, fresh=())
