"""The flow of offline patching: annotated slides in, patches on a grid with their labels out."""

from __future__ import annotations

import csv
import json
import logging
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deeplab.annotations.raster.rasterize import Labels
from deeplab.config.channels import RGB
from deeplab.config.classes import IGNORE
from deeplab.config.patches_request import PatchesRequest, PatchFormat
from deeplab.data.centres import with_patients
from deeplab.data.levels import level_near
from deeplab.data.truth import AnnotatedSlide, open_annotated
from deeplab.errors import AnnotationError, OutputError, ScaleError, SlideError, SourceError
from deeplab.exchange.beside import MASK, split_name
from deeplab.exchange.labelling import Labelling
from deeplab.exchange.samples import Sample, find_samples
from deeplab.files import safe_name, scratch_folder
from deeplab.geometry.frames import WorkBox
from deeplab.report.words import counted

log = logging.getLogger(__name__)

Pixels = NDArray[np.uint8]  # (side, side, channels), of colours 3
LIST = "list.csv"
COLUMNS = ("slide", "annotation", "mpp", "patient", "split")
ZLIB_LEVEL = 1


@dataclass(frozen=True, slots=True)
class CutPatch:
    """One patch: pixels, labels, and where they lie, level-0 pixels of the slide of a sample."""

    pixels: Pixels
    labels: Labels
    sample: Sample
    x0: float
    y0: float
    work_mpp: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchesExported:
    """What was written: patches by slide, and of how many pixels each class has."""

    patches: dict[str, int]
    pixels: dict[str, int]
    left_out: dict[str, str]
    output: Path

    def summary(self) -> str:
        """Return a few lines for a person."""
        total = sum(self.patches.values())
        lines = [f"patches: {total:,}, of {counted(len(self.patches), 'slide')}"]
        lines += [f"  {name}: {count:,} pixels" for name, count in self.pixels.items()]
        lines += [f"not cut: {name} {why}" for name, why in self.left_out.items()]
        return "\n".join(lines)


class PatchWriter(Protocol):
    """Takes patches one by one, then what is about all of them."""

    def add(self, patch: CutPatch) -> None:
        """Write one more."""

    def close(self) -> None:
        """Write what is about all of them."""


def export_patches(request: PatchesRequest) -> PatchesExported:
    """Cut all slides as `request` says; the folder appears when all is in it, or not at all.

    Patches stand on a grid from the slide's top left corner, as many as touch tissue; those of the
    last column and row are moved inwards, so that each lies on the slide whole.

    Raises:
        SourceError: there is no annotated slide, or none of them can be cut.
        ConfigError, ServerError, OutputError: as finding, reading and writing do.
    """
    rules = Labelling.of(request)
    found = with_patients(
        find_samples(
            request.source,
            classes=rules.classes,
            ignore=rules.ignore_class or "ignore",
            annotations=request.label_path,
        )
    )
    done = PatchesExported(
        patches={},
        pixels=dict.fromkeys(("background", *rules.classes), 0),
        left_out={each.name: each.why for each in found.left_out},
        output=request.output,
    )
    try:
        request.output.parent.mkdir(parents=True, exist_ok=True)
        with scratch_folder(request.output.parent) as folder:
            begun = folder / "patches"
            begun.mkdir()
            writer = _WRITERS[request.format](begun, replace(request, output=begun))
            for sample in found.samples:
                _cut_slide(sample, rules, request, writer, done)
            if not done.patches:
                name, why = next(iter(done.left_out.items()))
                raise SourceError(f"no slide can be cut into patches: {name} {why}")
            writer.close()
            if request.output.exists():
                request.output.rmdir()
            begun.rename(request.output)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(request.output, error.strerror or str(error)) from error
    return done


def _cut_slide(
    sample: Sample,
    rules: Labelling,
    request: PatchesRequest,
    writer: PatchWriter,
    done: PatchesExported,
) -> None:
    """Write the patches of a slide and count them; what cannot be read is left out and named."""
    count = 0
    try:
        annotations = sample.load()
        with ExitStack() as stack:
            slide = open_annotated(
                sample,
                annotations,
                rules,
                slide_mpp=request.slide_mpp,
                login=None,
                channels=request.learnt_channels,
            )
            stack.callback(slide.slide.close)
            for patch in _patches(slide, sample, request):
                writer.add(patch)
                count += 1
                for label, name in enumerate(done.pixels):
                    done.pixels[name] += int(np.count_nonzero(patch.labels == label))
    except (SlideError, AnnotationError) as error:
        if count:
            raise  # half of a slide would pass for all of it
        done.left_out[sample.name] = getattr(error, "problem", str(error))
        log.warning("%s is left out: %s", sample.name, error)
        return
    log.info("%s: %s patches", sample.name, f"{count:,}")
    done.patches[sample.name] = count


