"""Public data sets of nuclei as their authors lay them out: pictures, and shapes on them.

PanNuke (Gamper 2020, arXiv 2003.10778), CoNIC (Graham 2021, arXiv 2111.14485), CoNSeP (Graham 2019,
arXiv 1812.06499) and MoNuSeg (Kumar 2017) are told by the files that a folder holds.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeplab.annotations.formats.aperio_xml import read_aperio_xml
from deeplab.annotations.formats.format import Reading
from deeplab.annotations.formats.mat_file import read_mat
from deeplab.annotations.shapes import Annotations, Layer, Shape
from deeplab.annotations.trace.instances import as_ids, trace_ids
from deeplab.config.classes import PALETTE
from deeplab.errors import AnnotationError, SourceError
from deeplab.names import shown_name

PANNUKE = ("neoplastic", "inflammatory", "connective", "dead", "non-neoplastic epithelial")
CONIC = ("neutrophil", "epithelial", "lymphocyte", "plasma", "eosinophil", "connective")
CONSEP = (
    *("other", "inflammatory", "healthy epithelial", "malignant epithelial"),
    *("fibroblast", "muscle", "endothelial"),
)
MONUSEG = ("nucleus",)
TCGA_PATIENT = re.compile(r"TCGA-\w\w-\w{4}")
FOLD = re.compile(r"fold\D{0,3}(\d+)", re.IGNORECASE)
HELD_OUT = re.compile("test|valid", re.IGNORECASE)
MOST_PICTURES = 1_000_000
MOST_SIDE = 4096
Stack = NDArray[Any]  # (pictures, height, width, channels), in the file


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotatedImage:
    """One picture and how to get what is drawn on it.

    Attributes:
        name: of the files to make, without suffix.
        image: its file, or pixels as a function of nothing, uint8 (height, width, 3).
        load: reads the shapes, in layers of the names given.
        part: the fold or part that it is in.
        patient: whom it is of, where that is told; "": not told.
    """

    name: str
    image: Path | Callable[[], NDArray[np.uint8]]
    load: Callable[[Sequence[str]], Annotations]
    part: str = ""
    patient: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NucleiDataset:
    """What was found in a folder.

    Attributes:
        title: what people call it.
        classes: of its types 1, 2, ... by its authors.
        held_out: the parts that its authors test on, or the last of its folds.
        pictures: all of them.
    """

    title: str
    classes: tuple[str, ...]
    held_out: frozenset[str]
    pictures: tuple[AnnotatedImage, ...]


def find_nuclei_dataset(folder: Path) -> NucleiDataset:
    """Tell a data set by its files; no picture and no annotation is read yet.

    Raises:
        SourceError: there is no such folder, it holds none that is known, or a file is damaged.
    """
    if not folder.is_dir():
        raise SourceError(f"there is no folder {folder}")
    for look in (_pannuke, _conic, _consep, _monuseg):
        if found := look(folder):
            return found
    raise SourceError(
        f"{folder} is laid out as none of PanNuke (images.npy, masks.npy), CoNIC (images.npy,"
        " labels.npy), CoNSeP (Images/*.png, Labels/*.mat) and MoNuSeg (*.tif, *.xml)"
    )


def _pannuke(folder: Path) -> NucleiDataset | None:
    pictures: list[AnnotatedImage] = []
    for masks_file in sorted(folder.rglob("masks.npy")):
        inside = masks_file.parent.relative_to(folder)
        parts = [re.sub("masks", "images", each, flags=re.IGNORECASE) for each in inside.parts]
        beside = masks_file.with_name("images.npy")
        images_file = beside if beside.is_file() else folder.joinpath(*parts, "images.npy")
        images, masks = _stack(images_file, 3), _stack(masks_file, len(PANNUKE) + 1)
        _check_as_many(images, masks, masks_file)
        folds = FOLD.findall(str(inside))
        fold = folds[-1] if folds else str(inside)
        tissues = _words(images_file.with_name("types.npy"), len(images))
        for place in range(len(images)):
            name = f"fold{fold}_{place:05d}" + (f"_{tissues[place]}" if tissues else "")
            pictures.append(
                AnnotatedImage(
                    name=re.sub(r"[^\w-]+", "-", name),
                    image=_pixels_of(images, place, images_file),
                    load=_channels_of(masks, place, masks_file),
                    part=fold,
                )
            )
    folds_found = sorted({each.part for each in pictures})
    return _dataset("PanNuke", PANNUKE, pictures, set(folds_found[-1:] if folds_found[1:] else ()))


def _conic(folder: Path) -> NucleiDataset | None:
    pictures: list[AnnotatedImage] = []
    for labels_file in sorted(folder.rglob("labels.npy")):
        images_file = labels_file.with_name("images.npy")
        images, labels = _stack(images_file, 3), _stack(labels_file, 2)
        _check_as_many(images, labels, labels_file)
        origins = _column(labels_file.with_name("patch_info.csv"), len(images))
        for place in range(len(images)):
            pictures.append(
                AnnotatedImage(
                    name=f"conic_{len(pictures):05d}",
                    image=_pixels_of(images, place, images_file),
                    load=_typed_of(labels, place, labels_file),
                    # "consep_1-0003": patches of one picture stay on one side of a split.
                    patient=origins[place].rpartition("-")[0] if origins else "",
                )
            )
    return _dataset("CoNIC", CONIC, pictures, set())


def _consep(folder: Path) -> NucleiDataset | None:
    pictures: list[AnnotatedImage] = []
    for label in sorted(folder.rglob("*.mat")):
        image = label.parent.parent / "Images" / f"{label.stem}.png"
        if label.parent.name == "Labels" and image.is_file():
            part = label.parent.parent.name if label.parent.parent != folder else ""
            pictures.append(
                AnnotatedImage(name=label.stem, image=image, load=_mat_of(label), part=part)
            )
    return _dataset("CoNSeP", CONSEP, pictures, _tested(pictures))


def _monuseg(folder: Path) -> NucleiDataset | None:
    images = {path.stem: path for path in sorted(folder.rglob("*.tif"))}
    pictures = [
        AnnotatedImage(
            name=path.stem,
            image=images[path.stem],
            load=_xml_of(path),
            part=images[path.stem].relative_to(folder).parts[0],
            patient=(TCGA_PATIENT.findall(path.stem) or [""])[0],
        )
        for path in sorted(folder.rglob("*.xml"))
        if path.stem in images
    ]
    return _dataset("MoNuSeg", MONUSEG, pictures, _tested(pictures))


def _dataset(
    title: str, classes: tuple[str, ...], pictures: list[AnnotatedImage], held_out: set[str]
) -> NucleiDataset | None:
    if not pictures:
        return None
    names = [each.name for each in pictures]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise SourceError(f"there are two pictures of {title} called {shown_name(twice)}")
    return NucleiDataset(
        title=title, classes=classes, held_out=frozenset(held_out), pictures=tuple(pictures)
    )


def _tested(pictures: Sequence[AnnotatedImage]) -> set[str]:
    parts = {each.part for each in pictures}
    tested = {part for part in parts if HELD_OUT.search(part)}
    return tested if tested != parts else set()


def _stack(path: Path, channels: int) -> Stack:
    """Pictures in a file of NumPy's, paged in as they are looked at; never a pickle."""
    stack = _load(path)
    right = stack.ndim == 4 and stack.shape[3] == channels and stack.dtype.kind in "uif"
    if not right or max(stack.shape[1:3]) > MOST_SIDE or len(stack) > MOST_PICTURES:
        raise SourceError(
            f"{path} has the shape {stack.shape} of {stack.dtype}, not pictures, height, width and"
            f" {channels} channels of numbers"
        )
    return stack


