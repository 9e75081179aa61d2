"""Tiles over a slide: what is read with its halo, and the part of it that is kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from deeplab.errors import ConfigError
from deeplab.geometry.frames import WorkBox
from deeplab.geometry.tiling import Tiling


@dataclass(frozen=True, slots=True)
class TileSlot:
    """One tile: `read` goes to the network, `write` is what is kept of its answer.

    The write boxes of a plan cover its area once, without gap or overlap. `margin` is what the
    network reads on every side without answering for it, work pixels.
    """

    read: WorkBox
    write: WorkBox
    margin: int = 0

    @property
    def answer(self) -> WorkBox:
        """What the network answers for."""
        side = 2 * self.margin
        return WorkBox(
            self.read.x + self.margin,
            self.read.y + self.margin,
            self.read.width - side,
            self.read.height - side,
        )


@dataclass(frozen=True, slots=True)
class TilePlan:
    """A grid of tiles over `area`, in reading order (rows from the top, each from the left).

    `tile` is the side that is read, one that `tiling` accepts, and steps are its multiples: then
    the network's cells fall on the same work pixels in every tile. `halo` is cut off on every side.
    The grid is anchored at the slide's origin, so the place of a region of interest does not move
    it; `shift` moves it on purpose, in work pixels. `trim` is how much of the halo is not answered,
    at least the margin of `tiling`.
    """

    area: WorkBox
    tile: int
    halo: int
    tiling: Tiling
    shift: int = 0
    trim: int = 0

    def __post_init__(self) -> None:
        if self.area.is_empty:
            raise ConfigError("region", f"{self.area.width} x {self.area.height}", "on the slide")
        self.tiling.check(tile=self.tile, halo=self.halo, called="tile size")
        if self.trim > self.halo:
            raise ConfigError("trim", self.trim, f"at most {self.halo}, the halo")

    @property
    def step(self) -> int:
        """Distance from one tile to the next: the side of a whole write box."""
        return self.tiling.step(self.tile, self.halo)

    @property
    def columns(self) -> range:
        """Left edges of the write boxes' grid."""
        return self._starts(self.area.x, self.area.right)

    @property
    def rows(self) -> range:
        """Top edges of the write boxes' grid."""
        return self._starts(self.area.y, self.area.bottom)

    def aligned(self, place: int) -> int:
        """Return the last place up to this one at which a tile may start, along either side."""
        return place - (place - self.shift) % self.tiling.multiple

    def slot(self, x: int, y: int, width: int, height: int) -> TileSlot:
        """Return the tile that starts at a place where one may, to be written so far."""
        return TileSlot(
            read=WorkBox(x - self.halo, y - self.halo, self.tile, self.tile),
            write=WorkBox(x, y, width, height).intersection(self.area),
            margin=max(self.trim, self.tiling.margin),
        )

    def _starts(self, first: int, end: int) -> range:
        return range(self.aligned(first), end, self.step)

    def __len__(self) -> int:
        return len(self.columns) * len(self.rows)

    def __iter__(self) -> Iterator[TileSlot]:
        for y in self.rows:
            for x in self.columns:
                yield self.slot(x, y, self.step, self.step)