def _patches(slide: AnnotatedSlide, sample: Sample, request: PatchesRequest) -> Iterator[CutPatch]:
    work_mpp = request.work_mpp
    if request.resolution:
        work_mpp = level_near(slide.slide, request.resolution)
    frame, side = slide.slide.frame(work_mpp), request.patch_size
    if min(frame.width, frame.height) < side:
        raise ScaleError(
            slide.name,
            f"has {frame.width} x {frame.height} pixels at {frame.work_mpp:.4g} um, which is less"
            f" than a patch of {side}; choose a smaller patch_size or a finer scale",
        )
    for box in grid(frame.box, side):
        if not slide.tissue.touches(frame, box):
            continue
        labels = slide.labels(frame, box)
        if IGNORE in labels and not ((labels > 0) & (labels != IGNORE)).any():
            continue  # nothing to learn; and a mask of 0 and 255 is read as one class
        pixels = slide.slide.read(frame, box)
        x0, y0 = box.x * frame.scale_x, box.y * frame.scale_y
        yield CutPatch(pixels, labels, sample, x0, y0, frame.work_mpp)


def grid(area: WorkBox, side: int) -> Iterator[WorkBox]:
    """Yield squares that cover an area, row by row; the last ones are moved into it.

    There is none in an area that is smaller.
    """
    for y in _starts(area.y, area.height, side):
        for x in _starts(area.x, area.width, side):
            yield WorkBox(x, y, side, side)


def _starts(first: int, length: int, side: int) -> list[int]:
    if length < side:
        return []
    last = first + length - side
    return list(dict.fromkeys(min(start, last) for start in range(first, first + length, side)))


class _Pictures:
    """PNG files of pixels and of labels, and the list of both: a folder to train from."""

    def __init__(self, folder: Path, request: PatchesRequest) -> None:
        del request
        self._folder = folder
        self._rows: list[tuple[str, ...]] = []
        self._names: set[str] = set()

    def add(self, patch: CutPatch) -> None:
        """Write a picture and its label mask."""
        stem = f"{safe_name(split_name(patch.sample.name)[0])}_{patch.x0:.0f}_{patch.y0:.0f}"
        while stem in self._names:  # slides of one name from two folders
            stem += "_"
        self._names.add(stem)
        image, mask = f"{stem}.png", f"{stem}{MASK}.png"
        Image.fromarray(patch.pixels.squeeze()).save(self._folder / image, format="PNG")
        Image.fromarray(patch.labels).save(self._folder / mask, format="PNG")
        patient = patch.sample.patient or patch.sample.name
        self._rows.append((image, mask, f"{patch.work_mpp:.6g}", patient, patch.sample.split))

    def close(self) -> None:
        """Write the list."""
        with (self._folder / LIST).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([COLUMNS, *self._rows])


class _Arrays:
    """A Zarr group (version 2) of the arrays `images` and `labels`, a chunk a patch, zlib."""

    def __init__(self, folder: Path, request: PatchesRequest) -> None:
        self._folder, self._request = folder, request
        self._about: list[dict[str, Any]] = []
        for name in ("images", "labels"):
            (folder / name).mkdir()

    def add(self, patch: CutPatch) -> None:
        """Write a chunk of each array."""
        number = len(self._about)
        chunks = (("images", patch.pixels, ".0.0.0"), ("labels", patch.labels, ".0.0"))
        for name, values, zeros in chunks:
            packed = zlib.compress(np.ascontiguousarray(values).tobytes(), ZLIB_LEVEL)
            (self._folder / name / f"{number}{zeros}").write_bytes(packed)
        place = {"x_level0": patch.x0, "y_level0": patch.y0, "work_mpp": patch.work_mpp}
        about = {"slide": patch.sample.name, "patient": patch.sample.patient}
        self._about.append({**about, "split": patch.sample.split, **place})

    def close(self) -> None:
        """Write the shapes and attributes, without which a reader sees no array."""
        side, count = self._request.patch_size, len(self._about)
        wanted = self._request.learnt_channels
        channels = wanted.channels if wanted else RGB
        for name, more in (("images", [len(channels)]), ("labels", [])):
            array = {
                "zarr_format": 2,
                "shape": [count, side, side, *more],
                "chunks": [1, side, side, *more],
                "dtype": "|u1",
                "compressor": {"id": "zlib", "level": ZLIB_LEVEL},
                "fill_value": 0,
                "order": "C",
                "filters": None,
            }
            self._write(f"{name}/.zarray", array)
        attributes = {
            "classes": ["background", *self._request.classes],
            "channels": list(channels.names),
            "ignore": IGNORE,
            "patches": self._about,
        }
        self._write(".zattrs", attributes)
        self._write(".zgroup", {"zarr_format": 2})

    def _write(self, name: str, content: dict[str, Any]) -> None:
        (self._folder / name).write_text(json.dumps(content), encoding="utf-8")


_WRITERS: Mapping[PatchFormat, Callable[[Path, PatchesRequest], PatchWriter]] = {
    "png": _Pictures,
    "zarr": _Arrays,
}
