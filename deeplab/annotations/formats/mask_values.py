"""What the pixels of a label mask say: one value each, and what a value stands for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeplab.annotations.formats.format import IGNORE_LAYER, Reading
from deeplab.annotations.raster.rasterize import Labels
from deeplab.config.classes import IGNORE, PALETTE
from deeplab.errors import AnnotationError
from deeplab.label_map import LabelRow, LabelTable
from deeplab.report.words import counted

GREY = (128, 128, 128)
CHANNELS = (1, 2, 3, 4)  # grey or colours, each with or without opacity
WHITE = 128  # and above: a grey value of a picture rather than the number of a class
ALMOST_WHITE = 240  # to 254: several of them are the noise of white
MOST_VALUES = 32  # of a mask that does not name them; the noise of a picture has more
FARTHEST = 1 << 53  # from 0; up to here fractions tell one whole number from the next
NAMED = 5  # values that a sentence names

Pixels = NDArray[Any]  # (height, width, channels) of any type of numbers
ValuesOf = Callable[[Pixels, Path], NDArray[Any]]  # the values (height, width) of pixels


class ValueReader:
    """Takes the pixels of one mask for labels, piece after piece.

    Colours are grey where all are alike, what is transparent is 0. A value above 255 that is the
    only one of the mask beside 0 becomes 255, as white of more than 8 bits.

    Attributes:
        white: that value, as far as it was met; 0: none was.
    """

    def __init__(self) -> None:
        self.white = 0
        self._low = False  # whether a value from 1 to 255 was met

    def __call__(self, pixels: Pixels, path: Path) -> Labels:
        """The labels of pixels (height, width, channels), uint8 (height, width).

        Raises:
            AnnotationError: they are coloured, or a value is below 0, above 255 or no whole number.
        """
        values = grey(pixels, path)
        if values.dtype.kind == "f":
            values = _whole(values, path)
        if values.dtype.itemsize > 1 or values.dtype.kind == "i":
            values = self._narrow(values, path)
        return np.ascontiguousarray(values).astype(np.uint8, copy=False)

    def _narrow(self, values: Pixels, path: Path) -> Pixels:
        low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
        if low < 0:
            raise AnnotationError(path, f"holds the value {low}; labels go from 0 to 255")
        if high <= IGNORE and not self.white:
            self._low = self._low or high > 0
            return values
        self.white = self.white or high
        if self._low or not np.isin(values, (0, self.white)).all():
            raise AnnotationError(
                path,
                f"holds the value {self.white} beside others; labels go from 0 to 255, one for a"
                " class. If it numbers objects, call it NAME.instances.tif or .png",
            )
        return np.where(values, IGNORE, 0)


def _whole(values: Pixels, path: Path) -> Pixels:
    """Return whole numbers that are kept as fractions, as ImageJ does in 32 bits, as int64."""
    low, high = values.min(initial=0), values.max(initial=0)
    if not (low > -FARTHEST and high < FARTHEST) or (np.rint(values) != values).any():
        raise AnnotationError(
            path, f"has pixels of type {values.dtype.name} with fractions; labels are whole numbers"
        )
    return values.astype(np.int64)


@dataclass(frozen=True, slots=True)
class Meanings:
    """What the values of a mask stand for: a row each, and what is to be said of it."""

    rows: tuple[LabelRow, ...]
    remarks: tuple[str, ...] = ()


def meanings_of(
    table: LabelTable | None, present: set[int], reading: Reading, path: Path, *, white: int = 0
) -> Meanings:
    """Return a row for each value that is there or named, those of the table first.

    Without a table a mask of 0 and one other value is one class, whatever the value. 255 is what is
    ignored beside other values, where several classes are named, or where the layer to be ignored
    has a name that somebody gave it.

    Args:
        table: of the mask, where it has one.
        present: the values of its pixels.
        reading: names the values where there is no table.
        path: of the mask, for sentences.
        white: what 255 is in the file, where it has more than 8 bits; 0: that.

    Raises:
        AnnotationError: the values are those of a picture.
    """
    values = sorted(present - {0})
    if table:
        rows = {row.value: row for row in table.rows}
        for value in values:
            rows.setdefault(value, _row(value, reading, named=False))
        return Meanings(tuple(rows.values()))
    named = range(1, len(reading.classes) + 1)
    _check_are_labels(values, named, path)
    alone = _name_alone(values, reading)
    if alone:
        (value,) = values
        stored = (white or IGNORE) if value == IGNORE else value
        said = (
            f"the value {stored} is taken for {alone}, as it is the only one of the mask beside 0"
        )
        return Meanings((LabelRow(value, alone, PALETTE[0]),), (said,))
    rows = {n: _row(n, reading, named=n in named) for n in sorted({*values, *named})}
    return Meanings(tuple(rows.values()), tuple(_remarks(values, named, reading, white or IGNORE)))


def from_zero(values: Labels, reading: Reading, path: Path) -> Labels:
    """Return labels uint8 (height, width) of a mask whose values 0, 1, ... are the classes.

    The value after those is `reading.beyond`, 255 what is ignored; as pseudo masks are published.

    Raises:
        AnnotationError: there is another value.
    """
    count = len(reading.classes)
    label_of = np.full(IGNORE + 1, IGNORE, np.uint8)
    label_of[:count] = np.arange(1, count + 1)
    label_of[count] = reading.beyond or 0
    strange = np.unique(values[(values > count) & (values != IGNORE)])
    if strange.size:
        raise AnnotationError(
            path,
            f"holds the value {strange[0]}; 0 to {count - 1} are the classes "
            f"({', '.join(reading.classes)}) and {count} is none of them",
        )
    return label_of[values]


def meanings_from_zero(present: set[int], reading: Reading) -> Meanings:
    """Return a row for each class, and one for what is ignored where that is there.

    Args:
        present: labels, as `from_zero` gives them.
        reading: names the classes.
    """
    named = range(1, len(reading.classes) + 1)
    return Meanings(
        tuple(_row(n, reading, named=n in named) for n in sorted({*present, *named} - {0}))
    )


def _name_alone(values: Sequence[int], reading: Reading) -> str:
    """Return what the only value of a mask is called; "": as numbers are."""
    classes = reading.classes
    if len(values) != 1 or values[0] <= len(classes) or len(classes) > 1:
        return ""
    if values[0] == IGNORE and reading.ignore != IGNORE_LAYER:
        return ""  # somebody has said what is to be ignored
    if classes:
        return classes[0]
    return "class 1" if values[0] >= WHITE else ""


def _row(value: int, reading: Reading, *, named: bool) -> LabelRow:
    if named:
        return LabelRow(value, reading.classes[value - 1], PALETTE[(value - 1) % len(PALETTE)])
    if value == IGNORE:
        return LabelRow(value, reading.ignore, GREY)
    return LabelRow(value, f"class {value}", PALETTE[(value - 1) % len(PALETTE)])


def _remarks(values: Sequence[int], named: range, reading: Reading, white: int) -> Iterator[str]:
    if IGNORE in values and IGNORE not in named:
        why = "more than one class"
        if len(values) > 1:
            why = "another value"
        elif len(named) <= 1:
            why = "a layer of that name to ignore"
        yield (
            f"the value {white} is taken for {reading.ignore}, which is neither learnt from nor"
            f" judged, as there is {why}; if it is a class, give it the number of that"
        )
    others = [value for value in values if value not in named and value != IGNORE]
    if named and others:
        shown = ", ".join(map(str, others[:NAMED])) + (", ..." if len(others) > NAMED else "")
        yield f"{counted(len(others), 'value')} without the name of a class: {shown}"


def _check_are_labels(values: Sequence[int], named: range, path: Path) -> None:
    """Raise AnnotationError where values are shades, as of a picture under JPEG or made smaller.

    White beside values of which none is a class is that of a mask of 0 and 255 with soft edges.
    """
    strange = [value for value in values if value not in named and value != IGNORE]
    has_soft_edges = named and IGNORE in values and len(strange) == len(values) - 1 > 0
    are_many = len(strange) > MOST_VALUES
    if not has_soft_edges and not are_many and sum(map(ALMOST_WHITE.__le__, strange)) < 2:
        return
    shown = ", ".join(map(str, values[:NAMED])) + (", ..." if len(values) > NAMED else "")
    raise AnnotationError(
        path,
        f"holds {len(values)} values ({shown}) and does not say of which classes: shades of a"
        " picture, or numbers of objects. Save it without JPEG and without smoothing, one value for"
        " a class, or call it NAME.instances.tif or .png if each value is one object",
    )


def grey(pixels: Pixels, path: Path) -> Pixels:
    """Return one value a pixel (height, width) of grey or equal colours; where it is clear, 0."""
    channels = pixels.shape[2]
    colours = pixels[:, :, : channels - 1] if channels in (2, 4) else pixels
    values = colours[:, :, 0]
    if colours.shape[2] > 1 and not (colours == colours[:, :, :1]).all():
        raise AnnotationError(
            path,
            f"is a picture of {channels} channels in colours, not a mask: each class must be one"
            " number, the same in all channels",
        )
    if channels in (2, 4):
        return np.where(pixels[:, :, -1] > 0, values, 0).astype(values.dtype)
    return values
