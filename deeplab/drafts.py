"""What this process has begun and not finished, and what dead ones have left: it goes with them.

Drafts of results and folders of work files carry a mark in their names and are locked as long as
their process lives. The lock goes with the process, however it ends and in whatever container it
ran; so what has the mark and no lock is left over, and the next process there removes it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from deeplab.interrupt import unbroken

MARK = "deeplab-unfinished-"
_TRIES = 100

_lock = threading.RLock()
_begun: dict[Path, int] = {}  # with the descriptor that holds the lock
_in_place: dict[Path, None] = {}  # results that have taken their places, in this order
_swept: set[Path] = set()


def begin_file(path: Path) -> Path:
    """Make an empty file beside `path`, which is gone when the process ends before `end`.

    Raises:
        OSError: the folder cannot be written.
    """
    with _lock:
        _sweep(path.parent)
        for _ in range(_TRIES):
            handle, name = tempfile.mkstemp(
                prefix=f".{path.stem[:40]}.{MARK}", suffix=path.suffix, dir=path.parent
            )
            if _is_ours(handle, Path(name)):
                return Path(name)
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))


def begin_folder(beside: Path | None = None) -> Path:
    """Make a folder, likewise: in `beside`, or where temporary files are.

    Raises:
        OSError: it cannot be made.
    """
    with _lock:
        _sweep(beside or Path(tempfile.gettempdir()))
        for _ in range(_TRIES):
            folder = Path(tempfile.mkdtemp(prefix=MARK, dir=beside))
            if _is_ours(os.open(folder, os.O_RDONLY), folder):
                return folder
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(beside))


def end(path: Path) -> None:
    """Remove what was begun, if it is still there."""
    with _lock:
        _remove(path)
        handle = _begun.pop(path, None)
        if handle is not None:
            os.close(handle)


def put_in_place(drafts: Mapping[Path, Path]) -> None:
    """Let drafts, by the path that each is for, become these files: all of them.

    A process that is told to stop meanwhile ends after the last; only a kill (SIGKILL), a crash or
    a disk that fails between two renames leaves some.

    Raises:
        OSError: one cannot; none has, where that can be seen before.
    """
    with _lock, unbroken():
        for path in drafts:
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        for path, draft in drafts.items():
            draft.replace(path)
            _in_place[path.absolute()] = None
            # A draft of a draft: the lock is that of the file which now has the name.
            handle = _begun.pop(draft, None)
            if handle is not None and path in _begun:
                handle, _begun[path] = _begun[path], handle
            if handle is not None:
                os.close(handle)


def abandon() -> list[Path]:
    """Remove all that is unfinished, for the process ends now; nothing can be begun any more.

    Returns:
        What has taken its place.
    """
    _lock.acquire(timeout=2)  # for good: other threads still run
    for path in list(_begun):
        _remove(path)
    return list(_in_place)


def _is_ours(handle: int, path: Path) -> bool:
    """Lock what was just made; False where another process took it for left over before that."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return False
    except OSError:  # a file system without locks: nobody can take it for left over either
        pass
    if not path.exists():
        os.close(handle)
        return False
    _begun[path] = handle
    return True


def _sweep(folder: Path) -> None:
    """Remove what dead processes of this user have left, once in a process."""
    if folder in _swept:
        return
    _swept.add(folder)
    for path in [*folder.glob(f".*.{MARK}*"), *folder.glob(f"{MARK}*")]:
        with suppress(OSError):  # another's, or it goes just now
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                if os.fstat(handle).st_uid == os.getuid():
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    _remove(path)
            finally:
                os.close(handle)


def _remove(path: Path) -> None:
    if path.is_dir():
        # Under another name first: other threads can then put nothing more into it.
        going = path.with_name(f"{path.name}-going")
        with suppress(OSError):
            path = path.rename(going)
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
