"""What is known of a file format: how to tell, read and write it, and what it can carry."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from deeplab.annotations.glass import FindGlass
from deeplab.annotations.shapes import Annotations
from deeplab.config.convert_request import ObjectType
from deeplab.geometry.frames import Mpp

log = logging.getLogger(__name__)

IGNORE_LAYER = "ignore"
FindLabelImage = Callable[[str], Path | None]  # the file of an item of a server, if it is at hand


def not_at_hand(_girder_id: str) -> None:
    """No label image is."""


class Trait(StrEnum):
    """Something annotations have; the value is what a sentence calls it."""

    COLOURS = "the colours of layers"
    DESCRIPTIONS = "the descriptions of layers"
    EMPTY_LAYERS = "layers without shapes"
    HOLES = "holes"
    PARTS = "which parts are one object"
    MARKS = "points and lines"
    PROPERTIES = "the numbers and words of shapes"
    MPP = "the um per pixel"
    ATTRIBUTES = "where the annotations come from"
    OVERLAPS = "what lies under another shape"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How a file is read.

    Attributes:
        classes: names of the values or types 1, 2, ... where the file has numbers only.
        ignore: name of the layer of a label mask's value 255.
        beyond: where the values 0, 1, ... of a label mask without names are the classes, the label
            of one more than the last; None: they are 1, 2, ...
        spill: a folder to keep shapes in instead of memory; it must outlive the annotations.
        width_level0: of the slide, for a mask that is smaller than it; 0: not known.
        height_level0: of the slide.
        mpp: um per level-0 pixel of the slide, for the same.
        image: file name of the one to read, where a file is about several.
        slide: name of the slide, to choose by where a file is about several and `image` is "".
        slide_file: the slide, where it lies on the disk.
        glass: finds where its pixels lie on its glass, where it is on a server.
        label_image: finds the label image that a pixelmap is about.
    """

    classes: Sequence[str] = ()
    ignore: str = IGNORE_LAYER
    beyond: int | None = None
    spill: Path | None = None
    width_level0: int = 0
    height_level0: int = 0
    mpp: Mpp | None = None
    image: str = ""
    slide: str = ""
    slide_file: Path | None = None
    glass: FindGlass | None = None
    label_image: FindLabelImage = not_at_hand


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """How a file is written.

    Attributes:
        width_level0: of the slide; 0: as far as the annotations reach.
        height_level0: of the slide; 0: as far as the annotations reach.
        mask_mpp: um per pixel of a label mask; 0: those of level 0.
        object_type: what QuPath takes a shape for. Detections and cells are many and not edited.
    """

    width_level0: int = 0
    height_level0: int = 0
    mask_mpp: float = 0.0
    object_type: ObjectType = "annotation"

    def size_of(self, annotations: Annotations) -> tuple[int, int]:
        """Width and height of the slide, level-0 pixels, each at least 1."""
        right, bottom = self.width_level0, self.height_level0
        if not (right and bottom):
            for layer in annotations.layers:
                for shape in layer.shapes:
                    _, _, x, y = shape.polygon.bounds
                    right, bottom = max(right, math.ceil(x)), max(bottom, math.ceil(y))
        return max(right, 1), max(bottom, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One file format.

    Attributes:
        name: what people type.
        title: what people call it.
        suffixes: of its files, in small letters, the usual one first.
        read_only: suffixes of files that are read as it and never written.
        infix: what stands before the suffix in the names of its files; "": nothing.
        read: raises AnnotationError where the file is not what it claims to be.
        write: raises OutputError where the file cannot be written.
        carries: what of the annotations it keeps.
        json_keys: keys, of a JSON document or of the first entry of its list, that only it has.
        xml_root: the element an XML document of it begins with.
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    read: Callable[[Path, Reading], Annotations]
    write: Callable[[Path, Annotations, Writing], None]
    carries: frozenset[Trait]
    json_keys: frozenset[str] = frozenset()
    xml_root: str = ""
    read_only: tuple[str, ...] = ()
    infix: str = ""

    @property
    def is_text(self) -> bool:
        """Whether it is JSON or XML."""
        return bool(self.json_keys or self.xml_root)

    def has_suffix(self, suffix: str) -> bool:
        """Return whether files of a suffix, in small letters, may be read as it."""
        return suffix in (*self.suffixes, *self.read_only)

    def is_named(self, path: Path) -> bool:
        """Return whether a file says by its name, before the suffix, that it is of it."""
        return bool(self.infix) and path.stem.lower().endswith(self.infix)


def lost(annotations: Annotations, format_: Format) -> list[Trait]:
    """Return what `annotations` have and a file of this format cannot carry."""
    layers = annotations.layers
    # Asked for those only that would be lost: shapes may lie on a disk, and be a million.
    has: dict[Trait, Callable[[], bool]] = {
        Trait.DESCRIPTIONS: lambda: any(layer.description for layer in layers),
        Trait.EMPTY_LAYERS: lambda: any(not layer.shapes and not layer.marks for layer in layers),
        Trait.HOLES: lambda: any(shape.has_holes for layer in layers for shape in layer.shapes),
        Trait.PARTS: lambda: any(
            len(shape.parts) > 1 for layer in layers for shape in layer.shapes
        ),
        Trait.MARKS: lambda: any(layer.marks for layer in layers),
        Trait.PROPERTIES: lambda: any(
            shape.properties for layer in layers for shape in layer.shapes
        ),
        Trait.MPP: lambda: annotations.mpp is not None,
        Trait.ATTRIBUTES: lambda: bool(annotations.attributes),
        Trait.COLOURS: lambda: True,  # every layer has one
        Trait.OVERLAPS: lambda: True,  # shapes may always
    }
    return [each for each in Trait if each not in format_.carries and has[each]()]


def say_lost(annotations: Annotations, format_: Format, path: Path) -> None:
    """Say in the log what a file that is written does not hold of `annotations`."""
    missing = ", ".join(lost(annotations, format_))
    if missing:
        log.warning("%s: not in it, as %s cannot carry them: %s", path, format_.title, missing)
