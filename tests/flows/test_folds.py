"""Folds from the command line: models, figures, and what is refused."""

import zipfile

import pytest

from deeplab.bundles.read import read_card
from tests.flows.training_command import start_training, three_squares
from tests.small_runs import TRAINING

pytestmark = pytest.mark.slow


PATCHES = {
    "classes": "lesion",
    "network": "patch_classifier",
    "depth_multiplier": 0.35,
    "patch_size": 64,
    "work_mpp": 0.5,
    "steps": 4,
    "validate_every": 4,
    "gpu": -1,
}


def run(slides, model, settings=TRAINING, **options):
    process = start_training(str(slides), str(model), settings | options)
    said, errors = process.communicate(timeout=900)
    return process.returncode, said, errors


def test_folds_with_and_without_a_companion_by_one_command(tmp_path):
    slides, model = three_squares(tmp_path), tmp_path / "model.zip"
    options = {"folds": 2, "companion": "autoencoder", "compare_without_companion": "true"}
    code, said, errors = run(
        slides, model, output_report=tmp_path / "folds.html", validate_every=12, **options
    )
    assert code == 0, errors
    assert f"model {model}: the mean of the probabilities of 2 networks, one a fold" in said
    assert "fold 2: mean IoU" in said
    assert "with the companion and" in said
    assert len(read_card(model).config.members) == 2
    work = tmp_path / "model.work"
    assert {path.name for path in work.glob("*.zip")} == {
        name for n in (1, 2) for name in (f"fold-{n}.zip", f"fold-{n}-without-companion.zip")
    }
    assert len((work / "folds.csv").read_text().splitlines()) == 4
    page = (work / "fold-1.html").read_text(encoding="utf-8")
    assert "the same without companion" in page
    assert "Pooled over the patients, mean IoU is" in page
    # The model of a fold is that of its own command.
    code, _, errors = run(
        slides, tmp_path / "two.zip", folds=2, fold=2, companion="autoencoder", validate_every=12
    )
    assert code == 0, errors
    assert arrays_of(tmp_path / "two.zip") == arrays_of(work / "fold-2.zip")


def test_folds_of_a_patch_classifier_leave_their_mean_and_tell_auroc(tmp_path):
    slides, model = three_squares(tmp_path), tmp_path / "model.zip"
    code, said, errors = run(slides, model, PATCHES, folds=3)
    assert code == 0, errors
    assert f"model {model}: the mean of the probabilities of 3 networks, one a fold" in said
    card, work = read_card(model), tmp_path / "model.work"
    folds = [read_card(work / f"fold-{n}.zip") for n in (1, 2, 3)]
    assert [member.crop_size for member in card.config.members] == [64, 64, 64]
    kept = [fold.metrics["threshold lesion"] for fold in folds]
    assert card.metrics == {"threshold lesion": pytest.approx(sum(kept) / 3)}
    assert card.training["folds"] == 3
    head, *rows = (tmp_path / "model.work/folds.csv").read_text().splitlines()
    assert head.endswith("F1 lesion,AUROC lesion,from,to")
    assert [row.split(",")[0] for row in rows] == ["1", "2", "3", "all"]
    auroc, low, high = map(float, rows[-1].split(",")[-3:])
    assert 0 <= low <= high <= 1
    assert f"AUROC lesion: {auroc:.3f}"[:-1] in said


def test_fewer_patients_than_folds_are_refused_before_anything_is_trained(tmp_path):
    code, _, errors = run(three_squares(tmp_path), tmp_path / "model.zip", folds=4)
    assert code == 2
    assert "there are 3 patients for 4 folds" in errors
    assert not (tmp_path / "model.zip").exists()


def arrays_of(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist() if name != "card.json"}
