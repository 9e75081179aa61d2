"""Work pixels from a pyramid of tiles: which level, which tiles, and a bounded store of them."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from deeplab.config.channels import RGB, Channels, Window
from deeplab.errors import UnreadableSlideError
from deeplab.geometry.frames import Mpp, WorkBox, WorkFrame
from deeplab.slides.resample import resample, taps

Rgb = NDArray[np.uint8]  # (height, width, 3), or as many channels as were asked for
CACHE_BYTES = 96 * 2**20  # a row of tiles of a slide 30,000 pixels wide
FAR = 3  # levels: from here on, 64 pixels would be read to make one
WINDOW_PIXELS = 2**26  # at most this many source pixels are held for one part of a box


class Tile(NamedTuple):
    """The place of a tile: its level, column and row."""

    level: int
    x: int
    y: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PyramidShape:
    """The tiles of a slide: level `levels - 1` is level 0 of the scan, each before it half of it.

    `usable` are the levels worth reading, ascending; the finest is always among them.
    """

    width_level0: int
    height_level0: int
    tile_width: int
    tile_height: int
    levels: int
    usable: tuple[int, ...]

    def downsample(self, level: int) -> int:
        """Level-0 pixels per pixel of `level`."""
        return int(2 ** (self.levels - 1 - level))

    def size(self, level: int) -> tuple[int, int]:
        """Whole pixels of `level` (width, height); a last part of one is left out."""
        by = self.downsample(level)
        return max(1, self.width_level0 // by), max(1, self.height_level0 // by)

    def box(self, tile: Tile) -> WorkBox:
        """Return the box of a tile in the pixels of its level."""
        wide, high = self.tile_width, self.tile_height
        whole = WorkBox(0, 0, *self.size(tile.level))
        return WorkBox(tile.x * wide, tile.y * high, wide, high).intersection(whole)

    def level_for(self, frame: WorkFrame) -> int:
        """The coarsest usable level that is as fine as the frame or finer, else the finest."""
        scale = min(frame.scale_x, frame.scale_y) * (1 + 1e-9)
        return next((z for z in self.usable if self.downsample(z) <= scale), self.levels - 1)

    def samples(self, level: int) -> list[Tile]:
        """Return the first, the middle and the last tile of `level`."""
        width, height = self.size(level)
        x, y = (width - 1) // self.tile_width, (height - 1) // self.tile_height
        places = dict.fromkeys([(0, 0), (x // 2, y // 2), (x, y)])
        return [Tile(level, *place) for place in places]


def spread_tiles(shape: PyramidShape, level: int, most: int) -> list[Tile]:
    """Return some `most` tiles of a level, evenly over it; all where it has no more."""
    width, height = shape.size(level)
    across, down = math.ceil(width / shape.tile_width), math.ceil(height / shape.tile_height)
    step = max(1, math.ceil(across * down / most))
    return [Tile(level, each % across, each // across) for each in range(0, across * down, step)]


def halvings_between(whole: tuple[int, int], part: tuple[int, int]) -> int | None:
    """Return how often a size (width, height) was halved to make another; None if it was not."""
    halvings = max(0, round(math.log2(whole[0] / part[0]))) if all(part) else 0
    for side, full in zip(part, whole, strict=True):
        if not full // 2**halvings <= side <= math.ceil(full / 2**halvings):
            return None
    return halvings


def levels_worth_reading(full: Collection[int]) -> tuple[int, ...]:
    """The `full` levels, those that the file has, and what only a reader can make far below them.

    large_image makes a level that a file lacks tile by tile: with seams, and at the slide's edge
    out of what pads the file's last tiles. Averaging a full level ourselves has neither, but for a
    thumbnail of a slide without coarse levels it would fetch the whole slide.
    """
    far = range(max(0, min(full) - FAR + 1))
    return tuple(sorted({*full, *far}))


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenChannel:
    """A channel as it was read off a slide.

    Attributes:
        name: What the model calls it.
        on_slide: What the slide calls it; empty where it has no name there.
        index: Its number on the slide, from 0 on.
        window: The values that became 0 and 255.
    """

    name: str
    on_slide: str
    index: int
    window: Window

    def __str__(self) -> str:
        other = self.on_slide or str(self.index)
        called = self.name if other == self.name else f"{self.name} ({other})"
        return f"{called} {self.window.low:.6g} to {self.window.high:.6g}"

    def to_json(self) -> dict[str, object]:
        """Return it as a result keeps it: the window by its values, so that it can be repeated."""
        return {
            "name": self.name,
            "on_slide": self.on_slide,
            "index": self.index,
            "window": str(self.window),
        }


class TileReader(Protocol):
    """Where tiles come from; `read` may be called from several threads at once."""

    @property
    def description(self) -> str:
        """What reads the tiles, for logs: a source or a server."""

    @property
    def kind(self) -> str:
        """What the pixels are where they are not RGB bytes, for a person; else empty."""

    @property
    def shape(self) -> PyramidShape:
        """The tiles there are."""

    def read(self, tiles: Sequence[Tile]) -> list[Rgb]:
        """Return the pixels of `tiles`, whole or cut at the slide's edge, in the order asked.

        Raises:
            SlideError: a tile cannot be read.
            ServerError: the server that has it failed.
        """

    def close(self) -> None:
        """Give back files and connections."""


class TileCache:
    """The tiles used last, at most `capacity` of them; no tile is read by two threads at once."""

    def __init__(self, reader: TileReader, capacity: int) -> None:
        self._reader, self._capacity = reader, capacity
        self._tiles: OrderedDict[Tile, Future[Rgb]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, tiles: Sequence[Tile]) -> list[Rgb]:
        """Return the pixels of `tiles`; those that are not at hand are read together."""
        futures: list[Future[Rgb]] = []
        mine: list[tuple[Tile, Future[Rgb]]] = []
        with self._lock:
            for tile in tiles:
                future = self._tiles.get(tile)
                if future is None:
                    future = self._tiles[tile] = Future()
                    mine.append((tile, future))
                self._tiles.move_to_end(tile)
                futures.append(future)
            while len(self._tiles) > max(self._capacity, 1):
                self._tiles.popitem(last=False)
        if mine:
            self._fill(mine)
        return [future.result() for future in futures]

    def _fill(self, mine: list[tuple[Tile, Future[Rgb]]]) -> None:
        try:
            pixels = self._reader.read([tile for tile, _ in mine])
        except BaseException as error:
            # Others may wait for these tiles: they get the error too, and the next one tries anew.
            with self._lock:
                for tile, _ in mine:
                    self._tiles.pop(tile, None)
            for _, future in mine:
                future.set_exception(error)
            raise
        for (_, future), rgb in zip(mine, pixels, strict=True):
            future.set_result(rgb)

    def clear(self) -> None:
        """Forget all tiles."""
        with self._lock:
            self._tiles.clear()


Same = Callable[[], bool]  # whether a slide is still the one that was opened


class PyramidSlide:
    """A slide whose pixels come as tiles; reading is safe from many threads."""

    def __init__(
        self,
        reader: TileReader,
        *,
        name: str,
        mpp: Mpp,
        is_same: Same = lambda: True,
        channels: Channels = RGB,
        seen: tuple[SeenChannel, ...] = (),
    ) -> None:
        self._reader, self._shape = reader, reader.shape
        self._is_same = is_same
        self.name, self.mpp, self.channels, self.seen = name, mpp, channels, seen
        self.width_level0, self.height_level0 = self._shape.width_level0, self._shape.height_level0
        tile_bytes = len(channels) * self._shape.tile_width * self._shape.tile_height
        self._cache = TileCache(reader, CACHE_BYTES // tile_bytes)

    @property
    def level_mpps(self) -> tuple[float, ...]:
        """Microns per pixel of the levels that are read, the finest first."""
        shape = self._reader.shape
        return tuple(self.mpp.mean * shape.downsample(level) for level in reversed(shape.usable))

    @property
    def reader(self) -> str:
        """What reads the pixels: a large_image source or a server."""
        return self._reader.description

    @property
    def kind(self) -> str:
        """What the pixels are where they are not RGB bytes, as "5 channels, 16 bit"; else empty."""
        return self._reader.kind

    def frame(self, work_mpp: float) -> WorkFrame:
        """Return the grid of pixels of `work_mpp` um over this slide.

        Raises:
            ConfigError: `work_mpp` is not a number above 0.
        """
        return WorkFrame.over(self.width_level0, self.height_level0, self.mpp, work_mpp)

    def read(self, frame: WorkFrame, box: WorkBox) -> Rgb:
        """Return the pixels of `box`, uint8 (box.height, box.width, channels).

        Outside the slide they are white, or of a fluorescent slide black. A work pixel has the
        same value whichever box it is read through.

        Raises:
            SlideError: a part of the slide cannot be read.
            ServerError: the server that has the slide failed.
        """
        inner = box.intersection(frame.box)
        level = self._shape.level_for(frame)
        parts = [] if inner.is_empty else self._parts(frame, inner, level)
        if parts == [box]:
            return self._read_part(frame, box, level)
        shape = (max(0, box.height), max(0, box.width), len(self.channels))
        pixels = np.full(shape, self.channels.outside, np.uint8)
        for part in parts:
            pixels[part.within(box)] = self._read_part(frame, part, level)
        return pixels

    def _parts(self, frame: WorkFrame, box: WorkBox, level: int) -> list[WorkBox]:
        """`box`, cut where its source pixels would take too much memory at once."""
        by = self._shape.downsample(level)
        source = box.width * frame.scale_x / by * box.height * frame.scale_y / by
        if source <= WINDOW_PIXELS or (box.width == 1 and box.height == 1):
            return [box]
        if box.width >= box.height:
            half = box.width // 2
            first = WorkBox(box.x, box.y, half, box.height)
            second = WorkBox(box.x + half, box.y, box.width - half, box.height)
        else:
            half = box.height // 2
            first = WorkBox(box.x, box.y, box.width, half)
            second = WorkBox(box.x, box.y + half, box.width, box.height - half)
        return self._parts(frame, first, level) + self._parts(frame, second, level)

    def _read_part(self, frame: WorkFrame, box: WorkBox, level: int) -> Rgb:
        by = self._shape.downsample(level)
        width, height = self._shape.size(level)
        columns = taps(box.x, box.width, ratio=frame.scale_x / by, size=width)
        rows = taps(box.y, box.height, ratio=frame.scale_y / by, size=height)
        window = WorkBox(
            columns.first, rows.first, columns.end - columns.first, rows.end - rows.first
        )
        return resample(self._window(level, window), columns, rows)

    def _window(self, level: int, window: WorkBox) -> Rgb:
        """Return pixels of `level`; `window` counts that level's pixels and lies inside it."""
        wide, high = self._shape.tile_width, self._shape.tile_height
        tiles = [
            Tile(level, x, y)
            for y in range(window.y // high, math.ceil(window.bottom / high))
            for x in range(window.x // wide, math.ceil(window.right / wide))
        ]
        pixels = np.empty((window.height, window.width, len(self.channels)), np.uint8)
        for tile, rgb in zip(tiles, self._cache.get(tiles), strict=True):
            whole = WorkBox(tile.x * wide, tile.y * high, rgb.shape[1], rgb.shape[0])
            part = WorkBox(whole.x, whole.y, wide, high).intersection(window)
            if part.right > whole.right or part.bottom > whole.bottom:
                raise UnreadableSlideError(
                    self.name, f"has an incomplete tile {tile.x}/{tile.y} at level {level}"
                )
            pixels[part.within(window)] = rgb[part.within(whole)]
        return pixels

    def check_unchanged(self) -> None:
        """Refuse what was read where the slide is no longer the one that was opened.

        Raises:
            UnreadableSlideError: another has taken its place.
            ServerError: the server that has the slide failed.
        """
        if not self._is_same():
            raise UnreadableSlideError(
                self.name, "has changed while it was read, so nothing of it counts; start again"
            )

    def close(self) -> None:
        """Give back files and connections; the slide cannot be read after."""
        self._cache.clear()
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
