"""The tiles of a large image on a Girder server."""

from __future__ import annotations

import io
import math
import struct
from dataclasses import dataclass
from typing import Any, Literal, TypeGuard

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from deeplab.errors import ConfigError, ServerError
from deeplab.geometry.frames import Mpp
from deeplab.names import shown_name
from deeplab.server.replies import Reply, Told
from deeplab.server.session import Session, girder_id

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
# One sample of 8 or 16 bits; some regions of bytes come as equal colours.
REGION_MODES = ("L", "I;16", "I;16L", "I;16B", "RGB", "RGBA")
READ_FAULTS_OF_PICTURES = (
    *(UnidentifiedImageError, OSError, SyntaxError, struct.error),
    Image.DecompressionBombError,
)
FARTHEST_NM = 1e9  # from the middle of the glass: a metre, of 76 mm
# No slide has more, whoever says so: 4 million pixels of 0.25 um are a metre.
MOST_SIDE, MOST_PIXELS = 2**22, 2**40
MOST_TILE_SIDE, MOST_BANDS = 2**16, 2**16
MOST_FRAMES, MOST_LETTERS = 2**14, 100  # of an image, and of the name of a channel


@dataclass(frozen=True, slots=True, kw_only=True)
class TilesInfo:
    """What the server says of an image; level `levels - 1` has all its pixels, 0 is one tile.

    `bands` and `dtype` are those of the file, where they are known; tiles come as bytes.
    `channel_frames` are the numbers of the frames that its channels are, and `channel_names` what
    they are called, empty where one has no name.
    """

    width_level0: int
    height_level0: int
    tile_width: int
    tile_height: int
    levels: int
    mpp_x: float | None
    mpp_y: float | None
    magnification: float | None = None
    bands: int | None = None
    dtype: str = ""
    channel_frames: tuple[int, ...] = (0,)
    channel_names: tuple[str, ...] = ("",)

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
    """Return the size, the tiles and the scale of the image of an item.

    Raises:
        AccessDeniedError: the token may not read the item.
        ServerError: there is no such item, or it is no large image, or the server failed.
    """
    what = f"large image of item {item_id}"
    told = session.get_json(f"item/{girder_id('item', item_id)}/tiles", what)
    info = _info(Told.of(told, what, "a large image"))
    if info.width_level0 * info.height_level0 > MOST_PIXELS:
        raise ServerError(what, "it is said to have more pixels than a slide can have")
    if info.tile_width * info.tile_height > MAX_TILE_PIXELS:
        raise ServerError(what, "its tiles are too large; convert the image to a tiled one")
    return info


def full_levels(session: Session, item_id: str, info: TilesInfo) -> tuple[int, ...] | None:
    """Return the levels that the file has, ascending, or None where the server does not know them.

    Only a server that reads the file through OpenSlide says which they are.

    Raises:
        AccessDeniedError: the token may not read the item.
        ServerError: the server failed.
    """
    properties = _openslide_properties(session, item_id)
    if properties is None:
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


def glass_offset_nm(session: Session, item_id: str) -> tuple[float, float] | None:
    """Return how far the middle of a slide's pixels is from that of its glass, in nanometres, x, y.

    None where the server does not know: only one that reads a file of a Hamamatsu scanner through
    OpenSlide does (https://openslide.org/properties/).

    Raises:
        AccessDeniedError: the token may not read the item.
        ServerError: the server failed.
    """
    properties = _openslide_properties(session, item_id) or {}
    try:
        x, y = (float(properties[f"hamamatsu.{axis}OffsetFromSlideCentre"]) for axis in "XY")
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return (x, y) if all(abs(each) <= FARTHEST_NM for each in (x, y)) else None  # not NaN, either


def _openslide_properties(session: Session, item_id: str) -> dict[str, Any] | None:
    """Return OpenSlide's properties of an item's file; None where another source reads it."""
    path = f"item/{girder_id('item', item_id)}/tiles/internal_metadata"
    told = session.get_json(path, f"metadata of item {item_id}")
    properties = told.get("openslide") if isinstance(told, dict) else None
    return properties if isinstance(properties, dict) else None


