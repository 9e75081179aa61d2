"""Annotations from a file of any format that is read here, packed or not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from deeplab.annotations.formats.format import Format, Reading, Writing
from deeplab.annotations.formats.table import READ_SUFFIXES, format_of, format_to_write
from deeplab.annotations.formats.text_encoding import encoding_remark
from deeplab.annotations.formats.unpack import unpacked
from deeplab.annotations.shapes import Annotations
from deeplab.errors import AnnotationError


@dataclass(frozen=True, slots=True)
class FileRead:
    """What is in a file, and the format that it is in."""

    annotations: Annotations
    format: Format


def read_annotations(path: str | os.PathLike[str], reading: Reading = Reading()) -> Annotations:
    """Read what is in a file, as `read_file` does.

    Raises:
        AnnotationError, OutputError: as that.
    """
    return read_file(Path(path), reading).annotations


def write_annotations(
    path: str | os.PathLike[str], annotations: Annotations, writing: Writing = Writing()
) -> None:
    """Write a file in the format that its suffix says.

    Raises:
        AnnotationError: no format has this suffix, or it cannot carry what is to be written.
        OutputError: the disk is full or the folder cannot be written.
    """
    path = Path(path)
    format_to_write(path).write(path, annotations, writing)


def read_file(path: Path, reading: Reading = Reading(), *, known: Format | None = None) -> FileRead:
    """Read a file of any of `formats.FORMATS`, told by its suffix and content.

    Args:
        path: the file; one that is packed is unpacked meanwhile.
        reading: how.
        known: the format that it is in, where somebody said it.

    Raises:
        AnnotationError: the file is missing, of another kind, damaged or not what it claims to be.
        OutputError: there is no room to unpack it.
    """
    with opened(path, reading.slide) as file:
        form = known or format_of(file)
        annotations = form.read(file, reading)
        remark = encoding_remark(file) if form.is_text else ""
    remarks = (remark, *annotations.remarks) if remark else annotations.remarks
    if file.name not in (path.name, path.stem):  # packed under a name of its own
        remarks = tuple(f"{file.name}: {each}" for each in remarks)
    annotations = replace(annotations, remarks=remarks)
    return FileRead(annotations, form)


@contextmanager
def opened(path: Path, slide: str = "") -> Iterator[Path]:
    """The file to read, which is another one where `path` is packed; sentences are about `path`.

    Args:
        path: the file.
        slide: name of the slide that it is about.

    Raises:
        AnnotationError: as reading it does.
        OutputError: there is no room to unpack it.
    """
    with unpacked(path, slide, READ_SUFFIXES) as file:
        try:
            yield file
        except AnnotationError as error:
            if file == path or error.source != str(file):
                raise
            raise AnnotationError(f"{path} ({file.name})", error.problem) from error
