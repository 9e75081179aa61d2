"""Nuclei in MATLAB files, as CoNSeP's labels are and as HoVer-Net writes one for an image.

`inst_map` (height, width) numbers the nuclei. Their types are in `type_map` (height, width), or in
`inst_type` (nuclei, 1), whose rows are those of `inst_uid` or, without it, the numbers in order.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from deeplab.annotations.formats.format import Reading, Writing
from deeplab.annotations.formats.gather import LayerGatherer
from deeplab.annotations.formats.mat5 import read_arrays
from deeplab.annotations.formats.type_info import (
    NO_TYPE_NUMBER,
    named_types,
    number_types,
    open_types,
    parse_type_info,
    said_types,
    tell_types,
    type_of,
    types_beside,
)
from deeplab.annotations.formats.type_info import Types as TypeNames
from deeplab.annotations.raster.rasterize import ShapeIndex
from deeplab.annotations.shapes import Annotations
from deeplab.annotations.trace.instances import Ids, InstanceTracer, Types, as_ids, trace_ids
from deeplab.errors import AnnotationError
from deeplab.files import whole_file
from deeplab.geometry.frames import WorkFrame

MAX_PIXELS = 1 << 26  # which a .mat holds in one piece; one of whole slides would be a TIFF
MAX_LETTERS = 1 << 20  # of the names of types
MOST_TYPES = 255
HEAD = b"MATLAB 5.0 MAT-file, written by histomics-deeplab".ljust(116)
NAMES = "type_info"  # the text of such a file
Arrays = Mapping[str, NDArray[Any]]


def read_mat(path: Path, reading: Reading = Reading()) -> Annotations:
    """Read nuclei, a layer for each type; a pixel of `inst_map` is a pixel of level 0.

    Types have the names of `reading.classes`, else of `type_info` in the file, else of a
    `type_info.json` beside it, else "type 1". Nuclei without a type are in the layer "nuclei", or
    the one class there is.

    Raises:
        AnnotationError: it is no such file, or one of MATLAB 7.3, or larger than is held at once.
    """
    arrays, told = _load(path)
    gatherer = LayerGatherer.of(path, reading)
    names = _names(path, told, reading, gatherer)
    ids = as_ids(arrays["inst_map"], "inst_map", path)
    if not ids.size:
        raise AnnotationError(path, f"inst_map has the shape {ids.shape}: there is no pixel")
    typed = "type_map" in arrays or "inst_type" in arrays
    open_types(names, gatherer)
    tracer = trace_ids(ids, _type_map(arrays, ids, path))
    kinds = tracer.types() if "type_map" in arrays else _listed_types(arrays, tracer, path)
    only = [kind for kind in names if kind != NO_TYPE_NUMBER]
    untyped = only[0] if len(only) == 1 and not typed else NO_TYPE_NUMBER
    for number, polygon in tracer.finish():
        name, colour = type_of(names, kinds.get(number, untyped))
        gatherer.open(name, colour)
        gatherer.add(name, polygon)
    height, width = ids.shape
    return gatherer.annotations({"width_level0": width, "height_level0": height})


def write_mat(path: Path, annotations: Annotations, writing: Writing = Writing()) -> None:
    """Write what HoVer-Net does for an image, and the names and colours of the types.

    `inst_map` is int32, numbered from 1 on, layer by layer; of shapes that overlap, a pixel is of
    the last. Types are numbered likewise, but for the layer "no type", which is 0. `inst_uid`,
    `inst_type` and `inst_centroid` (x, y; whole numbers are the middles of pixels) have a row for
    each nucleus that has a pixel.

    Raises:
        AnnotationError: the slide has more pixels than such a file may have, or too many layers.
        OutputError: the file cannot be written.
    """
    width, height = writing.size_of(annotations)
    names = annotations.names
    if width * height > MAX_PIXELS:
        raise AnnotationError(
            path,
            f"{width} x {height} pixels are more than a .mat may have here, {MAX_PIXELS}; write an"
            " instance label image (.instances.tif)",
        )
    if len(names) > MOST_TYPES:
        raise AnnotationError(path, f"there are {len(names)} layers; types go to {MOST_TYPES}")
    frame = WorkFrame(1.0, 1.0, width, height, 1.0)
    index = ShapeIndex(annotations, dict.fromkeys(names, 1))
    ids = index.draw_instances(frame.box, frame)
    shapes = [(kind, each) for name, kind in number_types(annotations).items()
              for each in annotations.layer(name).shapes]  # fmt: skip
    drawn = np.unique(ids[ids > 0])
    kinds = np.array([kind for kind, _ in shapes], np.float64)
    middles = shapely.get_coordinates([each.polygon.centroid for _, each in shapes]) - 0.5
    told = {
        "inst_map": ids,
        "inst_uid": drawn.reshape(-1, 1),
        "inst_type": kinds[drawn - 1].reshape(-1, 1),
        "inst_centroid": middles[drawn - 1].reshape(-1, 2),
        NAMES: json.dumps(tell_types(annotations)),
    }
    from scipy.io import savemat  # noqa: PLC0415  slow to load, and few files are such

    with whole_file(path) as part, part.open("wb") as file:
        savemat(file, told, do_compression=True)
        file.seek(0)
        file.write(HEAD)  # the same content is the same file: SciPy writes the time there


def _load(path: Path) -> tuple[Arrays, str]:
    """Return the arrays that are looked at, and what is told of the types."""
    limits = dict.fromkeys(("inst_map", "type_map", "inst_type", "inst_uid"), MAX_PIXELS)
    found, there = read_arrays(path, limits | {NAMES: MAX_LETTERS})
    if "inst_map" not in found:
        shown = ", ".join(there[:5]) or "nothing"
        raise AnnotationError(path, f"has no inst_map, so it holds no nuclei (there are: {shown})")
    told, arrays = "", {}
    for name, array in found.items():
        if isinstance(array, str) != (name == NAMES):
            kind = "text" if isinstance(array, str) else "numbers"
            raise AnnotationError(path, f"{name} is of the kind {kind}, which it cannot be")
        if isinstance(array, str):
            told = array
        else:
            arrays[name] = array
    return arrays, told


def _names(path: Path, told: str, reading: Reading, gatherer: LayerGatherer) -> TypeNames:
    if reading.classes:
        return named_types(reading.classes)
    if not told:
        return types_beside(path, gatherer)
    try:
        types = json.loads(told)
    except (ValueError, RecursionError):
        gatherer.say(f"{NAMES} in {path.name} is not JSON, so types are called by their numbers")
        return {}
    return said_types(parse_type_info(types), path, gatherer)


def _type_map(arrays: Arrays, ids: Ids, path: Path) -> Types | None:
    """Return the types of pixels; None where types are told otherwise or not at all."""
    if "type_map" not in arrays:
        return None
    kinds = as_ids(arrays["type_map"], "type_map", path)
    if kinds.shape != ids.shape:
        raise AnnotationError(
            path, f"type_map has the shape {kinds.shape}, but inst_map {ids.shape}"
        )
    return _few(kinds, "type_map", path)


def _listed_types(arrays: Arrays, tracer: InstanceTracer, path: Path) -> dict[int, int]:
    """Return the types of nuclei that have a row each."""
    if "inst_type" not in arrays:
        return {}
    kinds = _few(as_ids(arrays["inst_type"].reshape(1, -1), "inst_type", path), "inst_type", path)
    numbers = sorted(tracer.piece_counts)
    if "inst_uid" in arrays:
        numbers = as_ids(arrays["inst_uid"].reshape(1, -1), "inst_uid", path)[0].tolist()
    if len(numbers) != kinds.size:
        raise AnnotationError(path, f"inst_type has {kinds.size} rows for {len(numbers)} nuclei")
    return dict(zip(numbers, kinds[0].tolist(), strict=True))


def _few(kinds: Ids, what: str, path: Path) -> Types:
    if kinds.max(initial=0) > MOST_TYPES:
        raise AnnotationError(
            path, f"{what} holds the type {kinds.max()}; types go to {MOST_TYPES}"
        )
    return kinds.astype(np.uint8)
