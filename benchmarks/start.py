"""How long until a small region is outlined? One table, one run.

    python benchmarks/start.py --sample SLIDE [--model MODEL] [--region 1000]

A square of so many pixels in the middle of the slide is segmented: first as somebody does who has
just got the program, with nothing kept of the model, then again; then by each runtime that is
named. Each is a process of its own, start and writing included, and each but the first is repeated:
the fastest counts. "x" is the time over that of the second run.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from timed_process import DEEPLAB, Taken, run_timed

from deeplab.slides.slide import open_slide

MODEL = Path(__file__).parents[1] / "deeplab/demonstration/nuclei_instances.zip"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=Path, required=True, help="slide")
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--region", type=int, default=1000, help="side, level-0 pixels")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DEEPLAB_CACHE"] = f"{folder}/cache"
        words = ["segment", str(options.sample), "--model", str(options.model), "--gpu", "-1"]
        words += ["--region", ",".join(map(str, middle_of(options.sample, options.region)))]
        words += ["--annotation", f"{folder}/found.anot"]
        first = run_timed([*DEEPLAB, *words], "the first run")
        rows = {"first run": first, "each run after that": fastest(words, options.rounds)}
        for runtime in ("openvino", "tensorflow"):
            chosen = [*words, "--runtime", runtime]
            rows[f"`--runtime {runtime}`"] = fastest(chosen, options.rounds)
    report(rows, options)


def fastest(words: list[str], rounds: int) -> Taken:
    """Return what the fastest of several runs took."""
    return min(
        (run_timed([*DEEPLAB, *words], "segmenting") for _ in range(rounds)),
        key=lambda taken: taken.seconds,
    )


def middle_of(slide: Path, side: int) -> tuple[int, int, int, int]:
    """Return the square in the middle of a slide: x, y, width and height, level-0 pixels."""
    with open_slide(slide) as opened:
        width, height = opened.width_level0, opened.height_level0
    return (width - side) // 2, (height - side) // 2, side, side


def report(rows: dict[str, Taken], options: argparse.Namespace) -> None:
    """Print the table."""
    print(f"{options.model.name}, {options.region} px, {os.cpu_count()} processors\n")
    print("| run | s | of processors | peak MB | x |")
    print("|---|---|---|---|---|")
    usual = list(rows.values())[1].seconds
    for what, taken in rows.items():
        print(
            f"| {what} | {taken.seconds:.1f} | {taken.busy_seconds:.1f} | {taken.peak_mb:.0f} "
            f"| {taken.seconds / usual:.2f} |"
        )


if __name__ == "__main__":
    main()
