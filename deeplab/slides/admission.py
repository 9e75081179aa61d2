"""Which kinds of files are slides, and which further files each may be made of.

All readers come behind this gate. A kind is told by the first bytes of a file, so that no file
reaches a reader that was not meant for it: Pillow alone has forty, of which one runs Ghostscript.
Some kinds name the files that hold their pixels. A reader opens whatever stands there, and whoever
may upload a slide could read another patient's off the worker's disk. So the names are read here
first: a slide may be made of files in its own folder and below, for the kinds in `MADE_OF_SEVERAL`
only, and none of them may be a link that leads out.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tifffile

from deeplab.errors import SlideNotFoundError, UnreadableSlideError
from deeplab.slides.dicom import is_dicom
from deeplab.slides.faults import READ_FAULTS
from deeplab.slides.ome import parse_xml
from deeplab.slides.tiff_directories import walk_directories
from deeplab.slides.tiff_structure import check_structure

Kind = Literal["tiff", "picture", "mirax", "hamamatsu", "dicom", "zeiss", "sakura", "zarr"]

HEAD_BYTES = 4096
# First bytes, where they stand, and what they are the first bytes of.
MAGIC: tuple[tuple[bytes, int, Kind], ...] = (
    *((each, 0, "tiff") for each in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    *((each, 0, "picture") for each in (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM")),
    *((each, 0, "picture") for each in (b"GIF87a", b"GIF89a", b"P5", b"P6")),
    *((each, 0, "picture") for each in (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")),
    (b"WEBP", 8, "picture"),
    (b"PK\3\4", 0, "zarr"),
    (b"DICM", 128, "dicom"),
    (b"ZISRAWFILE", 0, "zeiss"),
    (b"SQLite format 3\0", 0, "sakura"),
)
HAMAMATSU = re.compile(rb"^\[(Uncompressed )?Virtual Microscope Specimen\]\s*$", re.MULTILINE)
ZARR = (".zgroup", ".zattrs", ".zarray", "zarr.json")
# Kinds of files that hold a small picture, or none, and name those with the pixels.
INDICES = {
    ".vsi": "an Olympus index: its pixels lie in .ets files, which are not read here",
    ".ndpis": "a list of NDPI files; give one of those",
    ".companion": "an OME index; give one of the OME-TIFF files that it lists",
}
MAX_INI_BYTES = 4 * 2**20  # of a Slidedat.ini or .vms; those of large slides have some 100 KB
MIRAX_NAMES = re.compile(rb"^[ \t]*(?:INDEXFILE|FILE_\d+)[ \t]*=[ \t]*(.*?)[ \t\r]*$", re.MULTILINE)
HAMAMATSU_NAMES = re.compile(
    rb"^[ \t]*(?:ImageFile[^=\n]*|MapFile|MacroImage|OptimisationFile)[ \t]*=[ \t]*(.*?)[ \t\r]*$",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """What a slide is by its content, and which files beside its own its reader may open."""

    kind: Kind
    parts: tuple[Path, ...] = ()


def admit(path: Path) -> Admitted:
    """Return what the slide at `path` is and what it may be made of.

    Raises:
        SlideNotFoundError: nothing is there.
        UnreadableSlideError: it is of no kind that is read here, or names what it must not.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            return _admit_folder(path)
        if not stat.S_ISREG(mode):
            raise UnreadableSlideError(path.name, "is neither a file nor a folder")
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except FileNotFoundError as error:
        raise SlideNotFoundError(path, "is not there") from error
    except OSError as error:
        raise UnreadableSlideError(path.name, f"cannot be read: {error.strerror}") from error
    if index := INDICES.get(path.suffix.lower()):
        raise UnreadableSlideError(path.name, f"is {index}")
    kind = _kind(path, head)
    return Admitted(kind=kind, parts=MADE_OF_SEVERAL.get(kind, _no_parts)(path))


def part(path: Path, name: str, *, folder: Path | None = None) -> Path:
    """Return the file that the slide at `path` calls `name`, seen from `folder`, else its own.

    Raises:
        UnreadableSlideError: that lies, or leads by a link, outside of the slide's own folder.
    """
    # A backslash is no separator here, but is one where the file may have been written.
    there = (folder or path.parent) / name.replace("\\", "/")
    if not _stays(path, there):
        raise UnreadableSlideError(
            path.name,
            f"names {name[:200]!r} as a part of it, which lies outside of its folder: no such file "
            "is opened",
        )
    return there


def _stays(path: Path, there: Path) -> bool:
    """Tell whether what is `there` lies in the folder of the slide at `path`, links followed.

    Raises:
        UnreadableSlideError: no file can be called so.
    """
    try:
        real = there.resolve()
        # Where the slide itself was given as a link, its parts may lie beside the real one.
        own = (path.parent.resolve(), path.resolve().parent)
    except (OSError, RuntimeError, ValueError) as error:
        raise UnreadableSlideError(path.name, f"names a file that cannot be: {error}") from error
    return any(real.is_relative_to(each) for each in own)


