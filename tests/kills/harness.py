"""Kills tasks at random moments and looks at what they leave.

What must hold: told to stop (SIGTERM) a task ends with 143 and one line, and killed (SIGKILL) with
-9; its results are all there or none is; nothing is left among the temporary files, or after
SIGKILL only what the next task removes; a training that goes on gives the very same model.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from deeplab.drafts import MARK
from tests.small_runs import SmallRun, make_inputs, small_runs

NUMBERS = (signal.SIGTERM, signal.SIGKILL)
WEIGHTS = {"convert": 6, "features": 4, "evaluate": 4, "segment": 4, "train": 2}
PROMPT_S = 2.0  # in which a task that was told to stop ends, on a machine that is not busy
LEARNT = "model.work"  # what a training goes on from


class LeftBehindError(AssertionError):
    """A task did not end as it must, or left what it must not."""


@dataclass(slots=True)
class Tally:
    """What came of the kills: how many of each task and code, and how long the slowest took."""

    codes: Counter[tuple[str, int]] = field(default_factory=Counter)
    slowest_s: dict[str, float] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    resumed: int = 0

    @property
    def kills(self) -> int:
        """How many processes were killed."""
        return sum(number for (_, code), number in self.codes.items() if code != 0)

    def lines(self) -> list[str]:
        """A few lines for a person."""
        told = [f"{self.kills} kills; {self.resumed} trainings resumed, bit-equal at their ends"]
        for task in WEIGHTS:
            codes = {code: number for (name, code), number in self.codes.items() if name == task}
            if codes:
                said = ", ".join(f"{code}: {number}" for code, number in sorted(codes.items()))
                told.append(
                    f"  {task}: {said}; SIGTERM answered in {self.slowest_s.get(task, 0):.2f} s"
                )
        return told + [f"  FAULT {fault}" for fault in self.faults]


class Killing:
    """Kills tasks in a folder of its own.

    Args:
        folder: an empty one.
        seed: of the moments and signals.
        tasks: which, by the command's word.
        told: takes a line on each kill.
    """

    def __init__(
        self,
        folder: Path,
        seed: int,
        tasks: list[str],
        told: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._told = told
        self._random = np.random.default_rng(seed)
        self._tasks, self._folder = tasks, folder
        self.inputs, self.out, self.tmp = (folder / name for name in ("in", "out", "tmp"))
        for path in (self.inputs, self.out, self.tmp):
            path.mkdir()
        make_inputs(self.inputs)
        self._runs = small_runs(self.inputs, self.out)
        self._took_s: dict[str, float] = {}
        self._model: dict[str, bytes] = {}
        self.tally = Tally()

    def kill(self, count: int) -> Tally:
        """Kill so many tasks and return what came of it."""
        for task in self._tasks:
            self._run_alone(task)
        weights = np.array([WEIGHTS[task] for task in self._tasks], float)
        while self.tally.kills < count:
            task = str(self._random.choice(self._tasks, p=weights / weights.sum()))
            number = NUMBERS[self._random.integers(2)]
            moment_s = self._random.uniform(0, 0.9 * self._took_s[task])
            try:
                self._kill_one(task, number, moment_s)
            except LeftBehindError as error:
                self.tally.faults.append(f"{task}, {number.name} after {moment_s:.2f} s: {error}")
                self._told(f"FAULT {self.tally.faults[-1]}")
                self._clear()
        if "train" in self._tasks:
            self._finish_training()
        return self.tally

    def _run_alone(self, task: str) -> None:
        began = time.monotonic()
        code, said = self._ended(self._start(self._runs[task]))
        self._took_s[task] = time.monotonic() - began
        _must(code == 0, f"ends with {code} when it is left alone: {said}")
        self._look(task, {"all"})
        if task == "train":
            self._model = arrays_of(self.out / "model.zip")
        self._clear()

    def _kill_one(self, task: str, number: signal.Signals, moment_s: float) -> None:
        run = self._runs[task]
        had_learnt = any((self.out / LEARNT).glob("checkpoint-*"))
        process = self._start(run)
        _wait_for_handlers(process)
        try:
            process.wait(timeout=moment_s)
        except subprocess.TimeoutExpired:
            process.send_signal(number)
        began = time.monotonic()
        code, said = self._ended(process)
        took_s = time.monotonic() - began
        self.tally.codes[task, code] += 1
        self._told(f"{task} {number.name} after {moment_s:.2f} s: {code} in {took_s:.2f} s")
        self.tally.resumed += task == "train" and had_learnt and "going on from step" in said
        _must("Traceback" not in said, f"a traceback: {said}")
        if code == 0:  # it had ended before
            self._look(task, {"all"})
        elif number == signal.SIGTERM:
            slowest = self.tally.slowest_s
            slowest[task] = max(slowest.get(task, 0.0), took_s)
            _must(code == 128 + number, f"code {code}: {said}")
            _must(said.count("cancelled; ") == 1, f"not one line says so: {said}")
            self._look(task, {"all" if "written before" in said else "none"})
        else:
            _must(code == -number, f"code {code}: {said}")
            self._let_next_sweep()
            self._look(task, {"all", "none"})
        if task == "train" and (self.out / "model.zip").exists():
            self._compare()
        self._clear(but=LEARNT)

    def _look(self, task: str, allowed: set[str]) -> None:
        """See that only whole results are there, all or none of them as is allowed."""
        names = {path.name for path in self.out.iterdir()} - {LEARNT}
        wanted = self._runs[task].outputs
        found = "all" if names == wanted else "none" if not names else "some"
        _must(found in allowed, f"{found} of the results: {sorted(names)}")
        for path in self.out.iterdir():
            _must(path.is_dir() or path.stat().st_size > 0, f"{path.name} is empty")
            if path.suffix in (".zip", ".xlsx"):
                _must(zipfile.ZipFile(path).testzip() is None, f"{path.name} is damaged")
        left = [path.name for path in self.tmp.iterdir()]
        left += [path.name for path in self._folder.rglob(f"*{MARK}*")]
        _must(not left, f"left behind: {left}")

    def _let_next_sweep(self) -> None:
        """What a kill leaves has the mark, and the next task that works there removes it."""
        for path in self.tmp.iterdir():
            _must(path.name.startswith(MARK), f"a stranger in the temporary files: {path.name}")
        run = self._runs["convert"]
        swept = SmallRun((*run.words[:-1], str(self.out / "next.xml")), frozenset())
        code, said = self._ended(self._start(swept))
        _must(code == 0, said)
        (self.out / "next.xml").unlink()
        for path in (self.out / LEARNT).glob(f".*{MARK}*"):  # the training's own folder: its turn
            path.unlink()

    def _finish_training(self) -> None:
        code, said = self._ended(self._start(self._runs["train"]))
        _must(code == 0, said)
        self.tally.resumed += "going on from step" in said
        self._compare()
        self._clear()

    def _compare(self) -> None:
        _must(arrays_of(self.out / "model.zip") == self._model, "the model is another one")
        self._clear()

    def _start(self, run: SmallRun) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "deeplab_cli.entry", *run.words],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"TMPDIR": str(self.tmp)},
        )

    def _ended(self, process: subprocess.Popen[str]) -> tuple[int, str]:
        try:
            _, said = process.communicate(timeout=600)
        except subprocess.TimeoutExpired:
            process.kill()
            _, said = process.communicate()
            message = f"does not end: {said}"
            raise LeftBehindError(message) from None
        return process.returncode, said

    def _clear(self, but: str = "") -> None:
        for folder in (self.out, self.tmp):
            for path in folder.iterdir():
                if path.name == but:
                    continue
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def arrays_of(model: Path) -> dict[str, bytes]:
    """What a model knows; its card tells times."""
    with zipfile.ZipFile(model) as archive:
        return {name: archive.read(name) for name in archive.namelist() if name != "card.json"}


def _wait_for_handlers(process: subprocess.Popen[str]) -> None:
    """Wait until Python has begun with our first lines: before that a process can answer nothing."""
    bit = 1 << (signal.SIGTERM - 1)
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        told = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        if int(told.get("SigCgt", "0"), 16) & bit:
            return
        time.sleep(0.005)


def _must(holds: bool, sentence: str) -> None:
    if not holds:
        raise LeftBehindError(sentence)