def _load(path: Path) -> NDArray[Any]:
    try:
        found: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise SourceError(f"there is no file {path}") from error
    except (OSError, ValueError, EOFError) as error:
        raise SourceError(f"{path} is not an array of NumPy that can be read: {error}") from error
    if not isinstance(found, np.ndarray):
        raise SourceError(f"{path} holds several arrays, not one")
    return found


def _words(path: Path, count: int) -> list[str]:
    """Words of pictures; none where there is no such file."""
    if not path.is_file():
        return []
    words = _load(path)
    if words.shape != (count,) or words.dtype.kind != "U":
        raise SourceError(f"{path} has the shape {words.shape}, not a word for each picture")
    return [str(each) for each in words.tolist()]


def _column(path: Path, count: int) -> list[str]:
    """The last cell of each row of a CSV under its head; none where there is no such file."""
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            cells = [row[-1] for row in csv.reader(file) if row][1:]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{path} is not a CSV that can be read: {error}") from error
    if len(cells) != count:
        raise SourceError(f"{path} has {len(cells)} rows for {count} pictures")
    return cells


def _check_as_many(images: Stack, labels: Stack, path: Path) -> None:
    if images.shape[:3] != labels.shape[:3]:
        raise SourceError(f"{path} has the shape {labels.shape}, but its pictures {images.shape}")


