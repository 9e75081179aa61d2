"""The two frames of a slide, level-0 pixels and work pixels, and the one conversion between them.

Level 0 is the slide as scanned: x to the right, y down, the pixel (0, 0) covers [0, 1) x [0, 1), so
corners, not centres, have whole coordinates. The work frame is the grid a network sees: square
pixels of `work_mpp` um, its origin on the slide's top left corner.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

from deeplab.errors import ConfigError

SNAP = 0.05  # a scale this near to a power of two of level 0 is taken as that: no resampling


@dataclass(frozen=True, slots=True)
class Mpp:
    """Microns per level-0 pixel along x and y."""

    x: float
    y: float

    def __post_init__(self) -> None:
        for name, value in (("mpp x", self.x), ("mpp y", self.y)):
            if not (math.isfinite(value) and 0.001 <= value <= 1000):
                raise ConfigError(name, value, "between 0.001 and 1000 um per pixel")

    @classmethod
    def square(cls, mpp: float) -> Self:
        """Return the same scale along both axes."""
        return cls(mpp, mpp)

    @property
    def mean(self) -> float:
        """Side of the square with a pixel's area, um."""
        return math.sqrt(self.x * self.y)


@dataclass(frozen=True, slots=True)
class Level0Box:
    """A rectangle in level-0 pixels; corners may lie between pixels."""

    x0: float
    y0: float
    width: float
    height: float

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.x0, self.y0, self.width, self.height))):
            raise ConfigError(
                "region", (self.x0, self.y0, self.width, self.height), "finite numbers"
            )
        if self.width <= 0 or self.height <= 0:
            raise ConfigError(
                "region", f"{self.width:g} x {self.height:g}", "wider and higher than 0"
            )


@dataclass(frozen=True, slots=True)
class WorkBox:
    """A rectangle of whole work pixels; it may reach over the slide's edge."""

    x: int
    y: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """First column that is not part of the box."""
        return self.x + self.width

    @property
    def bottom(self) -> int:
        """First row that is not part of the box."""
        return self.y + self.height

    @property
    def is_empty(self) -> bool:
        """Whether the box holds no pixel."""
        return self.width <= 0 or self.height <= 0

    def intersection(self, other: WorkBox) -> WorkBox:
        """Return the common part; width or height is 0 where there is none."""
        x, y = max(self.x, other.x), max(self.y, other.y)
        return WorkBox(
            x,
            y,
            max(0, min(self.right, other.right) - x),
            max(0, min(self.bottom, other.bottom) - y),
        )

    def within(self, outer: WorkBox) -> tuple[slice, slice]:
        """This box as (rows, columns) of an array that covers `outer`."""
        row, col = self.y - outer.y, self.x - outer.x
        return slice(row, row + self.height), slice(col, col + self.width)


def snap(scale: float) -> float | None:
    """The power of two, 1 or more, that a scale is within 5 % of: scanners differ by as much."""
    nearest: float = 2.0 ** max(0, round(math.log2(scale)))
    return nearest if abs(scale / nearest - 1) <= SNAP else None


@dataclass(frozen=True, slots=True)
class WorkFrame:
    """The grid of work pixels over one slide.

    `scale_x`, `scale_y` are level-0 pixels per work pixel; `width`, `height` count the work pixels
    that cover the slide (the last ones may stand over its edge).
    """

    scale_x: float
    scale_y: float
    width: int
    height: int
    work_mpp: float

    @classmethod
    def over(cls, width_level0: int, height_level0: int, mpp: Mpp, work_mpp: float) -> Self:
        """Return the frame of `work_mpp` um per pixel over a slide of the given size and scale.

        A scale within 5 % of a power of two of level 0 is taken as that power of two, `work_mpp`
        changing accordingly: scanners differ by as much, and pixels are then read as they are.
        """
        if not (math.isfinite(work_mpp) and work_mpp > 0):
            raise ConfigError("um per pixel", work_mpp, "a number above 0")
        scale = work_mpp / mpp.mean
        snapped = snap(scale)
        if snapped is not None and math.isclose(mpp.x, mpp.y, rel_tol=0.01):
            scale_x = scale_y = snapped
            work_mpp = snapped * mpp.mean
        else:
            scale_x, scale_y = work_mpp / mpp.x, work_mpp / mpp.y
        return cls(
            scale_x=scale_x,
            scale_y=scale_y,
            width=max(1, math.ceil(width_level0 / scale_x - 1e-9)),
            height=max(1, math.ceil(height_level0 / scale_y - 1e-9)),
            work_mpp=work_mpp,
        )

    @property
    def box(self) -> WorkBox:
        """The whole slide."""
        return WorkBox(0, 0, self.width, self.height)

    @property
    def um2_per_level0_pixel(self) -> float:
        """Area of one level-0 pixel, um2."""
        return self.work_mpp**2 / (self.scale_x * self.scale_y)

    def to_level0(self, box: WorkBox) -> Level0Box:
        """Return the part of level 0 that the work pixels of `box` cover."""
        return Level0Box(
            box.x * self.scale_x,
            box.y * self.scale_y,
            box.width * self.scale_x,
            box.height * self.scale_y,
        )

    def to_work(self, box: Level0Box) -> WorkBox:
        """Return the work pixels that touch a part of level 0."""
        x, y = math.floor(box.x0 / self.scale_x + 1e-9), math.floor(box.y0 / self.scale_y + 1e-9)
        right = math.ceil((box.x0 + box.width) / self.scale_x - 1e-9)
        bottom = math.ceil((box.y0 + box.height) / self.scale_y - 1e-9)
        return WorkBox(x, y, max(1, right - x), max(1, bottom - y))
