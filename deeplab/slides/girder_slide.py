"""Tiles streamed from a Girder server, only those that are read, many at once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from deeplab.errors import UnreadableSlideError
from deeplab.geometry.frames import Mpp
from deeplab.server.session import Session
from deeplab.server.tiles import Encoding, TilesInfo, fetch_tile, full_levels
from deeplab.slides.colours import kind_of, to_rgb
from deeplab.slides.pyramid import PyramidShape, Rgb, Tile, levels_worth_reading

NEARLY_BLACK = 63  # byte steps; the glass of a slide is far brighter
VARIED = 32  # steps between the darkest and the brightest byte of a tile with something on it

logger = logging.getLogger(__name__)


def _kind(info: TilesInfo) -> str:
    """Return what the file's pixels are, as far as the server tells; its tiles are RGB bytes."""
    try:
        dtype = np.dtype(info.dtype)
    except TypeError:
        return ""
    bands = 3 if info.bands in (None, 4) else info.bands
    return kind_of(bands, dtype) if info.dtype else ""


class GirderTiles:
    """The tiles of one item; the session is closed with them.

    A level's tiles are asked for as JPEG where that gives the same pixels as PNG: the server then
    passes on the bytes of the file. Elsewhere they are asked for as PNG, larger but exact.

    Raises:
        AccessDeniedError: the token may not read the item.
        ServerError: the server failed.
    """

    def __init__(self, session: Session, item_id: str, info: TilesInfo) -> None:
        self._session, self._item_id, self._info = session, item_id, info
        self._pool = ThreadPoolExecutor(session.connections, thread_name_prefix="tiles")
        self._encodings: dict[int, Encoding] = {}
        self._lock = threading.Lock()
        self.description = f"Girder {session.login.host}"
        self.kind = _kind(info)
        self.shape = PyramidShape(
            width_level0=info.width_level0,
            height_level0=info.height_level0,
            tile_width=info.tile_width,
            tile_height=info.tile_height,
            levels=info.levels,
            usable=tuple(range(info.levels)),
        )
        full = full_levels(session, item_id, info) or self._passed_levels()
        if full:
            self.shape = replace(self.shape, usable=levels_worth_reading(full))

    def _passed_levels(self) -> tuple[int, ...]:
        """The levels of which the server passes on the file's bytes: so the file has them."""
        finest = self._info.levels - 1
        if self._encoding(finest) == "PNG":
            return ()
        return tuple(z for z in range(self._info.levels) if self._encoding(z) == "JPEG")

    @property
    def stated_mpp(self) -> Mpp | None:
        """The um per pixel that the server states."""
        return self._info.mpp

    @property
    def stated_magnification(self) -> float | None:
        """The magnification that the server states."""
        return self._info.magnification

    def raise_unless_shown(self, name: str) -> None:
        """Refuse an item whose pixels of more than 8 bits the server shows black, or too pale.

        Raises:
            UnreadableSlideError: it does.
            AccessDeniedError: the token may not read the item.
            ServerError: the server failed.
        """
        try:
            dtype = np.dtype(self._info.dtype or np.uint8)
        except TypeError:
            return
        if dtype == np.uint8:
            return
        (whole,) = self.read([Tile(0, 0, 0)])
        if dtype.kind == "i" or int(whole.max()) <= NEARLY_BLACK:
            shown = "too pale" if dtype.kind == "i" else "nearly black"
            raise UnreadableSlideError(
                name,
                f"has pixels of {dtype}, which the server shows {shown}; upload it as 8-bit RGB, "
                "as QuPath's export to OME-TIFF writes it, or give the file itself",
            )

    def read(self, tiles: Sequence[Tile]) -> list[Rgb]:
        """Return the pixels of `tiles`, fetched together.

        Raises:
            AccessDeniedError: the token may not read the item.
            ServerError: a tile cannot be read, or the server failed.
        """
        for level in {tile.level for tile in tiles}:
            self._encoding(level)
        return list(self._pool.map(self._fetch, tiles))

    def _fetch(self, tile: Tile) -> Rgb:
        return self._fetch_as(tile, self._encodings[tile.level])

    def _fetch_as(self, tile: Tile, encoding: Encoding) -> Rgb:
        pixels = fetch_tile(
            self._session,
            self._item_id,
            self._info,
            z=tile.level,
            x=tile.x,
            y=tile.y,
            encoding=encoding,
        )
        return to_rgb(pixels)

    def _encoding(self, level: int) -> Encoding:
        with self._lock:
            if level not in self._encodings:
                samples = self.shape.samples(level)
                exact = list(self._pool.map(lambda tile: self._fetch_as(tile, "PNG"), samples))
                passed = self._pool.map(lambda tile: self._fetch_as(tile, "JPEG"), samples)
                # A tile of one colour is the same however it is encoded: it proves nothing.
                varied = any(np.ptp(rgb) >= VARIED for rgb in exact)
                same = varied and all(map(np.array_equal, exact, passed))
                self._encodings[level] = "JPEG" if same else "PNG"
                logger.info("level %d comes as %s", level, self._encodings[level])
            return self._encodings[level]

    def close(self) -> None:
        """Close the connections."""
        # Not waited for: a thread may be asking a dead server for a minute yet.
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._session.close()
