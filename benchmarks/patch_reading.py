"""Do patches come as fast as a GPU eats them? One table, one run.

    python benchmarks/patch_reading.py [SLIDE ANNOTATIONS] [--classes NAMES]

Patches are cut, augmented and handed to a consumer that sleeps for a fixed time a step, as a CPU
does that waits for its GPU. The reader's limit is what large_image alone reads of the very regions
that the patches were cut from, with as many threads. Without a slide one is painted. TensorFlow is
not part of it.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from large_image_source_tiff import TiffFileTileSource
from numpy.typing import NDArray
from scipy import ndimage

from deeplab.config.progress import silent
from deeplab.config.train_request import AUGMENTATIONS, TrainRequest
from deeplab.data.augment import Augmentation
from deeplab.data.batches import batches
from deeplab.data.opening import open_slides
from deeplab.data.sampling import PatchForm, PatchSampler, Scales
from deeplab.data.truth import AnnotatedSlide
from deeplab.geometry.frames import Level0Box, WorkBox, WorkFrame

SIDE, BATCH = 512, 8
PAINTED_SIDE, PAINTED_MPP = 8192, 0.5
CONSUMERS = (0.25, 0.5, 0.75)  # speeds, of the reader's limit
SLIDES = 10


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("slide", nargs="?", type=Path)
    parser.add_argument("annotations", nargs="?", type=Path)
    parser.add_argument("--classes", default="", help="names, with commas")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        slide, shapes, classes = options.slide, options.annotations, options.classes.split(",")
        if slide is None:
            slide, shapes, classes = *paint(folder), ["gland"]
        many = folder / "many"
        many.mkdir()
        for number in range(SLIDES):
            (many / f"{number}{slide.suffix}").symlink_to(slide.resolve())
            (many / f"{number}{shapes.suffix}").symlink_to(shapes.resolve())
        request = TrainRequest(
            source=str(many),
            classes=tuple(classes),
            output_model=folder / "unused.zip",
            patch_size=SIDE,
            batch_size=BATCH,
            validation_fraction=0.0,
        )
        print(f"{slide.name}, {SIDE} px patches, {options.threads} threads, {os.cpu_count()} cores")
        first_s, slides = start(request, options.threads)
        print(f"start to first batch of {BATCH}, {SLIDES} slides: {first_s:.1f} s")
        report(request, slides[0], slide, options)


@dataclass(frozen=True, slots=True)
class Read:
    """A region that was read."""

    part: Level0Box
    width: int
    height: int


class Watched:
    """A slide, and what was read of it."""

    def __init__(self, slide: Any) -> None:  # noqa: ANN401  stands in for any slide
        self._slide, self._lock, self.reads = slide, threading.Lock(), list[Read]()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._slide, name)

    def read(self, frame: WorkFrame, box: WorkBox) -> NDArray[np.uint8]:
        """The pixels of `box`."""
        on_slide = box.intersection(frame.box)
        with self._lock:
            self.reads.append(Read(frame.to_level0(on_slide), on_slide.width, on_slide.height))
        pixels: NDArray[np.uint8] = self._slide.read(frame, box)
        return pixels


def start(request: TrainRequest, threads: int) -> tuple[float, list[AnnotatedSlide]]:
    """Seconds from nothing to the first batch, and the slides."""
    began = time.perf_counter()
    slides = open_slides(request, silent).learn
    stream = batches(sampler_of(request, slides).patch, size=BATCH, steps=range(1), threads=threads)
    next(stream)
    stream.close()
    return time.perf_counter() - began, slides


def report(
    request: TrainRequest, slide: AnnotatedSlide, path: Path, options: argparse.Namespace
) -> None:
    """The table: how fast patches come, alone and for consumers of fixed speed."""
    rows = []
    for strength in (0.0, 0.5):
        watched = Watched(slide.slide)
        own = dict.fromkeys((f"augment_{kind}" for kind in AUGMENTATIONS), strength)
        asked = replace(request, augment=strength, **own)
        sampler = sampler_of(asked, [replace(slide, slide=watched)])  # type: ignore[arg-type]
        before = written_bytes()
        free = consume(sampler, range(options.steps), options.threads, step_s=0)
        alone = read_alone(path, watched.reads, options.threads)
        for number, share in enumerate(CONSUMERS, start=1):
            steps = range(number * options.steps, (number + 1) * options.steps)
            step_s = BATCH / (share * alone.per_s)
            waiting = consume(sampler, steps, options.threads, step_s=step_s).waiting
            rows.append(
                f"| {strength} | {free.per_s:.0f} | {alone.per_s:.0f} | {free.cpu_ms:.1f} "
                f"| {alone.cpu_ms:.1f} | {share * alone.per_s:.0f} ({share:.0%}) "
                f"| {waiting:.1%} | {written_bytes() - before} |"
            )
    print(
        "| augment | patches/s | reader/s | CPU ms a patch | reader's | consumer/s | waits "
        "| disk bytes |"
    )
    print("|---|---|---|---|---|---|---|---|")
    print(*rows, sep="\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """How fast something was, what it cost, and the share of the time that was waited for it."""

    per_s: float
    cpu_ms: float
    waiting: float = 0.0


def consume(sampler: PatchSampler, steps: range, threads: int, *, step_s: float) -> Speed:
    """All patches of some steps, by a consumer that takes `step_s` for each."""
    began, spent = time.perf_counter(), time.process_time()
    stream = batches(sampler.patch, size=BATCH, steps=steps, threads=threads)
    for _ in stream:
        time.sleep(step_s)
    count = BATCH * len(steps)
    return Speed(
        per_s=count / (time.perf_counter() - began),
        cpu_ms=1e3 * (time.process_time() - spent) / count,
        waiting=stream.waiting_share,
    )


def read_alone(path: Path, reads: Sequence[Read], threads: int) -> Speed:
    """The same regions, read by large_image and nothing else."""
    source = TiffFileTileSource(str(path), noCache=True)

    def read(one: Read) -> None:
        part = one.part
        source.getRegion(
            region={"left": part.x0, "top": part.y0, "width": part.width, "height": part.height},
            output={"maxWidth": one.width, "maxHeight": one.height},
            format="numpy",
        )

    began, spent = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(read, reads))
    return Speed(
        per_s=len(reads) / (time.perf_counter() - began),
        cpu_ms=1e3 * (time.process_time() - spent) / len(reads),
    )


def sampler_of(request: TrainRequest, slides: Sequence[AnnotatedSlide]) -> PatchSampler:
    """Return the sampler that a training makes of the request."""
    return PatchSampler(
        slides=slides,
        label_count=len(request.classes) + 1,
        form=PatchForm(side=SIDE),
        scales=Scales(work_mpp=request.work_mpp, downsamples=request.wsi_downsample),
        augmentation=Augmentation(request),
        settings=request,
    )


def written_bytes() -> int:
    """Bytes that this process has had written to disk, as the system counts them."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("write_bytes")).split()[1])


