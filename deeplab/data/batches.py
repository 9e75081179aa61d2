"""Batches of patches, made ahead of the training step by threads, always in the same order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deeplab.data.sampling import Patch


class Batch(NamedTuple):
    """Patches of one step."""

    rgb: NDArray[np.uint8]  # (n, side, side, 3)
    labels: NDArray[np.uint8]  # (n, side, side), 255 ignored


def batches(
    patch: Callable[[int], Patch], *, size: int, steps: range, threads: int, ahead: int = 4
) -> Iterator[Batch]:
    """One batch for each of `steps`; batch n holds the patches n * size to (n + 1) * size - 1.

    Args:
        patch: makes the patch of a number; called from `threads` threads.
        size: patches a batch.
        steps: numbers of the batches wanted.
        threads: that read and augment.
        ahead: batches that may wait, so memory is bounded.
    """
    waiting: deque[list[Future[Patch]]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="patch")
    try:
        for step in steps:
            waiting.append([pool.submit(patch, step * size + i) for i in range(size)])
            if len(waiting) > ahead:
                yield _gathered(waiting.popleft())
        while waiting:
            yield _gathered(waiting.popleft())
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _gathered(futures: list[Future[Patch]]) -> Batch:
    patches = [future.result() for future in futures]
    return Batch(np.stack([p.rgb for p in patches]), np.stack([p.labels for p in patches]))
