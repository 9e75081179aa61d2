"""What the readers of all formats share: limits, sentences, and shapes gathered into layers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sized
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Self

import numpy as np
import shapely
from numpy.typing import NDArray

from deeplab.annotations.formats.format import Reading
from deeplab.annotations.mending import TANGLED, Mended, MendingTally, mend, tangled
from deeplab.annotations.shapes import Annotations, Area, Layer, Mark, Property, Shape
from deeplab.annotations.store import Store, store
from deeplab.config.classes import PALETTE, Rgb, parse_colour
from deeplab.errors import AnnotationError, ConfigError
from deeplab.geometry.frames import Mpp

FARTHEST = 1e8  # level-0 pixels; the largest slides have about 1e6
NAMED = 3  # of what cannot be used
MOST_KINDS = 20  # of what is neither shape nor mark, which are counted each
SHOWN, SHOWN_VALUES = 40, 4  # characters and elements of a value in a sentence
LARGE = 1e300  # what may not be a float
LONGEST_PROBLEM = 200  # characters of what is wrong with one thing
LONGEST = 100  # characters of the name of a kind
CURVE_ERROR = 0.25  # level-0 pixels between an ellipse and the polygon that stands for it


def check_is_file(path: Path) -> int:
    """Return the bytes of a file that a user gave.

    Raises:
        AnnotationError: it is missing, empty or a folder.
    """
    try:
        size = path.stat().st_size
    except FileNotFoundError as error:
        raise AnnotationError(path, "there is no such file") from error
    except OSError as error:
        raise AnnotationError(path, f"cannot be read: {error.strerror or error}") from error
    if not path.is_file():
        raise AnnotationError(path, "is a folder, not a file of annotations")
    if size == 0:
        raise AnnotationError(path, "the file is empty")
    return size


def number(value: object, what: str, source: str | Path) -> float:
    """Return a finite number that can be a place or size on a slide, level-0 pixels.

    Raises:
        AnnotationError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise AnnotationError(source, f"{what} is {shown(value)}, not a number")
    # Compared before it is converted: a whole number may be too large for a float.
    if not -FARTHEST <= value <= FARTHEST:
        raise AnnotationError(source, f"{what} is {shown(value)}, which is not on a slide")
    return float(value)


def coordinates(value: object, what: str, source: str | Path) -> NDArray[np.float64]:
    """Points [x, y] or [x, y, z] as float64 (points, 2); none of an empty list.

    Raises:
        AnnotationError: they are something else.
    """
    if not isinstance(value, list) or not all(isinstance(point, list) for point in value):
        raise AnnotationError(source, f"{what} is not a list of points [x, y] or [x, y, z]")
    if not value:
        return np.zeros((0, 2))
    lengths = set(map(len, value))
    if len(lengths) > 1:
        raise AnnotationError(source, f"{what} has points of different lengths")
    if not lengths <= {2, 3}:
        raise AnnotationError(source, f"{what} is not a list of points [x, y] or [x, y, z]")
    # Looked at before there is an array, whose elements would all be as long as the longest text.
    if not set(map(type, chain.from_iterable(value))) <= {int, float}:
        raise AnnotationError(source, f"{what} has a point that is not a number")
    try:
        flat = np.array(value, np.float64)[:, :2]
    except OverflowError as error:
        raise AnnotationError(source, f"{what} has a point that is not on a slide") from error
    if not (np.abs(flat) <= FARTHEST).all():
        raise AnnotationError(source, f"{what} has a point that is not on a slide")
    return flat


def browser_colour(value: object) -> Rgb | None:
    """A colour as browsers write it, opacity left out; None where it is missing or strange."""
    if not isinstance(value, str):
        return None
    if value.startswith("#") and len(value) in (5, 9):
        value = value[:4] if len(value) == 5 else value[:7]
    try:
        return parse_colour(value)
    except ConfigError:
        return None


def ellipse(
    x: float, y: float, radius_x: float, radius_y: float, rotation: float = 0.0
) -> shapely.Polygon:
    """Return an ellipse as a polygon.

    Args:
        x: of the centre, like all lengths here in level-0 pixels.
        y: of the centre.
        radius_x: half its width.
        radius_y: half its height.
        rotation: radians, from the x axis towards the y axis.
    """
    radius = max(radius_x, radius_y, 1.0)
    steps = math.ceil(math.pi / math.acos(1 - min(CURVE_ERROR / radius, 1)))
    angle = np.linspace(0, 2 * np.pi, min(max(steps, 16), 1024), endpoint=False)
    return turned(
        np.column_stack([radius_x * np.cos(angle), radius_y * np.sin(angle)]), x, y, rotation
    )


def rectangle(
    x: float, y: float, width: float, height: float, rotation: float = 0.0
) -> shapely.Polygon:
    """Return a rectangle round the centre (x, y), turned like an ellipse."""
    corner = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    return turned(corner * (width / 2, height / 2), x, y, rotation)


def turned(points: NDArray[np.float64], x: float, y: float, rotation: float) -> shapely.Polygon:
    """Points round the origin, turned by `rotation` radians and moved to (x, y)."""
    cos, sin = math.cos(rotation), math.sin(rotation)
    return shapely.Polygon(points @ np.array([[cos, sin], [-sin, cos]]) + (x, y))


