"""Results that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from deeplab.errors import OutputError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends well, else vanishes.

    Raises:
        OutputError: the folder cannot be made or written, or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            prefix=f".{path.stem[:40]}.", suffix=path.suffix, dir=path.parent
        )
        os.close(handle)
        temporary = Path(name)
        # mkstemp makes the file private; a result is as readable as any other file of the user.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
    except OSError as error:
        raise OutputError(path, error.strerror or str(error)) from error
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(path, error.strerror or str(error)) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def all_or_none(writers: Mapping[Path, Callable[[Path], None]]) -> Iterator[None]:
    """Write every file; they appear when the block ends well, and none of them otherwise.

    Raises:
        OutputError: they cannot be written; what else the writers raise goes on.
    """
    with ExitStack() as stack:
        drafts = [(stack.enter_context(whole_file(path)), write) for path, write in writers.items()]
        for draft, write in drafts:
            write(draft)
        yield


def check_writable(path: Path) -> None:
    """Refuse a place for a result before the work for it begins; nothing is made.

    Raises:
        OutputError: `path` is a folder, or its folder cannot be made or written.
    """
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if path.is_dir():
        raise OutputError(path, "it is a folder; name a file in it")
    if not folder.is_dir():
        raise OutputError(path, f"{folder} is not a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(path, f"the folder {folder} is not yours to write to")


@contextmanager
def scratch_folder(beside: Path | None = None) -> Iterator[Path]:
    """A folder for work files, removed at the end however the block ends.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix="deeplab-", dir=beside))
    except OSError as error:
        raise OutputError(beside or tempfile.gettempdir(), error.strerror or str(error)) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
