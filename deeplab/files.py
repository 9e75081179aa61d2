"""Results that appear whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import tempfile
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from deeplab import drafts
from deeplab.errors import AnnotationError, OutputError
from deeplab.interrupt import finishing
from deeplab.names import without_surrogates

LONGEST_BYTES = 160  # of a name in UTF-8; file systems take 255, of which suffixes want some
LONGEST_SUFFIX = 12
_NO_NAME = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # on Windows
_ERRNO = re.compile(r"E[A-Z]{3,}")
_BROKEN = re.compile("[\ud800-\udc7f\udd00-\udfff]")  # halves of letters
_NO_LETTERS = '<>:"/\\|?*'


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends well, else vanishes.

    Raises:
        OutputError: the folder cannot be made or written, or the disk is full.
    """
    with _draft(path) as draft:
        yield draft
        drafts.put_in_place({path: draft})


@contextmanager
def all_or_none(writers: Mapping[Path, Callable[[Path], None]]) -> Iterator[None]:
    """Write every file; they appear when the block ends well, and none of them otherwise.

    Once the block has begun, a process that is told to stop ends when all of them are there.

    Raises:
        OutputError: they cannot be written; what else the writers raise goes on.
    """
    with ExitStack() as stack:
        written: dict[Path, Path] = {}
        for path in writers:
            written[path] = stack.enter_context(_draft(path))
        for path, write in writers.items():
            try:
                write(written[path])
            except OutputError as error:  # of the draft, whose name says nothing to anybody
                raise OutputError(path, error.problem) from error
            except AnnotationError as error:
                raise AnnotationError(path, error.problem) from error
        with finishing():
            yield
            drafts.put_in_place(written)


def is_plain_file(path: Path) -> bool:
    """Return whether `path` is a file that can be asked for; no pipe, device or link to nowhere."""
    try:
        return path.is_file()
    except OSError:  # a folder that may not be looked into, a name that is too long
        return False


@contextmanager
def _draft(path: Path) -> Iterator[Path]:
    """An empty file beside `path`, gone when the block ends; what the system refuses is said."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = drafts.begin_file(path)
        # mkstemp makes the file private; a result is as readable as any other file of the user.
        umask = os.umask(0)
        os.umask(umask)
        draft.chmod(0o666 & ~umask)
    except OSError as error:
        raise OutputError(path, error.strerror or str(error)) from error
    try:
        yield draft
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(path, error.strerror or str(error)) from error
    finally:
        drafts.end(draft)


def check_writable(path: Path) -> None:
    """Refuse a place for a result before the work for it begins; nothing is made.

    Raises:
        OutputError: `path` is a folder or no plain file, or its folder cannot be made or written.
    """
    try:
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        is_there = path.exists()
    except OSError as error:  # a name that is too long
        raise OutputError(path, error.strerror or str(error)) from error
    if path.is_dir():
        raise OutputError(path, "it is a folder; name a file in it")
    if is_there and not path.is_file():  # a device would be gone, as a result takes its place
        raise OutputError(path, "it is no plain file; name another")
    if not folder.is_dir():
        raise OutputError(path, f"{folder} is not a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(path, f"the folder {folder} is not yours to write to")


def real_place(path: Path) -> Path:
    """Return where a path leads behind all links; of links in a circle one of them."""
    return Path(os.path.realpath(path))  # `Path.resolve` raises where links go in a circle


def check_spared(outputs: Iterable[Path], read: Iterable[Path]) -> None:
    """Refuse to put a result in the place of a file that is read for it.

    Raises:
        OutputError: an output is such a file.
    """
    taken = set(map(real_place, read))
    for path in outputs:
        if real_place(path) in taken:
            raise OutputError(path, "it is read for the result; name another file")


@contextmanager
def scratch_folder(beside: Path | None = None) -> Iterator[Path]:
    """A folder for work files, removed at the end however the block or the process ends.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        folder = drafts.begin_folder(beside)
    except OSError as error:
        where = beside or tempfile.tempdir or "a temporary file"
        raise OutputError(where, error.strerror or str(error)) from error
    try:
        yield folder
    finally:
        drafts.end(folder)


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits; "" of what is no file, as a folder."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def reason_of(error: BaseException) -> str:
    """Return why something could not be written, where a library says it in the system's names.

    lxml says "IO_ENOSPC" of a full disk.
    """
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    named = _ERRNO.search(str(error))
    number = getattr(errno, named.group(), None) if named else None
    return os.strerror(number) if number else str(error)


def safe_name(name: str) -> str:
    """Return a name that comes from elsewhere as one that a file can have on any system.

    Letters of all languages, blanks, commas and emoji stay; what leads to another folder, is not
    printed or is refused by some system becomes `_`.
    """
    text = unicodedata.normalize("NFC", without_surrogates(_BROKEN.sub("_", name)))
    text = "".join(c if c.isprintable() and c not in _NO_LETTERS else "_" for c in text)
    stem, dot, suffix = text.strip(" ").rstrip(". ").rpartition(".")
    if not stem or len(suffix) > LONGEST_SUFFIX:
        stem, dot, suffix = stem + dot + suffix, "", ""
    text = stem.encode()[:LONGEST_BYTES].decode(errors="ignore") + dot + suffix
    if text.startswith("."):  # hidden, or another folder
        text = "_" + text[1:]
    return f"_{text}" if not text or _NO_NAME.fullmatch(text) else text
