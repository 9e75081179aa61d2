"""Files of annotations that were packed, in a zip or by gzip, and unpack to what they can be."""

from __future__ import annotations

import gzip
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from deeplab.annotations.formats.gather import check_is_file
from deeplab.annotations.slide_names import SlideNames
from deeplab.errors import AnnotationError, OutputError
from deeplab.files import safe_name, scratch_folder

PACKED = (".gz", ".zip")
OTHERS = (".7z", ".rar", ".tar", ".tgz", ".bz2", ".xz", ".zst", ".lz4")  # which are named, not read
INFIXES = (".mask", ".instances")  # before the suffix of a picture of labels or objects
GZIP, ZIP = b"\x1f\x8b", b"PK\x03\x04"
MAX_BYTES = 1 << 34  # unpacked
MAX_RATIO = 200  # of text that repeats itself; the formats here come to some 30
SMALL_BYTES = 1 << 26  # may be of any ratio
MAX_MEMBERS = 10_000
PIECE_BYTES = 1 << 20
NAMED = 5  # files of a zip that a sentence names
FirstSuffix = Callable[[bytes], str]


@contextmanager
def unpacked(path: Path, slide: str, suffixes: Sequence[str]) -> Iterator[Path]:
    """The file that is in a zip or under gzip, for as long as it is needed; else `path` itself.

    What it is is told by its first bytes, whatever it is called.

    Args:
        path: the file.
        slide: name of the slide it is about, to choose by in a zip of several.
        suffixes: of files of annotations.

    Raises:
        AnnotationError: there is none in it, or several of which none is called as the slide; it
            is damaged or encrypted, or would unpack to more than annotations can be.
        OutputError: there is no room to unpack it.
    """
    if path.suffix.lower() not in (*suffixes, *PACKED):
        yield path
        return
    size = check_is_file(path)
    try:
        with path.open("rb") as file:
            head = file.read(len(ZIP))
    except OSError as error:
        raise AnnotationError(path, f"cannot be read: {error.strerror or error}") from error
    if not head.startswith((GZIP, ZIP)):
        yield path
        return
    with scratch_folder() as folder:
        if head.startswith(ZIP):
            yield _of_zip(path, slide, suffixes, folder)
        else:
            yield _of_gzip(path, size, suffixes, folder)


def files_in_zip(path: Path, suffixes: Sequence[str]) -> list[str]:
    """Return the names of the files of annotations in a zip; none where it is no zip.

    Raises:
        AnnotationError: it is missing or damaged.
    """
    check_is_file(path)
    with _sentences(path), path.open("rb") as file:
        if file.read(len(ZIP)) != ZIP:
            return []
        with zipfile.ZipFile(file) as archive:
            return list(_annotations_in(archive, path, suffixes))


def slide_of_member(name: str) -> str:
    """Return what the slide of a file in a zip is called, with its suffix or without."""
    stem = PurePosixPath(name).stem
    for infix in INFIXES:
        stem = stem.removesuffix(infix)
    return stem


def is_packed(path: Path) -> bool:
    """Return whether a file is called as packed ones are."""
    return path.suffix.lower() in PACKED


def _of_gzip(path: Path, size: int, suffixes: Sequence[str], folder: Path) -> Path:
    name = path.stem if is_packed(path) else path.name
    to = folder / safe_name(name)
    with _sentences(path), gzip.open(path) as file:
        _copy(file, to, path, size)
    if to.suffix.lower() not in suffixes:
        to = to.rename(to.with_name(to.name + _guess(to)))
    return to


def _of_zip(path: Path, slide: str, suffixes: Sequence[str], folder: Path) -> Path:
    with _sentences(path), zipfile.ZipFile(path) as archive:
        member = _chosen(archive, path, slide, suffixes)
        if member.flag_bits & 1:
            raise AnnotationError(path, "is encrypted; save it without a password")
        to = folder / safe_name(PurePosixPath(member.filename).name)
        with archive.open(member) as file:
            _copy(file, to, path, member.compress_size)
        return to


def _chosen(
    archive: zipfile.ZipFile, path: Path, slide: str, suffixes: Sequence[str]
) -> zipfile.ZipInfo:
    """The one file of annotations in a zip, or the one that is called as the slide or the zip."""
    found = _annotations_in(archive, path, suffixes)
    stems = {slide_of_member(name): each for name, each in found.items()}
    if len(found) > 1:
        for called in (slide, path.name):
            for at in SlideNames(list(stems)).find(called) if called else ():
                return list(stems.values())[at]
    if len(found) == 1:
        return next(iter(found.values()))
    if not found:
        raise AnnotationError(
            path,
            f"has no file of annotations inside ({', '.join(suffixes)}), of"
            f" {len(archive.infolist())}",
        )
    names = sorted(found)
    more = ", ..." if len(names) > NAMED else ""
    raise AnnotationError(
        path,
        f"has {len(names)} files of annotations inside ({', '.join(names[:NAMED])}{more}) and none"
        " is called as the slide; unpack it and give one of them",
    )


def _annotations_in(
    archive: zipfile.ZipFile, path: Path, suffixes: Sequence[str]
) -> dict[str, zipfile.ZipInfo]:
    """Return the files of annotations in a zip, by name."""
    members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        raise AnnotationError(path, f"has {len(members):,} files inside; give the one file alone")
    return {
        each.filename: each
        for each in members
        if not each.filename.endswith("/")
        and _is_annotation(PurePosixPath(each.filename), suffixes)
    }


def _is_annotation(name: PurePosixPath, suffixes: Sequence[str]) -> bool:
    hidden = name.name.startswith(".") or "__MACOSX" in name.parts
    return not hidden and name.suffix.lower() in suffixes


def _copy(file: IO[bytes] | gzip.GzipFile, to: Path, path: Path, packed_bytes: int) -> None:
    """Unpack piece by piece, and no more than may be."""
    most = min(max(SMALL_BYTES, packed_bytes * MAX_RATIO), MAX_BYTES)
    done = 0
    with _written(to) as unpacked_file:
        while piece := file.read(PIECE_BYTES):
            done += len(piece)
            if done > most:
                raise AnnotationError(
                    path, f"unpacks to more than {most >> 20:,} MiB, as no annotations do"
                )
            try:
                unpacked_file.write(piece)
            except OSError as error:
                raise OutputError(to, error.strerror or str(error)) from error


@contextmanager
def _written(to: Path) -> Iterator[IO[bytes]]:
    try:
        file = to.open("wb")
    except OSError as error:
        raise OutputError(to, error.strerror or str(error)) from error
    with file:
        yield file


def _guess(path: Path) -> str:
    """Return the suffix of what is JSON or XML, by its first letter."""
    with path.open("rb") as file:
        first = file.read(64).lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n")[:1]
    return {b"<": ".xml", b"{": ".json", b"[": ".json"}.get(first, "")


@contextmanager
def _sentences(path: Path) -> Iterator[None]:
    damage = (
        *(gzip.BadGzipFile, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError),
        *(OSError, RuntimeError, ValueError, struct.error),
    )
    try:
        yield
    except (AnnotationError, OutputError):
        raise
    except damage as error:
        raise AnnotationError(path, f"cannot be unpacked: {error}") from error
