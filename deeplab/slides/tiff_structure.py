"""Whether the images in a TIFF are such as a slide can need, by their directories alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from deeplab.errors import UnreadableSlideError
from deeplab.slides.codestreams import HEAD_BYTES, has_restarts
from deeplab.slides.limits import (
    MAX_PIXELS,
    MAX_SIDE,
    MAX_TILE_BYTES,
    MAX_UNTILED_PIXELS,
    TILED_COPY,
)
from deeplab.slides.tiff_directories import Directory

# Numbers of tags.
WIDTH, HEIGHT, BITS, SAMPLES, PLANES = 256, 257, 258, 277, 284
ROWS, TILE_WIDTH, TILE_HEIGHT = 278, 322, 323
OFFSETS, COUNTS = (273, 324), (279, 325)  # of strips, of tiles
NDPI = 65420  # of Hamamatsu alone
RESTARTS = 65426  # where Hamamatsu's one strip, a JPEG, can be entered
PLANAR = 2  # each channel by itself


def check_structure(path: Path, directories: Sequence[Directory]) -> None:
    """Refuse a TIFF that claims more than a slide can need, or lists other pieces than it needs.

    Raises:
        UnreadableSlideError: so it does.
    """
    if not any(WIDTH in each.tags for each in directories):
        raise UnreadableSlideError(path.name, "is cut short or damaged; copy it again")
    for directory in directories:
        if WIDTH in directory.tags:
            _check_image(path, directory)


def _check_image(path: Path, image: Directory) -> None:
    name = path.name
    width, height = image.first(WIDTH), image.first(HEIGHT)
    if not width or not height:
        raise UnreadableSlideError(name, "is damaged: an image of it has no size; copy it again")
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise UnreadableSlideError(
            name, f"claims {width:,} x {height:,} pixels, which no slide has; copy it again"
        )
    tiled = TILE_WIDTH in image.tags or TILE_HEIGHT in image.tags
    if tiled:
        across, down = image.first(TILE_WIDTH), image.first(TILE_HEIGHT)
    else:
        across, down = width, min(image.first(ROWS, height) or height, height)
    if not across or not down:
        raise UnreadableSlideError(name, "is damaged: its tiles have no size; copy it again")
    planes = image.first(SAMPLES, 1) if image.first(PLANES, 1) == PLANAR else 1
    _check_pieces(name, image, math.ceil(width / across) * math.ceil(height / down) * planes)
    if tiled:
        _check_tile(name, image, across, down, planes)
    elif width * height > MAX_UNTILED_PIXELS and not _can_be_entered(path, image):
        raise UnreadableSlideError(
            name,
            f"has {width:,} x {height:,} pixels without tiles, which must be decoded in one piece; "
            f"{TILED_COPY}",
        )


def _can_be_entered(path: Path, image: Directory) -> bool:
    """Tell whether the one strip of a Hamamatsu slide is read in parts."""
    if RESTARTS in image.tags:
        return True
    try:
        with path.open("rb") as file:
            file.seek(image.first(OFFSETS[0]))
            return NDPI in image.tags and has_restarts(file.read(HEAD_BYTES))
    except (OSError, OverflowError, ValueError):
        return False


def _check_tile(name: str, image: Directory, across: int, down: int, planes: int) -> None:
    samples = 1 if planes > 1 else image.first(SAMPLES, 1)
    if across * down * samples * max(8, image.first(BITS, 8)) // 8 > MAX_TILE_BYTES:
        raise UnreadableSlideError(
            name,
            f"has tiles of {across:,} x {down:,} pixels, each of more than "
            f"{MAX_TILE_BYTES // 2**20} MiB, and no slide needs such; {TILED_COPY}",
        )


def _check_pieces(name: str, image: Directory, needed: int) -> None:
    """Refuse an image that lists fewer tiles or strips than cover it."""
    for kinds in (OFFSETS, COUNTS):
        listed = [image.tags[code].count for code in kinds if code in image.tags]
        if listed and max(listed) < needed:
            raise UnreadableSlideError(
                name,
                f"is damaged: it lists {max(listed):,} tiles or strips where it needs {needed:,}; "
                "copy it again",
            )
