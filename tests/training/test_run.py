"""A run survives its end: stopped, killed, spoilt, without space."""

import dataclasses
import logging
import resource
import signal

import numpy as np
import pytest
import tensorflow as tf

from deeplab.data.mining import HardPlaces
from deeplab.errors import OutputError, TrainingError
from deeplab.evaluation.semantic import Confusion
from deeplab.training.checkpoints import Checkpoints
from deeplab.training.distribution import Replicas
from deeplab.training.history import history_to_json
from deeplab.training.identity import agreed_settings
from deeplab.training.run import Run, RunHooks
from tests.training.tiny_training import BATCH, batch, request, trainer

pytestmark = pytest.mark.slow

STEPS = 12
SETTINGS = {
    "steps": STEPS,
    "validate_every": 4,
    "ema_decay": 0.9,
    "gradient_accumulation": 2,
    "checkpoint_minutes": 0,
    "learning_rate": 2e-2,
}


class StoppedError(BaseException):
    """What a task makes of a signal."""


class Stream:
    """Batches as they come from slides."""

    waiting_share = 0.25

    def __init__(self, steps):
        self.batches = (batch(step) for step in steps)

    def __iter__(self):
        return self.batches

    def close(self):
        self.batches.close()


class Training:
    """A run with all around it, `folder` apart made anew."""

    def __init__(self, folder, *, scores=None, progress=lambda *_: None, slides="s", **settings):
        self.asked = dataclasses.replace(
            request(**SETTINGS | settings), output_model=folder / "m.zip", work_folder=folder / "w"
        )
        self.trainer = trainer(**SETTINGS | settings)
        self.hard = HardPlaces(BATCH)
        self.scores, self.validated = scores, []
        self.run = Run(
            request=self.asked,
            trainer=self.trainer,
            replicas=Replicas(tf.distribute.get_strategy()),
            hooks=RunHooks(
                settings=agreed_settings(self.asked),
                slides=slides,
                validate=self.validate,
                save=self.save,
                sent=lambda *_: None,
                noted=lambda _: None,
            ),
            hard=self.hard,
            progress=progress,
        )

    def validate(self, step):
        self.validated.append(step)
        right = self.scores[step] if self.scores else step
        return Confusion.of([[right, 0], [100 - right, 0]])

    def save(self, path, _check):
        weights = {v.path: v.numpy() for v in self.trainer.state.model().variables}
        with path.open("wb") as file:
            np.savez(file, step=self.trainer.steps_done, **weights)

    def fit(self):
        self.run.fit(Stream)
        return self

    def state(self):
        arrays = self.trainer.state.arrays()
        return arrays, history_to_json(self.run.history), self.hard.state()


def saved(path):
    with np.load(path) as found:
        return dict(found)


def stop_at(step):
    def progress(stage, done, total):
        if done == step:
            raise StoppedError

    return progress


def assert_same(one, other):
    assert one[1:] == other[1:]
    for name, array in one[0].items():
        np.testing.assert_array_equal(array, other[0][name], err_msg=name)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    return Training(tmp_path_factory.mktemp("unbroken")).fit()


@pytest.mark.parametrize(("step", "behind"), [(1, 0), (4, 0), (4, 2), (7, 2), (STEPS, 0)])
def test_a_run_that_is_stopped_and_started_again_ends_as_an_unbroken_one(
    tmp_path, unbroken, step, behind
):
    stopped = Training(tmp_path, progress=stop_at(step), checkpoint_minutes=60)
    stopped.trainer._behind = behind
    with pytest.raises(StoppedError):
        stopped.fit()
    again = Training(tmp_path)
    again.trainer._behind = behind
    again.fit()
    assert_same(unbroken.state(), again.state())
    log = (tmp_path / "w/log.csv").read_text()
    assert log == (unbroken.asked.work_folder / "log.csv").read_text()


def test_a_run_that_is_stopped_while_it_is_judged_is_judged_again(tmp_path, unbroken):
    stopped = Training(tmp_path)

    def stop(step):
        raise StoppedError

    stopped.run._hooks = dataclasses.replace(stopped.run._hooks, validate=stop)
    with pytest.raises(StoppedError):
        stopped.fit()
    again = Training(tmp_path).fit()
    assert again.validated == [4, 8, 12]
    assert_same(unbroken.state(), again.state())


def test_the_run_is_logged_for_a_spreadsheet(unbroken):
    lines = (unbroken.asked.work_folder / "log.csv").read_text().splitlines()
    assert lines[0] == "step,loss,learning_rate,waiting_share,validation_score"
    assert [line.split(",")[0] for line in lines[1:]] == ["4", "8", "12", "12"]
    assert lines[3].split(",")[3] == "0.250"


def test_the_speed_is_that_of_the_middle_step_without_validations(tmp_path, monkeypatch):
    clock_s = [0.0]
    monkeypatch.setattr("deeplab.training.run.time.monotonic", lambda: clock_s[0])

    def pass_time(_, done, __):
        clock_s[0] += 90 if done == 1 else 2  # the first step is traced

    training = Training(tmp_path, progress=pass_time)
    training.trainer._behind = 0
    assert training.run.patches_per_s == 0
    validate = training.run._hooks.validate

    def slowly(step):
        clock_s[0] += 1000
        return validate(step)

    training.run._hooks = dataclasses.replace(training.run._hooks, validate=slowly)
    training.fit()
    assert training.run.patches_per_s == BATCH / 2


@pytest.mark.parametrize(("keep", "step"), [("best", 4), ("last", 12)])
def test_the_best_or_the_last_model_is_kept(tmp_path, keep, step):
    run = Training(tmp_path, scores={4: 90, 8: 50, 12: 60}, keep=keep).fit().run
    check = run.keep(tmp_path / "m.zip")
    assert check.step == saved(tmp_path / "m.zip")["step"] == step
    assert [path.name for path in (tmp_path / "w").iterdir()] == ["log.csv"]


