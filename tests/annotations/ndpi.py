"""The head of an NDPI: what it says of where its pixels lie on the glass."""

from __future__ import annotations

import struct
from pathlib import Path

WIDTH, HEIGHT, MPP = 600, 400, (0.5, 0.25)
OFFSET_NM = (-1_000_000, 2_000_000)


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
