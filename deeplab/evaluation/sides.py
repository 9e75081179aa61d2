"""Which layers of a slide are the reference, and which a prediction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from deeplab.annotations.formats.format import Reading
from deeplab.annotations.formats.girder_json import (
    FileAnnotation,
    annotations_in,
    read_girder_json,
)
from deeplab.annotations.heatmap import HEATMAP
from deeplab.annotations.pieces import Piece, layers_of_each_name
from deeplab.annotations.shapes import Annotations
from deeplab.config.evaluate_request import EvaluateRequest
from deeplab.errors import SourceError
from deeplab.exchange.labelling import folded
from deeplab.exchange.maker import is_remark, maker

CLI = "EvaluateSegmentation"
WITHOUT_OUTLINES = frozenset({"heatmap", "griddata", "image", "pixelmap"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """What is compared on one slide.

    Attributes:
        reference: its layers.
        prediction: its layers.
        model: that predicted, where the layers say it.
        model_sha256: of its file; "" where the layers do not say it, or are of several.
    """

    reference: Annotations
    prediction: Annotations
    model: str = ""
    model_sha256: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    """An annotation of HistomicsUI with what tells the sides apart.

    Attributes:
        stored: as it is in the file.
        called: the annotation's own name.
        name: of its layer, which may have several annotations.
        attributes: of the annotation.
    """

    stored: FileAnnotation
    called: str
    name: str
    attributes: Mapping[str, Any]

    @property
    def made(self) -> bool:
        """Whether a task made it."""
        return bool(maker(self.attributes))

    @property
    def model(self) -> tuple[str, str]:
        """Name and digest of the model it says it is of; both may be empty."""
        told = self.attributes.get("model")
        if not isinstance(told, dict):
            return "", ""
        return str(told.get("name") or ""), str(told.get("sha256") or "")


def sides_in_file(path: Path, reading: Reading, request: EvaluateRequest, source: str) -> Sides:
    """Return both sides of a slide from a file of its annotations as HistomicsUI keeps them.

    Layers go to the side on whose list their names are; without a list, those that a task made are
    the prediction and the others the reference. Where a name on a list is that of layers of both
    kinds, it means those of its side's kind.

    Raises:
        SourceError: a side has no layer, or the prediction is of several models.
        AnnotationError: a layer is not what it claims to be.
    """
    stored = annotations_in(path)
    entries = _compared(stored)
    reference = _taken(entries, request.reference_layers, made=False)
    prediction = _taken(entries, request.prediction_layers, made=True)
    first, second = (request.reference_layers, request.prediction_layers)
    for entry in [each for each in reference if each in prediction]:
        # What is named goes before what is guessed; what is named twice is what it looks like.
        is_reference = bool(first) if bool(first) != bool(second) else not entry.made
        (prediction if is_reference else reference).remove(entry)
    if not reference:
        raise SourceError(f"{source} {_missing(first, 'reference', 'that a person drew')}")
    if not prediction:
        raise SourceError(f"{source} {_missing(second, 'prediction', 'that a task made')}")
    prediction = _of_one_model(prediction, request, source)
    predicted = _read(path, reading, stored, prediction)
    digests = {entry.model[1] for entry in prediction}
    return Sides(
        reference=_read(path, reading, stored, reference),
        prediction=replace(predicted, remarks=(*predicted.remarks, *_repeated(prediction))),
        model=_names_of_models(prediction),
        model_sha256=digests.pop() if len(digests) == 1 else "",
    )


def reference_in_file(
    path: Path, reading: Reading, request: EvaluateRequest, source: str
) -> Annotations:
    """Return the reference alone, where the prediction comes from elsewhere.

    Raises:
        SourceError: there is no such layer.
        AnnotationError: a layer is not what it claims to be.
    """
    stored = annotations_in(path)
    taken = _taken(_compared(stored), request.reference_layers, made=False)
    if not taken:
        names = request.reference_layers
        raise SourceError(f"{source} {_missing(names, 'reference', 'that a person drew')}")
    return _read(path, reading, stored, taken)


def only(annotations: Annotations, names: Sequence[str], source: str) -> Annotations:
    """Return the layers of these names, all where none is named.

    Raises:
        SourceError: there is none of a name.
    """
    if not names:
        return annotations
    known = {folded(layer.name) for layer in annotations.layers}
    for name in names:
        if folded(name) not in known:
            there = ", ".join(annotations.names) or "none at all"
            raise SourceError(f"{source} has no layer {name!r}, only {there}")
    asked = {folded(name) for name in names}
    layers = tuple(layer for layer in annotations.layers if folded(layer.name) in asked)
    return Annotations(layers, annotations.attributes, annotations.mpp, annotations.remarks)


def _compared(stored: Sequence[FileAnnotation]) -> list[_Entry]:
    """Return what tells the sides apart of each annotation that may be on one, in their order."""
    entries = []
    for place, each in enumerate(stored, 1):
        own = each.annotation.get("attributes")
        called = str(each.annotation.get("name") or f"layer {place}")
        attributes = own if isinstance(own, dict) else {}
        entries.append(_Entry(each, called, Piece.of(called, own).layer, attributes))
    return [entry for entry in entries if _is_compared(entry)]


def _read(
    path: Path, reading: Reading, stored: Sequence[FileAnnotation], chosen: Sequence[_Entry]
) -> Annotations:
    """Return the chosen ones of all annotations of a file."""
    ids = {id(entry.stored) for entry in chosen}
    return read_girder_json(path, reading, entries=stored, is_chosen=lambda each: id(each) in ids)


def _is_compared(entry: _Entry) -> bool:
    """Return whether it outlines something, and does not only say how good other layers are."""
    if is_remark(entry.attributes):
        return False
    if not entry.stored.element_types:
        return not entry.name.endswith(HEATMAP)
    return bool(entry.stored.element_types - WITHOUT_OUTLINES)


def _taken(entries: Iterable[_Entry], asked: Sequence[str], *, made: bool) -> list[_Entry]:
    if not asked:
        return [entry for entry in entries if entry.made == made]
    names = {folded(name) for name in asked}
    named = [entry for entry in entries if folded(entry.name) in names]
    of_kind = {folded(entry.name) for entry in named if entry.made == made}
    return [e for e in named if e.made == made or folded(e.name) not in of_kind]


def _missing(asked: Sequence[str], side: str, kind: str) -> str:
    if asked:
        return f"has no layer called {' or '.join(asked)}; correct {side}_layers"
    return f"has no layer {kind}; name the layers of the {side} with {side}_layers"


def _repeated(entries: Iterable[_Entry]) -> Iterator[str]:
    """Yield names that several predicted layers have: of several regions, or of several runs."""
    annotations = ((each.called, each.attributes) for each in entries)
    for name, count in layers_of_each_name(annotations).items():
        if count > 1:
            yield (
                f"{count} predicted layers are called {name}; where they are of the same place,"
                " remove the older ones, as their objects count twice"
            )


def _of_one_model(entries: list[_Entry], request: EvaluateRequest, source: str) -> list[_Entry]:
    names = _names_of_models(entries)
    if request.model:
        chosen = [entry for entry in entries if request.model in entry.model]
        if not chosen:
            raise SourceError(
                f"{source} has no layer of model {request.model}, only {names or 'others'}"
            )
        return chosen
    models = {entry.model for entry in entries if entry.model[0]}
    if len(models) > 1 and not request.prediction_layers:
        raise SourceError(
            f"{source} has layers of {len(models)} models ({names}); name one with model"
        )
    return entries


def _names_of_models(entries: Iterable[_Entry]) -> str:
    return ", ".join(sorted({entry.model[0] for entry in entries if entry.model[0]}))
