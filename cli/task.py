"""One task from its command line to its exit code: the edge between the engine and the world."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from deeplab.config.progress import Progress
from deeplab.config.toml import read_settings
from deeplab.errors import DeeplabError
from deeplab.interrupt import stop_if_asked
from deeplab.names import shown_name
from deeplab_cli import progress
from deeplab_cli.binding import bind, check_is_readable, texts_of
from deeplab_cli.forms import Spec, read_spec
from deeplab_cli.hidden import Secrets
from deeplab_cli.machine import TABLES, Need, as_lack, check_machine, check_place
from deeplab_cli.parser import CONFIG, CliAliases, TaskParser
from deeplab_cli.stopping import leaves
from deeplab_cli.streams import speaking

Request = TypeVar("Request")

LOGIN_VARIABLE = "DEEPLAB_GIRDER_TOKEN"
FAILED = 2
DEFECT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Task(Generic[Request]):
    """What makes one task out of a form and an engine.

    Attributes:
        name: of the form, and of the task in the image.
        command: the word people type.
        request: what the engine is asked.
        aliases: what people type besides the form's own names, and what the request calls them.
        run: the engine; loads it when called; returns the lines to print.
        when_cancelled: what is left then.
        completed: settings by parameter, with what follows from which of them were given.
        need: what a request takes of the machine.
    """

    name: str
    command: str
    request: type[Request]
    aliases: CliAliases
    run: Callable[[Request, Progress], str]
    when_cancelled: str
    completed: Callable[[Spec, Mapping[str, str]], Mapping[str, str]] = field(
        default=lambda _, settings: settings
    )
    need: Callable[[Request], Need] = field(default=lambda _: TABLES)

    @property
    def fields(self) -> Mapping[str, str]:
        """Field of the request by parameter, where they are called differently."""
        return self.aliases.fields


def run_task(task: Task[Request], argv: Sequence[str], *, prog: str | None = None) -> int:
    """Run `task` on the words of its command line and return the exit code.

    0: done. 1: a defect, shown with its traceback. 2: the input or the world is not as it must
    be, one line on standard error. A signal ends the process: see `deeplab_cli.stopping`.
    """

    def work(secrets: Secrets) -> None:
        spec = read_spec(task.name)
        given = TaskParser(spec, task.aliases, prog=prog or task.name).values(argv)
        settings = _with_token(_with_config(spec, task, given), os.environ)
        secrets.learn(settings)
        request = bind(spec, task.request, task.fields, task.completed(spec, settings))
        check_machine(task.need(request))
        outputs = [p.name for p in spec.parameters if p.is_output and p.name in settings]
        leaves(task.when_cancelled, [Path(settings[name]) for name in outputs])
        with progress.shown() as report, logged():
            summary = task.run(request, report)
        print(harmless(summary), flush=True)

    return run_and_report(work, argv=argv)


def run_and_report(work: Callable[[Secrets], None], *, argv: Sequence[str]) -> int:
    """Do the work of a process, say in one line what stopped it, and return the exit code.

    Args:
        work: parses, computes and prints; tells what else must not be shown.
        argv: what it was given; secrets of it are never shown.
    """
    with speaking(argv) as secrets:
        return _run_and_report(lambda: work(secrets))


def _run_and_report(work: Callable[[], None]) -> int:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # its remarks on this CPU help nobody here
    os.environ["MPLBACKEND"] = "agg"  # a chart needs no window, and a name of none ends the import
    try:
        check_place()
        work()
    except DeeplabError as error:
        stop_if_asked()  # whatever fails in a process that is stopped fails for that
        _complain("error: " + " ".join(str(error).split()))
        return FAILED
    except Exception as error:  # noqa: BLE001  the edge: a defect is shown whole
        stop_if_asked()
        lack = as_lack(error)
        _complain(f"error: {lack}" if lack else traceback.format_exc().rstrip())
        return FAILED if lack else DEFECT
    return 0


def _with_config(spec: Spec, task: Task[Request], given: Mapping[str, str]) -> dict[str, str]:
    """Return what is given, over what the file named on the command line says."""
    if CONFIG not in given:
        return dict(given)
    names = {parameter.name for parameter in spec.parameters}
    check_is_readable(CONFIG, given[CONFIG])
    settings = read_settings(Path(given[CONFIG]), names | set(task.fields.values()))
    return {**texts_of(spec, task.fields, settings), **given}


def _with_token(settings: dict[str, str], environment: MutableMapping[str, str]) -> dict[str, str]:
    """Return settings with the token of the environment, where they name a server and no token.

    All on a machine may see the words of a command, and not its environment; nothing that this
    process starts gets the token there.
    """
    token = environment.pop(LOGIN_VARIABLE, "")
    if token and settings.get("girderApiUrl") and not settings.get("girderToken"):
        return {**settings, "girderToken": token}
    return settings


@contextmanager
def logged() -> Iterator[None]:
    """Show the engine's log on standard error, as its device on the first line.

    To be entered after the bars of a terminal, which print such lines above themselves.
    """
    log = logging.getLogger("deeplab")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OnALog("%(levelname)s: %(message)s"))
    level, propagate = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False  # TensorFlow gives the root a handler, which would say all of it again
    for other in ("tensorflow", "matplotlib"):  # whose warnings are for who programs it
        logging.getLogger(other).setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        log.propagate = propagate


class _OnALog(logging.Formatter):
    """Lines that tell a terminal nothing but letters, whatever names are in them."""

    def format(self, record: logging.LogRecord) -> str:
        return harmless(super().format(record))


def harmless(text: str) -> str:
    """Return lines of text with control characters as their numbers: a name may hold such."""
    return "\n".join(map(shown_name, text.split("\n")))


def _complain(text: str) -> None:
    print(harmless(text), file=sys.stderr, flush=True)
