"""Damaged files through a parser, in a process of its own that may hang, crash or fill memory.

A parser passes when each file is read or refused with a `DeeplabError`, within `SECONDS` and with
`MEMORY_BYTES` more memory at most than before it. By hand, from the root of the project:

    python -m tests.fuzz geojson --count 10000 --seed 1 --keep /tmp/found
    python -m tests.fuzz                             # all targets

Add a parser: a module in `tests/fuzz/targets/` with its `TARGET`, and a line in
`tests/fuzz/targets/__init__.py`. What the n-th file is follows from the target's name, the seed
and n alone.
"""

from __future__ import annotations

import logging
import multiprocessing
import random
import resource
import shutil
import signal
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from deeplab.errors import DeeplabError
from tests.fuzz.mutations import mutate

SECONDS = 30
MEMORY_BYTES = 2 * 2**30
START_SECONDS = 300  # a first case may load TensorFlow on a busy machine
POLL_SECONDS = 0.2
GOOD = ("read", "refused")


def load_nothing() -> None:
    """Load nothing: the target's module has all that parsing needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A parser under test.

    Attributes:
        name: what people type.
        seeds: writes good inputs into a folder and returns them, files or folders of several
            files; the same bytes every time.
        parse: reads one input to its end, as the product does.
        prepare: loads in the process what parsing needs, so that no case pays for it.
    """

    name: str
    seeds: Callable[[Path], Sequence[Path]]
    parse: Callable[[Path], object]
    prepare: Callable[[], object] = load_nothing


@dataclass(frozen=True, slots=True)
class Failure:
    """A case that did not end as it should."""

    case: int
    kind: str
    text: str
    kept: Path | None = None

    def __str__(self) -> str:
        return f"case {self.case}: {self.kind}\n{self.text}" + (f"\n{self.kept}" * bool(self.kept))


@dataclass(slots=True)
class Report:
    """How the cases of a run ended."""

    target: str
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    slowest_s: float = 0.0

    def __str__(self) -> str:
        ended = ", ".join(f"{count} {kind}" for kind, count in sorted(self.counts.items()))
        return f"{self.target}: {ended}; the slowest took {self.slowest_s:.1f} s"


def fuzz(target: Target, cases: range, *, seed: int = 0, keep: Path | None = None) -> Report:
    """Parse the damaged files of numbers `cases` and return how that ended.

    Args:
        target: what parses; must be importable by the child process.
        cases: numbers of the damaged files.
        seed: of the damage.
        keep: a folder for inputs that failed.
    """
    report = Report(target.name)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        goods = target.seeds(_made(Path(folder) / "seeds"))
        todo = list(cases)
        while todo:
            for case, kind, text, seconds in _child(target, goods, tuple(todo), seed, Path(folder)):
                report.counts[kind] += 1
                report.slowest_s = max(report.slowest_s, seconds)
                if kind not in GOOD:
                    kept = keep and _keep(keep, target, goods, case, seed)
                    report.failures.append(Failure(case, kind, text, kept))
                todo.remove(case)
    return report


def damaged(target: Target, goods: Sequence[Path], case: int, seed: int, folder: Path) -> Path:
    """Write the damaged input of number `case` into `folder` and return where it is."""
    rng = random.Random(f"{target.name} {seed} {case}")
    good = rng.choice(goods)
    bad = folder / good.name
    if good.is_dir():
        shutil.copytree(good, bad)
        victim = rng.choice(sorted(path for path in bad.rglob("*") if path.is_file()))
        victim.write_bytes(mutate(victim.read_bytes(), rng))
    else:
        bad.write_bytes(mutate(good.read_bytes(), rng))
    return bad


Ended = tuple[int, str, str, float]  # case, kind, text, seconds


def _child(
    target: Target, goods: Sequence[Path], cases: Sequence[int], seed: int, folder: Path
) -> Iterator[Ended]:
    """How cases end in one child process, until it must be replaced."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    arguments = (target, goods, cases, seed, folder, theirs)
    child = context.Process(target=_parse_all, args=arguments, daemon=True)
    child.start()
    theirs.close()
    try:
        yield from _watch(child, ours, cases)
    finally:
        child.kill()
        child.join()
        ours.close()


def _watch(
    child: multiprocessing.process.BaseProcess, ours: Connection, cases: Sequence[int]
) -> Iterator[Ended]:
    limit, began = START_SECONDS, time.monotonic()
    for case in cases:
        while not ours.poll(POLL_SECONDS):
            seconds = time.monotonic() - began
            if seconds > limit:
                yield case, "too long", f"no end after {limit} s", seconds
                return
            if _resident_bytes(child.pid) > 2 * MEMORY_BYTES + 2**30:
                yield case, "too much memory", "stopped while it grew", seconds
                return
        try:
            ended: Ended = ours.recv()
        except EOFError:
            child.join()
            how = signal.Signals(-child.exitcode).name if child.exitcode < 0 else child.exitcode
            yield case, "abort", f"the process ended: {how}", time.monotonic() - began
            return
        yield ended
        limit, began = SECONDS, time.monotonic()


def _parse_all(
    target: Target,
    goods: Sequence[Path],
    cases: Sequence[int],
    seed: int,
    folder: Path,
    theirs: Connection,
) -> None:
    """Parse case after case and tell the parent of each; runs in the child."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    logging.disable()
    target.prepare()
    for case in cases:
        place = _made(folder / "case")
        bad = damaged(target, goods, case, seed, place)
        before = _reset_peak()
        began = time.monotonic()
        kind, text = _outcome(target, bad)
        seconds = time.monotonic() - began
        grown = _peak_bytes() - before
        if kind in GOOD and seconds > SECONDS:
            kind, text = "too long", f"{seconds:.0f} s"
        if kind in GOOD and grown > MEMORY_BYTES:
            kind, text = "too much memory", f"{grown / 2**30:.1f} GiB"
        theirs.send((case, kind, text, seconds))
    theirs.close()


def _outcome(target: Target, bad: Path) -> tuple[str, str]:
    try:
        target.parse(bad)
    except DeeplabError as error:
        return ("refused", "") if str(error).strip() else ("no sentence", traceback.format_exc())
    except Exception:  # noqa: BLE001  whatever else comes is what is looked for
        return "traceback", traceback.format_exc()
    return "read", ""


def _keep(keep: Path, target: Target, goods: Sequence[Path], case: int, seed: int) -> Path:
    place = _made(keep / f"{target.name}-{seed}-{case}")
    return damaged(target, goods, case, seed, place)


def _made(folder: Path) -> Path:
    """Return `folder`, empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _reset_peak() -> int:
    """Begin a new peak of this process's memory and return what it holds, bytes."""
    Path("/proc/self/clear_refs").write_text("5")
    return _resident_bytes("self")


def _peak_bytes() -> int:
    return _status("self", "VmHWM:")


def _resident_bytes(process: int | str | None) -> int:
    return _status(process, "VmRSS:")


def _status(process: int | str | None, key: str) -> int:
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:  # it has ended
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(key)), 0)
