"""Does memory grow with the number of polygons, and how long does one take? One table, one run.

    python benchmarks/conversion.py [--polygons 20000] [--vertices 24] [--only .anot .xml]

A GeoJSON file as QuPath writes it is made of N polygons and another of 10 N; a polygon in eight has
a hole. Each conversion is a process of its own; its peak memory is what the system says of it
(ru_maxrss), and so is the time it computed, which other work on the machine disturbs less. Figures
are those of 10 N; "x" are they over those of N.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from timed_process import DEEPLAB, run_timed

PITCH = 64  # level-0 pixels from one polygon to the next
HOLED = 8  # every so many-th has a hole
CLASSES = (("Tumor", (200, 0, 0)), ("Stroma", (150, 200, 150)), ("Other, unsure", (250, 200, 0)))
MORE = {".tif": ("--slide_mpp", "0.25", "--mask_mpp", "1")}  # as large as masks are made
FROM = ".geojson"
TO = (".anot", ".xml", ".geojson", ".tif")
BACK = ".anot"  # is read as well, and written as the first kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One conversion."""

    read_mb: float
    seconds: float
    busy_seconds: float
    peak_mb: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--polygons", type=int, default=20_000, help="N")
    parser.add_argument("--vertices", type=int, default=24, help="of each outline")
    parser.add_argument("--only", nargs="+", default=[*TO, FROM], help="what is to be written")
    parser.add_argument("--scratch", type=Path, help="folder for the files")
    options = parser.parse_args()
    counts = (options.polygons, 10 * options.polygons)
    pairs = [(FROM, suffix) for suffix in TO if suffix in options.only]
    if {BACK, FROM} <= set(options.only):
        pairs.append((BACK, FROM))
    found: dict[tuple[str, str], list[Measurement]] = {pair: [] for pair in pairs}
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        for count in counts:
            write_polygons(Path(folder, f"in{FROM}"), count, options.vertices)
            for source, suffix in pairs:
                found[source, suffix].append(measure(Path(folder), source, suffix))
    report(counts, options.vertices, found)


def report(
    counts: tuple[int, int], vertices: int, found: dict[tuple[str, str], list[Measurement]]
) -> None:
    """Print the table."""
    few, many = counts
    print(f"{few:,} and {many:,} polygons of {vertices} vertices, {os.cpu_count()} processors\n")
    print("| from | to | MB read | us per polygon | of them busy | x | peak MB | x |")
    print("|---|---|---|---|---|---|---|---|")
    for (source, suffix), (small, large) in found.items():
        us = 1e6 * large.seconds / many
        busy_us, first_us = 1e6 * large.busy_seconds / many, 1e6 * small.busy_seconds / few
        peaks = large.peak_mb / small.peak_mb
        print(
            f"| {source} | {suffix} | {large.read_mb:.0f} | {us:.0f} | {busy_us:.0f} "
            f"| {busy_us / first_us:.2f} | {large.peak_mb:.0f} | {peaks:.2f} |"
        )


def write_polygons(path: Path, count: int, vertices: int) -> None:
    """A feature collection of wavy outlines on a square grid."""
    rng = np.random.default_rng(0)
    columns = int(np.ceil(np.sqrt(count)))
    with path.open("w", encoding="utf-8") as file:
        file.write('{"type":"FeatureCollection","features":[\n')
        for place in range(count):
            middle = (np.array([place % columns, place // columns]) + 0.5) * PITCH
            scales = (1.0, -0.3) if place % HOLED == 0 else (1.0,)
            rings = [ring.tolist() for ring in outlines(rng, middle, vertices, scales)]
            file.write((",\n" if place else "") + json.dumps(feature(place, rings)))
        file.write("\n]}\n")


def outlines(
    rng: np.random.Generator, middle: NDArray[np.float64], vertices: int, scales: Sequence[float]
) -> Iterator[NDArray[np.float64]]:
    """Closed rings of one form, larger and smaller, those below 0 the other way round."""
    angle = np.linspace(0, 2 * np.pi, vertices, endpoint=False)
    radius = PITCH / 2 * rng.uniform(0.6, 0.9, vertices)
    ring = radius[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    for scale in scales:
        around = np.round(middle + scale * ring, 2)
        yield np.concatenate([around, around[:1]])


def feature(place: int, rings: list[list[list[float]]]) -> dict[str, object]:
    """A polygon as QuPath writes it."""
    name, colour = CLASSES[place % len(CLASSES)]
    return {
        "type": "Feature",
        "id": f"00000000-0000-4000-8000-{place:012d}",
        "geometry": {"type": "Polygon", "coordinates": rings},
        "properties": {
            "objectType": "annotation",
            "classification": {"name": name, "color": colour},
            "measurements": {"Area µm^2": place * 0.25, "Nucleus: Eosin OD mean": 0.125},
        },
    }


def measure(folder: Path, source: str, suffix: str) -> Measurement:
    """Convert a file by the command, and see what it took; what is written is read later."""
    read = folder / f"{'in' if source == FROM else 'out'}{source}"
    written = folder / f"out{suffix}"
    words = ["convert", str(read), str(written), *MORE.get(suffix, ())]
    taken = run_timed([*DEEPLAB, *words], f"the conversion of {read} to {suffix}")
    return Measurement(
        read_mb=read.stat().st_size / 1e6,
        seconds=taken.seconds,
        busy_seconds=taken.busy_seconds,
        peak_mb=taken.peak_mb,
    )


if __name__ == "__main__":
    main()
