"""Where the time of a segmentation goes: stages one after another, and work side by side in one."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ParamSpec, TypeVar

Params = ParamSpec("Params")
Result = TypeVar("Result")

START = "start"
DIGITS = 3  # of seconds


class Timings:
    """Counts seconds, from its making on, by stages of which each ends where the next begins."""

    def __init__(
        self, ran_s: float = 0.0, *, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        """Begin with the stage "start".

        Args:
            ran_s: seconds that passed before, to be counted with that stage.
            clock: gives seconds.
        """
        self._clock, self._lock = clock, threading.Lock()
        self._since_s = clock() - ran_s
        self._stage = START
        self._stages: defaultdict[str, float] = defaultdict(float)
        self._busy: defaultdict[str, float] = defaultdict(float)

    def begin(self, stage: str) -> None:
        """End the stage that runs and begin another; one of the same name goes on."""
        now_s = self._clock()
        self._stages[self._stage] += now_s - self._since_s
        self._stage, self._since_s = stage, now_s

    def busy(self, name: str, function: Callable[Params, Result]) -> Callable[Params, Result]:
        """Return a function whose seconds are added up under a name, in whatever threads it runs.

        Several may run at the same time as each other and as a stage, so that these seconds do not
        add up to anything.
        """

        def timed(*args: Params.args, **named: Params.kwargs) -> Result:
            began_s = self._clock()
            try:
                return function(*args, **named)
            finally:
                took_s = self._clock() - began_s
                with self._lock:
                    self._busy[name] += took_s

        return timed

    def save(self, path: Path, facts: Mapping[str, str | int | None]) -> None:
        """Write what was counted until now as JSON, after what else is known of the run.

        "seconds" is the sum of "stages".
        """
        self.begin(self._stage)
        stages = {name: round(took_s, DIGITS) for name, took_s in self._stages.items()}
        told = {
            **facts,
            "seconds": round(sum(stages.values()), DIGITS),
            "stages": stages,
            "busy": {name: round(took_s, DIGITS) for name, took_s in self._busy.items()},
        }
        path.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
