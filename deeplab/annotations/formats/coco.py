"""Annotations as COCO JSON: the objects of one picture, of which the slide is one."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import shapely

from deeplab.annotations.formats.format import Reading, Writing
from deeplab.annotations.formats.gather import LayerGatherer, coordinates, number, shown
from deeplab.annotations.formats.hole_free import hole_free_parts
from deeplab.annotations.formats.json_stream import values
from deeplab.annotations.formats.run_length import counts_of_text, polygons_of_counts
from deeplab.annotations.shapes import Annotations, Property, Shape, one_area
from deeplab.annotations.slide_names import SlideNames
from deeplab.config.classes import Rgb
from deeplab.errors import AnnotationError, ConfigError
from deeplab.files import whole_file
from deeplab.geometry.frames import Mpp

NAMED = 5  # pictures that a sentence names
Json = dict[str, Any]


def read_coco(path: Path, reading: Reading = Reading()) -> Annotations:
    """Reads the objects of one picture, outlined or as run lengths; those with a box only as that.

    The parts of an object are one shape: those that meet along a side grow together, others stay
    parts of it. Layers are the categories, also those without objects.

    Raises:
        AnnotationError: it is something else, is about several pictures and neither
            `reading.image` nor `reading.slide` names one, or nothing of it can be on a slide.
    """
    gatherer = LayerGatherer.of(path, reading)
    image = _image(path, reading, gatherer)
    listed = {_id_of(each.get("id")) for _, each in _pictures(path)}
    names = _open_categories(path, gatherer)
    for place, found in enumerate(values(path, "annotations.item"), start=1):
        with gatherer.sparing():
            _take(found, image, listed, names, gatherer, f"annotation {place}", path)
    return gatherer.annotations(mpp=_mpp(image, gatherer))


def _take(
    found: object,
    image: Json,
    listed: Collection[str | None],
    names: Mapping[str, str],
    gatherer: LayerGatherer,
    where: str,
    path: Path,
) -> None:
    """Puts an object of the picture into the layer of its category."""
    if not isinstance(found, dict):
        raise AnnotationError(path, f"{where} is not a COCO annotation")
    of = _id_of(found.get("image_id"))
    if image and of != _id_of(image.get("id")):
        if of not in listed:
            gatherer.skip("annotation of a picture that the file does not list")
        return
    category = _id_of(found.get("category_id"))
    if category is None or category not in names:
        told = shown(found.get("category_id"))
        raise AnnotationError(path, f"{where} is of category {told}, which the file does not list")
    drawn = one_area(_polygons(found, where, path))
    if drawn:
        gatherer.add(names[category], drawn, _properties(found))
    else:
        gatherer.skip("annotation without outline")


def pictures_of(path: Path) -> list[str]:
    """Return the file names of the pictures that a file lists.

    Raises:
        AnnotationError: it is not JSON.
    """
    return [name for name, _ in _pictures(path)]


def write_coco(path: Path, annotations: Annotations, writing: Writing = Writing()) -> None:
    """Writes one picture, a category for each layer and an object for each shape, as outlines.

    COCO's outlines have no holes: a shape with holes is cut through them into parts that together
    are the shape. Numbers and words go under `attributes`.

    Raises:
        AnnotationError: a property is not finite.
        OutputError: the file cannot be written.
    """
    width, height = writing.size_of(annotations)
    image: Json = {"id": 1, "file_name": path.stem, "width": width, "height": height}
    if annotations.mpp:
        image |= {"mpp_x": annotations.mpp.x, "mpp_y": annotations.mpp.y}
    categories = _categories(annotations)
    with whole_file(path) as part, part.open("w", encoding="utf-8") as file:
        file.write('{"info": {"description": "objects outlined on a slide", "version": "1.0"},\n')
        file.write(f'"images": {json.dumps([image])},\n')
        file.write(f'"categories": {json.dumps(list(categories.values()))},\n"annotations": [')
        identifiers = count(1)
        for layer in annotations.layers:
            for shape in layer.shapes:
                identifier = next(identifiers)
                file.write(",\n" if identifier > 1 else "\n")
                file.write(_annotation(shape, identifier, categories[layer.name]["id"], path))
        file.write("\n]}\n")


def _image(path: Path, reading: Reading, gatherer: LayerGatherer) -> Json:
    """Return the picture that is read; {} where the file lists none."""
    pictures = list(_pictures(path))
    names, images = [name for name, _ in pictures], [image for _, image in pictures]
    wanted = reading.image or reading.slide
    called = SlideNames(names).find(wanted) if wanted else []
    if len(called) == 1:
        if len(images) > 1:
            gatherer.say(f"of {len(images)} pictures {shown(names[called[0]])} was read")
        return images[called[0]]
    if reading.image:
        several = f"several pictures are called {shown(wanted)}; there are {_listed(names)}"
        none = f"is not about {shown(wanted)}, only about {_listed(names)}"
        raise AnnotationError(path, several if called else none)
    if len(images) > 1:
        none = f", none of which has the file_name {shown(wanted)}" if wanted else ""
        or_so = ", or call it so" if wanted else ""
        raise AnnotationError(
            path, f"is about {len(images)} pictures{none}; choose one of {_listed(names)}{or_so}"
        )
    if images and wanted:
        gatherer.say(f"the picture {shown(names[0])} was taken for {shown(wanted)}")
    return images[0] if images else {}


def _pictures(path: Path) -> Iterator[tuple[str, Json]]:
    for each in values(path, "images.item"):
        if isinstance(each, dict):
            yield str(each.get("file_name")), each


def _listed(names: list[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "") or "none"


def _mpp(image: Json, gatherer: LayerGatherer) -> Mpp | None:
    scale: list[Any] = [image.get("mpp_x"), image.get("mpp_y")]
    if all(each in (None, 0) for each in scale):
        return None
    try:
        return Mpp(*map(float, scale))
    except (TypeError, ValueError, ConfigError):
        gatherer.skip_scale(scale)
        return None


def _id_of(value: object) -> str | None:
    """Return an id as text, as some programs write it as a number here and as text there."""
    return str(value) if isinstance(value, int | str) and not isinstance(value, bool) else None


def _open_categories(path: Path, gatherer: LayerGatherer) -> dict[str, str]:
    names: dict[str, str] = {}
    for place, found in enumerate(values(path, "categories.item"), start=1):
        with gatherer.sparing():
            identity = _id_of(found.get("id")) if isinstance(found, dict) else None
            if identity is None:
                raise AnnotationError(path, f"category {place} has no id")
            name = names[identity] = str(found.get("name") or f"class {identity}")
            gatherer.open(name, _colour(found.get("color")), str(found.get("description") or ""))
    return names


def _colour(value: object) -> Rgb | None:
    if isinstance(value, list) and len(value) == 3 and all(_is_byte(each) for each in value):
        return value[0], value[1], value[2]
    return None


def _is_byte(value: object) -> bool:
    return isinstance(value, int) and 0 <= value <= 255


def _polygons(found: Json, where: str, path: Path) -> list[shapely.Polygon]:
    """Return the outlines of an object, whichever way they are given."""
    segmentation = found.get("segmentation")
    if isinstance(segmentation, dict):
        return _of_runs(segmentation, where, path)
    if isinstance(segmentation, list) and segmentation:
        is_one = not any(isinstance(each, list) for each in segmentation)  # not in a list of parts
        return _of_parts([segmentation] if is_one else segmentation, where, path)
    if segmentation not in (None, []):
        raise AnnotationError(path, f"the segmentation of {where} is neither outline nor runs")
    box = found.get("bbox")
    if not isinstance(box, list) or len(box) != 4:
        return []
    x, y, width, height = (number(each, f"the bbox of {where}", path) for each in box)
    return [shapely.box(x, y, x + width, y + height)] if width > 0 and height > 0 else []


def _of_parts(parts: list[Any], where: str, path: Path) -> list[shapely.Polygon]:
    polygons = []
    for part in parts:
        if not isinstance(part, list) or len(part) % 2:
            raise AnnotationError(path, f"an outline of {where} is not a list x, y, x, y, ...")
        pairs = [list(pair) for pair in zip(part[::2], part[1::2], strict=True)]
        points = coordinates(pairs, where, path) if pairs else ()
        if len(points) >= 3:
            polygons.append(shapely.Polygon(points))
    return polygons


def _of_runs(segmentation: Json, where: str, path: Path) -> list[shapely.Polygon]:
    size = segmentation.get("size")
    if not isinstance(size, list) or len(size) != 2:
        raise AnnotationError(path, f"the run lengths of {where} have no size")
    height, width = (int(number(each, f"the size of {where}", path)) for each in size)
    try:
        return polygons_of_counts(_counts(segmentation.get("counts")), width, height)
    except ValueError as error:
        raise AnnotationError(path, f"{where} cannot be read: {error}") from error


def _counts(value: object) -> list[int]:
    if isinstance(value, str):
        return counts_of_text(value)
    if isinstance(value, list) and all(isinstance(each, int) for each in value):
        return value
    raise ValueError("its run lengths are not whole numbers")


def _properties(found: Json) -> Mapping[str, Property]:
    given = found.get("attributes")
    given = given if isinstance(given, dict) else {}
    if "score" in found:
        given = given | {"score": found["score"]}
    if found.get("iscrowd") == 1:
        given = given | {"iscrowd": 1}
    return {
        str(key): value
        for key, value in given.items()
        if isinstance(value, int | float | str) and not isinstance(value, bool)
    }


def _categories(annotations: Annotations) -> dict[str, Json]:
    """Return a category for each name, the one of the first layer that has it."""
    found: dict[str, Json] = {}
    for layer in annotations.layers:
        category = {
            "id": len(found) + 1,
            "name": layer.name,
            "supercategory": "",
            "color": list(layer.colour),
            "description": layer.description,
        }
        found.setdefault(layer.name, category)
    return found


def _annotation(shape: Shape, identifier: int, category: int, path: Path) -> str:
    left, top, right, bottom = shape.polygon.bounds
    parts = [part for whole in shape.parts for part in hole_free_parts(whole)]
    annotation = {
        "id": identifier,
        "image_id": 1,
        "category_id": category,
        # COCO closes outlines by itself: the last point, which is the first, is left out.
        "segmentation": [
            shapely.get_coordinates(part.exterior)[:-1].ravel().tolist() for part in parts
        ],
        "area": shape.polygon.area,
        "bbox": [left, top, right - left, bottom - top],
        "iscrowd": 0,
        "attributes": dict(shape.properties),
    }
    try:
        return json.dumps(annotation, separators=(",", ":"), allow_nan=False)
    except ValueError as error:
        raise AnnotationError(path, "a point or a property is not a finite number") from error
