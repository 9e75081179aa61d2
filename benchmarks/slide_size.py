"""Does memory grow with the slide, and how fast is a segmentation? One table, one run.

    python benchmarks/slide_size.py --model deeplab/demonstration/nuclei.zip [SLIDE ...]

Each slide is segmented by a process of its own. Without slides, two are composed of the sample
slide given by --sample, repeated and mirrored: 8,192 and 24,576 pixels square. Peak memory is what
the system says of the process (ru_maxrss); "x first" are ratios to the first slide.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray
from timed_process import DEEPLAB, run_timed

from deeplab.slides.slide import open_slide

TILE = 256
SIDES = (8192, 24576)
LEVELS = (1, 4, 16)  # level-0 pixels a pixel


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One segmentation."""

    slide: str
    megapixels: float
    shapes: int
    seconds: float
    peak_mb: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("slides", nargs="*", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--sample", type=Path, help="slide to compose large ones of")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        slides = options.slides or [
            compose(options.sample, side, Path(folder, f"{side}.tiff")) for side in SIDES
        ]
        found = [measure(slide, options.model, Path(folder)) for slide in slides]
    print("| slide | Mpx | shapes | s | Mpx/s | peak MB | memory x first | pixels x first |")
    print("|---|---|---|---|---|---|---|---|")
    first = found[0]
    for one in found:
        print(
            f"| {one.slide} | {one.megapixels:.0f} | {one.shapes} | {one.seconds:.0f} "
            f"| {one.megapixels / one.seconds:.2f} | {one.peak_mb:.0f} "
            f"| {one.peak_mb / first.peak_mb:.2f} | {one.megapixels / first.megapixels:.1f} |"
        )


def compose(sample: Path, side: int, path: Path, stated_mpp: float | None = None) -> Path:
    """Write a tiled TIFF of `side` pixels square, a sample slide repeated and mirrored.

    It begins at the middle of the sample, where tissue is, and has the levels that a scanner's file
    has. It states the um per pixel of the sample, or those given: it is then as fine as no sample
    is.
    """
    with open_slide(sample) as slide:
        frame = slide.frame(slide.mpp.mean)
        rgb = slide.read(frame, frame.box)
        mpp = stated_mpp or slide.mpp.mean
    rgb = np.concatenate([rgb, rgb[:, ::-1]], axis=1)
    rgb = np.concatenate([rgb, rgb[::-1]], axis=0)

    def tiles(factor: int) -> Iterator[NDArray[np.uint8]]:
        span = factor * TILE
        for y in range(0, side, span):
            rows = rgb[(np.arange(y, y + span) + rgb.shape[0] // 4) % rgb.shape[0]]
            for x in range(0, side, span):
                part = rows[:, (np.arange(x, x + span) + rgb.shape[1] // 4) % rgb.shape[1]]
                yield (
                    part
                    if factor == 1
                    else cv2.resize(part, (TILE, TILE), interpolation=cv2.INTER_AREA)
                )

    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        for factor in LEVELS:
            writer.write(
                tiles(factor),
                shape=(-(-side // factor), -(-side // factor), 3),
                dtype=np.uint8,
                tile=(TILE, TILE),
                photometric="rgb",
                compression="jpeg",
                compressionargs={"level": 85},
                resolution=(1e4 / mpp / factor, 1e4 / mpp / factor),
                resolutionunit="CENTIMETER",
                subfiletype=int(factor > 1),
                metadata=None,
            )
    return path


def measure(slide: Path, model: Path, folder: Path) -> Measurement:
    """Segment a slide by the command, and see what it took."""
    out = folder / f"{slide.stem}.anot"
    words = ["segment", str(slide), "--model", str(model), "--annotation", str(out)]
    taken = run_timed([*DEEPLAB, *words], f"segmenting {slide}")
    with open_slide(slide) as opened:
        pixels = opened.width_level0 * opened.height_level0
    layers = json.loads(out.read_text())
    return Measurement(
        slide=slide.name,
        megapixels=pixels / 1e6,
        shapes=sum(len(layer["elements"]) for layer in layers),
        seconds=taken.seconds,
        peak_mb=taken.peak_mb,
    )


if __name__ == "__main__":
    main()
