"""Which layers of a slide are measured: those asked for, or all that outline objects."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from deeplab.annotations.formats.format import Reading
from deeplab.annotations.formats.girder_json import annotations_in, read_girder_json
from deeplab.annotations.heatmap import HEATMAP
from deeplab.annotations.pieces import layers_of_each_name, piece_of
from deeplab.annotations.shapes import Annotations, Layer
from deeplab.exchange.labelling import folded
from deeplab.exchange.live_annotations import read_live
from deeplab.exchange.maker import is_remark
from deeplab.exchange.samples import Sample
from deeplab.report.words import listed
from deeplab.server.session import ServerLogin, Session


def load_layers(
    sample: Sample, classes: Sequence[str], login: ServerLogin | None
) -> tuple[Annotations, list[str]]:
    """Return the layers of a slide, and what is odd about them.

    On a server those that a task made to say something of other layers are left out unless they
    are asked for by name: what was measured once is not measured again.

    Raises:
        AnnotationError: they cannot be read.
        ServerError: the server refused or failed.
    """
    if login is None:
        return sample.load(), []
    asked = {folded(name) for name in classes}
    kept: list[Mapping[str, Any]] = []

    def read(path: Path, reading: Reading) -> Annotations:
        entries = annotations_in(path)
        told = [each.annotation for each in entries if each.prefix is not None]
        kept.extend(annotation for annotation in told if _outlines(annotation, asked))
        return read_girder_json(
            path,
            reading,
            entries=entries,
            is_chosen=lambda each: each.prefix is None or _outlines(each.annotation, asked),
        )

    with Session(login) as session:
        annotations = read_live(session, sample.slide, sample.name, read)
    counts = layers_of_each_name((str(each.get("name")), each.get("attributes")) for each in kept)
    odd = [
        f"{count} layers are called {name} and were measured as one"
        for name, count in counts.items()
        if count > 1 and (not asked or folded(name) in asked)
    ]
    return annotations, odd


def _outlines(annotation: Mapping[str, Any], asked: Collection[str]) -> bool:
    name = folded(piece_of(annotation).layer)
    return name in asked or not is_remark(annotation.get("attributes"))


def wanted_layers(annotations: Annotations, classes: Sequence[str]) -> Annotations:
    """Return the layers to measure, one for each class, called as the user calls it."""
    asked = {folded(name): name for name in classes}
    by_class: dict[str, list[Layer]] = {}
    called: dict[str, list[str]] = {}
    for layer in annotations.layers:
        name = asked.get(folded(layer.name), "") if classes else _own_name(layer)
        if name:
            by_class.setdefault(name, []).append(replace(layer, name=name))
            called.setdefault(name, []).append(layer.name)
    names = [name for name in classes if name in by_class] or list(by_class)
    layers = Annotations(tuple(layer for name in names for layer in by_class[name]))
    odd = [
        f"the layers {listed(several)} were measured as one, {name}"
        for name, several in called.items()
        if len(several) > 1
    ]
    return replace(
        annotations,
        layers=tuple(layers.layer(name) for name in names),
        remarks=(*annotations.remarks, *odd),
    )


def _own_name(layer: Layer) -> str:
    """Return the name of a layer; empty where it is only a heatmap of another."""
    return "" if layer.name.endswith(HEATMAP) and not layer.shapes else layer.name
