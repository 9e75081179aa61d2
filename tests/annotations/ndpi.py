"""The head of an NDPI: what it says of where its pixels lie on the glass; and what is drawn there."""

from __future__ import annotations

import struct
from pathlib import Path

WIDTH, HEIGHT, MPP = 600, 400, (0.5, 0.25)
OFFSET_NM = (-1_000_000, 2_000_000)
# As a server that reads it through OpenSlide tells it.
ON_GLASS = {
    f"hamamatsu.{axis}OffsetFromSlideCentre": str(nm)
    for axis, nm in zip("XY", OFFSET_NM, strict=True)
}


def write_ndpi_head(path: Path, *, offset: tuple[int, int] | None = OFFSET_NM) -> Path:
    """Write the head of an NDPI, whose offsets have 64 bits; of its pixels there are none."""
    tags = [(256, 4, WIDTH), (257, 4, HEIGHT), (258, 3, 8), (259, 3, 1), (262, 3, 1)]
    tags += [(273, 4, 12), (277, 3, 1), (278, 4, HEIGHT), (279, 4, 0), (282, 5, 12), (283, 5, 20)]
    tags += [(296, 3, 3), (65420, 4, 1)]
    tags += [(65422 + axis, 9, value) for axis, value in enumerate(offset or ())]
    scales = b"".join(struct.pack("<II", round(10_000 / mpp), 1) for mpp in MPP)
    entries = b"".join(
        struct.pack("<HHIi" if kind == 9 else "<HHII", tag, kind, 1, value)
        for tag, kind, value in tags
    )
    head = b"II*\0" + struct.pack("<Q", 12 + len(scales)) + scales
    high = bytes(4 * len(tags))  # the upper halves of values
    path.write_bytes(head + struct.pack("<H", len(tags)) + entries + bytes(8) + high + bytes(64))
    return path


def ndpa_of_box(
    left: float, top: float, right: float, bottom: float, *, size: tuple[int, int], mpp: float = 0.5
) -> bytes:
    """A rectangle "tumour" of level-0 pixels of a slide of this size, as NDP.view keeps it."""
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    places = [
        [
            round(1000 * mpp * (at - side / 2) + nm)
            for at, side, nm in zip(corner, size, OFFSET_NM, strict=True)
        ]
        for corner in corners
    ]
    points = "".join(f"<point><x>{x}</x><y>{y}</y></point>" for x, y in places)
    return (
        '<?xml version="1.0"?><annotations><ndpviewstate id="1"><title>tumour</title>'
        '<coordformat>nanometers</coordformat><annotation type="freehand" color="#ff0000">'
        f"<closed>1</closed><pointlist>{points}</pointlist></annotation></ndpviewstate>"
        "</annotations>"
    ).encode()
