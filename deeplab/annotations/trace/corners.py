"""The outlines inside one tile of labels: rings that close there, and chains that cross its edge.

A vertex (row i, column j) is the upper left corner of the tile's pixel (i, j). An outline keeps its
object on the right hand (clockwise on the screen) and turns where the four pixels round a vertex
ask for it; objects hold together through pixel sides only. Outlines alternate rows and columns, so
the corners where one turns from a column into a row tell the others too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deeplab.annotations.trace.objects import Values

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
RIGHT, LEFT, DOWN, UP = range(4)


@dataclass(frozen=True, slots=True)
class Ports:
    """Where outlines cross the edge of a tile: `vertex` (ports, 2) as row, column; `way` (ports,).

    The vertex lies on the left or upper edge of the tile that is right of or below the seam.
    """

    vertex: Integers
    way: Integers

    def __len__(self) -> int:
        return len(self.way)


@dataclass(frozen=True, slots=True)
class Outlines:
    """The paths of one tile: first one chain per port by which one enters, then the closed rings.

    Attributes:
        corners: int64 (corners, 2), row and column of the vertices where a path turns from a column
            into a row, path after path.
        first: int64 (paths + 1,), where in `corners` each path begins.
        anchors: int64 (paths,), index of the path's first corner whose lower right pixel is of the
            object, -1 in a chain that has none. A ring begins with it.
        touches: bool (paths,), whether the path meets a vertex where its own label touches itself
            across the corner; only such rings can meet themselves.
        enters: the ports by which the chains come in.
        leaves: the ports by which the same chains go out.
    """

    corners: Integers
    first: Integers
    anchors: Integers
    touches: Flags
    enters: Ports
    leaves: Ports


@dataclass(frozen=True, slots=True)
class _Turns:
    """Vertices at which outlines turn, in reading order, and how; at most one turn per direction.

    `into[d]` marks the vertices that a path reaches going in direction d and turns; `out[d]` those
    which it leaves so. `sharp[d]` marks those among `into[d]` where it turns to its right.
    """

    row: Integers
    column: Integers
    into: tuple[Flags, ...]
    out: tuple[Flags, ...]
    sharp: tuple[Flags, ...]
    touch: Flags


def _find_turns(padded: Values) -> _Turns:
    """Return the turns at all vertices between the pixels of `padded`."""
    across = padded[:, 1:] != padded[:, :-1]
    along = padded[1:] != padded[:-1]
    mixed = (across[1:] | across[:-1]) & (along[:, 1:] | along[:, :-1])
    row, column = np.divmod(np.flatnonzero(mixed), mixed.shape[1])
    nw, ne = padded[row, column], padded[row, column + 1]
    sw, se = padded[row + 1, column], padded[row + 1, column + 1]
    top, bottom, left, right = nw == ne, sw == se, nw == sw, ne == se
    # A corner of the one pixel that differs from both its neighbours ...
    only_nw, only_ne = (nw != 0) & ~top & ~left, (ne != 0) & ~top & ~right
    only_sw, only_se = (sw != 0) & ~bottom & ~left, (se != 0) & ~bottom & ~right
    # ... or a notch in three equal ones.
    not_nw, not_ne = (se != 0) & right & bottom & ~top, (sw != 0) & left & bottom & ~top
    not_sw, not_se = (ne != 0) & right & top & ~bottom, (nw != 0) & left & top & ~bottom
    return _Turns(
        row=row,
        column=column,
        into=(only_sw | not_nw, only_ne | not_se, only_nw | not_ne, only_se | not_sw),
        out=(only_se | not_ne, only_nw | not_sw, only_sw | not_se, only_ne | not_nw),
        sharp=(only_sw, only_ne, only_nw, only_se),
        touch=(only_nw & only_se & (nw == se)) | (only_ne & only_sw & (ne == sw)),
    )


def _ports(padded: Values, *, open_right: bool, open_bottom: bool) -> list[Ports]:
    """Return the ports by which paths enter and leave the tile."""
    height, width = padded.shape[0] - 1, padded.shape[1] - 1
    sides = [(padded[:-1, 0], padded[1:, 0], 0, True), (padded[0, :-1], padded[0, 1:], 0, False)]
    if open_right:
        sides.append((padded[:-1, width], padded[1:, width], width, True))
    if open_bottom:
        sides.append((padded[height, :-1], padded[height, 1:], height, False))
    parts: list[list[tuple[Integers, int]]] = [[], []]
    for before, after, line, upright in sides:
        differs = before != after
        own_after = np.flatnonzero(differs & (after != 0))
        own_before = np.flatnonzero(differs & (before != 0))
        # A row's path goes right along the top of a pixel; a column's goes down along its right.
        forth, back = (own_after, own_before) if upright else (own_before, own_after)
        for steps, way in ((forth, RIGHT if upright else DOWN), (back, LEFT if upright else UP)):
            places = np.full((len(steps), 2), line)
            places[:, 0 if upright else 1] = steps
            inwards = (way in (RIGHT, DOWN)) == (line == 0)
            parts[0 if inwards else 1].append((places, way))
    return [
        Ports(
            np.concatenate([places for places, _ in side]),
            np.concatenate([np.full(len(places), way) for places, way in side]),
        )
        for side in parts
    ]


def _link(turns: _Turns, enters: Ports, leaves: Ports) -> tuple[Integers, list[Integers]]:
    """For each node the next one on its path, and the vertices of the turns per direction left in.

    Nodes are the turns that leave right, left, down, up, then the ports to enter, then to leave.
    """
    places = [np.flatnonzero(out) for out in turns.out]
    base = np.cumsum([0, *map(len, places)])
    number = [base[way] - 1 + np.cumsum(turns.out[way]) for way in range(4)]
    successor = np.empty(base[4] + len(enters), np.int64)
    enter_ids = base[4] + np.arange(len(enters))
    leave_ids = base[4] + len(enters) + np.arange(len(leaves))
    turned = {RIGHT: (DOWN, UP), LEFT: (UP, DOWN), DOWN: (LEFT, RIGHT), UP: (RIGHT, LEFT)}
    for way, (sharp, blunt) in turned.items():
        axis = 0 if way in (RIGHT, LEFT) else 1
        lines = turns.row if axis == 0 else turns.column
        ends = np.flatnonzero(turns.into[way])
        end_ids = np.where(turns.sharp[way], number[sharp], number[blunt])[ends]
        enter, leave = enters.way == way, leaves.way == way
        # Along a line runs do not overlap, so its starts and ends pair up in order. Turns come in
        # reading order; the ports lie before or after all of them.
        ported = (
            [
                (enters.vertex[enter, axis], enter_ids[enter]),
                (lines[places[way]], number[way][places[way]]),
            ],
            [(lines[ends], end_ids), (leaves.vertex[leave, axis], leave_ids[leave])],
        )
        if way in (LEFT, UP):
            for side in ported:
                side.reverse()
        starts, stops = (_in_order(side) for side in ported)
        successor[starts] = stops
    return successor, places


def _in_order(parts: Sequence[tuple[Integers, Integers]]) -> Integers:
    """Node numbers sorted by their line, those of one line staying in order."""
    lines = np.concatenate([lines for lines, _ in parts])
    ids = np.concatenate([ids for _, ids in parts])
    if len(lines) and lines.max() < 1 << 16:  # sorted by radix, many times faster
        return ids[np.argsort(lines.astype(np.uint16), kind="stable")]
    return ids[np.argsort(lines, kind="stable")]


def _walk(
    following: list[int], corners: int, rights: int, entries: int
) -> tuple[list[int], list[int], list[int]]:
    """Corners in the order of their paths, where each path begins, and how each chain leaves."""
    seen = bytearray(corners)
    order: list[int] = []
    first: list[int] = []
    leaving: list[int] = []
    for entry in range(corners, corners + entries):
        first.append(len(order))
        at = following[entry]
        while at < corners:
            seen[at] = 1
            order.append(at)
            at = following[at]
        leaving.append(at - corners - entries)
    for corner in range(rights):
        if seen[corner]:
            continue
        first.append(len(order))
        at = corner
        while not seen[at]:
            seen[at] = 1
            order.append(at)
            at = following[at]
    first.append(len(order))
    return order, first, leaving


def find_outlines(padded: Values, *, open_right: bool, open_bottom: bool) -> Outlines:
    """Return the outlines of all labels but 0 inside a tile.

    Args:
        padded: the tile's labels, or numbers of its objects, with one row above and one column left
            of it (zeros outside), and, where the tile ends at the end of everything, one of zeros
            right of it and below.
        open_right: another tile follows to the right.
        open_bottom: another tile follows below.
    """
    turns = _find_turns(padded)
    enters, leaves = _ports(padded, open_right=open_right, open_bottom=open_bottom)
    successor, places = _link(turns, enters, leaves)
    rights = len(places[RIGHT])
    corners = rights + len(places[LEFT])
    total = corners + len(places[DOWN]) + len(places[UP])

    # Leap over the turns from a row into a column: the corners beside them tell where they are.
    kept = np.r_[np.arange(corners), np.arange(total, total + len(enters))]
    following = successor[kept]
    leaps = (following >= corners) & (following < total)
    touch = np.zeros(len(kept), np.bool_)
    touch[:corners] = turns.touch[np.concatenate(places[:2])]
    touch[leaps] |= turns.touch[np.concatenate(places)[following[leaps]]]
    following[leaps] = successor[following[leaps]]
    following[following >= total] -= total - corners

    order_list, first_list, leaving = _walk(following.tolist(), corners, rights, len(enters))
    order, first = np.array(order_list, np.int64), np.array(first_list, np.int64)
    vertex = np.concatenate([places[RIGHT], places[LEFT]])[order]
    path = np.repeat(np.arange(len(first) - 1), np.diff(first))
    touches = np.zeros(len(first) - 1, np.bool_)
    touches[: len(enters)] = touch[corners:]
    touches[path[touch[order]]] = True
    anchors = np.full(len(first) - 1, -1, np.int64)
    rightwards = np.flatnonzero(order < rights)[::-1]
    anchors[path[rightwards]] = rightwards  # the last written, so the first on the path, stays
    out = np.array(leaving, np.int64)
    return Outlines(
        corners=np.column_stack([turns.row[vertex], turns.column[vertex]]),
        first=first,
        anchors=anchors,
        touches=touches,
        enters=enters,
        leaves=Ports(leaves.vertex[out], leaves.way[out]),
    )
