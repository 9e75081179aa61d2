"""A U-Net that is exported for segmentation_models_pytorch is what was imported."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from deeplab.bundles.importers.tensor_files import open_tensor_file
from deeplab.bundles.load import load_bundle
from deeplab.bundles.save import save_bundle
from deeplab.bundles.torch_writer import write_torch_tensors
from deeplab.config.classes import ClassList
from deeplab.config.unet import UNetConfig
from deeplab_cli.main import main
from tests.bundles import torch_for_tests as torch_files
from tests.bundles.smp_for_tests import EACH, state_of
from tests.bundles.tiny_models import noise_tile, tiny_card, tiny_network

LIBRARIES = ("torch", "segmentation_models_pytorch")
ABSENT = 'PyTorch and segmentation_models_pytorch are not installed: pip install -e ".[test-torch]"'


def export(model: Path, output: Path) -> int:
    return main(["export", str(model), "--format", "torch", "--output", str(output)])


def test_tensors_are_read_as_they_were_written(tmp_path: Path):
    rng = np.random.default_rng(0)
    tensors = {
        "a.weight": rng.normal(size=(3, 2, 5, 4)).astype(np.float32),
        "a.num_batches_tracked": np.array(7, np.int64),
        "b": rng.normal(size=6).astype(np.float32),
    }
    write_torch_tensors(tmp_path / "a.pth", tensors.items())
    with open_tensor_file(tmp_path / "a.pth") as found:
        assert list(found.shapes) == list(tensors)
        for name, value in tensors.items():
            assert found.read(name).dtype == value.dtype
            np.testing.assert_array_equal(found.read(name), value)


@pytest.mark.slow
@pytest.mark.parametrize("config", EACH, ids=lambda config: config.describe())
def test_what_was_imported_comes_back(config, tmp_path: Path, capsys):
    state = state_of(config)
    source = torch_files.write_state(tmp_path / "a.pth", state)
    model, output = tmp_path / "m.zip", tmp_path / "b.pth"
    assert main(["import-checkpoint", str(source), "--output", str(model)]) == 0
    assert export(model, output) == 0
    assert "a state dict of segmentation_models_pytorch" in capsys.readouterr().out
    with open_tensor_file(output) as tensors:
        assert list(tensors.shapes) == list(state)
        assert dict(tensors.shapes) == {name: value.shape for name, value in state.items()}
        used = [name for name in state if tensors.read(name).any()]
        kept = [n for n in used if (tensors.read(n) == state[n]).all()]
    assert main(["import-checkpoint", str(output), "--output", str(tmp_path / "n.zip")]) == 0
    tiles = noise_tile(64)[..., : len(config.channels)]
    one, other = (load_bundle(tmp_path / name).network(tiles) for name in ("m.zip", "n.zip"))
    np.testing.assert_array_equal(one["semantic_logits"], other["semantic_logits"])
    assert len(kept) > 60


def test_a_network_that_the_library_has_not_is_one_sentence(tmp_path: Path, capsys):
    save_bundle(tiny_network(), tiny_card(), tmp_path / "a.zip")
    assert export(tmp_path / "a.zip", tmp_path / "a.pth") == 2
    assert "a state dict is written of a U-Net or U-Net++" in capsys.readouterr().err
    config = UNetConfig(label_count=2, depth_multiplier=0.1, depth=3, crop_size=64)
    card = tiny_card(config=config, classes=ClassList.named(["a"]), tile=128, halo=0)
    save_bundle(tiny_network(config), card, tmp_path / "b.zip")
    assert export(tmp_path / "b.zip", tmp_path / "b.pth") == 2
    said = capsys.readouterr().err
    assert "has the encoder mobilenet_v2, which segmentation_models_pytorch has not" in said
    assert not list(tmp_path.glob("*.pth"))


def library_name(backbone: str) -> str:
    if "lite" in backbone:
        return backbone.replace("timm_", "timm-tf_")
    return backbone.replace("resnet_", "resnet").replace("_", "-")


# In a process of its own, for PyTorch and TensorFlow do not always bear each other in one.
LIBRARY = """
import json, sys
import numpy as np, segmentation_models_pytorch as smp, torch
told = json.loads(sys.argv[1])
net = getattr(smp, told["kind"])(encoder_weights=None, **told["options"])
state = torch.load(told["state"], weights_only=True)
net.load_state_dict(state, strict=True)
pixels = torch.from_numpy(np.load(told["tiles"])).permute(0, 3, 1, 2).float() / 255
with torch.no_grad():
    np.save(told["logits"], net.eval()(pixels).permute(0, 2, 3, 1).numpy())
"""


@pytest.mark.slow
@pytest.mark.skipif(not all(map(find_spec, LIBRARIES)), reason=ABSENT)
@pytest.mark.parametrize("config", EACH, ids=lambda config: config.describe())
def test_the_library_loads_it_strictly_and_gives_the_same_logits(config, tmp_path: Path):
    network = tiny_network(config)
    classes = ClassList.named([f"class {n}" for n in range(1, config.class_count + 1)])
    card = tiny_card(config=config, classes=classes, tile=512, halo=0)
    save_bundle(network, card, tmp_path / "m.zip")
    assert export(tmp_path / "m.zip", tmp_path / "a.pth") == 0
    tiles = noise_tile(128)[..., : len(config.channels)]
    np.save(tmp_path / "tiles.npy", tiles)
    options = {
        "encoder_name": library_name(config.backbone),
        "encoder_depth": config.depth,
        "decoder_channels": config.decoder_channels,
        "decoder_attention_type": None if config.attention == "none" else config.attention,
        "in_channels": len(config.channels),
        "classes": 1 if config.head == "sigmoid" else config.label_count,
    }
    told = {
        "kind": "Unet" if isinstance(config, UNetConfig) else "UnetPlusPlus",
        "options": options,
        "state": str(tmp_path / "a.pth"),
        "tiles": str(tmp_path / "tiles.npy"),
        "logits": str(tmp_path / "logits.npy"),
    }
    command = [sys.executable, "-c", LIBRARY, json.dumps(told)]
    subprocess.run(command, check=True, capture_output=True)
    wanted = np.load(tmp_path / "logits.npy")
    logits = network(tiles)["semantic_logits"].numpy()[..., -wanted.shape[-1] :]
    assert np.abs(logits - wanted).max() <= 5e-4 * wanted.std()
