"""The process and its end: when it is told to stop, and when its work is done."""

from __future__ import annotations

import os
import select
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from deeplab import drafts
from deeplab.interrupt import Stopped, ask_to_stop, note_stop
from deeplab.names import shown_name

NUMBERS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
NOTHING = "nothing was written"
# A training saves what it has learnt, also to its server, and layers on a server are finished;
# where that hangs there is an end, too.
LIMIT_S = 130.0
_CURSOR_SHOWN = b"\x1b[?25h\n"  # which bars on a terminal hide

_ends = threading.Lock()
_told_to_stop: list[int] = []
_forking = threading.local()


class _Left:
    """What a process that is stopped leaves, for its last line."""

    sentence = NOTHING
    outputs: frozenset[Path] = frozenset()


def leaves(sentence: str, outputs: Iterable[Path]) -> None:
    """Note what a process that is stopped from now on says.

    Args:
        sentence: what is left then; said where no result has taken its place.
        outputs: the results.
    """
    _Left.sentence = sentence
    _Left.outputs = frozenset(path.absolute() for path in outputs)


def as_process(work: Callable[[], int]) -> NoReturn:
    """Be the process that does `work` and ends with the code that it returns.

    Told to stop (SIGTERM, SIGINT, SIGHUP) it removes what is unfinished, says in one line what is
    left and ends at once with 128 and the signal's number, whatever its threads compute; what
    `deeplab.interrupt.finishing` encloses is waited for, unless it is told a second time.
    """
    obey_signals()
    _keep_streams_open()
    folder = _work_folder()
    try:
        code = work()
    except Stopped:
        _end(_told_to_stop[0], [])
    except SystemExit as done:  # of a parser that was asked for help or the version
        code = done.code if isinstance(done.code, int) else 0
    _exit_process(code, folder)


def obey_signals() -> None:
    """End the process when it is told to, from now on; its forked children do as all others do."""
    if signal.getsignal(signal.SIGTERM) is _noted:
        return
    hears, tells = os.pipe()
    os.set_blocking(tells, False)
    os.register_at_fork(
        before=_hold_signals, after_in_parent=_release_signals, after_in_child=_obey_no_more
    )
    # The number arrives in the pipe at once, also while the main thread computes in native code.
    signal.set_wakeup_fd(tells, warn_on_full_buffer=False)
    for number in NUMBERS:
        # Who starts a process with nohup wants it to outlive the terminal.
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _noted)
    threading.Thread(target=_wait, args=(hears,), daemon=True, name="signals").start()


def _noted(number: int, _frame: object) -> None:
    """Let the main thread know, too: what it then fails at fails for that, and it ends no more."""
    _told_to_stop.append(number)
    note_stop()


def _hold_signals() -> None:
    """Let a child not hear of signals before it is one: it would tell its parent of them."""
    _forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, NUMBERS)


def _release_signals() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _forking.mask)


def _obey_no_more() -> None:
    signal.set_wakeup_fd(-1)
    for number in NUMBERS:
        if signal.getsignal(number) is _noted:
            signal.signal(number, signal.SIG_DFL)
    _release_signals()


def _wait(hears: int) -> None:
    """End the process when the first signal has come and nothing is being finished, or a second."""
    number = _next_signal(hears)
    _told_to_stop.append(number)
    threading.Thread(
        target=lambda: _end(number, ask_to_stop(LIMIT_S)), daemon=True, name="stop"
    ).start()
    _next_signal(hears)
    _end(number, ask_to_stop(0))


def _next_signal(hears: int) -> int:
    while True:
        (number,) = os.read(hears, 1)
        if number in NUMBERS:
            return number


def _end(number: int, unfinished: Iterable[str]) -> NoReturn:
    """End the process that was told to stop; the first of several threads does it."""
    _ends.acquire()  # for good
    with suppress(OSError, ValueError):
        if os.isatty(2):
            os.write(2, _CURSOR_SHOWN)
    _end_children()
    in_place = drafts.abandon()
    words = [_what_is_left(in_place), *(f"{what} may be there in part" for what in unfinished)]
    _say(f"cancelled; {'; '.join(words)}\n")
    os._exit(128 + number)


def _what_is_left(in_place: Iterable[Path]) -> str:
    names = [shown_name(str(path)) for path in in_place if path in _Left.outputs]
    return f"written before: {', '.join(names)}" if names else _Left.sentence


def _say(text: str) -> None:
    """Write to standard error, past all that other threads hold, where anybody reads it."""
    with suppress(OSError, ValueError):
        if select.select([], [2], [], 1.0)[1]:
            os.write(2, text.encode(errors="backslashreplace"))


def _exit_process(code: int, folder: Path | None) -> NoReturn:
    """End the process, without waiting for threads: one may ask a dead server again and again."""
    try:
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
    except OSError:  # nobody reads it any more
        code = code or 2
    if _told_to_stop:
        threading.Event().wait()  # the other thread ends the process
    _end_children()
    if folder:
        drafts.end(folder)
    os._exit(code)


def _end_children() -> None:
    if processes := sys.modules.get("multiprocessing"):
        for child in processes.active_children():
            child.kill()


def _keep_streams_open() -> None:
    """Let no file that is opened later take the number of a standard stream that is closed."""
    with suppress(OSError):
        handle = os.open(os.devnull, os.O_RDWR)
        while handle < 3:
            handle = os.dup(handle)
        os.close(handle)


def _work_folder() -> Path | None:
    """Return a folder for the temporary files of this process, those of its libraries, too."""
    try:
        folder = drafts.begin_folder()
    except OSError:  # who needs one says it
        return None
    tempfile.tempdir = os.environ["TMPDIR"] = str(folder)
    return folder
