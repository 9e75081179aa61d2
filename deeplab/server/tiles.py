"""The tiles of a large image on a Girder server."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from deeplab.errors import ConfigError, ServerError
from deeplab.geometry.frames import Mpp
from deeplab.server.session import Reply, Session, girder_id

Encoding = Literal["JPEG", "PNG"]
# A server decodes and encodes anew any tile that it might correct the colours of; told not to, it
# passes on the file's own bytes. Where a slide has a colour profile the two then differ.
QUERIES: dict[Encoding, dict[str, str]] = {
    "JPEG": {"encoding": "JPEG", "style": '{"icc":false}'},
    "PNG": {"encoding": "PNG"},
}
POWER_OF_TWO = 0.02  # how far OpenSlide's downsample may be off: levels are cut to whole pixels
MAX_TILE_PIXELS = 2**26  # an image that is not tiled comes as one tile
MAX_LEVELS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class TilesInfo:
    """What the server says of an image; level `levels - 1` has all its pixels, 0 is one tile.

    `bands` and `dtype` are those of the file, where they are known; tiles come as bytes.
    """

    width_level0: int
    height_level0: int
    tile_width: int
    tile_height: int
    levels: int
    mpp_x: float | None
    mpp_y: float | None
    bands: int | None = None
    dtype: str = ""

    @property
    def mpp(self) -> Mpp | None:
        """The um per pixel that the server states, where that can be one."""
        if self.mpp_x is None or self.mpp_y is None:
            return None
        try:
            return Mpp(self.mpp_x, self.mpp_y)
        except ConfigError:
            return None


def tiles_info(session: Session, item_id: str) -> TilesInfo:
    """The size, the tiles and the scale of the image of an item.

    Raises:
        AccessDeniedError: the token may not read the item.
        ServerError: there is no such item, or it is no large image, or the server failed.
    """
    path = f"item/{girder_id('item', item_id)}/tiles"
    told = session.get_json(path, f"large image of item {item_id}")
    try:
        info = TilesInfo(
            width_level0=_count(told, "sizeX", 2**31),
            height_level0=_count(told, "sizeY", 2**31),
            tile_width=_count(told, "tileWidth", 2**16),
            tile_height=_count(told, "tileHeight", 2**16),
            levels=_count(told, "levels", MAX_LEVELS),
            mpp_x=_um(told.get("mm_x")),
            mpp_y=_um(told.get("mm_y")),
            bands=_count(told, "bandCount", 2**16) if told.get("bandCount") else None,
            dtype=str(told.get("dtype") or ""),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ServerError(path, "the server describes no large image") from error
    if info.tile_width * info.tile_height > MAX_TILE_PIXELS:
        raise ServerError(path, "its tiles are too large; convert the image to a tiled one")
    return info


def full_levels(session: Session, item_id: str, info: TilesInfo) -> tuple[int, ...] | None:
    """The levels that the file has, ascending, or None where the server does not know them.

    Only a server that reads the file through OpenSlide says which they are.

    Raises:
        AccessDeniedError: the token may not read the item.
        ServerError: the server failed.
    """
    path = f"item/{girder_id('item', item_id)}/tiles/internal_metadata"
    told = session.get_json(path, f"metadata of item {item_id}")
    properties = told.get("openslide") if isinstance(told, dict) else None
    if not isinstance(properties, dict):
        return None
    found = {info.levels - 1}
    for number in range(MAX_LEVELS):
        try:
            downsample = float(properties[f"openslide.level[{number}].downsample"])
            level = info.levels - 1 - round(math.log2(downsample))
        except (KeyError, TypeError, ValueError, OverflowError):
            continue
        exact = 2.0 ** (info.levels - 1 - level)
        if 0 <= level < info.levels and abs(downsample / exact - 1) < POWER_OF_TWO:
            found.add(level)
    return tuple(sorted(found))


def fetch_tile(
    session: Session, item_id: str, info: TilesInfo, *, z: int, x: int, y: int, encoding: Encoding
) -> NDArray[Any]:
    """The pixels of a tile, (height, width[, bands]), never larger than `info` says.

    `encoding` JPEG passes on the bytes of the slide's file where the server can, and loses detail
    where it cannot; PNG is exact.

    Raises:
        AccessDeniedError: the token may not read the item.
        ServerError: there is no such tile, or it cannot be read, or the server failed.
    """

    def pixels(reply: Reply) -> NDArray[Any]:
        return _decoded(reply, info)

    return session.get(
        f"item/{girder_id('item', item_id)}/tiles/zxy/{z}/{x}/{y}",
        f"tile {z}/{x}/{y} of item {item_id}",
        params=QUERIES[encoding],
        limit_bytes=info.tile_width * info.tile_height * 8 + 2**16,
        check=pixels,
    )


def _decoded(reply: Reply, info: TilesInfo) -> NDArray[Any]:
    if not reply.content_type.startswith("image/"):
        raise ValueError("something that is no image")
    try:
        with Image.open(io.BytesIO(reply.body), formats=("JPEG", "PNG")) as image:
            if image.width > info.tile_width or image.height > info.tile_height:
                raise ValueError(f"a tile of {image.width} x {image.height} pixels")
            if image.mode in {"P", "PA", "CMYK", "YCbCr"}:
                return np.asarray(image.convert("RGB"))
            return np.asarray(image)
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError("an image that cannot be decoded") from error


def _count(told: dict[str, object], key: str, most: int) -> int:
    value = told[key]
    if not isinstance(value, int) or not 1 <= value <= most:
        raise ValueError(key)
    return value


def _um(mm: object) -> float | None:
    if not isinstance(mm, int | float) or not math.isfinite(mm) or mm <= 0:
        return None
    return 1000.0 * mm
