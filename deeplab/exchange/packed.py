"""Files of slides: one as it is, several in a zip, which is the same for the same content."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

from deeplab.annotations.formats.format import Format, Reading, Writing, say_lost
from deeplab.annotations.formats.girder_json import read_girder_json
from deeplab.annotations.formats.table import FORMATS
from deeplab.files import safe_name, scratch_folder

ZIP = ".zip"
EPOCH = (1980, 1, 1, 0, 0, 0)  # the time of all files in a zip: the same content is the same zip
READABLE = 0o644 << 16  # rights of a file, where a zip keeps them
PIECE_BYTES = 1 << 20


def pack(archive: zipfile.ZipFile, path: Path, name: str) -> None:
    """Put a file into a zip, piece by piece, under a name that is safe."""
    entry = zipfile.ZipInfo(name, EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = 3  # the same wherever it is made
    entry.external_attr = READABLE
    with path.open("rb") as file, archive.open(entry, "w", force_zip64=True) as to:
        shutil.copyfileobj(file, to, PIECE_BYTES)


def write_all(to: Path, files: Sequence[tuple[str, Path]], form: Format, *, called: Path) -> None:
    """Write a zip of files, each called after its slide and numbered, as names may be alike.

    Where `to` is not called a zip it becomes the first file, of the one slide there is, in another
    format; the files are HistomicsUI's.

    Args:
        to: what is written, which may be a draft.
        files: of annotations, each with the name of its slide.
        form: of that one file.
        called: what the result is called, for sentences.

    Raises:
        AnnotationError: the layers cannot be of that format.
    """
    if to.suffix.lower() != ZIP:
        _write_one(to, files[0][1], form, called)
        return
    with zipfile.ZipFile(to, "w") as archive:
        for number, (slide, path) in enumerate(files, start=1):
            pack(archive, path, f"{number:02d} {safe_name(slide)}{path.suffix}")


def _write_one(to: Path, file: Path, form: Format, called: Path) -> None:
    if form is FORMATS[0]:
        shutil.copyfile(file, to)
        return
    with scratch_folder() as spill:
        annotations = read_girder_json(file, Reading(spill=spill))
        form.write(to, annotations, Writing())
        say_lost(annotations, form, called)
