"""Tiles through a network: read, predict, decode and hand over at the same time, always in order.

Threads read ahead while one thread predicts, others decode and the caller works on what is ready.
Every queue is bounded, so memory does not grow with the slide, and an error anywhere ends all of
it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from deeplab.geometry.frames import WorkBox, WorkFrame
from deeplab.geometry.grid import TileSlot
from deeplab.interrupt import stop_if_asked

BATCHES_AHEAD = 3
READERS = 4  # decoding leaves Python's lock to others, waiting for a server even more so
DECODERS = 2  # of maps to answers, in NumPy and OpenCV

Tile = NDArray[np.uint8]  # (tile, tile, channels)
Tiles = NDArray[np.uint8]  # (n, tile, tile, channels)
BatchMaps = dict[str, NDArray[Any]]  # (n, ...), by name
Maps = dict[str, NDArray[Any]]  # of one tile, without the batch axis
Read = Callable[[WorkFrame, WorkBox], Tile]
Predict = Callable[[Tiles], BatchMaps]
Decoded = TypeVar("Decoded")


class Predicted(NamedTuple, Generic[Decoded]):
    """A tile and what the network answers of it; None where it was not asked."""

    slot: TileSlot
    answer: Decoded | None


_Answers: TypeAlias = list[Future[Decoded]]


def predict_tiles(
    read: Read,
    frame: WorkFrame,
    slots: Iterable[tuple[TileSlot, bool]],
    *,
    predict: Predict,
    decode: Callable[[Maps], Decoded],
    batch_size: int,
) -> Iterator[Predicted[Decoded]]:
    """Yield every slot in its order, those that are wanted with the network's answer.

    Args:
        read: gives the pixels of a box of the frame, as a slide does; called in several threads.
        frame: the frame of the slots.
        slots: tiles in reading order, and whether each is worth reading.
        predict: uint8 (n, tile, tile, channels) to named maps (n, ...), n at most `batch_size`.
        decode: the maps of one tile to its answer; called in several threads.
        batch_size: tiles a step.

    Raises:
        SlideError, ServerError: as reading does.
    """
    waiting: deque[tuple[Sequence[tuple[TileSlot, bool]], Future[_Answers[Decoded]] | None]] = (
        deque()
    )
    groups = _grouped(slots, batch_size)
    readers = ThreadPoolExecutor(READERS, thread_name_prefix="read")
    predictor = ThreadPoolExecutor(1, thread_name_prefix="predict")
    decoders = ThreadPoolExecutor(DECODERS, thread_name_prefix="decode")

    def answer_batch(tiles: Sequence[Future[Tile]]) -> _Answers[Decoded]:
        maps = predict(np.stack([tile.result() for tile in tiles]))
        return [
            decoders.submit(decode, {name: values[place] for name, values in maps.items()})
            for place in range(len(tiles))
        ]

    try:
        while True:
            stop_if_asked()  # a training that looks at held-out slides saves what it has learnt
            for group in islice(groups, BATCHES_AHEAD - len(waiting)):
                tiles = [readers.submit(read, frame, slot.read) for slot, asked in group if asked]
                answers = predictor.submit(answer_batch, tiles) if tiles else None
                waiting.append((group, answers))
            if not waiting:
                return
            yield from _handed_over(*waiting.popleft())
    finally:
        readers.shutdown(wait=False, cancel_futures=True)
        predictor.shutdown(wait=False, cancel_futures=True)
        decoders.shutdown(wait=False, cancel_futures=True)


def _grouped(
    slots: Iterable[tuple[TileSlot, bool]], batch_size: int
) -> Iterator[list[tuple[TileSlot, bool]]]:
    """Runs of slots with at most `batch_size` wanted ones in each."""
    group: list[tuple[TileSlot, bool]] = []
    asked = 0
    for slot, wanted in slots:
        if (wanted and asked == batch_size) or len(group) >= 64:
            yield group
            group, asked = [], 0
        group.append((slot, wanted))
        asked += wanted
    if group:
        yield group


def _handed_over(
    group: Sequence[tuple[TileSlot, bool]], answers: Future[_Answers[Decoded]] | None
) -> Iterator[Predicted[Decoded]]:
    ready = iter(answers.result() if answers else ())
    for slot, asked in group:
        yield Predicted(slot, next(ready).result() if asked else None)
