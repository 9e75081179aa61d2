"""Does memory grow with the nuclei of a slide, and how long does one take? One table, one run.

    python benchmarks/many_nuclei.py [--nuclei 100000] [--only .anot table]

Answers of tiles as a network for nuclei gives them, of N nuclei and of 10 N, go through what comes
next: they are collected, cleaned, made into layers and written in each form; layers are read
back as well. Either number is a process of its own. The peak memory of a step is what the system
says of the process (VmHWM, set back before the step). Figures are those of 10 N; "x" are they over
those of N.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from deeplab.annotations.formats.format import Reading, Writing
from deeplab.annotations.formats.geojson import write_geojson
from deeplab.annotations.formats.girder_json import read_girder_json, write_girder_json
from deeplab.annotations.formats.hovernet_json import write_hovernet_json
from deeplab.annotations.shapes import Annotations
from deeplab.annotations.trace.simplify import simplify
from deeplab.bundles.read import read_card
from deeplab.config.requests import SegmentRequest
from deeplab.geometry.frames import Mpp, WorkBox, WorkFrame
from deeplab.geometry.grid import TileSlot
from deeplab.inference.collectors.objects import ObjectCollector
from deeplab.inference.layers import clean, make_layers
from deeplab.inference.plan import Area
from deeplab.inference.rasters import Rasters
from deeplab.inference.table import write_table
from deeplab.models.answers import ObjectAnswer
from deeplab.slides.array_slide import ArraySlide

PITCH = 24  # work pixels from one nucleus to the next
IN_TILE = 42  # nuclei along a side of what is kept of a tile
STEP = PITCH * IN_TILE  # work pixels from one tile to the next
LEAD = 34  # work pixels that a tile answers for beyond what is kept of it
MPP = Mpp.square(0.25)
MODEL = Path(__file__).parents[1] / "deeplab" / "demonstration" / "nuclei.zip"
WAYS = (".anot", ".geojson", "HoVer-Net .json", "table", ".instances.tiff", "read .anot")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One step of one process."""

    step: str
    nuclei: int
    seconds: float
    peak_mb: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nuclei", type=int, default=100_000, help="N, about")
    parser.add_argument("--only", nargs="+", default=WAYS, choices=WAYS, help="what is done")
    parser.add_argument("--scratch", type=Path, help="folder for the files")
    parser.add_argument("--alone", type=int, help=argparse.SUPPRESS)  # this process measures
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        if options.alone:
            for one in measure(options.alone, options.only, Path(folder)):
                print(json.dumps(asdict(one)), flush=True)
        else:
            report([run(n, options) for n in (options.nuclei, 10 * options.nuclei)])


def run(nuclei: int, options: argparse.Namespace) -> list[Measurement]:
    """Measure in a process of its own."""
    words = [sys.executable, __file__, "--alone", str(nuclei), "--only", *options.only]
    words += ["--scratch", str(options.scratch)] if options.scratch else []
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
    return [Measurement(**json.loads(line)) for line in done.stdout.splitlines()]


def report(found: list[list[Measurement]]) -> None:
    """Print the table."""
    few, many = found
    print(f"{few[0].nuclei:,} and {many[0].nuclei:,} nuclei, {os.cpu_count()} processors\n")
    print("| step | us per nucleus | x | peak MB | x |")
    print("|---|---|---|---|---|")
    for small, large in zip(few, many, strict=True):
        us, first_us = (1e6 * each.seconds / each.nuclei for each in (large, small))
        print(
            f"| {large.step} | {us:.0f} | {us / first_us:.2f} | {large.peak_mb:.0f} "
            f"| {large.peak_mb / small.peak_mb:.2f} |"
        )


