"""One run of training: its steps, its looks at held-out slides, and how it survives its end."""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deeplab.bundles.archive import DAMAGED
from deeplab.config.progress import Progress
from deeplab.config.train_request import TrainRequest
from deeplab.data.batches import BatchStream
from deeplab.data.mining import HardPlaces
from deeplab.errors import DeeplabError, OutputError, TrainingError
from deeplab.evaluation.tally import Tally
from deeplab.files import whole_file
from deeplab.interrupt import finishing, stop_if_asked, unbroken
from deeplab.training.checkpoints import Checkpoint, Checkpoints
from deeplab.training.distribution import Replicas
from deeplab.training.history import (
    CheckNote,
    History,
    StepNote,
    history_from_json,
    history_to_json,
)
from deeplab.training.identity import difference
from deeplab.training.loop import StepDone, Trainer
from deeplab.training.reporting.log_file import LogFile

log = logging.getLogger(__name__)

LOG_EVERY = 20  # steps
BEST, LAST_GOOD = "best.zip", "last-good.zip"


class NonFiniteError(TrainingError):
    """The loss is no longer a number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunHooks:
    """What a run is about.

    Attributes:
        settings: in which it must agree with a run that it goes on from.
        slides: digest of what is learnt from.
        validate: how good the averaged weights are after so many steps; None: nothing is held out.
        save: writes the averaged weights as a bundle, with what a validation found.
        sent: takes a checkpoint's step and its files by name, to keep them elsewhere, too.
        noted: is told what is added to the history, on the chief.
    """

    settings: str
    slides: str
    validate: Callable[[int], Tally] | None
    save: Callable[[Path, CheckNote | None], None]
    sent: Callable[[int, Mapping[str, Path]], None]
    noted: Callable[[History], None]


def work_folder(request: TrainRequest) -> Path:
    """Return where a run keeps its checkpoints and its log."""
    return request.work_folder or request.output_model.with_suffix(".work")


class Run:
    """A run and its folder, in which only the chief of several machines writes.

    Args:
        request: what is asked for.
        trainer: takes the steps.
        replicas: of the network.
        hooks: what the run is about.
        hard: where the network was wrong before; None where that is not asked for.
        progress: is told of every step.

    Attributes:
        history: of this run and those that it goes on from.
        first_step: steps that were taken before it.
    """

    def __init__(
        self,
        *,
        request: TrainRequest,
        trainer: Trainer,
        replicas: Replicas,
        hooks: RunHooks,
        hard: HardPlaces | None,
        progress: Progress,
    ) -> None:
        self.history, self.first_step = History(), 0
        self._request, self._trainer, self._replicas = request, trainer, replicas
        self._hooks, self._hard, self._progress = hooks, hard, progress
        self._recent: list[float] = []  # losses since the last note
        self._recent_terms: dict[str, list[float]] = {}  # likewise, of each term
        self._step_s: list[float] = []  # time from one step to the next, validations left out
        self._waiting_share: Callable[[], float] = lambda: 0.0
        self._folder = work_folder(request)
        self._checkpoints = Checkpoints(self._folder, request.checkpoint_minutes * 60)
        self._log_file: LogFile | None = None

    @property
    def patches_per_s(self) -> float:
        """Patches that this run learnt from in a second, by its middle step; 0: it took none."""
        if not self._step_s:
            return 0.0
        return self._request.batch_size / statistics.median(self._step_s)

    def fit(self, batches: Callable[[range], BatchStream]) -> None:
        """Take the steps that are not yet taken, from where the last checkpoint is.

        Args:
            batches: of the steps of a range, counted from 0.

        Raises:
            TrainingError: the loss is no longer a number, or another machine is gone.
            OutputError: the folder cannot be written; checkpoints in it are as they were.
        """
        self._resume()
        first = self.first_step = self._trainer.steps_done
        stream = batches(range(first, self._request.steps))
        self._waiting_share = lambda: stream.waiting_share
        with ExitStack() as learnt:
            try:
                if self._validation_due(first):
                    self._judge(first)
                if not self._should_stop():
                    self._take(stream, first, learnt)
                if self._recent:  # it has ended before its last step
                    self._note_losses(self._trainer.steps_done)
            except (NonFiniteError, OutputError):
                raise
            except BaseException:
                self._save_if_whole()  # stopped from outside: nothing that was learnt is lost
                raise
            finally:
                stream.close()

    def keep(self, path: Path) -> CheckNote | None:
        """Write the model that is asked for to `path`; its validation, None where there was none.

        The checkpoints are removed: slides may have changed by the time the same is asked again.

        Raises:
            OutputError: it cannot be written.
        """
        checks, best = self.history.checks, self._folder / BEST
        kept = checks[-1] if checks else None
        if not self._replicas.is_chief:
            return kept
        if self._request.keep == "best" and best.exists():
            kept = self.history.best
            with whole_file(path) as temporary:
                shutil.copyfile(best, temporary)
        else:
            self._hooks.save(path, kept)
        self._checkpoints.remove()
        for name in (BEST, LAST_GOOD):
            (self._folder / name).unlink(missing_ok=True)
        return kept

    def _take(self, stream: BatchStream, first: int, learnt: ExitStack) -> None:
        begun_s = time.monotonic()
        for step, batch in enumerate(stream, start=first + 1):
            stop_if_asked()
            with unbroken():
                self._note(self._trainer.step(batch))
            self._step_s.append(time.monotonic() - begun_s)
            if step == first + 1:
                learnt.enter_context(finishing())  # from here on there is something to be saved
            if self._validation_due(step):
                self._finish_steps()
                self._judge(step)
                if self._should_stop():
                    log.info("no better validation for long: the training ends at step %d", step)
                    return
            elif self._replicas.is_chief and self._checkpoints.is_due:
                self._finish_steps()
                self._save()
            begun_s = time.monotonic()
        self._finish_steps()
        if self._replicas.is_chief and self._hooks.validate is None:
            self._save()  # or the last steps were lost, could the model not be written

    def _finish_steps(self) -> None:
        """Look at all steps that have begun: the state is then that after the last of them."""
        with unbroken():
            self._note(self._trainer.finish())

    def _note(self, steps: Iterable[StepDone]) -> None:
        for done in steps:
            if not done.is_sound:
                self._fail_non_finite(done)
            if self._hard:
                self._hard.note(done.numbers, done.places, done.losses)
            self._recent.append(done.loss)
            for name, value in done.terms.items():
                self._recent_terms.setdefault(name, []).append(value)
            if done.step % LOG_EVERY == 0 or done.step == self._request.steps:
                self._note_losses(done.step)
            self._progress("train", done.step, self._request.steps)

    def _note_losses(self, step: int) -> None:
        """Put the mean of the losses since the last note into the history and the log."""
        note = StepNote(
            step=step,
            loss=float(np.mean(self._recent)),
            learning_rate=self._trainer.rate(step),
            waiting_share=self._waiting_share(),
            terms={n: float(np.mean(some)) for n, some in self._recent_terms.items()},
        )
        self._recent.clear()
        self._recent_terms.clear()
        self.history = self.history.with_step(note)
        self._log(History(steps=(note,)))

    def _log(self, news: History) -> None:
        if self._log_file:
            self._log_file.add(news)
            self._hooks.noted(news)

    def _validation_due(self, step: int) -> bool:
        request, checks = self._request, self.history.checks
        due = step > 0 and (step % request.validate_every == 0 or step == request.steps)
        was = bool(checks) and checks[-1].step >= step
        return due and not was and self._hooks.validate is not None

    def _should_stop(self) -> bool:
        """Return whether there was no better validation for as long as patience lasts."""
        best, patience = self.history.best, self._request.early_stopping
        if best is None or not patience:
            return False
        return sum(check.step > best.step for check in self.history.checks) >= patience

    def _judge(self, step: int) -> None:
        """See how good the network is. The chief looks; the others wait for what it saw."""
        seen = History()
        if self._replicas.is_chief and self._hooks.validate:
            seen = History(checks=(CheckNote(step=step, tally=self._hooks.validate(step)),))
        told = self._replicas.text_from_chief(history_to_json(seen))
        (check,) = history_from_json(told).checks
        self.history = self.history.with_check(check)
        if self._replicas.is_chief:
            name = check.tally.score_name
            log.info("step %d: %s %.4f on what is held out", step, name, check.score)
            self._log(seen)
            if self.history.best is check:
                self._hooks.save(self._folder / BEST, check)
            self._save()

    def _fail_non_finite(self, done: StepDone) -> None:
        kept = self._folder / BEST
        if self._replicas.is_chief and not kept.exists():
            kept = self._folder / LAST_GOOD
            self._hooks.save(kept, None)
        raise NonFiniteError(
            f"the loss is {done.loss} at step {done.step}, no longer a number; lower the learning "
            f"rate, which is {self._request.learning_rate:g}; the last good model is {kept}: to go "
            "on from it, give it as the initial model with init_last_layer and another work folder"
        )

    def _save_if_whole(self) -> None:
        """Save what was learnt where all of it is known; else the last checkpoint must do."""
        if not self._replicas.is_chief:
            return
        with contextlib.suppress(DeeplabError):
            self._finish_steps()
        if self._trainer.is_whole:
            with contextlib.suppress(OutputError):
                self._save()

    def _save(self) -> None:
        facts = {
            "settings": self._hooks.settings,
            "slides": self._hooks.slides,
            "history": history_to_json(self.history),
            "recent": self._recent,
            "recent_terms": self._recent_terms,
            "hard": self._hard.state() if self._hard else None,
        }
        step, best = self._trainer.steps_done, self._folder / BEST
        path = self._checkpoints.save(
            Checkpoint(step=step, facts=facts, arrays=self._trainer.state.arrays())
        )
        files = {path.name: path} | ({BEST: best} if best.exists() else {})
        self._hooks.sent(step, files)

    def _resume(self) -> None:
        """Take up the newest checkpoint, that of the chief on all machines."""
        facts: Mapping[str, Any] = {"settings": self._hooks.settings}
        if self._replicas.is_chief:
            found = self._newest()
            if found:
                facts = found.facts
                self._trainer.restore(found.arrays)
        facts = json.loads(self._replicas.text_from_chief(json.dumps(facts)))
        differs = difference(self._hooks.settings, facts["settings"])
        if differs:
            raise TrainingError(f"the first worker was asked for something else: here {differs}")
        if "history" in facts:
            self._restore(facts)
        if self._replicas.is_chief:
            self._log_file = LogFile(self._folder / "log.csv", self.history)

    def _newest(self) -> Checkpoint | None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(self._folder, error.strerror or str(error)) from error
        found = self._checkpoints.newest(self._check)
        if found:
            differs = difference(self._hooks.settings, found.facts["settings"])
            if differs:
                raise OutputError(
                    self._folder,
                    f"it holds checkpoints of a training with other settings ({differs}); "
                    "remove them or choose another work folder",
                )
        return found

    def _check(self, checkpoint: Checkpoint) -> None:
        """Raise unless a checkpoint is whole; that of a training with other settings may be.

        Raises:
            TrainingError: what it holds is not what a run saved.
        """
        facts = checkpoint.facts
        if not check_facts(facts, self._hooks.settings):
            if self._hard and facts["hard"]:
                self._hard.noted_in(facts["hard"])
            self._trainer.state.check(checkpoint.arrays)

    def _restore(self, facts: Mapping[str, Any]) -> None:
        arrays = self._trainer.state.arrays()
        values = self._replicas.from_chief(list(arrays.values()))
        self._trainer.restore(dict(zip(arrays, values, strict=True)))
        self.history = history_from_json(facts["history"])
        self._recent = [float(loss) for loss in facts["recent"]]
        self._recent_terms = {
            name: [float(value) for value in some]
            for name, some in facts.get("recent_terms", {}).items()
        }
        log.info("going on from step %d", self._trainer.steps_done)
        if facts["slides"] != self._hooks.slides:
            log.warning("the slides or their annotations are not those of the checkpoint")
        elif self._hard and facts["hard"]:
            self._hard.restore(facts["hard"])


def check_facts(facts: Mapping[str, Any], settings: str) -> str:
    """Return the first setting that differs in the facts of a checkpoint, "" where there is none.

    The other facts count only where none differs: the checkpoint of another training, whole or
    not, is not this run's to pass over.

    Raises:
        TrainingError: they are not what a run saved.
    """
    kinds = {"slides": str, "history": str, "recent": list, "hard": dict | None}
    try:
        if differs := difference(settings, facts["settings"]):
            return differs
        wrong = [name for name, kind in kinds.items() if not isinstance(facts[name], kind)]
        wrong += ["recent"] * (np.asarray(facts["recent"], np.float64).ndim != 1)
    except DAMAGED as error:
        raise TrainingError("what it tells of its training is damaged") from error
    if wrong:
        raise TrainingError(f"what it tells of its training is damaged: {wrong[0]}")
    history_from_json(facts["history"])
    return ""
