"""Do two Ray workers of one core each segment twice as many slides? One table, one run.

    python benchmarks/scaling.py --sample SLIDE [--slides 8] [--side 3072] [--model MODEL]

As many slides, composed of the sample, are segmented by one process on one core, then by a Ray
cluster of this machine with a worker on each of two. Starting Ray and its workers counts. The first
run of the model, which converts it, does not.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from pathlib import Path

from slide_size import compose
from timed_process import DEEPLAB, Taken, run_timed

MODEL = Path(__file__).parents[1] / "deeplab/demonstration/nuclei.zip"
CORES = sorted(os.sched_getaffinity(0))[:2]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=Path, required=True, help="slide to compose others of")
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--slides", type=int, default=8)
    parser.add_argument("--side", type=int, default=3072, help="of a slide, px")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["DEEPLAB_CACHE"] = str(folder / "cache")
        slides = folder / "slides"
        slides.mkdir()
        first = compose(options.sample, options.side, slides / "0.tiff")
        for number in range(1, options.slides):
            shutil.copy(first, slides / f"{number}.tiff")
        run_on(CORES[:1], [str(first)], options, folder)
        one = run_on(CORES[:1], [str(slides)], options, folder)
        ray = ["--ray", "local", "--ray_cores", "1"]
        two = run_on(CORES, [str(slides), *ray], options, folder)
    print(f"{options.model.name}, {options.slides} slides of {options.side} px\n")
    print("| workers | s | of processors | slides a minute | x one |\n|---|---|---|---|---|")
    for what, taken in (("one process, one core", one), ("Ray, two of one core", two)):
        pace = 60 * options.slides / taken.seconds
        print(
            f"| {what} | {taken.seconds:.0f} | {taken.busy_seconds:.0f} | {pace:.1f} "
            f"| {one.seconds / taken.seconds:.2f} |"
        )


def run_on(cores: list[int], words: list[str], options: argparse.Namespace, folder: Path) -> Taken:
    """Segment slides on some cores, and return what that took."""
    results = ["--annotation", str(folder / "{slide}.anot"), "--gpu", "-1"]
    command = [*DEEPLAB, "segment", *words, "--model", str(options.model), *results]
    places = ",".join(map(str, cores))
    return run_timed(["taskset", "--cpu-list", places, *command], f"segmenting on {len(cores)}")


if __name__ == "__main__":
    main()