def paint(folder: Path) -> tuple[Path, Path]:
    """A slide of purple glands in pink tissue, and their outlines."""
    random = np.random.default_rng(0)
    coarse = ndimage.gaussian_filter(random.standard_normal((PAINTED_SIDE // 8,) * 2), 3)
    inside = np.kron(coarse > 0.02, np.ones((8, 8), np.bool_))
    rgb = np.where(inside[..., None], (110, 70, 150), (214, 150, 190)).astype(np.float32)
    rgb += random.normal(0, 12, (PAINTED_SIDE, PAINTED_SIDE, 1)).astype(np.float32)
    level = np.clip(rgb, 0, 255).astype(np.uint8)
    path = folder / "painted.tiff"
    with tifffile.TiffWriter(path) as writer:
        for halving in range(5):
            writer.write(
                level,
                tile=(256, 256),
                photometric="rgb",
                compression="jpeg",
                compressionargs={"level": 85},
                resolution=(1e4 / PAINTED_MPP / 2**halving,) * 2,
                resolutionunit="CENTIMETER",
                subfiletype=int(halving > 0),
                metadata=None,
            )
            level = level.reshape(len(level) // 2, 2, -1, 2, 3).mean(axis=(1, 3)).astype(np.uint8)
    outlines = folder / "painted.json"
    outlines.write_text(json.dumps([{"name": "gland", "elements": squares(inside)}]))
    return path, outlines


def squares(inside: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """A square in each gland, as HistomicsUI keeps them: enough to draw patches by."""
    found, _ = ndimage.label(inside[::8, ::8])
    elements = []
    for rows, columns in ndimage.find_objects(found):
        corners = [(columns.start, rows.start), (columns.stop, rows.start)]
        corners += [(columns.stop, rows.stop), (columns.start, rows.stop)]
        points = [[8 * x, 8 * y, 0] for x, y in corners]
        elements.append({"type": "polyline", "closed": True, "points": points})
    return elements


if __name__ == "__main__":
    main()
