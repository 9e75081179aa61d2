"""Tiles of the channels of a slide that are asked for, by name, as bytes within a window."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from deeplab.config.channels import DARK, ChannelRequest
from deeplab.errors import ChannelError
from deeplab.geometry.frames import WorkBox
from deeplab.slides.intensity import Scaling, settle_window, values_of
from deeplab.slides.pyramid import PyramidShape, Rgb, SeenChannel, Tile, spread_tiles

# A window of percentiles is found on the coarsest level of at least so many pixels, in so many of
# its tiles: in a second, and the same whenever the slide is opened.
LEVEL_PIXELS = 2**20
MOST_TILES = 64
MOST_NAMED = 40  # channels that an error names


class SampleReader(Protocol):
    """Where the samples of tiles come from; `parts` may be called from several threads at once."""

    @property
    def description(self) -> str:
        """What reads the samples, for logs: a library or a server."""

    @property
    def shape(self) -> PyramidShape:
        """The tiles there are."""

    @property
    def full_levels(self) -> tuple[int, ...]:
        """The levels that the slide has."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the samples."""

    def box(self, tile: Tile) -> WorkBox:
        """Return the box of a tile in the pixels of its level."""

    def parts(self, tile: Tile) -> Iterator[tuple[WorkBox, NDArray[Any]]]:
        """Yield boxes that meet a tile and their samples, (height, width, channels asked for).

        Raises:
            SlideError: one is damaged.
            ServerError: the server that has it failed.
        """

    def keep_levels(self, levels: tuple[int, ...]) -> None:
        """Read no other levels than these."""

    def close(self) -> None:
        """Give back files and connections."""


class ChannelTiles:
    """The tiles of some channels of a slide.

    Args:
        name: of the slide.
        samples: of these channels, in their order.
        request: the channels.
        indices: of each on the slide.
        names: of all channels of the slide.

    Raises:
        ChannelError: an intensity window does not fit the values.
        SlideError, ServerError: as reading does.
    """

    def __init__(
        self,
        name: str,
        samples: SampleReader,
        request: ChannelRequest,
        *,
        indices: Sequence[int],
        names: Sequence[str],
    ) -> None:
        self._samples = samples
        self.description, self.full_levels = samples.description, samples.full_levels
        channels = request.channels
        seen = values_of(
            (values for tile in self._tiles_of_all() for values in self._parts(tile)),
            len(channels),
            samples.dtype,
        )
        wanted = zip(channels.names, channels.windows, seen, strict=True)
        windows = [settle_window(name, *each) for each in wanted]
        self._scaling = Scaling.of(windows, samples.dtype)
        self.seen = tuple(
            SeenChannel(name=called, on_slide=names[index], index=index, window=window)
            for called, index, window in zip(channels.names, indices, windows, strict=True)
        )
        self.kind = ", ".join(map(str, self.seen))

    @property
    def shape(self) -> PyramidShape:
        """The tiles there are."""
        return self._samples.shape

    def read(self, tiles: Sequence[Tile]) -> list[Rgb]:
        """Return the pixels of `tiles`, (height, width, channels) each, one after the other.

        Raises:
            SlideError: a tile is damaged.
            ServerError: the server that has it failed.
        """
        return [self._read(tile) for tile in tiles]

    def keep_levels(self, levels: tuple[int, ...]) -> None:
        """Read no other levels than these."""
        self._samples.keep_levels(levels)

    def close(self) -> None:
        """Give back files and connections."""
        self._samples.close()

    def _tiles_of_all(self) -> list[Tile]:
        shape = self.shape
        fine = (z for z in shape.usable if np.prod(shape.size(z)) >= LEVEL_PIXELS)
        return spread_tiles(shape, next(fine, shape.levels - 1), MOST_TILES)

    def _parts(self, tile: Tile) -> Iterator[NDArray[Any]]:
        """Yield the samples of what of a tile there is."""
        box = self._samples.box(tile)
        for cell, samples in self._samples.parts(tile):
            yield samples[cell.intersection(box).within(cell)]

    def _read(self, tile: Tile) -> Rgb:
        box = self._samples.box(tile)
        pixels = np.full((box.height, box.width, len(self.seen)), DARK, np.uint8)
        for cell, samples in self._samples.parts(tile):
            part = cell.intersection(box)
            pixels[part.within(box)] = self._scaling.to_bytes(samples[part.within(cell)])
        return pixels


def find_channels(slide: str, request: ChannelRequest, names: Sequence[str]) -> list[int]:
    """Return the index on a slide of each channel that is asked for.

    Args:
        slide: What errors call it.
        request: The channels, by names or by indices from 0 on.
        names: Of the slide's channels, empty where one has none.

    Raises:
        ChannelError: the slide lacks one, or has several of the name.
    """
    return [_find(slide, name, request.names_of(name), names) for name in request.channels.names]


def _find(slide: str, name: str, called: Sequence[str], names: Sequence[str]) -> int:
    plain = [each.casefold() for each in names]
    for each in called:
        places = [i for i, there in enumerate(names) if there == each] or [
            i for i, there in enumerate(plain) if there == each.casefold()
        ]
        if len(places) > 1:
            raise ChannelError(
                slide,
                f"has {len(places)} channels called {each} ({', '.join(map(str, places))}); say "
                f"which by its index, as --channels {name}={places[0]}",
            )
        if places:
            return places[0]
        if each.isdecimal():
            if int(each) < len(names):
                return int(each)
            raise ChannelError(
                slide, f"has no channel {each}: {_there(names)}, counted from 0; choose one of them"
            )
    wanted = called[0] if called[0] == name else f"{name} (or {', '.join(called[:-1])})"
    if called[0] != name:
        raise ChannelError(slide, f"has no channel {wanted}: {_there(names)}; choose one of them")
    near = difflib.get_close_matches(name.casefold(), plain, 1)
    guess = plain.index(near[0]) if near else 0
    raise ChannelError(
        slide,
        f"has no channel {name}: {_there(names)}; if one of them is it under another name, say so, "
        f"as --channels {quoted(f'{name}={names[guess] or guess}')}",
    )


def quoted(text: str) -> str:
    """Return a value as a shell takes it."""
    return f"'{text}'" if " " in text else text


def _there(names: Sequence[str]) -> str:
    told = [name or f"{index} (no name)" for index, name in enumerate(names[:MOST_NAMED])]
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"it has {', '.join(told)}{more}"
