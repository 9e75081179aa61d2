"""How a long run says how far it is."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """What the engines call to tell how far they are; it must be cheap and may draw or drop it."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Say that `done` of `total` steps of `stage` are done; total 0: nobody knows how many."""


def silent(stage: str, done: int, total: int) -> None:
    """Tell nobody."""
