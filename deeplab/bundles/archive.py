"""Zip files from anywhere: looked at before anything of them is read."""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from deeplab.errors import BundleError

MAX_MEMBERS = 10_000
MAX_BYTES = 4 * 2**30
# Weights do not compress below a half; text of a megabyte may, so small members are let pass.
MAX_RATIO = 100
SMALL_BYTES = 2**20


@contextmanager
def open_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """A zip whose members are plain files with relative names and bounded sizes.

    Raises:
        BundleError: it is missing, no zip, damaged, or has a member that no model has.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check(archive, path)
            yield archive
    except FileNotFoundError as error:
        raise BundleError(path, "does not exist") from error
    except zipfile.BadZipFile as error:
        raise BundleError(path, "is not a zip file, or is damaged; upload it again") from error
    except (OSError, EOFError, NotImplementedError, zlib.error) as error:
        raise BundleError(path, f"cannot be read: {error}") from error


def _check(archive: zipfile.ZipFile, path: Path) -> None:
    members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        raise BundleError(path, f"has {len(members)} files inside; a model has at most 10,000")
    if sum(member.file_size for member in members) > MAX_BYTES:
        raise BundleError(path, "would unpack to more than 4 GiB; no model is that large")
    if len({member.filename for member in members}) != len(members):
        raise BundleError(path, "has two files of the same name inside")
    for member in members:
        problem = _problem(member)
        if problem:
            raise BundleError(path, f"is refused: its file {member.filename[:100]!r} {problem}")


def _problem(member: zipfile.ZipInfo) -> str:
    """What is wrong with a member, or nothing."""
    name = PurePosixPath(member.filename)
    if name.is_absolute() or ".." in name.parts or "\\" in member.filename or ":" in name.parts[0]:
        return "points outside of the zip"
    mode = member.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device"
    if member.flag_bits & 1:
        return "is encrypted"
    if member.file_size > SMALL_BYTES and member.file_size > MAX_RATIO * member.compress_size:
        return "is compressed more than weights can be"
    return ""