def _kind(path: Path, head: bytes) -> Kind:
    if path.suffix.lower() == ".mrxs":  # its content is that of a JPEG
        return "mirax"
    for magic, place, kind in MAGIC:
        if head.startswith(magic, place):
            return kind
    if HAMAMATSU.search(head):
        return "hamamatsu"
    raise UnreadableSlideError(path.name, "is not an image that can be read here, or it is damaged")


def _admit_folder(path: Path) -> Admitted:
    if any((path / name).is_file() for name in ZARR):
        for folder, folders, files in os.walk(path):
            for name in (*folders, *files):
                if os.path.islink(os.path.join(folder, name)):  # noqa: PTH114, PTH118  many chunks
                    part(path / ZARR[0], name, folder=Path(folder))
        return Admitted(kind="zarr")
    if series := _dicom_files(path / "DICOMDIR", path):
        return Admitted(kind="dicom", parts=series)
    raise UnreadableSlideError(path, "is a folder; give the slide's file")


def _no_parts(_: Path) -> tuple[Path, ...]:
    return ()


def _mirax_parts(path: Path) -> tuple[Path, ...]:
    folder = part(path, path.stem)
    if not (folder / "Slidedat.ini").is_file():
        raise UnreadableSlideError(
            path.name, f"needs its folder {path.stem} beside it; copy that as well"
        )
    named = _named(path, part(path, "Slidedat.ini", folder=folder), MIRAX_NAMES)
    return (folder / "Slidedat.ini", *(part(path, name, folder=folder) for name in named))


def _hamamatsu_parts(path: Path) -> tuple[Path, ...]:
    return tuple(part(path, name) for name in _named(path, path, HAMAMATSU_NAMES))


def _named(path: Path, index: Path, names: re.Pattern[bytes]) -> list[str]:
    """Return the files that the slide at `path` names in the lines of its `index`."""
    try:
        if index.stat().st_size > MAX_INI_BYTES:
            raise UnreadableSlideError(path.name, f"is damaged: {index.name} is too large")
        lines = index.read_bytes()
    except OSError as error:
        raise UnreadableSlideError(
            path.name, f"cannot be read: {index.name}: {error.strerror}"
        ) from error
    found = {each.decode("utf-8", "surrogateescape") for each in names.findall(lines)}
    return sorted(found - {""})


def _dicom_parts(path: Path) -> tuple[Path, ...]:
    return tuple(each for each in _dicom_files(path, path.parent) if each.name != path.name)


def _dicom_files(path: Path, folder: Path) -> tuple[Path, ...]:
    """Return the DICOM files in `folder`, among which readers look for the rest of a series.

    Raises:
        UnreadableSlideError: a link there leads out, which a reader would open to look.
    """
    files = sorted(each for each in folder.iterdir() if each.is_file())
    for each in files:
        if each.is_symlink() and not _stays(path, each):
            raise UnreadableSlideError(
                path.name,
                f"is DICOM and lies beside {each.name}, a link to a file outside of its folder: no "
                "such file is opened; give the series a folder of its own",
            )
    return tuple(each for each in files if is_dicom(each))


def _tiff_parts(path: Path) -> tuple[Path, ...]:
    check_structure(path, walk_directories(path))
    return _ome_parts(path)


def _ome_parts(path: Path) -> tuple[Path, ...]:
    """Return the further files of an OME-TIFF, if each says itself that it belongs to it.

    Single files name themselves as well, often by a name they no longer have; so a name of what is
    not there, or is another slide by its own word, is passed over.
    """
    own, named = _ome_names(path)
    there = [(uuid, part(path, name)) for uuid, name in named]
    others = {
        each: uuid
        for uuid, each in there
        if uuid != own and each.is_file() and not each.samefile(path)
    }
    whole = all(uuid and _ome_names(each)[0] == uuid for each, uuid in others.items())
    return tuple(others) if whole else ()


def _ome_names(path: Path) -> tuple[str | None, list[tuple[str | None, str]]]:
    """Return the identity of an OME-TIFF, and identities and names of the files that it names."""
    try:
        with tifffile.TiffFile(path, _multifile=False) as tiff:
            root = parse_xml(tiff.pages.first.description)
    except READ_FAULTS:
        return None, []
    named = [(each.text, each.get("FileName")) for each in root.iterfind(".//{*}TiffData/{*}UUID")]
    # Where the names would be found; that file is not followed.
    named += [(None, each.get("MetadataFile")) for each in root.iterfind(".//{*}BinaryOnly")]
    return root.get("UUID"), [(uuid, name) for uuid, name in named if name]


MADE_OF_SEVERAL: dict[Kind, Callable[[Path], tuple[Path, ...]]] = {
    "tiff": _tiff_parts,
    "mirax": _mirax_parts,
    "hamamatsu": _hamamatsu_parts,
    "dicom": _dicom_parts,
}
