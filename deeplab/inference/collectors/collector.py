"""What the flow of a segmentation knows of a collector."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, TypeVar

from deeplab.annotations.trace.outlines import TracedShape
from deeplab.geometry.grid import TileSlot
from deeplab.models.answers import Answer

OneAnswer = TypeVar("OneAnswer", bound=Answer, contravariant=True)


class Collector(Protocol[OneAnswer]):
    """Takes every tile of a plan in reading order; has work files, so it is to be closed."""

    def add(self, slot: TileSlot, answer: OneAnswer | None) -> None:
        """Take the next tile; no answer: nothing is there."""

    def found(self) -> Iterator[TracedShape]:
        """Return what all tiles hold together, as it was found: small ones, holes and all."""

    def close(self) -> None:
        """Remove the work files."""
