"""A layer of very many corners as several annotations of HistomicsUI, and these as one layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Self

from deeplab.annotations.shapes import Annotations, Layer, Shape

# HistomicsUI (large_image 1.35) shows an annotation of up to so many corners as it is drawn; of a
# larger one it shows the largest objects and dots for the others, and nobody can edit it.
MOST_CORNERS = 500_000
PIECE = "piece"  # among the attributes of an annotation: what it is a piece of


@dataclass(frozen=True, slots=True)
class Piece:
    """Which part of a layer an annotation holds: the `number`-th of `count`, from 1 on."""

    layer: str
    number: int = 1
    count: int = 1

    @property
    def name(self) -> str:
        """The name of the annotation."""
        if self.count == 1:
            return self.layer
        return f"{self.layer} ({self.number} of {self.count})"

    @property
    def attributes(self) -> Mapping[str, object]:
        """What the annotation says of it."""
        if self.count == 1:
            return {}
        return {PIECE: {"layer": self.layer, "number": self.number, "count": self.count}}

    @classmethod
    def of(cls, name: str, attributes: object) -> Self:
        """Return what an annotation holds, by its name and attributes.

        One that says that it is a piece, and has another name than that piece, is a layer of its
        own: somebody called it so. So is one that is only called like a piece.
        """
        told = attributes.get(PIECE) if isinstance(attributes, Mapping) else None
        match told:
            case {"layer": str(layer), "number": int(number), "count": int(count)}:
                piece = cls(layer, number, count)
                if layer and 1 <= number <= count and piece.name == name:
                    return piece
        return cls(name)


def piece_of(annotation: Mapping[str, Any]) -> Piece:
    """Return what an annotation of HistomicsUI holds."""
    return Piece.of(str(annotation.get("name")), annotation.get("attributes"))


def in_pieces(annotations: Annotations, most_corners: int) -> Iterator[Annotations]:
    """Yield every layer in one or more pieces, each as annotations of one layer.

    Shapes stay in their order, which is that of tiles, so that a piece lies together on the slide.
    One piece at a time is in memory, whatever the layer has on disk.

    Args:
        annotations: of any number of layers.
        most_corners: of the outlines of a piece; only a single shape may have more.
    """
    for layer in annotations.layers:
        counts = _shapes_of_pieces(layer, most_corners)
        if len(counts) == 1:
            yield replace(annotations, layers=(layer,))
            continue
        shapes = iter(layer.shapes)
        for number, count in enumerate(counts, start=1):
            piece = Piece(layer.name, number, len(counts))
            part = replace(
                layer,
                name=piece.name,
                shapes=tuple(islice(shapes, count)),
                marks=layer.marks if number == len(counts) else (),
            )
            attributes = {**annotations.attributes, **piece.attributes}
            yield replace(annotations, layers=(part,), attributes=attributes)


def layers_of_each_name(annotations: Iterable[tuple[str, object]]) -> dict[str, int]:
    """Return how many layers have each name, of names and attributes of annotations.

    The pieces of a layer are one; a layer that is there twice is two.
    """
    found = Counter(Piece.of(name, attributes) for name, attributes in annotations)
    counts: dict[str, int] = {}
    for piece, count in found.items():
        counts[piece.layer] = max(count, counts.get(piece.layer, 0))
    return counts


def missing_pieces(found: Iterable[Piece]) -> Iterator[str]:
    """Yield a sentence on each layer of which some pieces are not among those found."""
    numbers: dict[tuple[str, int], set[int]] = {}
    for piece in found:
        numbers.setdefault((piece.layer, piece.count), set()).add(piece.number)
    for (layer, count), there in numbers.items():
        if len(there) < count:
            yield f"of the {count} pieces of the layer {layer!r} only {len(there)} are there"


def _shapes_of_pieces(layer: Layer, most_corners: int) -> list[int]:
    """Return how many shapes each piece has; one piece at least."""
    counts, corners = [0], 0
    for shape in layer.shapes:
        more = _corners(shape)
        if counts[-1] and corners + more > most_corners:
            counts.append(0)
            corners = 0
        counts[-1] += 1
        corners += more
    return counts


def _corners(shape: Shape) -> int:
    """Return the corners that the server counts: of outsides, without holes."""
    return sum(len(part.exterior.coords) - 1 for part in shape.parts)
