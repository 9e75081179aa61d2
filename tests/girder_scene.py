"""A folder of a fake Girder with a slide on which is drawn, made once for many tests."""

from __future__ import annotations

import json
import tempfile
from functools import cache
from pathlib import Path

import large_image_source_tiff

from tests.girder_for_tests import FOLDER, ITEM, Board, FakeGirder, Shelf, item_routes
from tests.slides_for_tests import tissue, write_tiff

SHELF, FILE = "7c" * 12, "8d" * 12
MODEL = {"name": "m", "sha256": "0" * 64}


@cache
def scene() -> dict[str, object]:
    """The routes of a slide whose tiles are made once, and of its folder."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_tiff(Path(folder) / "a.tiff", tissue(400, 300)[0], levels=2)
        source = large_image_source_tiff.TiffFileTileSource

        def tiles(encoding: str, style: str | None) -> object:
            return source(str(path), encoding=encoding, style=style)

        routes = item_routes(tiles, name="a.tiff")
        for place in [place for place in routes if "/zxy/" in place]:
            made = {kind: routes[place]({"encoding": kind}) for kind in ("JPEG", "PNG")}
            routes[place] = lambda query, made=made: made[query["encoding"]]
    square = [[20, 20], [90, 20], [90, 90], [20, 90], [20, 20]]
    outline = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [square]}}
    content = json.dumps({"type": "FeatureCollection", "features": [outline]}).encode()
    holder = {"_id": FILE, "name": "a.geojson", "folderId": FOLDER, "size": len(content)}
    file = {"_id": FILE, "name": "a.geojson", "size": len(content), "created": "2026-01-01"}
    image = {"_id": ITEM, "name": "a.tiff", "size": 9, "created": "2026-01-01"}
    routes[f"item/{ITEM}"]["meta"] = {"patient": "1", "mpp": 0.5}
    return routes | {
        "item": [routes[f"item/{ITEM}"], holder],
        f"item/{FILE}": holder,
        f"item/{FILE}/files": [file],
        f"item/{ITEM}/files": [image],
        f"file/{ITEM}": {"_id": ITEM, "itemId": ITEM},
        f"file/{FILE}/download": ("application/octet-stream", content),
        f"folder/{FOLDER}": {"_id": FOLDER, "name": "f", "_accessLevel": 2},
        f"item/{ITEM}/metadata": {},
    }


def furnish(girder: FakeGirder) -> Board:
    """A folder with a slide on which a person and a task have drawn, and one for checkpoints."""
    girder.routes = json_copy(scene())
    shelf = Shelf(girder, folder=SHELF)
    shelf.put("old.zip", b"PK")
    board = Board(girder, ITEM)
    points = [[30, 30, 0], [120, 30, 0], [120, 120, 0], [30, 120, 0]]
    drawn = {"type": "polyline", "closed": True, "points": points}
    board.put(ITEM, {"name": "a", "elements": [drawn], "attributes": {}})
    made = {"cli": "SegmentWSI", "model": MODEL}
    found = drawn | {"points": [[x + 20, y, z] for x, y, z in points]}
    board.put(ITEM, {"name": "a", "elements": [found], "attributes": made})
    return board


def json_copy(routes: dict[str, object]) -> dict[str, object]:
    """Routes whose JSON a case may change without the next one seeing it."""
    return {
        place: json.loads(json.dumps(reply)) if isinstance(reply, dict | list) else reply
        for place, reply in routes.items()
    }
