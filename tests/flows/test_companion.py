"""A training with a companion: the command, its model, and what cannot have one."""

import zipfile

import pytest

from deeplab.bundles.read import read_card
from deeplab.config.progress import silent
from deeplab.config.train_request import TrainRequest
from deeplab.errors import ConfigError
from deeplab.training.train import train
from tests.flows.training_command import start_training, three_squares
from tests.small_runs import TRAINING

pytestmark = pytest.mark.slow


def run(slides, model, **options):
    process = start_training(str(slides), str(model), TRAINING | options)
    said, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    return said


def members(path):
    with zipfile.ZipFile(path) as archive:
        return {m.filename: m.file_size for m in archive.infolist() if m.filename != "card.json"}


def test_the_model_has_the_same_weights_by_name_and_size_as_without(tmp_path):
    slides = three_squares(tmp_path)
    report = tmp_path / "report.html"
    run(slides, tmp_path / "with.zip", companion="autoencoder", output_report=report)
    run(slides, tmp_path / "without.zip")
    assert members(tmp_path / "with.zip") == members(tmp_path / "without.zip")
    assert read_card(tmp_path / "with.zip").training["companion"] == "autoencoder"
    assert "companion" not in read_card(tmp_path / "without.zip").training
    assert "an autoencoder (ReLU) that learns by Adam" in report.read_text(encoding="utf-8")


def test_a_network_of_objects_is_refused_in_a_sentence(tmp_path):
    request = TrainRequest(
        source=str(three_squares(tmp_path)),
        output_model=tmp_path / "model.zip",
        classes=("lesion",),
        network="hovernet",
        companion="autoencoder",
    )
    sentence = "companion must be none: the network hovernet does not give every pixel a class"
    with pytest.raises(ConfigError, match=sentence):
        train(request, silent)
