"""Zip and tar files from anywhere: looked at before anything of them is read."""

from __future__ import annotations

import gzip
import io
import lzma
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, cast

from deeplab.errors import BundleError, DeeplabError

MAX_MEMBERS = 10_000
MAX_BYTES = 4 * 2**30
# Weights do not compress below a half; text of a megabyte may, so small members are let pass.
MAX_RATIO = 100
SMALL_BYTES = 2**20
SMALL_TOTAL_BYTES = 64 * 2**20  # of all members together
MAX_HEADER_BYTES = 8 * 2**20  # of a tar file, where nothing else bounds what is read of them
MAX_NAME_BYTES = 200  # of one step of a path; file systems take 255
PIECE_BYTES = 2**20
DRIVE = re.compile("[A-Za-z]:")  # on Windows; TensorFlow's own names end in ":0"
ZIP, GZIP, TAR = b"PK", b"\x1f\x8b", b"ustar"
# What zipfile, tarfile, what unpacks for them and JSON raise on what is cut short, altered or made
# up. NotImplementedError, of ways to pack that nobody can read, is a RuntimeError, too.
DAMAGED = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error, EOFError),
    *(ValueError, LookupError, OverflowError, RuntimeError, MemoryError, TypeError, AttributeError),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """The files in a zip or tar.

    Attributes:
        path: What errors call it by.
        sizes: Bytes of each file, unpacked, by its name; folders are not listed.
    """

    path: Path
    sizes: Mapping[str, int]
    _open: Callable[[str], IO[bytes]]

    def read(self, name: str, limit_bytes: int) -> bytes:
        """Return the content of a file.

        Raises:
            BundleError: it is longer than that, or damaged.
        """
        if self.sizes[name] > limit_bytes:
            raise BundleError(self.path, f"has a {name} of more than {limit_bytes / 2**20:g} MiB")
        with damage_said(self.path), self._open(name) as source:
            content = source.read(self.sizes[name])
            source.read(1)  # where a check sum is compared
            if len(content) != self.sizes[name]:
                raise EOFError(f"{name} is cut short")
        return content

    def copy(self, name: str, target: Path) -> None:
        """Write a file of the archive to disk.

        Raises:
            BundleError: it is damaged.
            OSError: `target` cannot be written.
        """
        with target.open("wb") as file:
            for piece in self._pieces(name):
                file.write(piece)

    def _pieces(self, name: str) -> Iterator[bytes]:
        # What is raised while a piece is written is of the disk that it goes to, and passes by.
        with damage_said(self.path), self._open(name) as source:
            while piece := source.read(PIECE_BYTES):
                yield piece


@contextmanager
def open_archive(path: Path, *, most_members: int = MAX_MEMBERS) -> Iterator[Archive]:
    """A zip, or a tar packed by gzip or not, of plain files with relative names and bounded sizes.

    Args:
        path: of it.
        most_members: files and folders that it may have; a tar no more than `MAX_MEMBERS`.

    Raises:
        BundleError: it is missing, neither, damaged, or has a member that no model has.
    """
    with damage_said(path):
        kind = archive_kind(path)
    if kind == "tar":
        with _unpacked(path) as stream:
            yield _tar(path, stream)
        return
    if kind != "zip":
        raise BundleError(path, "is no model, which is a zip, and no other file that is taken")
    with damage_said(path):
        zipped = zipfile.ZipFile(path)
    with zipped:
        yield _zip(path, zipped, most_members)


