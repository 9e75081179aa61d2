"""Closed outlines: put together from the pieces of many tiles, and parted where they touch."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deeplab.annotations.trace.corners import Outlines, Ports
from deeplab.errors import OutputError
from deeplab.geometry.frames import WorkBox

Integers = NDArray[np.int64]
Corners = NDArray[np.int32]  # (corners, 2) as x, y in work pixels


@dataclass(frozen=True, slots=True)
class Rings:
    """Many rings, one after the other.

    Attributes:
        corners: every second corner of the rings, those where they turn from a column into a row; a
            ring begins with its uppermost, there leftmost, one that goes on to the right.
        length: corners of each ring here.
        owner: number of the object that each ring bounds.
        touches: whether a ring may meet itself in a vertex.
    """

    corners: Corners
    length: Integers
    owner: Integers
    touches: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Chain:
    """A piece of a ring between two seams; `leaves` is the key of the port it goes out by."""

    corners: Corners
    leaves: int
    owner: int
    touches: bool


class _CornerFile:
    """Corners on disk, which are most of what rings are."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path: Path | None = None

    def append(self, corners: Corners) -> None:
        try:
            if self._path is None:
                handle, name = tempfile.mkstemp(dir=self._folder, suffix=".corners")
                os.close(handle)
                self._path = Path(name)
            with self._path.open("ab") as file:
                file.write(np.ascontiguousarray(corners).tobytes())
        except OSError as error:
            raise OutputError(self._folder, error.strerror or str(error)) from error

    def whole(self) -> Corners:
        if self._path is None or not self._path.stat().st_size:
            return np.zeros((0, 2), np.int32)
        return np.asarray(np.memmap(self._path, np.int32, "r")).reshape(-1, 2)


class RingStore:
    """Gathers the outlines of tiles and makes rings of them.

    Args:
        area: what the tiles cover together.
        spill: a folder to keep corners in instead of memory; it must outlive the rings.

    Raises:
        OutputError: there is no room for them.
    """

    def __init__(self, area: WorkBox, spill: Path | None = None) -> None:
        self._area = area
        self._on_disk = _CornerFile(spill) if spill else None
        self._rings: list[Rings] = []
        self._chains: dict[int, _Chain] = {}

    def add(self, outlines: Outlines, numbered: NDArray[np.int32], base: int, box: WorkBox) -> None:
        """Takes the outlines of one tile.

        Args:
            outlines: the tile's.
            numbered: objects of the tile from 1, int32 (box.height, box.width).
            base: what to add to them.
            box: where the tile lies, work pixels.
        """
        at = outlines.corners[outlines.anchors] if len(outlines.corners) else np.zeros((0, 2), int)
        owner = np.full(len(outlines.anchors), -1, np.int64)
        known = np.flatnonzero(outlines.anchors >= 0)
        owner[known] = numbered[at[known, 0], at[known, 1]].astype(np.int64) + base
        corners = (outlines.corners[:, ::-1] + (box.x, box.y)).astype(np.int32)
        chains = len(outlines.enters)
        enters, leaves = self._keys(outlines.enters, box), self._keys(outlines.leaves, box)
        first = outlines.first
        own = corners[: first[chains]].copy()  # else one chain would hold all corners of the tile
        for i in range(chains):
            self._chains[enters[i]] = _Chain(
                own[first[i] : first[i + 1]],
                leaves[i],
                int(owner[i]),
                bool(outlines.touches[i]),
            )
        if len(owner) > chains:
            self._keep(
                Rings(
                    corners[first[chains] :].copy(),
                    np.diff(first[chains:]),
                    owner[chains:],
                    outlines.touches[chains:],
                )
            )

    def finish(self) -> Rings:
        """Return all rings; the chains of all tiles are joined."""
        while self._chains:
            self._keep(self._join())
        parts = self._rings
        corners = [np.zeros((0, 2), np.int32), *(part.corners for part in parts)]
        return Rings(
            self._on_disk.whole() if self._on_disk else np.concatenate(corners),
            np.concatenate([np.zeros(0, np.int64), *(part.length for part in parts)]),
            np.concatenate([np.zeros(0, np.int64), *(part.owner for part in parts)]),
            np.concatenate([np.zeros(0, np.bool_), *(part.touches for part in parts)]),
        )

    def _keep(self, rings: Rings) -> None:
        if self._on_disk:
            self._on_disk.append(rings.corners)
            rings = replace(rings, corners=rings.corners[:0].copy())
        self._rings.append(rings)

    def _keys(self, ports: Ports, box: WorkBox) -> list[int]:
        """Return a number for each port that is the same seen from both of its tiles."""
        row = ports.vertex[:, 0] + (box.y - self._area.y)
        column = ports.vertex[:, 1] + (box.x - self._area.x)
        keys: list[int] = ((row * (self._area.width + 1) + column) * 4 + ports.way).tolist()
        return keys

    def _join(self) -> Rings:
        begin, chain = self._chains.popitem()
        parts = [chain]
        while parts[-1].leaves != begin:
            parts.append(self._chains.pop(parts[-1].leaves))
        corners = np.concatenate([part.corners for part in parts])
        x, y = corners[:, 0].astype(np.int64), corners[:, 1].astype(np.int64)
        rightwards = np.flatnonzero(np.roll(x, -1) > x)
        start = rightwards[np.lexsort((x[rightwards], y[rightwards]))[0]]
        return Rings(
            np.roll(corners, -start, axis=0),
            np.array([len(corners)]),
            np.array([max(part.owner for part in parts)]),
            np.array([any(part.touches for part in parts)]),
        )


def whole_rings(rings: Rings, chosen: Integers) -> list[Corners]:
    """Return all corners of some rings, each int32 (corners, 2) in work pixels, not closed."""
    stop = np.cumsum(rings.length)[chosen]
    length = rings.length[chosen]
    end = np.cumsum(length)
    index = np.arange(end[-1]) + np.repeat(stop - end, length)
    half = rings.corners[index]
    following = np.roll(half, -1, axis=0)
    following[end - 1] = half[end - length]
    whole = np.empty((2 * len(half), 2), np.int32)
    whole[0::2] = half
    whole[1::2, 0], whole[1::2, 1] = following[:, 0], half[:, 1]
    return np.split(whole, 2 * end[:-1])


def part_at_touches(ring: Corners) -> list[Corners]:
    """The simple rings of one that visits vertices twice; the one round all others comes first."""
    pieces: list[Corners] = []
    path: list[tuple[int, int]] = []
    place: dict[tuple[int, int], int] = {}
    for x, y in ring.tolist():
        if (start := place.get((x, y))) is None:
            place[x, y] = len(path)
            path.append((x, y))
            continue
        pieces.append(np.array(path[start:], np.int32))
        for left in path[start + 1 :]:
            del place[left]
        del path[start + 1 :]
    pieces.append(np.array(path, np.int32))
    # Only the outside runs clockwise on the screen, which is a positive area with y down.
    return sorted(pieces, key=_doubled_area, reverse=True)


def _doubled_area(ring: Corners) -> int:
    x, y = ring[:, 0].astype(np.int64), ring[:, 1].astype(np.int64)
    return int(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))
