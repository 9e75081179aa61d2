"""Do outlines reach HistomicsUI's server fast, and do they on the way that others take?

    PYTHONPATH=.:docker python benchmarks/annotation_upload.py [--polygons 20000] [--vertices 24]

A whole stack is brought up (docker/local_stack), and the same outlines of three classes, one in
eight with a hole, are put on its slide twice: as `exchange.layers.post_layers` does, an annotation
for each class and like elements together, and as one annotation with the elements as they lie on
the slide. Each time the server must have all of them then. "x" is the time over that of the first
way.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import shapely

from deeplab.annotations.formats.girder_json import write_girder_json
from deeplab.annotations.shapes import Annotations, Layer, Shape
from deeplab.exchange.layers import post_layers
from deeplab.server.session import ServerLogin
from local_stack.plan import private_plan
from local_stack.rest import TIMEOUT_S
from local_stack.stack import RunningStack, bring_up, take_down

PITCH = 64  # level-0 pixels from one outline to the next
HOLED = 8  # every so many-th has a hole
CLASSES = (("tumour", (213, 94, 0)), ("stroma", (0, 158, 115)), ("other", (0, 114, 178)))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--polygons", type=int, default=20_000)
    parser.add_argument("--vertices", type=int, default=24, help="of each outline")
    options = parser.parse_args()
    drawn = outlines(options.polygons, options.vertices)
    with tempfile.TemporaryDirectory() as folder:
        plan = private_plan(Path(folder))
        try:
            report(bring_up(plan, print), drawn, Path(folder))
        finally:
            take_down(plan)


def outlines(count: int, vertices: int) -> Annotations:
    """Wavy outlines on a square grid, measured as a segmentation does."""
    rng = np.random.default_rng(0)
    columns = int(np.ceil(np.sqrt(count)))
    angle = np.linspace(0, 2 * np.pi, vertices, endpoint=False)
    shapes: list[list[Shape]] = [[] for _ in CLASSES]
    for place in range(count):
        ring = np.column_stack([np.cos(angle), np.sin(angle)]) * PITCH / 2
        ring *= rng.uniform(0.6, 0.9, vertices)[:, None]
        middle = (np.array([place % columns, place // columns]) + 0.5) * PITCH
        holes = [] if place % HOLED else [middle - 0.3 * ring]
        polygon = shapely.Polygon(middle + ring, holes)
        measures = {"area_um2": polygon.area / 16, "confidence": 0.9}
        shapes[place % len(CLASSES)].append(Shape(polygon, measures))
    return Annotations(
        tuple(
            Layer(name, colour, some) for (name, colour), some in zip(CLASSES, shapes, strict=True)
        )
    )


def report(running: RunningStack, drawn: Annotations, folder: Path) -> None:
    """Print the table."""
    login = ServerLogin(f"{running.girder.url}/api/v1", running.girder.token)
    path = folder / "layers.json"
    write_girder_json(path, drawn)
    layers = json.loads(path.read_text(encoding="utf-8"))
    elements = [element for layer in layers for element in layer["elements"]]
    elements.sort(key=lambda element: tuple(element["points"][0][1::-1]))  # line by line
    body = json.dumps([{"name": "all", "elements": elements}]).encode()
    ways: dict[str, Callable[[], object]] = {
        "post_layers": lambda: post_layers(drawn, (), running.slide_id, login),
        "as they lie": lambda: running.girder.call(
            "POST",
            f"annotation/item/{running.slide_id}",
            body=body,
            headers={"Content-Type": "application/json"},
        ),
    }
    megabytes = path.stat().st_size / 1e6
    print(f"{drawn.shape_count:,} outlines, {megabytes:.0f} MB, {os.cpu_count()} processors\n")
    print("| way | seconds | x |\n|---|---|---|")
    first = 0.0
    for words, post in ways.items():
        running.girder.delete(f"annotation/item/{running.slide_id}")
        started = time.monotonic()
        try:
            post()
        except TimeoutError:
            print(f"| {words} | more than {TIMEOUT_S} | more than {TIMEOUT_S / first:.0f} |")
            continue
        seconds = time.monotonic() - started
        first = first or seconds
        check_count(running, drawn.shape_count)
        print(f"| {words} | {seconds:.1f} | {seconds / first:.1f} |")


def check_count(running: RunningStack, count: int) -> None:
    """Make sure that the server has so many elements on the slide."""
    there = running.girder.count_elements(running.slide_id)
    if there != count:
        sys.exit(f"the server has {there:,} outlines of {count:,}")


if __name__ == "__main__":
    main()
