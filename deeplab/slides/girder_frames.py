"""Channels of a Girder item, which its server shows as frames, streamed with all their bits."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeplab.errors import UnreadableSlideError
from deeplab.geometry.frames import WorkBox
from deeplab.server.session import Session
from deeplab.server.tiles import LevelBox, TilesInfo, fetch_region
from deeplab.slides.pyramid import PyramidShape, Tile, levels_worth_reading

TILE = 512  # pixels of a side, whatever the tiles of the file: a region costs the server more
SERVED = (np.dtype(np.uint8), np.dtype(np.uint16))  # types that it hands over as they are

logger = logging.getLogger(__name__)


class GirderFrames:
    """The samples of some channels of one item; the session is closed with them.

    A server gives tiles as bytes, of 16 bits the upper 8; regions it gives as they are. Levels
    that the file lacks it makes by leaving pixels out, so that these are not used.

    Args:
        session: of the server.
        item_id: of the item.
        name: what errors call it.
        info: what the server says of it.
        indices: of the channels, from 0 on.

    Raises:
        UnreadableSlideError: the server does not hand over such pixels.
        AccessDeniedError: the token may not read the item.
        ServerError: the server failed.
    """

    def __init__(
        self, session: Session, item_id: str, name: str, info: TilesInfo, *, indices: Sequence[int]
    ) -> None:
        self._session, self._item_id, self._name, self._info = session, item_id, name, info
        self._frames = [info.channel_frames[index] for index in indices]
        self.description = f"Girder {session.login.host}"
        self.dtype = _served_type(name, info)
        self._pool = ThreadPoolExecutor(session.connections, thread_name_prefix="frames")
        self.shape = PyramidShape(
            width_level0=info.width_level0,
            height_level0=info.height_level0,
            tile_width=min(TILE, info.width_level0),
            tile_height=min(TILE, info.height_level0),
            levels=info.levels,
            usable=(info.levels - 1,),
        )
        averaged = (z for z in range(info.levels - 1) if self._is_averaged(z))
        self.full_levels = (*averaged, info.levels - 1)
        self.shape = replace(self.shape, usable=levels_worth_reading(self.full_levels))

    def keep_levels(self, levels: tuple[int, ...]) -> None:
        """Read no other levels than these."""
        self.shape = replace(self.shape, usable=levels)

    def box(self, tile: Tile) -> WorkBox:
        """Return the box of a tile in the pixels of its level."""
        return self.shape.box(tile)

    def parts(self, tile: Tile) -> Iterator[tuple[WorkBox, NDArray[Any]]]:
        """Yield the one part of a tile, (height, width, channels).

        Raises:
            AccessDeniedError: the token may not read the item.
            ServerError: it cannot be read, or the server failed.
        """
        box = self.box(tile)
        fetched = self._pool.map(lambda frame: self._fetch(tile.level, box, frame), self._frames)
        yield box, np.stack(list(fetched), axis=2)

    def _fetch(self, level: int, box: WorkBox, frame: int) -> NDArray[Any]:
        by = self.shape.downsample(level)
        wanted = LevelBox(box.x, box.y, box.width, box.height, downsample=by)
        pixels = fetch_region(self._session, self._item_id, wanted, frame=frame)
        if pixels.dtype != self.dtype:
            raise UnreadableSlideError(
                self._name,
                f"has pixels of {self.dtype}, of which the server hands over {pixels.dtype}; "
                "bring its large_image up to date, or give the file itself",
            )
        return pixels

    def _is_averaged(self, level: int) -> bool:
        """Tell whether a level is nearer to the means of the next finer one than to its pixels."""
        from_means = from_pixels = 0.0
        for tile in self.shape.samples(level):
            box = self.box(tile)
            finer = WorkBox(2 * box.x, 2 * box.y, 2 * box.width, 2 * box.height)
            coarse = self._fetch(level, box, self._frames[0]).astype(np.float64)
            fine = self._fetch(level + 1, finer, self._frames[0]).astype(np.float64)
            four = fine.reshape(box.height, 2, box.width, 2)
            from_means += float(np.abs(coarse - four.mean(axis=(1, 3))).sum())
            from_pixels += min(
                float(np.abs(coarse - four[:, row, :, column]).sum())
                for row in range(2)
                for column in range(2)
            )
        return from_means < from_pixels

    def close(self) -> None:
        """Close the connections."""
        # Not waited for: a thread may be asking a dead server for a minute yet.
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._session.close()


def _served_type(name: str, info: TilesInfo) -> np.dtype[Any]:
    """Return the type of an item's samples.

    Raises:
        UnreadableSlideError: the server does not hand over such, or several of a pixel.
    """
    try:
        dtype = np.dtype(info.dtype or np.uint8)
    except TypeError:
        dtype = np.dtype(object)
    if dtype not in SERVED or (info.bands or 1) > 1:
        raise UnreadableSlideError(
            name,
            f"has frames of {info.bands or 1} samples of {info.dtype or 'unknown type'}, of which "
            "a server gives no channels, only of one sample of 8 or 16 bits; give the file itself",
        )
    return dtype
