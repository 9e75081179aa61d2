"""Batches of patches, made ahead of the training step by threads, always in the same order."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from deeplab.data.sampling import Patch
from deeplab.errors import ConfigError
from deeplab.interrupt import stop_if_asked

ASKED_EVERY_S = 0.5  # whether to stop, while patches are waited for
AHEAD = 4  # batches that may wait, so memory is bounded; fewer than a block of hard places


class Batch(NamedTuple):
    """One worker's patches of one step."""

    rgb: NDArray[np.uint8]  # (n, side, side, channels)
    targets: Mapping[str, NDArray[Any]]  # (n, ...) each, by the name of the network's output
    numbers: NDArray[np.int64]  # (n,) of the patches
    places: NDArray[np.float64]  # (n, 3) slide, x0, y0 of the patches' middles


class BatchStream(Iterator[Batch]):
    """Batches in order; `close` it when it is not read to its end."""

    def __init__(
        self, patch: Callable[[int], Patch], numbers: Iterator[range], threads: int
    ) -> None:
        self._patch, self._numbers = patch, numbers
        self._waiting: deque[list[Future[Patch]]] = deque()
        self._due: deque[range] = deque()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="patch")
        self._started = self._waited_s = 0.0

    @property
    def waiting_share(self) -> float:
        """Share of the time since the first batch that was spent waiting for the next ones."""
        if not self._started:
            return 0.0
        return self._waited_s / max(time.monotonic() - self._started, 1e-9)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Batch:
        asked = time.monotonic()
        while len(self._due) <= AHEAD and (numbers := next(self._numbers, None)) is not None:
            self._due.append(numbers)
            self._waiting.append([self._pool.submit(self._patch, number) for number in numbers])
        if not self._due:
            self.close()
            raise StopIteration
        try:
            batch = _gathered(self._due.popleft(), self._waiting.popleft())
        except BaseException:
            self.close()
            raise
        now = time.monotonic()
        if self._started:
            self._waited_s += now - asked
        else:
            self._started = now  # the first batch has nothing that it could overlap with
        return batch

    def close(self) -> None:
        """Make no more patches."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def batches(
    patch: Callable[[int], Patch],
    *,
    size: int,
    steps: range,
    threads: int,
    share: tuple[int, int] = (0, 1),
) -> BatchStream:
    """One batch for each of `steps`; step n learns from the patches n * size to (n + 1) * size - 1.

    Args:
        patch: makes the patch of a number; called from `threads` threads.
        size: patches a step, of all workers together.
        steps: numbers of the batches wanted.
        threads: that read and augment.
        share: which worker this is, and of how many. The workers' batches of a step, one after the
            other, are what a single worker would have had.

    Raises:
        ConfigError: the patches of a step cannot be shared out equally.
    """
    worker, workers = share
    if size % workers:
        raise ConfigError("batch_size", size, f"a multiple of {workers}, the number of workers")
    mine = size // workers
    numbers = (
        range(step * size + worker * mine, step * size + (worker + 1) * mine) for step in steps
    )
    return BatchStream(patch, numbers, threads)


def _gathered(numbers: range, futures: list[Future[Patch]]) -> Batch:
    while wait(futures, ASKED_EVERY_S).not_done:  # a server that does not answer takes minutes
        stop_if_asked()
    patches = [future.result() for future in futures]
    return Batch(
        np.stack([p.rgb for p in patches]),
        {name: np.stack([p.targets[name] for p in patches]) for name in patches[0].targets},
        np.asarray(numbers, np.int64),
        np.array([p.place for p in patches], np.float64),
    )
