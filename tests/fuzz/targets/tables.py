"""Tables that people write: labels, slides, stages, categories and detections."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

from deeplab.evaluation.detections import _read_table
from deeplab.evaluation.stage import _given_categories, _given_stages
from deeplab.exchange.labelled_images import labelled_images
from deeplab.exchange.samples import find_samples
from tests.fuzz.harness import Target

IMAGES = ("a.png", "b.png")
ROWS: dict[str, Sequence[Sequence[object]]] = {
    "labels": [
        ("file", "label", "mpp", "patient", "split"),
        ("a.png", "gland;stroma", 0.5, "P 1", "train"),
        ("b.png", "", "", "", "validation"),
    ],
    "flags": [("file", "gland", "stroma"), ("a.png", 1, 0), ("b.png", "yes", "no")],
    "slides": [
        ("slide", "annotation", "mpp", "split"),
        ("a.png", "b.png", 0.25, "train"),
        ("b.png", "a.png", "", ""),
    ],
    "stages": [("patient", "stage"), ("patient_001.zip", "pN1mi"), ("patient_002", "pN0(i+)")],
    "categories": [("slide", "category"), ("patient_001_node_0.tif", "micro"), ("b", "negative")],
    "detections": [("confidence", "x", "y"), (0.75, 100, 2000.5), (1, 0, 0)],
}


def _labels(path: Path) -> object:
    return labelled_images(str(path), labels="table", classes=("gland", "stroma"), exclusive=False)


READERS: dict[str, Callable[[Path], object]] = {
    "labels": _labels,
    "flags": _labels,
    "slides": lambda path: find_samples(str(path)),
    "stages": _given_stages,
    "categories": _given_categories,
    "detections": _read_table,
}


def write_seeds(folder: Path) -> list[Path]:
    """Write a folder for each kind of table, with the images that some name."""
    seeds = []
    for kind, rows in ROWS.items():
        inside = folder / kind
        inside.mkdir()
        for name in IMAGES:
            (inside / name).touch()
        with (inside / f"{kind}.csv").open("w", newline="") as file:
            csv.writer(file).writerows(rows)
        seeds.append(inside)
    return seeds


def parse(path: Path) -> object:
    """Read each table in a folder, as its command does."""
    return [READERS[each.stem](each) for each in sorted(path.glob("*.csv")) if each.stem in READERS]


TARGET = Target(name="tables", seeds=write_seeds, parse=parse)
