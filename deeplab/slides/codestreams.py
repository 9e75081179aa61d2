"""The size that the head of a compressed image claims, as decoders make room for all of it."""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection
from typing import NamedTuple

from deeplab.slides.jpeg_xl_head import read_head

JPEG, JPEG2000 = b"\xff\xd8", b"\xff\x4f\xff\x51"
BOXES = b"\0\0\0\x0cjP  "  # around a JPEG 2000 that is a file of its own
PNG, LERC = b"\x89PNG\r\n\x1a\n", b"Lerc2 "
JPEG_XL, JPEG_XL_BOXES = b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"
JPEG_XR, JPEG_XR_STREAM = b"II\xbc", b"WMPHOTO\0"
RIFF, WEBP = b"RIFF", b"WEBP"
HEAD_BYTES = 4096  # of a JPEG, among which its tables stand
# Starts of frames: 0xC0 to 0xCF but for tables of Huffman codes, extensions, arithmetic coding.
FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length
SCAN, END = 0xDA, 0xD9
ANIMATED = 0x02  # WebP: a flag of its extended head
XR_WIDTH, XR_HEIGHT, XR_PLACE = 0xBC80, 0xBC81, 0xBCC0  # tags of a JPEG XR


class StatedSize(NamedTuple):
    """What a codestream says that it holds: pixels, and samples of each, at the most."""

    width: int
    height: int
    samples: int


def is_picture(raw: bytes) -> bool:
    """Tell whether bytes are a JPEG or a JPEG 2000 by how they begin."""
    return raw.startswith((JPEG, JPEG2000, BOXES))


def claim_of(raw: bytes) -> StatedSize | None:
    """Return what a codestream claims.

    None where it is of another kind, holds several pictures, or is too damaged to tell.
    """
    for starts, claim in CLAIMS:
        if raw.startswith(starts):
            try:
                return claim(raw)
            except (struct.error, ValueError, IndexError):
                return None
    return None


def has_restarts(raw: bytes) -> bool:
    """Tell whether a JPEG can be entered in between, by its head: T.81, B.2.4.4."""
    scan = raw.find(bytes((0xFF, SCAN)))
    place = raw.find(b"\xff\xdd\0\x04", 0, scan if scan >= 0 else None)
    return raw.startswith(JPEG) and place >= 0 and raw[place + 4 : place + 6] != b"\0\0"


def _jpeg(raw: bytes) -> StatedSize | None:
    """T.81, B.2: segments of a marker and a length until the frame's, which has the size."""
    at = 2
    while at + 9 < len(raw):
        if raw[at] != 0xFF:
            at += 1
            continue
        marker = raw[at + 1]
        if marker in FRAMES:
            height, width, samples = struct.unpack_from(">HHB", raw, at + 5)
            return StatedSize(width, height, samples)
        if marker in (SCAN, END):
            return None
        if marker == 0xFF:  # fill
            at += 1
        elif marker in ALONE:
            at += 2
        else:
            at += 2 + struct.unpack_from(">H", raw, at + 2)[0]
    return None


def _jpeg2000(raw: bytes) -> StatedSize | None:
    """T.800, A.5.1: the segment of sizes comes first; the picture lies behind its offset."""
    place = _behind_boxes(raw, (b"jp2c",)) if raw.startswith(BOXES) else 0
    if not raw.startswith(JPEG2000, place):
        return None
    right, bottom, left, top = struct.unpack_from(">4I", raw, place + 8)
    (samples,) = struct.unpack_from(">H", raw, place + 40)
    return StatedSize(max(0, right - left), max(0, bottom - top), samples)


def _behind_boxes(raw: bytes, wanted: Collection[bytes]) -> int:
    """Return the place of the content of the first of some boxes: ISO 14496-12, 4.2.

    Raises:
        ValueError: there is none.
    """
    at = 0
    while at + 8 <= len(raw):
        size, kind = struct.unpack_from(">I4s", raw, at)
        head = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", raw, at + 8)
            head = 16
        if kind in wanted:
            return at + head
        if size < head:  # 0: all the rest
            break
        at += size
    raise ValueError("lacks its codestream")


