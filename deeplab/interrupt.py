"""A process that is told to stop: what must be whole is finished first, all else is cut off.

Nothing is ever raised in the midst of a computation: an exception that comes out of a signal's
handler may arise inside a callback of native code, which makes another one of it or drops it. The
process's edge asks, and waits while something is being finished; a computation that can save what
it has asks for itself, between two of its steps, whether it should stop. In a notebook nobody asks,
and Ctrl-C raises KeyboardInterrupt as always, but not in the midst of what must not be broken.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_changed = threading.Condition()
_open: list[str] = []  # what is being finished
_is_asked = _is_stopping = False


class Stopped(BaseException):
    """The process was told to stop, and this computation found it out between two of its steps."""


@contextmanager
def finishing(what: str = "") -> Iterator[None]:
    """A process that is told to stop in the block ends when the block has ended.

    Args:
        what: may be there in part if the process ends before, for a sentence.
    """
    with _changed:
        _open.append(what)
    try:
        yield
    finally:
        with _changed:
            _open.remove(what)
            _changed.notify_all()


def stop_if_asked() -> None:
    """End a computation between two of its steps, where the process was told to stop.

    Raises:
        Stopped: it was; the process then has time to save what is not saved.
    """
    global _is_stopping
    with _changed:
        if not _is_asked:
            return
        _is_stopping = True
    raise Stopped


def note_stop() -> None:
    """Let `stop_if_asked` stop from now on; for a signal's handler, which may wait for no lock."""
    global _is_asked
    _is_asked = True


def ask_to_stop(limit_s: float) -> list[str]:
    """Ask the computation to stop, and wait until nothing is being finished.

    Args:
        limit_s: for which it is waited at most.

    Returns:
        What was still being finished then.
    """
    note_stop()
    with _changed:
        _changed.wait_for(lambda: not _open and not _is_stopping, limit_s)
        return [what for what in _open if what]


@contextmanager
def unbroken() -> Iterator[None]:
    """KeyboardInterrupt comes when the block has ended; a second Ctrl-C is not held back."""
    handler = signal.getsignal(signal.SIGINT)
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or handler is not signal.default_int_handler:
        yield
        return
    came: list[int] = []

    def keep(number: int, frame: FrameType | None) -> None:
        if came:
            signal.default_int_handler(number, frame)
        came.append(number)

    signal.signal(signal.SIGINT, keep)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if came:
        raise KeyboardInterrupt