def archive_kind(path: Path) -> str:
    """Return "zip", "tar" (packed by gzip or not), "gzip" of something else, or "".

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(512)
    if head.startswith(ZIP):
        return "zip"
    if head[257:].startswith(TAR):
        return "tar"
    if not head.startswith(GZIP):
        return "zip" if zipfile.is_zipfile(path) else ""
    try:
        with gzip.open(path) as unpacked:
            return "tar" if unpacked.read(512)[257:].startswith(TAR) else "gzip"
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return "tar"  # damaged, as whoever opens it will say


@contextmanager
def damage_said(path: Path) -> Iterator[None]:
    """Turn what readers of zip, tar and JSON raise on damaged files into one kind of sentence.

    Raises:
        BundleError: whatever they raised.
    """
    try:
        yield
    except DeeplabError:
        raise
    except FileNotFoundError as error:
        raise BundleError(path, "does not exist") from error
    except NotImplementedError as error:
        problem = f"is packed in a way that cannot be read ({_brief(error)}); make a usual zip"
        raise BundleError(path, problem) from error
    except OSError as error:
        if error.strerror:
            raise BundleError(path, f"cannot be read: {error.strerror}") from error
        raise BundleError(path, _damaged(error)) from error
    except DAMAGED as error:
        raise BundleError(path, _damaged(error)) from error


def _damaged(error: Exception) -> str:
    return f"is damaged or was not copied whole; upload it again ({_brief(error)})"


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:100] or type(error).__name__


@contextmanager
def _unpacked(path: Path) -> Iterator[IO[bytes]]:
    """A tar without the gzip around it."""
    with path.open("rb") as file:
        is_packed = file.read(len(GZIP)) == GZIP
        file.seek(0)
        if not is_packed:
            yield file
            return
        with gzip.GzipFile(fileobj=file) as unpacked:
            yield cast("IO[bytes]", unpacked)


def _zip(path: Path, archive: zipfile.ZipFile, most_members: int) -> Archive:
    members = archive.infolist()
    for member in members:
        if problem := _problem(member.filename) or _packing_problem(member):
            raise _refusal(path, member.filename, problem)
    packed = sum(member.compress_size for member in members)
    sizes = [(member.filename, member.file_size) for member in members]
    return Archive(path=path, sizes=_checked(path, sizes, packed, most_members), _open=archive.open)


def _packing_problem(member: zipfile.ZipInfo) -> str:
    """Return what is wrong with how a member of a zip is packed, or nothing."""
    if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device"
    if member.flag_bits & 1:
        return "is encrypted"
    if member.file_size > SMALL_BYTES and member.file_size > MAX_RATIO * member.compress_size:
        return "is compressed more than weights can be"
    return ""


def _tar(path: Path, packed: IO[bytes]) -> Archive:
    """Return the files of a tar; its headers are read to the end of it once."""
    size = path.stat().st_size
    with damage_said(path):
        stream = _Bounded(packed, _most_bytes(size))
        archive = tarfile.open(fileobj=stream, mode="r:")  # noqa: SIM115  closed with `packed`
        members: dict[str, tarfile.TarInfo] = {}
        sizes: list[tuple[str, int]] = []
        for member in archive:
            name = member.name.removeprefix("./") + "/" * member.isdir()
            problem = "" if name in ("/", "./") else _problem(name)
            if not (member.isreg() or member.isdir()) or member.issparse() or member.size < 0:
                problem = "is a link or a device"
            if problem:
                raise _refusal(path, name, problem)
            members[name] = member
            sizes.append((name, member.size))
            if len(sizes) > MAX_MEMBERS:
                break
        stream.is_scanned = True

    def opened(name: str) -> IO[bytes]:
        file = archive.extractfile(members[name])
        if file is None:  # it would be a link, of which there are none
            raise KeyError(name)
        return file

    return Archive(path=path, sizes=_checked(path, sizes, size), _open=opened)


class _Bounded(io.RawIOBase):
    """A tar, of which a header may ask for any number of bytes, at any place.

    Args:
        packed: The file itself, unpacked by gzip.
        most_bytes: How long it may be.

    Attributes:
        is_scanned: All headers were read; until then nothing but they is, and only onwards.
    """

    def __init__(self, packed: IO[bytes], most_bytes: int) -> None:
        self._packed, self._most_bytes = packed, most_bytes
        self._header_bytes = 0
        self.is_scanned = False

    def read(self, size: int | None = -1) -> bytes:
        size = -1 if size is None else size
        self._header_bytes += 0 if self.is_scanned else size
        if not 0 <= size <= MAX_HEADER_BYTES or self._header_bytes > MAX_HEADER_BYTES:
            raise tarfile.ReadError("a header is too long")
        content = self._packed.read(size)
        self._check(self.tell())
        return content

    def seek(self, place: int, whence: int = 0) -> int:
        if whence:
            raise tarfile.ReadError("a place that is not from the beginning")
        if not self.is_scanned and place < self.tell() - 1:
            raise tarfile.ReadError("a header leads back")
        self._check(place)
        return self._packed.seek(place)

    def tell(self) -> int:
        return self._packed.tell()

    def _check(self, place: int) -> None:
        if place > self._most_bytes:
            raise tarfile.ReadError("it would unpack to far more than weights can")


def _most_bytes(packed: int) -> int:
    """Return how many bytes an archive of `packed` bytes may have unpacked."""
    return min(MAX_BYTES, SMALL_TOTAL_BYTES + MAX_RATIO * packed)


def _checked(
    path: Path, sizes: Iterable[tuple[str, int]], packed: int, most_members: int = MAX_MEMBERS
) -> dict[str, int]:
    """Return the sizes of the files by name, without the folders.

    Raises:
        BundleError: they are too many or too large, or two would take one place.
    """
    sizes = list(sizes)
    if len(sizes) > most_members:
        raise BundleError(path, f"has {len(sizes)} files inside; at most {most_members:,} are read")
    total = sum(size for _, size in sizes)
    if total > MAX_BYTES:
        raise BundleError(path, "would unpack to more than 4 GiB; no model is that large")
    if total > _most_bytes(packed):
        raise BundleError(path, "is compressed more than weights can be")
    files = {name: size for name, size in sizes if not name.endswith("/")}
    folders = {str(folder) for name in files for folder in PurePosixPath(name).parents}
    if len({name for name, _ in sizes}) != len(sizes) or folders & files.keys():
        raise BundleError(path, "has two files of the same name inside")
    return files


def _refusal(path: Path, name: str, problem: str) -> BundleError:
    return BundleError(path, f"is refused: its file {name[:100]!r} {problem}")


def _problem(name: str) -> str:
    """Return what is wrong with the name of a member, or nothing."""
    parts = PurePosixPath(name).parts
    if not parts or not name.isprintable():
        return "has no name that a file can have"
    if (
        any(len(part.encode(errors="replace")) > MAX_NAME_BYTES for part in parts)
        or len(parts) > 50
    ):
        return "has a name that is too long"
    if parts[0].startswith("/") or ".." in parts or "\\" in name or DRIVE.match(name):
        return "points outside of the zip"
    return ""
