"""The table of what a segmentation found."""

from __future__ import annotations

import csv
from pathlib import Path

from deeplab.annotations.shapes import Annotations
from deeplab.files import whole_file
from deeplab.geometry.frames import Mpp
from deeplab.report.cells import safe_cell

COLUMNS = (
    "class", "x_level0", "y_level0", "area_um2", "perimeter_um", "confidence",
    "left_level0", "top_level0", "right_level0", "bottom_level0",
    "type_prob",
)  # fmt: skip


def write_table(path: Path, annotations: Annotations, mpp: Mpp) -> None:
    """A CSV with one row a shape: where it is (level-0 pixels), how large (um), how sure.

    Raises:
        OutputError: it cannot be written.
    """
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        for layer in annotations.layers:
            for shape in layer.shapes:
                centre, bounds = shape.polygon.centroid, shape.polygon.bounds
                rows.writerow(
                    [
                        safe_cell(layer.name),
                        f"{centre.x:.2f}",
                        f"{centre.y:.2f}",
                        shape.properties["area_um2"],
                        f"{shape.polygon.length * mpp.mean:.2f}",
                        shape.properties.get("confidence", ""),
                        *(f"{edge:.2f}" for edge in bounds),
                        shape.properties.get("type_prob", ""),
                    ]
                )
