"""A run of seconds of each task that matters, on slides painted in code."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.flows.models_for_tests import balanced_model
from tests.slides_for_tests import PINK, PURPLE, tissue, write_tiff

# Of a network whose graph is soon made: most of the seconds of a run of a few steps go into that.
TRAINING = {
    "classes": "lesion",
    "steps": 12,
    "batch_size": 2,
    "patch_size": 40,
    "network": "unet",
    "depth_multiplier": 0.1,
    "network_options": "depth=3,decoder_channels=4 4 4",
    "validate_every": 6,
    "checkpoint_minutes": 0,
    "gpu": -1,
}


@dataclass(frozen=True, slots=True)
class SmallRun:
    """The words of a command line, and the names in `out` that it is to leave there."""

    words: tuple[str, ...]
    outputs: frozenset[str]


def make_inputs(folder: Path) -> None:
    """Put the slides, annotations and the model that the small runs read into `folder`."""
    rgb = tissue(600, 500)[0]
    write_tiff(folder / "slide.tiff", rgb, levels=2)
    write_geojson(folder / "slide.geojson", range(40, 440, 60))
    write_geojson(folder / "drawn.geojson", range(45, 440, 60))
    balanced_model(folder / "model.zip", rgb[:257, :257])
    (folder / "learn").mkdir()
    for number in range(3):
        rgb = np.full((200, 200, 3), PINK, np.uint8)
        rgb[40 : 100 + 10 * number, 50:130] = PURPLE
        write_tiff(folder / "learn" / f"{number}.tiff", rgb, compression="deflate")
        square = [[50, 40], [130, 40], [130, 100 + 10 * number], [50, 100 + 10 * number], [50, 40]]
        _write_features(folder / "learn" / f"{number}.geojson", [("lesion", square)])


def small_runs(inputs: Path, out: Path) -> dict[str, SmallRun]:
    """The runs by the command's word."""
    options = [word for name, value in TRAINING.items() for word in (f"--{name}", str(value))]
    return {
        "segment": _run(
            out,
            ("segment", inputs / "slide.tiff", "--model", inputs / "model.zip"),
            ("--tile-size", "257", "--halo", "48", "--tissue", "off"),
            annotation="s.anot",
            geojson="s.geojson",
            table="s.csv",
            overlay="s.png",
            mask="s.tif",
        ),
        "train": _run(
            out, ("train", inputs / "learn", out / "model.zip"), options, outputs=["model.zip"]
        ),
        "convert": _run(
            out,
            ("convert", inputs / "drawn.geojson", out / "c.xml"),
            outputs=["c.xml"],
        ),
        "features": _run(
            out,
            ("features", inputs / "slide.tiff"),
            workbook="f.xlsx",
            report="f.html",
            table="f.csv",
            annotation="f.anot",
        ),
        "evaluate": _run(
            out,
            ("evaluate", inputs / "slide.geojson", inputs / "drawn.geojson"),
            report="e.html",
            table="e.csv",
            annotation="e.anot",
        ),
    }


def write_geojson(path: Path, places: range) -> None:
    """Squares of a nucleus' size on a grid of `places`."""
    squares = [
        ("nucleus", [[x, y], [x + 24, y], [x + 24, y + 22], [x, y + 22], [x, y]])
        for x in places
        for y in places
    ]
    _write_features(path, squares)


def _write_features(path: Path, outlines: list[tuple[str, list[list[int]]]]) -> None:
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "properties": {"classification": {"name": name}},
        }
        for name, ring in outlines
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))


def _run(out: Path, *words, outputs=(), **named: str) -> SmallRun:
    given = [word for some in words for word in some]
    for option, name in named.items():
        given += [f"--{option}", out / name]
    return SmallRun(tuple(map(str, given)), frozenset([*outputs, *named.values()]))