def measure(nuclei: int, ways: list[str], folder: Path) -> Iterator[Measurement]:
    """Take all steps that are asked for with about so many nuclei."""
    columns = round(math.sqrt(nuclei / IN_TILE**2))
    side = columns * STEP
    count = columns**2 * IN_TILE**2
    frame = WorkFrame.over(side, side, MPP, MPP.mean)
    request = SegmentRequest(
        slide="-", model=MODEL, output_mask=folder / "out.instances.tiff", min_area_um2=0.0
    )
    if ".instances.tiff" not in ways:
        request = replace(request, output_mask=None, output_annotation=folder / "out.anot")
    card = read_card(MODEL)
    area = Area.of((), frame)
    rasters = Rasters(request, card.classes, frame)
    collector = ObjectCollector(area, rasters, 1)

    def timed(step: str, work: Callable[[], object]) -> Measurement:
        Path("/proc/self/clear_refs").write_text("5")  # sets the peak back
        started = time.monotonic()
        work()
        seconds = time.monotonic() - started
        status = Path("/proc/self/status").read_text(encoding="ascii")
        peak_kb = int(status.split("VmHWM:")[1].split()[0])
        return Measurement(step=step, nuclei=count, seconds=seconds, peak_mb=peak_kb / 1024)

    def collect() -> None:
        answer = tile_answer()
        for slot in slots(side):
            collector.add(slot, answer)

    layers = []

    def finish() -> None:
        kept = rasters.number(clean(collector.found(), request, frame))
        layers.extend(make_layers(simplify(kept, request.simplify_um, MPP), card, frame))

    with closing(rasters), closing(collector):
        yield timed("collect", collect)
        yield timed("layers, numbers", finish)
        annotations = Annotations(tuple(layers), {}, MPP)
        if annotations.shape_count != count:
            sys.exit(f"{annotations.shape_count} nuclei came out of {count}")
        white = np.broadcast_to(np.uint8(255), (side, side, 3))
        for way in ways:
            yield timed(way, step_of(way, annotations, rasters, ArraySlide(white, MPP), folder))


def step_of(
    way: str, annotations: Annotations, rasters: Rasters, slide: ArraySlide, folder: Path
) -> Callable[[], object]:
    """Return what writes or reads in one way."""
    anot = folder / "out.anot"
    steps: dict[str, Callable[[], object]] = {
        ".anot": lambda: write_girder_json(anot, annotations),
        ".geojson": lambda: write_geojson(
            folder / "out.geojson", annotations, Writing(object_type="detection")
        ),
        "HoVer-Net .json": lambda: write_hovernet_json(folder / "out.json", annotations),
        "table": lambda: write_table(folder / "out.csv", annotations, MPP),
        ".instances.tiff": lambda: rasters.save_mask(folder / "out.instances.tiff", slide),
        "read .anot": lambda: read_girder_json(anot, Reading(spill=folder)),
    }
    return steps[way]


def slots(side: int) -> Iterator[TileSlot]:
    """Yield tiles over a square of work pixels."""
    for y in range(0, side, STEP):
        for x in range(0, side, STEP):
            full = STEP + 2 * LEAD
            yield TileSlot(
                read=WorkBox(x - LEAD, y - LEAD, full, full), write=WorkBox(x, y, STEP, STEP)
            )


def tile_answer() -> ObjectAnswer:
    """Return ellipses on a grid; every tile sees the same, as the grid goes on in the next one."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:STEP, :STEP]
    cell = rows // PITCH * IN_TILE + columns // PITCH
    radii = rng.uniform(5, 11, (2, IN_TILE**2))[:, cell]
    across = (np.stack([rows, columns]) % PITCH + 0.5 - PITCH / 2) / radii
    inside = (across**2).sum(axis=0) <= 1
    places = np.arange(-LEAD, STEP + LEAD)
    # Every cell of what is seen is a nucleus of its own, also one that is seen twice.
    number = (places // PITCH + IN_TILE)[:, None] * 3 * IN_TILE + places // PITCH + IN_TILE
    seen = np.where(inside[np.ix_(places % STEP, places % STEP)], number, 0)
    numbers, instances = np.unique(seen, return_inverse=True)
    count = len(numbers) - 1
    return ObjectAnswer(
        instances=instances.reshape(seen.shape).astype(np.int32),
        labels=(np.arange(count) % 2).astype(np.uint8),
        confidence=rng.uniform(0.5, 1, count).astype(np.float32),
        label_probability=rng.uniform(0.5, 1, count).astype(np.float32),
    )


if __name__ == "__main__":
    main()
