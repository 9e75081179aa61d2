"""DICOM: one slide is a series of files, a level each, with a label and an overview among them."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from deeplab.errors import UnreadableSlideError
from deeplab.slides.faults import READ_FAULTS

PREAMBLE_BYTES, MAGIC = 128, b"DICM"
SYNTAX = "TransferSyntaxUID"
BYTE = "8"  # bits
FEW_FILES = 16  # of a folder that are looked at to tell whether it is a series
WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
# What OpenSlide decodes: not compressed, JPEG and JPEG 2000.
SYNTAXES = (
    *("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.50"),
    *("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"),
)
REWRITE = "write it anew with JPEG, as wsidicomizer does"


def is_dicom(path: Path) -> bool:
    """Tell whether a file begins as DICOM does."""
    try:
        with path.open("rb") as file:
            return file.read(PREAMBLE_BYTES + len(MAGIC))[PREAMBLE_BYTES:] == MAGIC
    except OSError:
        return False


def holds_dicom(folder: Path) -> bool:
    """Tell whether the files of a folder, some of the first, are DICOM."""
    try:
        files = sorted(each for each in folder.iterdir() if each.is_file())[:FEW_FILES]
    except OSError:
        return False
    return any(map(is_dicom, files))


def series_of(path: Path) -> str:
    """Return the number of the series that a file belongs to; "" where it states none."""
    return _read(path, ["SeriesInstanceUID"]).get("SeriesInstanceUID", "")


def one_of_each_series(paths: Iterable[Path], preferred: Sequence[Path] = ()) -> list[Path]:
    """Return `paths` without further files of a series: a preferred one stays, else the first.

    What is no DICOM stays as well.
    """
    there = list(paths)
    kept: dict[str, Path] = {}
    for path in [*(p for p in there if p in preferred), *there]:
        series = series_of(path) if path.is_file() and is_dicom(path) else ""
        kept.setdefault(series or str(path), path)
    chosen = set(kept.values())
    return [path for path in there if path in chosen]


def files_of_one_series(folder: Path, files: Sequence[Path]) -> Sequence[Path]:
    """Return those of a folder's DICOM files that are a series, the largest first.

    Raises:
        UnreadableSlideError: there are several series, or none.
    """
    by_series: dict[str, list[Path]] = {}
    for path in files:
        if series := series_of(path):
            by_series.setdefault(series, []).append(path)
    if not by_series:
        raise UnreadableSlideError(folder, "is a folder of DICOM files, none of which is a slide")
    if len(by_series) > 1:
        examples = " or ".join(sorted(min(paths).name for paths in by_series.values())[:3])
        raise UnreadableSlideError(
            folder, f"holds {len(by_series)} DICOM series; give a file of one, as {examples}"
        )
    return sorted(next(iter(by_series.values())), key=lambda path: -path.stat().st_size)


def why_unreadable(path: Path) -> str:
    """Return the end of a sentence on a DICOM file that the reader does not take."""
    head = _read(path, ["SOPClassUID", "PhotometricInterpretation", "BitsAllocated"])
    kind, syntax = head.get("SOPClassUID", WHOLE_SLIDE), head.get(SYNTAX, SYNTAXES[0])
    if kind != WHOLE_SLIDE:
        return f"is DICOM, but no slide: {_named(kind)}; give a file of a whole-slide series"
    if syntax not in SYNTAXES:
        return f"is compressed by {_named(syntax)}, which cannot be read here; {REWRITE}"
    colours, bits = head.get("PhotometricInterpretation", ""), head.get("BitsAllocated", BYTE)
    if colours.startswith("MONOCHROME") or bits != BYTE:
        return f"has pixels of {bits} bits, {colours}, which are not read here; {REWRITE}, in RGB"
    return (
        "is DICOM that cannot be read here: its series is not whole, or it is damaged; copy all "
        "files of its series into a folder"
    )


def _named(uid: str) -> str:
    import pydicom  # noqa: PLC0415  0.3 s, and only DICOM needs it

    name = pydicom.uid.UID(uid).name
    return uid if name == uid else f"{name} ({uid})"


def _read(path: Path, tags: list[str]) -> Mapping[str, str]:
    """Return what a file states of itself as texts; nothing where it is too damaged to tell."""
    import pydicom  # noqa: PLC0415  0.3 s, and only DICOM needs it

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is odd, people get one sentence instead
            dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=tags)
            # Values are looked at, and warned of, when they are asked for.
            stated = {tag: str(dataset.get(tag)) for tag in tags if tag in dataset}
            return {SYNTAX: str(dataset.file_meta.TransferSyntaxUID), **stated}
    except (pydicom.errors.InvalidDicomError, pydicom.errors.BytesLengthException):
        return {}
    except READ_FAULTS:
        return {}
