"""Annotations from a file of any format that is read here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from deeplab.annotations.format import IGNORE_LAYER, Reading
from deeplab.annotations.formats import format_of
from deeplab.annotations.shapes import Annotations


def read_annotations(
    path: Path,
    *,
    classes: Sequence[str] = (),
    ignore: str = IGNORE_LAYER,
    spill: Path | None = None,
) -> Annotations:
    """The annotations in a file of any of `formats.FORMATS`, told by its suffix and content.

    Args:
        path: the file.
        classes: names of the values 1, 2, ... of a label mask.
        ignore: name of the layer of its value 255.
        spill: a folder to keep the shapes in instead of memory, where they may be millions.

    Raises:
        AnnotationError: the file is missing, of another kind, damaged or not what it claims to be.
    """
    return format_of(path).read(path, Reading(classes=classes, ignore=ignore, spill=spill))
