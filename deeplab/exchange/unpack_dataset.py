"""The flow of unpacking: a public data set in, pictures, annotations and the list of both out."""

from __future__ import annotations

import csv
import logging
import shutil
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from deeplab.annotations.formats.format import Writing
from deeplab.annotations.formats.geojson import write_geojson
from deeplab.annotations.formats.instance_images import NAMED, write_instances
from deeplab.config.unpack_request import UnpackRequest
from deeplab.errors import ConfigError, OutputError
from deeplab.exchange.nuclei_datasets import AnnotatedImage, NucleiDataset, find_nuclei_dataset
from deeplab.files import scratch_folder, whole_file
from deeplab.geometry.frames import Mpp

log = logging.getLogger(__name__)

LIST = "list.csv"
COLUMNS = ("slide", "annotation", "mpp", "patient", "split")
TOLD_EVERY = 500  # pictures


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpacked:
    """What was unpacked."""

    title: str
    listing: Path
    slide_mpp: float
    nuclei: dict[str, int]  # by type
    pictures: dict[str, int]  # by split

    def summary(self) -> str:
        """Return a few lines for a person."""
        split = ", ".join(f"{count:,} {split}" for split, count in self.pictures.items())
        lines = [f"{self.title}: {sum(self.pictures.values()):,} pictures ({split})"]
        lines += [f"  {name}: {count:,} nuclei" for name, count in self.nuclei.items()]
        lines.append(
            f"No file states its um per pixel: all are taken for {self.slide_mpp:g}, as slide_mpp"
            f" says. Train with: deeplab train {self.listing} MODEL.zip --classes"
            f' "{",".join(self.nuclei)}"'
        )
        return "\n".join(lines)


def unpack_dataset(request: UnpackRequest) -> Unpacked:
    """Unpack as `request` says; the folder appears when all is in it, or not at all.

    Raises:
        SourceError, AnnotationError: the data set is not laid out as any that is known, or damaged.
        ConfigError: it has other types or parts than those named.
        OutputError: the folder cannot be written.
    """
    found = find_nuclei_dataset(request.source)
    classes = request.classes or found.classes
    if len(classes) != len(found.classes):
        raise ConfigError(
            "classes",
            ", ".join(classes),
            f"a name for each of the {len(found.classes)} types of {found.title}"
            f" ({', '.join(found.classes)})",
        )
    held_out = _held_out(request, found)
    try:
        request.output.parent.mkdir(parents=True, exist_ok=True)
        with scratch_folder(request.output.parent) as folder:
            begun = replace(request, output=folder / "unpacked")
            nuclei, splits = _unpack(found, classes, held_out, begun)
            begun.output.rename(request.output)
    except OutputError:  # which names the file
        raise
    except OSError as error:
        raise OutputError(request.output, error.strerror or str(error)) from error
    return Unpacked(
        title=found.title,
        listing=request.output / LIST,
        slide_mpp=request.slide_mpp,
        nuclei=dict(nuclei),
        pictures=dict(splits),
    )


def _unpack(
    found: NucleiDataset,
    classes: tuple[str, ...],
    held_out: frozenset[str],
    request: UnpackRequest,
) -> tuple[Counter[str], Counter[str]]:
    """Write all pictures and the list of them; return counts of nuclei by type and of pictures."""
    nuclei, splits, rows = Counter[str](), Counter[str](), []
    request.output.mkdir()
    for place, picture in enumerate(found.pictures, start=1):
        split = "validation" if picture.part in held_out else "train" if held_out else ""
        image, annotation = _write(picture, classes, request, nuclei)
        mpp = f"{request.slide_mpp:g}"
        rows.append((image.name, annotation.name, mpp, picture.patient, split))
        splits[split or "without a split"] += 1
        if place % TOLD_EVERY == 0:
            log.info("%s of %s pictures", f"{place:,}", f"{len(found.pictures):,}")
    with (request.output / LIST).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    return nuclei, splits


def _held_out(request: UnpackRequest, found: NucleiDataset) -> frozenset[str]:
    parts = sorted({each.part for each in found.pictures})
    for name in request.validation:
        if name not in parts:
            there = ", ".join(part for part in parts if part) or "no parts"
            raise ConfigError("validation", name, f"a part of {found.title} ({there})")
    return frozenset(request.validation) or found.held_out


def _write(
    picture: AnnotatedImage, classes: tuple[str, ...], request: UnpackRequest, nuclei: Counter[str]
) -> tuple[Path, Path]:
    """Write a picture and what is drawn on it; count the nuclei."""
    base = request.output / picture.name
    drawn = replace(picture.load(classes), mpp=Mpp.square(request.slide_mpp))
    for layer in drawn.layers:
        nuclei[layer.name] += len(layer.shapes)
    if isinstance(picture.image, Path):
        image = base.with_name(base.name + picture.image.suffix.lower())
        with whole_file(image) as part:
            shutil.copyfile(picture.image, part)
    else:
        image = base.with_name(base.name + ".png")
        pixels = picture.image()
        with whole_file(image) as part:
            Image.fromarray(pixels).save(part, format="PNG")
    size = (drawn.attributes.get("width_level0"), drawn.attributes.get("height_level0"))
    if not isinstance(picture.image, Path):
        size = (pixels.shape[1], pixels.shape[0])
    width, height = size
    if isinstance(width, int) and isinstance(height, int):
        annotation = base.with_name(f"{base.name}{NAMED}.tif")
        write_instances(annotation, drawn, Writing(width_level0=width, height_level0=height))
    else:  # outlines that overlap stay whole
        annotation = base.with_name(base.name + ".geojson")
        write_geojson(annotation, drawn)
    return image, annotation