def _pixels_of(images: Stack, place: int, path: Path) -> Callable[[], NDArray[np.uint8]]:
    def decode() -> NDArray[np.uint8]:
        image = np.asarray(images[place])
        if not (image.min(initial=0) >= 0 and image.max(initial=0) <= 255):
            raise SourceError(f"{path}: picture {place} has values that are not from 0 to 255")
        pixels: NDArray[np.uint8] = np.rint(image).astype(np.uint8)
        return pixels

    return decode


def _channels_of(masks: Stack, place: int, path: Path) -> Callable[[Sequence[str]], Annotations]:
    """Return a channel for each type, the last for the background."""

    def load(classes: Sequence[str]) -> Annotations:
        found = [
            trace_ids(as_ids(np.asarray(masks[place, :, :, channel]), f"picture {place}", path))
            for channel in range(len(PANNUKE))
        ]
        return _layers(classes, [[each.polygon for each in one.finish()] for one in found])

    return load


def _typed_of(labels: Stack, place: int, path: Path) -> Callable[[Sequence[str]], Annotations]:
    """Two channels: numbers of nuclei and their types."""

    def load(classes: Sequence[str]) -> Annotations:
        ids, kinds = (
            as_ids(np.asarray(labels[place, :, :, channel]), f"picture {place}", path)
            for channel in (0, 1)
        )
        if kinds.max(initial=0) > len(CONIC):
            raise AnnotationError(path, f"picture {place} holds the type {kinds.max()}")
        tracer = trace_ids(ids, kinds.astype(np.uint8))
        types = tracer.types()
        shapes: list[list[Any]] = [[] for _ in CONIC]
        for number, polygon in tracer.finish():
            if number not in types:
                raise AnnotationError(path, f"picture {place} has a nucleus without type")
            shapes[types[number] - 1].append(polygon)
        return _layers(classes, shapes)

    return load


def _mat_of(path: Path) -> Callable[[Sequence[str]], Annotations]:
    return lambda classes: read_mat(path, Reading(classes=classes))


def _xml_of(path: Path) -> Callable[[Sequence[str]], Annotations]:
    """Return all that is drawn is nuclei, whatever the layers are called."""

    def load(classes: Sequence[str]) -> Annotations:
        drawn = read_aperio_xml(path)
        polygons = [shape.polygon for layer in drawn.layers for shape in layer.shapes]
        return _layers(classes, [polygons])

    return load


def _layers(classes: Sequence[str], shapes: Sequence[Sequence[Any]]) -> Annotations:
    return Annotations(
        tuple(
            Layer(name, PALETTE[place % len(PALETTE)], tuple(map(Shape, polygons)))
            for place, (name, polygons) in enumerate(zip(classes, shapes, strict=True))
        )
    )
