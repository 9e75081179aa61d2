"""Nuclei as HoVer-Net writes them: a number, an outline and a type each.

HoVer-Net's outlines run through the middles of the outermost pixels of a nucleus, and count whole
numbers as the middles. Here whole numbers are corners of pixels, so points move by half a pixel.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from deeplab.annotations.formats.format import Reading, Writing
from deeplab.annotations.formats.gather import LayerGatherer, coordinates, shown
from deeplab.annotations.formats.json_stream import events, pairs, values
from deeplab.annotations.formats.type_info import (
    KEY_SHOWN,
    UNTYPED,
    Types,
    named_types,
    number_types,
    open_types,
    parse_type_info,
    said_types,
    tell_types,
    type_of,
    types_beside,
)
from deeplab.annotations.shapes import Annotations, Property
from deeplab.config.classes import Rgb
from deeplab.errors import AnnotationError, ConfigError
from deeplab.files import whole_file
from deeplab.geometry.frames import Mpp

MIDDLE = 0.5  # of a pixel, from its corner
UM_AT_1X = 10.0  # um per pixel; 40x has 0.25
Json = dict[str, Any]


def read_hovernet_json(path: Path, reading: Reading = Reading()) -> Annotations:
    """Reads nuclei, a layer for each type; the older form without `mag` too.

    Types have the names of `reading.classes`, else of `type_info` in the file, else of a
    `type_info.json` beside it, else "type 1". `mag` tells the um per pixel, 0.25 at 40.

    Raises:
        AnnotationError: it is something else, or holds what cannot be on a slide.
    """
    gatherer = LayerGatherer.of(path, reading)
    types = _types(path, reading, gatherer)
    open_types(types, gatherer)
    for key, nucleus in _nuclei(path):
        with gatherer.sparing():
            _take(nucleus, types, gatherer, f"nucleus {key[:KEY_SHOWN]}", path)
    return gatherer.annotations(mpp=_mpp(next(values(path, "mag"), None), gatherer))


def _take(nucleus: object, types: Types, gatherer: LayerGatherer, where: str, path: Path) -> None:
    """Puts a nucleus into the layer of its type."""
    if not isinstance(nucleus, dict) or "contour" not in nucleus:
        raise AnnotationError(path, f"{where} has no contour")
    name, colour = _layer(nucleus.get("type"), types, where, path)
    contour = nucleus["contour"]
    if isinstance(contour, list) and len(contour) < 3:
        gatherer.skip("nucleus of fewer than three points")
        return
    points = coordinates(contour, where, path) + MIDDLE
    gatherer.open(name, colour)
    gatherer.add(name, shapely.Polygon(points), _properties(nucleus))


def write_hovernet_json(
    path: Path, annotations: Annotations, _writing: Writing = Writing()
) -> None:
    """Writes each shape as a nucleus whose type is the number of its layer, 1 for the first.

    Nuclei of the layer "no type" are of type 0, and their layer is not counted.

    The names and colours of the types are under `type_info`, in the form of HoVer-Net's file of
    that name. Holes, and properties other than `type_prob` or `confidence`, have no place.

    Raises:
        OutputError: the file cannot be written.
    """
    numbers = number_types(annotations)
    mag = UM_AT_1X / annotations.mpp.mean if annotations.mpp else None
    with whole_file(path) as part, part.open("w", encoding="utf-8") as file:
        head = {"mag": mag, "type_info": tell_types(annotations)}
        file.write(json.dumps(head).removesuffix("}") + ', "nuc": {')
        keys = count(1)
        for layer in annotations.layers:
            for shape in layer.shapes:
                for part in shape.parts:
                    key = next(keys)
                    told = _nucleus(part, shape.properties, numbers[layer.name])
                    nucleus = json.dumps(told, separators=(",", ":"))
                    file.write(("" if key == 1 else ",") + f'\n"{key}": {nucleus}')
        file.write("\n}}\n")


def _nuclei(path: Path) -> Iterator[tuple[str, Any]]:
    """Return the nuclei and their keys, one by one."""
    if next(events(path))[1] != "start_map":
        raise AnnotationError(path, "is not a JSON object, so it holds no nuclei of HoVer-Net")
    newer = pairs(path, "nuc")
    first = next(newer, None)
    if first:
        return chain([first], newer)
    top = pairs(path, "")
    return ((key, value) for key, value in top if key not in ("mag", "nuc", "type_info"))


def _types(path: Path, reading: Reading, gatherer: LayerGatherer) -> Types:
    """Return names and colours of the types that are known beforehand."""
    if reading.classes:
        return named_types(reading.classes)
    found = next(values(path, "type_info"), None)
    if found is None:
        return types_beside(path, gatherer)
    return said_types(parse_type_info(found), path, gatherer)


def _layer(given: object, types: Types, where: str, path: Path) -> tuple[str, Rgb | None]:
    if given is None:
        return UNTYPED, None
    if not isinstance(given, int) or given < 0:
        raise AnnotationError(
            path, f"the type of {where} is {shown(given)}, not a number from 0 on"
        )
    return type_of(types, given)


def _properties(nucleus: Json) -> Mapping[str, Property]:
    probability = nucleus.get("type_prob")
    if isinstance(probability, int | float) and not isinstance(probability, bool):
        return {"type_prob": probability}
    return {}


def _mpp(mag: object, gatherer: LayerGatherer) -> Mpp | None:
    if mag in (None, 0):
        return None
    try:
        return Mpp.square(UM_AT_1X / float(str(mag)))
    except (ValueError, ArithmeticError, ConfigError):
        gatherer.skip_scale(f"of mag {shown(mag)}")
        return None


def _nucleus(part: shapely.Polygon, properties: Mapping[str, Property], number: int) -> Json:
    points = shapely.get_coordinates(part.exterior)[:-1] - MIDDLE
    # Of the pixels whose middles lie within; the last ones are those before `high`.
    high = np.floor(points.max(axis=0)) + 1
    low = np.minimum(np.ceil(points.min(axis=0)), high - 1)
    probability = properties.get("type_prob", properties.get("confidence"))
    known = isinstance(probability, int | float) and math.isfinite(probability)
    centre = part.centroid
    return {
        "bbox": [[int(low[1]), int(low[0])], [int(high[1]), int(high[0])]],
        "centroid": [centre.x - MIDDLE, centre.y - MIDDLE],
        "contour": _whole(points),
        "type_prob": probability if known else None,
        "type": number,
    }


def _whole(points: NDArray[np.float64]) -> list[list[float]]:
    """Points as HoVer-Net writes them, in whole numbers, where they are."""
    whole = np.rint(points)
    found: list[list[float]] = (
        whole.astype(np.int64) if (whole == points).all() else points
    ).tolist()
    return found