def fetch_tile(
    session: Session, item_id: str, info: TilesInfo, *, z: int, x: int, y: int, encoding: Encoding
) -> NDArray[Any]:
    """Return the pixels of a tile, (height, width[, bands]), never larger than `info` says.

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


@dataclass(frozen=True, slots=True)
class LevelBox:
    """A box in the pixels of a level, `downsample` pixels of level 0 each."""

    x: int
    y: int
    width: int
    height: int
    downsample: int


def fetch_region(
    session: Session, item_id: str, box: LevelBox, *, frame: int
) -> NDArray[np.uint8 | np.uint16]:
    """Return the samples of a part of a frame, (height, width), with all their bits.

    Raises:
        AccessDeniedError: the token may not read the item.
        ServerError: there is no such frame, or it cannot be read, or the server failed.
    """
    by = box.downsample
    params = {
        "frame": str(frame),
        "left": str(box.x * by),
        "top": str(box.y * by),
        "regionWidth": str(box.width * by),
        "regionHeight": str(box.height * by),
        "units": "base_pixels",
        # A TIFF has 16 bits, where a PNG of the server's has 8.
        "encoding": "TIFF",
        "tiffCompression": "tiff_lzw",
    }
    if by > 1:
        params |= {"width": str(box.width), "height": str(box.height)}

    def samples(reply: Reply) -> NDArray[Any]:
        return _decoded_region(reply, box)

    return session.get(
        f"item/{girder_id('item', item_id)}/tiles/region",
        f"frame {frame} at ({box.x * by}, {box.y * by}) of item {item_id}",
        params=params,
        limit_bytes=box.width * box.height * 4 + 2**16,
        check=samples,
    )


def _decoded_region(reply: Reply, box: LevelBox) -> NDArray[Any]:
    if not reply.content_type.startswith("image/"):
        raise ValueError("something that is no image")
    try:
        with Image.open(io.BytesIO(reply.body), formats=("TIFF",)) as image:
            if image.size != (box.width, box.height) or image.mode not in REGION_MODES:
                raise ValueError(f"{image.width} x {image.height} pixels of kind {image.mode}")
            samples = np.asarray(image)
    except READ_FAULTS_OF_PICTURES as error:
        raise ValueError("an image that cannot be decoded") from error
    if samples.ndim == 3:
        if np.ptp(samples[:, :, :3], axis=2).any():
            raise ValueError("colours for the samples of one channel")
        samples = samples[:, :, 0]
    return samples


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
    except READ_FAULTS_OF_PICTURES as error:
        raise ValueError("an image that cannot be decoded") from error


def _info(told: Told) -> TilesInfo:
    frames, names = _channels(told)
    return TilesInfo(
        width_level0=told.count("sizeX", least=1, most=MOST_SIDE),
        height_level0=told.count("sizeY", least=1, most=MOST_SIDE),
        tile_width=told.count("tileWidth", least=1, most=MOST_TILE_SIDE),
        tile_height=told.count("tileHeight", least=1, most=MOST_TILE_SIDE),
        levels=told.count("levels", least=1, most=MAX_LEVELS),
        mpp_x=_um(told.parts.get("mm_x")),
        mpp_y=_um(told.parts.get("mm_y")),
        magnification=_positive(told.parts.get("magnification")),
        bands=told.count("bandCount", most=MOST_BANDS) if told.parts.get("bandCount") else None,
        dtype=told.text("dtype")[:20],
        channel_frames=frames,
        channel_names=names,
    )


def _channels(told: Told) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return the frames that are channels of an image, of a stack those of its first, and names.

    Where the server tells no channels apart each frame is one.
    """
    frames = told.parts.get("frames")
    frames = frames[:MOST_FRAMES] if isinstance(frames, list) and frames else [{}]
    count, stride = (
        part.get("IndexC") if isinstance(part := told.parts.get(key), dict) else None
        for key in ("IndexRange", "IndexStride")
    )
    numbers = range(len(frames))
    if _is_count(count) and _is_count(stride) and stride * (count - 1) < len(frames):
        numbers = range(0, stride * count, stride)
    names = told.parts.get("channels")
    if not isinstance(names, list) or len(names) != len(numbers):
        there = (frames[number] for number in numbers)
        names = [frame.get("Channel") if isinstance(frame, dict) else "" for frame in there]
    return tuple(numbers), tuple(_channel_name(name) for name in names)


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MOST_FRAMES


def _channel_name(value: object) -> str:
    return shown_name(value.strip())[:MOST_LETTERS] if isinstance(value, str) else ""


def _um(mm: object) -> float | None:
    """Um of the mm that a server states; None where that is no length."""
    positive = _positive(mm)
    return None if positive is None else _positive(1000.0 * positive)


def _positive(value: object) -> float | None:
    try:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        number = float(value)
    except OverflowError:  # a whole number of a thousand digits
        return None
    return number if math.isfinite(number) and number > 0 else None
