"""What the readers of all formats share: limits, sentences, and shapes gathered into layers."""

from __future__ import annotations

import json
import logging
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import numpy as np
import shapely
from numpy.typing import NDArray

from deeplab.annotations.shapes import Annotations, Layer, Property, Shape, mend
from deeplab.config.classes import PALETTE, Rgb
from deeplab.errors import AnnotationError

log = logging.getLogger(__name__)

MAX_BYTES = 1 << 29  # 512 MiB hold about a million outlines; parsed they take some ten times that
FARTHEST = 1e8  # level-0 pixels; the largest slides have about 1e6
CURVE_ERROR = 0.25  # level-0 pixels between an ellipse and the polygon that stands for it


def read_limited(path: Path, limit: int = MAX_BYTES) -> bytes:
    """The content of a file that a user gave.

    Raises:
        AnnotationError: it is missing, empty, too large or cannot be read.
    """
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise AnnotationError(path, "is a folder, not a file of annotations")
        if size == 0:
            raise AnnotationError(path, "the file is empty")
        if size > limit:
            raise AnnotationError(
                path, f"the file has {size >> 20} MiB, more than the {limit >> 20} that are read"
            )
        return path.read_bytes()
    except FileNotFoundError as error:
        raise AnnotationError(path, "there is no such file") from error
    except OSError as error:
        raise AnnotationError(path, f"cannot be read: {error.strerror or error}") from error


def parse_json(content: bytes, source: str | Path) -> object:
    """The value of a JSON text.

    Raises:
        AnnotationError: it is not JSON, or holds NaN or infinity.
    """

    def refuse(constant: str) -> NoReturn:
        raise AnnotationError(source, f"holds {constant}, which is not a place on a slide")

    try:
        return json.loads(content.decode("utf-8-sig"), parse_constant=refuse)
    except UnicodeDecodeError as error:
        raise AnnotationError(source, "is not JSON: it is not text in UTF-8") from error
    except json.JSONDecodeError as error:
        problem = f"is not JSON: {error.msg} in line {error.lineno}"
        raise AnnotationError(source, problem) from error
    except RecursionError as error:
        raise AnnotationError(source, "is nested too deeply to be annotations") from error
    except ValueError as error:
        raise AnnotationError(source, "is not JSON: a number has too many digits") from error


def number(value: object, what: str, source: str | Path) -> float:
    """A finite number that can be a place or size on a slide, level-0 pixels.

    Raises:
        AnnotationError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise AnnotationError(source, f"{what} is {_short(value)}, not a number")
    # Compared before it is converted: a whole number may be too large for a float.
    if not -FARTHEST <= value <= FARTHEST:
        raise AnnotationError(source, f"{what} is {_short(value)}, which is not on a slide")
    return float(value)


def coordinates(value: object, what: str, source: str | Path) -> NDArray[np.float64]:
    """Points [x, y] or [x, y, z] as float64 (points, 2).

    Raises:
        AnnotationError: they are something else.
    """
    try:
        points = np.asarray(value)
    except ValueError as error:
        raise AnnotationError(source, f"{what} has points of different lengths") from error
    if points.ndim != 2 or points.shape[1] not in (2, 3) or points.dtype.kind not in "iuf":
        raise AnnotationError(source, f"{what} is not a list of points [x, y] or [x, y, z]")
    flat = points[:, :2].astype(np.float64)
    if not (np.abs(flat) <= FARTHEST).all():
        raise AnnotationError(source, f"{what} has a point that is not on a slide")
    return flat


def ellipse(
    x: float, y: float, radius_x: float, radius_y: float, rotation: float = 0.0
) -> shapely.Polygon:
    """An ellipse as a polygon.

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
    """A rectangle round the centre (x, y), turned like an ellipse."""
    corner = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    return turned(corner * (width / 2, height / 2), x, y, rotation)


def turned(points: NDArray[np.float64], x: float, y: float, rotation: float) -> shapely.Polygon:
    """Points round the origin, turned by `rotation` radians and moved to (x, y)."""
    cos, sin = math.cos(rotation), math.sin(rotation)
    return shapely.Polygon(points @ np.array([[cos, sin], [-sin, cos]]) + (x, y))


class LayerGatherer:
    """Puts shapes together by layer name, in the order in which the names first come."""

    def __init__(self, source: str | Path) -> None:
        self._source = source
        self._shapes: dict[str, list[Shape]] = {}
        self._colours: dict[str, Rgb] = {}
        self._descriptions: dict[str, str] = {}
        self._skipped: Counter[str] = Counter()

    def open(self, name: str, colour: Rgb | None = None, description: str = "") -> None:
        """Makes a layer known, with or without shapes; what was said of it first stays."""
        self._shapes.setdefault(name, [])
        if colour:
            self._colours.setdefault(name, colour)
        if description:
            self._descriptions.setdefault(name, description)

    def add(
        self, name: str, polygon: shapely.Polygon, properties: Mapping[str, Property] | None = None
    ) -> None:
        """Puts a shape into a layer that is open."""
        self._shapes[name].append(Shape(polygon, properties or {}))

    def skip(self, kind: str) -> None:
        """Counts something that encloses no area."""
        self._skipped[kind] += 1

    def annotations(self, attributes: Mapping[str, object] | None = None) -> Annotations:
        """All layers; outlines that cross themselves are mended, and the log says how many."""
        layers: list[Layer] = []
        total = 0
        for index, (name, found) in enumerate(self._shapes.items()):
            shapes, mended = mend(found)
            total += mended
            colour = self._colours.get(name, PALETTE[index % len(PALETTE)])
            layers.append(Layer(name, colour, shapes, self._descriptions.get(name, "")))
        if total:
            log.info("%s: %d outlines crossed themselves and were mended", self._source, total)
        for kind, count in sorted(self._skipped.items()):
            log.warning(
                "%s: %d of type %s have no area and were left out", self._source, count, kind
            )
        return Annotations(tuple(layers), attributes or {})


def _short(value: object) -> str:
    text = (
        repr(value)
        if not isinstance(value, int)
        else f"{value:.3g}"
        if abs(value) < 1e300
        else "huge"
    )
    return text if len(text) <= 40 else text[:37] + "..."
