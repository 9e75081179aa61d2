"""Several trainings in one command: what is done once, what is pooled, and what is written."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from deeplab.bundles.read import read_card
from deeplab.bundles.save import save_bundle
from deeplab.config.progress import silent
from deeplab.config.train_request import TrainRequest
from deeplab.errors import ConfigError, TrainingError
from deeplab.evaluation.semantic import Confusion
from deeplab.training.plan import PlannedField, TrainingPlan, plan_of, with_plan
from deeplab.training.result import TrainResult
from deeplab.training.series import train_and_compare, train_folds
from deeplab.training.validation.gain import Gain, PatientFigures, by_patient
from tests.bundles.tiny_models import tiny_card, tiny_network

pytestmark = pytest.mark.slow

PATIENTS = {f"s{n}": f"p{n // 2}" for n in range(12)}  # two slides each


def tally(right, wrong):
    return Confusion.of(np.array([[100, 0, 0], [wrong, right, 0], [0, 0, 50]]))


class Trains:
    """Stands for a training: writes a tiny model and tells figures that depend on the companion."""

    def __init__(self, slides="digest"):
        self.asked = []
        self.fails_at = None
        self.slides = slides

    def __call__(self, request, progress, *, without=None, expected=""):
        if expected and expected != self.slides:
            raise TrainingError("the slides are not those of the trainings before this one")
        self.asked.append(request)
        if self.fails_at == len(self.asked):
            raise TrainingError("stopped")
        progress("train", 1, 1)
        request.output_model.parent.mkdir(parents=True, exist_ok=True)
        save_bundle(tiny_network(seed=request.fold), tiny_card(), request.output_model)
        right = 80 if request.companion == "none" else 90
        held = [f"s{n}" for n in range(12) if not request.fold or n % 6 // 2 == request.fold - 1]
        result = TrainResult(
            model=request.output_model,
            steps=request.steps,
            loss=0.5,
            metrics={},
            set_aside=(),
            worker=0,
            tallies={name: tally(right + int(name[1:]), 20) for name in held},
            patients=PATIENTS,
            slides=self.slides,
        )
        gain = ""
        if without:
            gain = Gain.of(result.figures(0), without.figures(0)).sentence()
        return replace(result, gain=gain)


def request(folder, **settings):
    values = {"classes": ("glomerulus", "vessel"), "steps": 7, "folds": 3} | settings
    return TrainRequest(source="unused", output_model=folder / "model.zip", **values)


def told(progress):
    return lambda *words: progress.append(words)


def test_all_folds_and_the_model_of_them_have_the_plan_of_the_whole(tmp_path):
    field = PlannedField(name="steps", value=7, reason="in two hours")
    plan = TrainingPlan(hours=2.0, fields=(field,))
    train = Trains()
    train_folds(with_plan(request(tmp_path, hours=2.0), plan), silent, train)
    assert [plan_of(asked) for asked in train.asked] == [plan] * 3
    told = read_card(tmp_path / "model.zip").training
    assert (told["plan hours"], told["plan steps"]) == (2.0, "7: in two hours")


def test_each_fold_is_trained_once_and_its_models_answer_together(tmp_path):
    train, steps = Trains(), []
    result = train_folds(request(tmp_path), told(steps), train)
    assert [asked.fold for asked in train.asked] == [1, 2, 3]
    assert steps == [(f"fold {n} of 3: train", 1, 1) for n in (1, 2, 3)]
    card = read_card(tmp_path / "model.zip")
    assert len(card.config.members) == 3
    assert card.training["folds"] == 3
    pooled = result.report.figures.pooled
    assert card.training["mean IoU of the folds, pooled"] == pytest.approx(pooled.score)
    np.testing.assert_array_equal(
        pooled.counts, sum((tally(80 + n, 20) for n in range(1, 12)), start=tally(80, 20)).counts
    )
    assert len(result.report.figures.tallies) == 6
    low, high = result.report.figures.bounds
    assert low < pooled.score < high
    assert "fold 2: mean IoU" in result.summary()
    rows = (tmp_path / "model.work/folds.csv").read_text().splitlines()
    assert rows[0].startswith("fold,patients,slides,steps,mean IoU,from,to,Dice glomerulus")
    assert [row.split(",")[:4] for row in rows[1:]] == [
        ["1", "2", "4", "7"],
        ["2", "2", "4", "7"],
        ["3", "2", "4", "7"],
        ["all", "6", "12", ""],
    ]


def test_finished_folds_are_not_trained_again(tmp_path):
    train = Trains()
    train.fails_at = 3
    with pytest.raises(TrainingError, match="stopped"):
        train_folds(request(tmp_path), silent, train)
    again = Trains()
    result = train_folds(request(tmp_path), silent, again)
    assert [asked.fold for asked in again.asked] == [3]
    whole = train_folds(request(tmp_path / "whole"), silent, Trains())
    assert result.report.lines() == whole.report.lines()
    assert result.report.figures.bounds == whole.report.figures.bounds
    assert not list((tmp_path / "model.work").glob("*.json"))
    # Nothing is taken from a command that is done: slides may have changed.
    train_folds(request(tmp_path), silent, again)
    assert [asked.fold for asked in again.asked] == [3, 1, 2, 3]


def test_folds_of_other_settings_slides_or_damaged_records_are_trained_again(tmp_path):
    def begun():
        train = Trains()
        train.fails_at = 3
        with pytest.raises(TrainingError, match="stopped"):
            train_folds(request(tmp_path), silent, train)

    begun()
    other = Trains()
    train_folds(request(tmp_path, learning_rate=0.5), silent, other)
    assert len(other.asked) == 3
    begun()
    (tmp_path / "model.work/fold-2.json").write_text('{"settings": [')
    (tmp_path / "model.work/fold-1.zip").unlink()
    again = Trains()
    train_folds(request(tmp_path), silent, again)
    assert [asked.fold for asked in again.asked] == [1, 2, 3]
    begun()
    with pytest.raises(TrainingError, match="are not those of the trainings before"):
        train_folds(request(tmp_path), silent, Trains("others"))


def test_folds_with_and_without_a_companion_differ_in_that_alone(tmp_path):
    train = Trains()
    report = tmp_path / "folds.html"
    asked = request(tmp_path, recipe="dedl", compare_without_companion=True, output_report=report)
    result = train_folds(asked, silent, train)
    assert [(each.fold, each.companion) for each in train.asked] == [
        (fold, companion) for fold in (1, 2, 3) for companion in ("none", "autoencoder")
    ]
    before, after = train.asked[:2]
    same = {"companion", "recipe", "output_model", "output_report", "work_folder", "post_worst"}
    for name in TrainRequest.__dataclass_fields__.keys() - same:
        assert getattr(before, name) == getattr(after, name), name
    assert result.report.gain.score > result.report.gain.other
    page = report.read_text(encoding="utf-8")
    assert result.report.gain.sentence() in page
    assert "mean IoU without companion" in page


def test_a_comparison_trains_twice_and_keeps_both_models(tmp_path):
    asked = request(tmp_path, folds=0, companion="autoencoder", compare_without_companion=True)
    train = Trains()
    train.fails_at = 2
    with pytest.raises(TrainingError, match="stopped"):
        train_and_compare(asked, silent, train)
    again = Trains()
    result = train_and_compare(asked, silent, again)
    assert [each.companion for each in again.asked] == ["autoencoder"]
    assert result.model == tmp_path / "model.zip"
    assert (tmp_path / "model.work/without-companion.zip").exists()
    assert "with the companion and" in result.summary()


def test_a_gain_has_bounds_of_the_same_draws_of_patients():
    one = {f"s{n}": tally(90 + n, 10) for n in range(6)}
    other = {name: each + tally(0, 30) for name, each in one.items()}
    patients = dict.fromkeys(one, "")
    better, worse = (PatientFigures(tallies=by_patient(t, patients), seed=1) for t in (one, other))
    gain = Gain.of(better, worse)
    assert gain.bounds[0] > 0
    assert gain.bounds[0] < gain.score - gain.other < gain.bounds[1]
    nothing = Gain.of(better, better)
    assert (nothing.bounds, nothing.score - nothing.other) == ((0.0, 0.0), 0.0)
    few = PatientFigures(tallies=dict(list(better.tallies.items())[:2]), seed=1)
    assert "too few patients" in Gain.of(few, few).sentence()


def test_slides_of_a_patient_are_one_and_those_of_nobody_are_one_each():
    tallies = {"a": tally(1, 2), "b": tally(3, 4), "c": tally(5, 6)}
    found = by_patient(tallies, {"a": "p", "b": "p", "c": ""})
    assert list(found) == ["p", "slide c"]
    np.testing.assert_array_equal(found["p"].counts, tally(4, 6).counts + tally(0, 0).counts)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"folds": 1}, "folds must be from 2 to 16, or 0"),
        ({"folds": 17}, "folds must be from 2 to 16, or 0"),
        ({"fold": 4}, r"fold must be from 1 to folds \(3\), or 0"),
        ({"folds": 0, "fold": 1}, r"fold must be from 1 to folds \(0\), or 0"),
        ({"compare_without_companion": True}, "must be left away where there is no companion"),
        ({"workers": ("a:1", "b:1")}, "give fold to train one of them"),
    ],
)
def test_what_cannot_be_is_one_sentence(settings, sentence):
    with pytest.raises(ConfigError, match=sentence):
        request(Path(), **settings)
