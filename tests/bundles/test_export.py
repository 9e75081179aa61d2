"""What is exported gives what the bundle gives, without this program."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import tensorflow as tf

from deeplab.bundles import export
from deeplab.bundles.load import load_bundle
from deeplab.bundles.save import save_bundle
from deeplab.models.dense.decode import labels_of
from deeplab_cli.main import main
from tests.bundles.tiny_models import noise_tile, tiny_card, tiny_network


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.zip"
    save_bundle(tiny_network(), tiny_card(), path)
    return path


def run(model: Path, kind: str, output: Path) -> int:
    return main(["export", str(model), "--format", kind, "--output", str(output)])


def check_maps(model: Path, tiles: np.ndarray, maps: dict[str, np.ndarray]) -> None:
    logits = load_bundle(model).network(tiles)["semantic_logits"]
    np.testing.assert_allclose(maps["logits"], logits, atol=1e-3 * np.std(logits), rtol=0)
    labels = np.asarray(labels_of(logits, (tiles.shape[1] - 1) // (logits.shape[1] - 1)))
    assert maps["labels"].dtype == np.uint8
    assert len(np.unique(labels)) > 1
    assert np.mean(maps["labels"] == labels) > 0.999


@pytest.mark.slow
def test_a_saved_model_gives_the_bundles_logits_and_labels_at_any_size(
    model: Path, tmp_path: Path, capsys
):
    folder = tmp_path / "new/saved"
    assert run(model, "savedmodel", folder) == 0
    assert "sides a multiple of 16 plus 1" in capsys.readouterr().out
    serve = tf.saved_model.load(folder).signatures["serving_default"]
    assert serve.structured_input_signature[1]["rgb"].dtype == tf.uint8
    for side in (65, 97):
        tiles = noise_tile(side)
        maps = serve(rgb=tf.constant(tiles))
        check_maps(model, tiles, {name: value.numpy() for name, value in maps.items()})
    card = json.loads((folder / "assets/deeplab_card.json").read_text())
    assert [entry["name"] for entry in card["classes"]] == ["glomerulus", "vessel"]
    assert run(model, "savedmodel", folder) == 2
    assert "it exists; a SavedModel is a new folder" in capsys.readouterr().err
    assert sorted(path.name for path in folder.parent.iterdir()) == ["saved"]


@pytest.mark.slow
def test_onnx_gives_the_bundles_logits_and_labels_at_any_size(model: Path, tmp_path: Path):
    assert run(model, "onnx", tmp_path / "model.onnx") == 0
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    names = [output.name for output in session.get_outputs()]
    for side in (65, 97):
        tiles = noise_tile(side)
        maps = dict(zip(names, session.run(None, {"rgb": tiles}), strict=True))
        check_maps(model, tiles, maps)
    card = json.loads(session.get_modelmeta().custom_metadata_map["deeplab_card"])
    assert card["work_mpp"] == 0.5


def test_what_is_not_installed_is_named_with_its_cure(
    model: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(export, "CONVERTERS", ("onnx_of_nobody",))
    assert run(model, "onnx", tmp_path / "model.onnx") == 2
    assert "error: ONNX needs onnx_of_nobody: pip install onnx tf2onnx" in capsys.readouterr().err


def test_a_format_that_nobody_knows_is_one_sentence(model: Path, tmp_path: Path, capsys):
    assert run(model, "caffe", tmp_path / "m") == 2
    assert "invalid choice: 'caffe'" in capsys.readouterr().err
