"""One task from its command line to its exit code: the edge between the engine and the world."""

from __future__ import annotations

import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Generic, NoReturn, TypeVar

from deeplab.config.progress import Progress
from deeplab.config.toml import read_settings
from deeplab.errors import DeeplabError
from deeplab.names import shown_name
from deeplab_cli import progress
from deeplab_cli.binding import bind, texts_of
from deeplab_cli.forms import Spec, read_spec
from deeplab_cli.hidden import Secrets
from deeplab_cli.machine import TABLES, Need, as_lack, check_machine
from deeplab_cli.parser import CONFIG, Habits, TaskParser
from deeplab_cli.streams import speaking

Request = TypeVar("Request")

FAILED = 2
DEFECT = 1


class Cancelled(BaseException):
    """The process was told to stop; passes every `except Exception` so that all is cleaned up."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number


@dataclass(frozen=True, slots=True, kw_only=True)
class Task(Generic[Request]):
    """What makes one task out of a form and an engine.

    Attributes:
        name: of the form, and of the task in the image.
        command: the word people type.
        request: what the engine is asked.
        habits: what people type besides the form's own names, and what the request calls them.
        run: the engine; loads it when called; returns the lines to print.
        when_cancelled: what is left then.
        need: what a request takes of the machine.
    """

    name: str
    command: str
    request: type[Request]
    habits: Habits
    run: Callable[[Request, Progress], str]
    when_cancelled: str
    need: Callable[[Request], Need] = field(default=lambda _: TABLES)

    @property
    def fields(self) -> Mapping[str, str]:
        """Field of the request by parameter, where they are called differently."""
        return self.habits.fields


def run_task(task: Task[Request], argv: Sequence[str], *, prog: str | None = None) -> int:
    """Run `task` on the words of its command line and return the exit code.

    0: done. 1: a defect, shown with its traceback. 2: the input or the world is not as it must
    be, one line on standard error. 130, 143: cancelled by SIGINT, SIGTERM.
    """

    def work(secrets: Secrets) -> None:
        spec = read_spec(task.name)
        given = TaskParser(spec, task.habits, prog=prog or task.name).values(argv)
        settings = _with_config(spec, task, given)
        secrets.learn(settings)
        request = bind(spec, task.request, task.fields, settings)
        check_machine(task.need(request))
        with progress.shown() as report, logged():
            summary = task.run(request, report)
        print(_harmless(summary), flush=True)

    return at_the_edge(work, argv=argv, when_cancelled=task.when_cancelled)


def at_the_edge(
    work: Callable[[Secrets], None], *, argv: Sequence[str], when_cancelled: str
) -> int:
    """Do the work of a process, say in one line what stopped it, and return the exit code.

    Args:
        work: parses, computes and prints; tells what else must not be shown.
        argv: what it was given; secrets of it are never shown.
        when_cancelled: what is left then.
    """
    with speaking(argv) as secrets:
        return _run_and_report(lambda: work(secrets), when_cancelled)


def _run_and_report(work: Callable[[], None], when_cancelled: str) -> int:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # its remarks on this CPU help nobody here
    try:
        with _signals_cancel():
            work()
    except Cancelled as cancelled:
        _complain(f"cancelled; {when_cancelled}")
        return cancelled.exit_code
    except DeeplabError as error:
        _complain("error: " + " ".join(str(error).split()))
        return FAILED
    except Exception as error:  # noqa: BLE001  the edge: a defect is shown whole
        lack = as_lack(error)
        _complain(f"error: {lack}" if lack else traceback.format_exc().rstrip())
        return FAILED if lack else DEFECT
    return 0


def leave(code: int) -> NoReturn:
    """End the process with `code`; after a failure at once.

    The interpreter would wait for its threads, and one of them may be asking a dead server again
    and again; what a run leaves behind is cleaned up before its exit code is known.
    """
    try:
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
    except OSError:  # nobody reads it any more, which the interpreter would complain of again
        os._exit(code or FAILED)
    if code:
        os._exit(code)
    sys.exit(0)


def _with_config(spec: Spec, task: Task[Request], given: Mapping[str, str]) -> dict[str, str]:
    """What is given, over what the file named on the command line says."""
    if CONFIG not in given:
        return dict(given)
    names = {parameter.name for parameter in spec.parameters}
    settings = read_settings(Path(given[CONFIG]), names | set(task.fields.values()))
    return {**texts_of(spec, task.fields, settings), **given}


@contextmanager
def logged() -> Iterator[None]:
    """What the engine tells of its run appears on standard error, as its device on the first line.

    To be entered after the bars of a terminal, which print such lines above themselves.
    """
    log = logging.getLogger("deeplab")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OnALog("%(levelname)s: %(message)s"))
    level, propagate = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False  # TensorFlow gives the root a handler, which would say all of it again
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        log.propagate = propagate


@contextmanager
def _signals_cancel() -> Iterator[None]:
    """SIGTERM and SIGINT raise Cancelled in the block; a second one ends the process at once."""
    numbers = (signal.SIGTERM, signal.SIGINT)

    def cancel(number: int, _frame: FrameType | None) -> NoReturn:
        for each in numbers:
            signal.signal(each, signal.SIG_DFL)
        raise Cancelled(number)

    before = {number: signal.signal(number, cancel) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _OnALog(logging.Formatter):
    """Lines that tell a terminal nothing but letters, whatever names are in them."""

    def format(self, record: logging.LogRecord) -> str:
        return _harmless(super().format(record))


def _harmless(text: str) -> str:
    """Lines of text with control characters as their numbers: a name may hold such."""
    return "\n".join(map(shown_name, text.split("\n")))


def _complain(text: str) -> None:
    print(_harmless(text), file=sys.stderr, flush=True)