def _jpeg_xl(raw: bytes) -> StatedSize | None:
    place = 0
    if raw.startswith(JPEG_XL_BOXES):
        place = _behind_boxes(raw, (b"jxlc", b"jxlp"))
        place += 0 if raw[place - 4 : place] == b"jxlc" else 4  # parts are numbered
    if not raw.startswith(JPEG_XL, place):
        return None
    head = read_head(raw[place + len(JPEG_XL) :])
    return None if head.is_animated else StatedSize(head.width, head.height, 3 + head.extra)


def _jpeg_xr(raw: bytes) -> StatedSize | None:
    """T.832, A.7 and 8.3: the size stands in the tags and in the codestream."""
    (place,) = struct.unpack_from("<I", raw, 4)
    (count,) = struct.unpack_from("<H", raw, place)
    # Integers of 1, 2 or 4 bytes stand in the low bytes of the four.
    entries = [struct.unpack_from("<HHII", raw, place + 2 + 12 * each) for each in range(count)]
    tags = {code: value for code, _, _, value in entries}
    stream = tags.get(XR_PLACE, 0)
    if not raw.startswith(JPEG_XR_STREAM, stream):
        return None
    is_short = raw[stream + 10] & 0x80
    sides = struct.unpack_from(">2H" if is_short else ">2I", raw, stream + 12)
    width, height = (
        max(side + 1, tags.get(tag, 0))
        for side, tag in zip(sides, (XR_WIDTH, XR_HEIGHT), strict=True)
    )
    return StatedSize(width, height, 1)


def _webp(raw: bytes) -> StatedSize | None:
    """RFC 9649, 2.5 to 2.7: the first chunk has the size of the picture, or of its canvas."""
    if raw[8:12] != WEBP:
        return None
    kind = raw[12:16]
    if kind == b"VP8X":
        width, height = (1 + int.from_bytes(raw[at : at + 3], "little") for at in (24, 27))
        return None if len(raw) < 30 or raw[20] & ANIMATED else StatedSize(width, height, 4)
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", raw, 21)
        return StatedSize(1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF), 4)
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<2H", raw, 26)
        return StatedSize(width & 0x3FFF, height & 0x3FFF, 3)
    return None


def _png(raw: bytes) -> StatedSize | None:
    width, height = struct.unpack_from(">2I", raw, 16)
    return StatedSize(width, height, 4)


def _lerc(raw: bytes) -> StatedSize | None:
    """Lerc2: bands come one behind the other, each with its size and its samples for a pixel."""
    at, claim = 0, None
    while raw.startswith(LERC, at):
        (version,) = struct.unpack_from("<i", raw, at + 6)
        place = at + (14 if version >= 3 else 10)  # behind a check sum
        height, width = struct.unpack_from("<2I", raw, place)
        place += 8
        samples = 1
        if version >= 4:
            (samples,) = struct.unpack_from("<I", raw, place)
            place += 4
        (size,) = struct.unpack_from("<I", raw, place + 8)
        before = claim or StatedSize(0, 0, 0)
        claim = StatedSize(
            max(width, before.width), max(height, before.height), samples + before.samples
        )
        if not size:
            break
        at += size
    return claim


CLAIMS: tuple[tuple[tuple[bytes, ...], Callable[[bytes], StatedSize | None]], ...] = (
    ((JPEG,), _jpeg),
    ((JPEG2000, BOXES), _jpeg2000),
    ((PNG,), _png),
    ((LERC,), _lerc),
    ((JPEG_XL, JPEG_XL_BOXES), _jpeg_xl),
    ((JPEG_XR,), _jpeg_xr),
    ((RIFF,), _webp),
)