class LayerGatherer:
    """Puts shapes together by layer name, in the order in which the names first come.

    Args:
        source: what they are read from, for sentences.
        spill: a folder to keep them in instead of memory; it must outlive what is gathered.
    """

    def __init__(self, source: str | Path, *, spill: Path | None = None) -> None:
        self.spill = spill
        self.source = source
        self._shapes: dict[str, Store[Shape]] = {}
        self._marks: dict[str, Store[Mark]] = {}
        self._colours: dict[str, Rgb] = {}
        self._descriptions: dict[str, str] = {}
        self._skipped: Counter[str] = Counter()
        self._said: dict[str, None] = {}
        self._unusable = 0
        self._problems: list[str] = []  # of the first of these
        self._mending = MendingTally()

    @classmethod
    def of(cls, path: Path, reading: Reading) -> Self:
        """Return one for what is read from a file."""
        return cls(path, spill=reading.spill)

    def open(self, name: str, colour: Rgb | None = None, description: str = "") -> None:
        """Makes a layer known, with or without shapes; what was said of it first stays."""
        if name not in self._shapes:
            self._shapes[name] = store(Shape, self.spill)
            self._marks[name] = store(Mark, self.spill)
        if colour:
            self._colours.setdefault(name, colour)
        if description:
            self._descriptions.setdefault(name, description)

    def add(
        self,
        name: str,
        drawn: Area,
        properties: Mapping[str, Property] | None = None,
        *,
        cut: Callable[[Area], Mended] | None = None,
    ) -> None:
        """Put one object into a layer that is open; outlines that cross are mended, not parted.

        Args:
            name: of the layer.
            drawn: its outline, or outlines that are one object together.
            properties: of the object.
            cut: takes what is excluded out of it.
        """
        mended = mend(drawn)
        if cut and mended.area:
            mended = mended.then(cut(mended.area))
        if mended.area:
            self._mending.add(mended)
            self._shapes[name].append(Shape(mended.area, properties or {}))
        elif mended.refusal == TANGLED:
            self.leave_out(f"{tangled(drawn)} (in {name!r})")
        else:
            self.skip(mended.refusal)

    def mark(
        self,
        name: str,
        geometry: shapely.Point | shapely.LineString,
        properties: Mapping[str, Property] | None = None,
    ) -> None:
        """Puts a point or a line into a layer that is open."""
        self._marks[name].append(Mark(geometry, properties or {}))

    @contextmanager
    def sparing(self) -> Iterator[None]:
        """Leave out what is read within where it cannot be used, and read on.

        It is counted, the first few are named. What is wrong with another file still raises.
        """
        try:
            yield
        except AnnotationError as error:
            if error.source != str(self.source):
                raise
            self.leave_out(error.problem)

    def leave_out(self, problem: str) -> None:
        """Counts something that should be used and cannot be, and why."""
        self._unusable += 1
        if self._unusable <= NAMED:
            # A layer may be called by a million letters.
            short = len(problem) <= LONGEST_PROBLEM
            self._problems.append(problem if short else problem[: LONGEST_PROBLEM - 3] + "...")

    def skip(self, kind: str) -> None:
        """Counts something that is neither a shape nor a mark."""
        kind = kind if len(kind) <= LONGEST else kind[: LONGEST - 3] + "..."
        known = kind in self._skipped or len(self._skipped) < MOST_KINDS
        self._skipped[kind if known else "things of many other kinds"] += 1

    def say(self, remark: str) -> None:
        """Keep a sentence on what the file was taken for, once."""
        self._said[remark] = None

    def skip_scale(self, scale: object) -> None:
        """Counts what stands for a um per pixel and can be none."""
        self.skip(f"um per pixel {shown(scale)}, which is no scale")

    def annotations(
        self, attributes: Mapping[str, object] | None = None, mpp: Mpp | None = None
    ) -> Annotations:
        """Return all layers; what was mended or left out is counted in the remarks.

        Raises:
            AnnotationError: there is something, and none of it can be used.
        """
        self._check_some()
        layers = tuple(
            Layer(
                name if name.strip() else f"layer {index + 1}",  # people could not choose it
                self._colours.get(name, PALETTE[index % len(PALETTE)]),
                shapes.whole(),
                self._descriptions.get(name, ""),
                self._marks[name].whole(),
            )
            for index, (name, shapes) in enumerate(self._shapes.items())
        )
        return Annotations(layers, attributes or {}, mpp, tuple(self._remarks()))

    def _check_some(self) -> None:
        stores: tuple[Sized, ...] = (*self._shapes.values(), *self._marks.values())
        if self._unusable and not any(len(each) for each in stores):
            raise AnnotationError(self.source, self._problem_list)

    @property
    def _problem_list(self) -> str:
        more = self._unusable - len(self._problems)
        return "; ".join(self._problems) + (f"; and {more:,} more" if more else "")

    def _remarks(self) -> Iterator[str]:
        yield from self._said
        if self._unusable:
            yield f"{self._unusable:,} left out that cannot be used: {self._problem_list}"
        if mended := self._mending.sentence():
            yield mended
        for kind, count in sorted(self._skipped.items()):
            yield f"{count} left out: {kind}"


def shown(value: object) -> str:
    """Return a value in a few characters, whatever its size."""
    if value == {}:
        return "NaN or infinite"  # which stands for that
    if isinstance(value, list):
        inner = [shown(each) for each in value[:SHOWN_VALUES]]
        text = f"[{', '.join(inner)}{', ...' if len(value) > SHOWN_VALUES else ''}]"
    elif isinstance(value, int) and not isinstance(value, bool):
        text = f"{value:.3g}" if abs(value) < LARGE else "huge"
    elif isinstance(value, str | float | bool | None):
        text = repr(value[:SHOWN] if isinstance(value, str) else value)
    else:
        text = "an object"
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."