def test_without_the_file_of_the_best_model_the_last_one_is_kept_with_its_own_figures(tmp_path):
    run = Training(tmp_path, scores={4: 90, 8: 50, 12: 60}).fit().run
    (tmp_path / "w/best.zip").unlink()
    assert run.keep(tmp_path / "m.zip").step == saved(tmp_path / "m.zip")["step"] == STEPS


def test_what_is_saved_are_the_averaged_weights(tmp_path):
    training = Training(tmp_path, keep="last").fit()
    training.run.keep(tmp_path / "m.zip")
    found = saved(tmp_path / "m.zip")["logits/kernel"]
    arrays = training.trainer.state.arrays()
    np.testing.assert_array_equal(found, arrays["average/logits/kernel"])
    assert not np.array_equal(found, arrays["weights/logits/kernel"])


def test_a_training_that_gets_no_better_ends_and_does_not_go_on(tmp_path):
    scores = {2: 50, 4: 60, 6: 55, 8: 40, 10: 90, 12: 90}
    settings = {"scores": scores, "early_stopping": 2, "validate_every": 2}
    ended = Training(tmp_path, **settings).fit()
    again = Training(tmp_path, **settings).fit()
    assert again.validated == []
    for each in (ended, again):
        assert each.trainer.steps_done == 8
        # The steps since the last note are told, too, here all of them.
        (note,) = each.run.history.steps
        assert note.step == 8
        assert np.isfinite(note.loss)
    assert again.run.history.steps[0].loss == ended.run.history.steps[0].loss
    rows = [line.split(",") for line in (tmp_path / "w/log.csv").read_text().splitlines()[1:]]
    assert [row[0] for row in rows if row[1]] == ["8"]


def test_a_loss_that_is_no_number_says_how_to_go_on_and_keeps_the_last_good_model(tmp_path):
    spoilt = Training(tmp_path, validate_every=100, checkpoint_minutes=60)

    def spoil(stage, done, total):
        if done == 3:
            spoilt.trainer._network.get_layer("logits").bias.assign([np.nan, 0])

    spoilt.run._progress = spoil
    good = tmp_path / "w/last-good.zip"
    with pytest.raises(TrainingError, match="nan at step 4") as told:
        spoilt.fit()
    assert "lower the learning rate, which is 0.02" in str(told.value)
    assert f"{good}: to go on from it" in str(told.value)
    assert np.isfinite(saved(good)["depthwise/kernel"]).all()
    assert saved(good)["step"] == 3


def test_after_a_validation_the_last_good_model_is_the_best_one(tmp_path):
    spoilt = Training(tmp_path, checkpoint_minutes=60)

    def spoil(stage, done, total):
        if done == 6:
            spoilt.trainer._network.get_layer("logits").bias.assign([np.nan, 0])

    spoilt.run._progress = spoil
    with pytest.raises(TrainingError, match=r"the last good model is .*best\.zip"):
        spoilt.fit()
    assert saved(tmp_path / "w/best.zip")["step"] == 4
    assert np.isfinite(Checkpoints(tmp_path / "w", 0).newest().arrays["weights/logits/bias"]).all()


def test_a_disk_that_gets_full_is_one_sentence_and_the_checkpoint_before_loads(tmp_path, unbroken):
    def fill(stage, done, total):
        if done == 6:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))

    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(OutputError, match=r"cannot write .*checkpoint-000000006.zip: File too"):
            Training(tmp_path, progress=fill).fit()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert Checkpoints(tmp_path / "w", 0).newest().step == 5
    assert_same(unbroken.state(), Training(tmp_path).fit().state())


def test_a_work_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "w").write_text("a file")
    with pytest.raises(OutputError, match="cannot write"):
        Training(tmp_path).fit()


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"seed": 3}, r"other settings \(seed is 3 and not 0\); remove them or choose another"),
        ({"learning_rate": 1e-3}, r"\(learning_rate is 0.001 and not 0.02\)"),
        ({"steps": 14}, r"\(steps is 14 and not 12\)"),
    ],
)
def test_what_changes_the_learning_may_not_change_on_the_way(tmp_path, changed, sentence):
    with pytest.raises(StoppedError):
        Training(tmp_path, progress=stop_at(1)).fit()
    with pytest.raises(OutputError, match=sentence):
        Training(tmp_path, **changed).fit()


def test_what_does_not_change_the_learning_may_change(tmp_path, unbroken):
    with pytest.raises(StoppedError):
        Training(tmp_path, progress=stop_at(5)).fit()
    again = Training(tmp_path, gpu=-1, checkpoint_minutes=9, keep="last", early_stopping=5).fit()
    assert_same(unbroken.state(), again.state())


def test_a_run_of_a_longer_schedule_may_go_on_for_longer(tmp_path):
    settings = {"decay_steps": 20}
    Training(tmp_path, **settings).fit()
    longer = Training(tmp_path, **settings, steps=16).fit()
    assert longer.trainer.steps_done == 16
    assert longer.validated == [16]


def test_changed_annotations_are_told_and_hard_places_on_them_forgotten(tmp_path, caplog):
    with pytest.raises(StoppedError):
        Training(tmp_path, progress=stop_at(5)).fit()
    with caplog.at_level(logging.WARNING):
        again = Training(tmp_path, slides="corrected").fit()
    assert "the slides or their annotations are not those of the checkpoint" in caplog.text
    noted = again.hard.state()["noted"]["0"]
    assert {row[0] // BATCH for row in noted} <= set(range(5, STEPS))
