"""QuPath's GeoJSON."""

from __future__ import annotations

import json
from pathlib import Path

import shapely

from deeplab.annotations.formats.format import Reading
from deeplab.annotations.formats.geojson import read_geojson
from tests.fuzz.harness import Target


def write_seeds(folder: Path) -> list[Path]:
    """Write a collection of polygons with holes, a point and a line, with measurements."""
    square, hole = shapely.box(10, 10, 110, 110), shapely.box(30.5, 30, 50, 60)
    shapes = [square - hole, shapely.box(200, 0, 260, 40), shapely.Point(5, 5)]
    shapes += [
        shapely.LineString([(0, 0), (9, 9)]),
        shapely.union(square, shapely.box(300, 0, 9, 9)),
    ]
    features = [
        {
            "type": "Feature",
            "id": f"id-{number}",
            "geometry": shapely.geometry.mapping(shape),
            "properties": {
                "objectType": "annotation",
                "classification": {"name": ("tumor", "stroma")[number % 2], "color": [200, 0, 9]},
                "measurements": {"Area": shape.area, "Nucleus: OD mean": 0.25},
            },
        }
        for number, shape in enumerate(shapes)
    ]
    files = {"many.geojson": {"type": "FeatureCollection", "features": features}}
    files["one.geojson"] = features[0]
    for name, document in files.items():
        (folder / name).write_text(json.dumps(document))
    return [folder / name for name in files]


def parse(path: Path) -> object:
    """Read all shapes."""
    annotations = read_geojson(path, Reading())
    return [list(layer.shapes) for layer in annotations.layers]


TARGET = Target(name="geojson", seeds=write_seeds, parse=parse)
