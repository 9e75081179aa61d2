"""The size that the head of a compressed image claims, as decoders make room for all of it."""

from __future__ import annotations

import struct
from typing import NamedTuple

JPEG, JPEG2000 = b"\xff\xd8", b"\xff\x4f\xff\x51"
BOXES = b"\0\0\0\x0cjP  "  # around a JPEG 2000 that is a file of its own
PNG, LERC = b"\x89PNG\r\n\x1a\n", b"Lerc2 "
HEAD_BYTES = 4096  # of a JPEG 2000, among which its size stands, whatever boxes are before it
# Starts of frames: 0xC0 to 0xCF but for tables of Huffman codes, extensions, arithmetic coding.
FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length
SCAN, END = 0xDA, 0xD9


class Claim(NamedTuple):
    """What a codestream says that it holds: pixels, and samples of each."""

    width: int
    height: int
    samples: int


def is_picture(raw: bytes) -> bool:
    """Tell whether bytes are a JPEG or a JPEG 2000 by how they begin."""
    return raw.startswith((JPEG, JPEG2000, BOXES))


def claim_of(raw: bytes) -> Claim | None:
    """Return what a codestream claims; None where it is of another kind, or too damaged to tell."""
    if raw.startswith(JPEG):
        return _jpeg(raw)
    try:
        if raw.startswith(PNG):
            width, height = struct.unpack_from(">2I", raw, 16)
            return Claim(width, height, 1)
        if raw.startswith(LERC):
            # From version 3 on a check sum comes before the size.
            version = struct.unpack_from("<i", raw, 6)[0]
            height, width = struct.unpack_from("<2I", raw, 14 if version >= 3 else 10)
            return Claim(width, height, 1)
    except struct.error:
        return None
    if not raw.startswith((JPEG2000, BOXES)):
        return None
    place = raw.find(JPEG2000, 0, HEAD_BYTES)
    return _jpeg2000(raw, place) if place >= 0 else None


def has_restarts(raw: bytes) -> bool:
    """Tell whether a JPEG can be entered in between, by its head: T.81, B.2.4.4."""
    scan = raw.find(bytes((0xFF, SCAN)))
    place = raw.find(b"\xff\xdd\0\x04", 0, scan if scan >= 0 else None)
    return raw.startswith(JPEG) and place >= 0 and raw[place + 4 : place + 6] != b"\0\0"


def _jpeg(raw: bytes) -> Claim | None:
    """T.81, B.2: segments of a marker and a length until the frame's, which has the size."""
    at = 2
    while at + 9 < len(raw):
        if raw[at] != 0xFF:
            at += 1
            continue
        marker = raw[at + 1]
        if marker in FRAMES:
            height, width, samples = struct.unpack_from(">HHB", raw, at + 5)
            return Claim(width, height, samples)
        if marker in (SCAN, END):
            return None
        if marker == 0xFF:  # fill
            at += 1
        elif marker in ALONE:
            at += 2
        else:
            at += 2 + struct.unpack_from(">H", raw, at + 2)[0]
    return None


def _jpeg2000(raw: bytes, place: int) -> Claim | None:
    """T.800, A.5.1: the segment of sizes comes first; the picture lies behind its offset."""
    try:
        right, bottom, left, top = struct.unpack_from(">4I", raw, place + 8)
        (samples,) = struct.unpack_from(">H", raw, place + 40)
    except struct.error:
        return None
    return Claim(max(0, right - left), max(0, bottom - top), samples)
