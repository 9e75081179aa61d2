"""Images that are labelled as a whole: by a table, by the folders that they lie in, by their names.

What an image is labelled as is drawn all over it, so that a training, its census and its validation
treat it as a slide with outlines.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import shapely

from deeplab.annotations.shapes import Annotations, Layer, Shape
from deeplab.config.classes import ClassList, Rgb
from deeplab.config.train_request import LabelSource
from deeplab.errors import ConfigError, SourceError
from deeplab.exchange.beside import SLIDES, is_mask, split_name
from deeplab.exchange.samples import Found, Sample, Split, files_in, mpp_of, path_at, rows_of
from deeplab.names import shown_name
from deeplab.slides.slide import measure_extent

BETWEEN = ";"  # labels of one image
TOLD = ("mpp", "patient", "split")  # columns of a table that say something else of an image
# In a name: one a class, with blanks between them as in LUAD-HistoSeg or none as in BCSS-WSSS.
FLAGS = re.compile(r"\[\s*([01](?:[ ,_]*[01])*)\s*\]")
YES, NO = ("1", "true", "yes"), ("", "0", "false", "no")
OTHER_COLOUR: Rgb = (128, 128, 128)  # of a label that is none of the classes


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledImage:
    """An image and what it is labelled as.

    Attributes:
        path: of it.
        name: by which messages call it.
        labels: as they were given.
        where: what says so, for sentences.
        mpp: um per pixel; 0: as the image says.
        patient: images of one patient stay on one side of a split.
        split: the side, where it was chosen.
    """

    path: Path
    name: str
    labels: tuple[str, ...]
    where: str
    mpp: float = 0.0
    patient: str = ""
    split: Split = ""


def find_labelled_images(
    source: str, *, labels: LabelSource, classes: Sequence[str], exclusive: bool
) -> Found:
    """Return the images of a source with annotations that cover each of them.

    Args:
        source: a table (CSV), or a folder.
        labels: what says the labels.
        classes: to be learnt.
        exclusive: whether an image has one label.

    Raises:
        SourceError: there is no such source or no image, an image is there twice or not at all, or
            it has not one label where it must.
        ConfigError: a table has not the columns that it needs, or a cell makes no sense.
    """
    images = labelled_images(source, labels=labels, classes=classes, exclusive=exclusive)
    samples = [
        Sample(
            name=each.name,
            slide=str(each.path),
            load=_covering(each, tuple(classes)),
            mpp=each.mpp,
            patient=each.patient,
            split=each.split,
            files=(each.path,),
        )
        for each in images
    ]
    return Found(samples=samples)


def labelled_images(
    source: str, *, labels: LabelSource, classes: Sequence[str], exclusive: bool
) -> list[LabelledImage]:
    """Return the images of a source with their labels, by name; see `find_labelled_images`.

    Raises:
        SourceError, ConfigError: as `find_labelled_images` does.
    """
    images = list(_READERS[labels](Path(source), tuple(classes)))
    if not images:
        raise SourceError(f"{source} holds no labelled image")
    _check_once(images)
    if exclusive:
        _check_one_label(images)
    return sorted(images, key=lambda each: each.name)


def _check_once(images: Sequence[LabelledImage]) -> None:
    places: dict[Path, LabelledImage] = {}
    for image in images:
        first = places.setdefault(image.path.resolve(), image)
        if first is not image:
            raise SourceError(
                f"{image.where}: {image.name} is there already, as {first.name} ({first.where}); "
                f"give all labels of an image at once, with {BETWEEN} between them"
            )


def _check_one_label(images: Sequence[LabelledImage]) -> None:
    for image in images:
        if len(image.labels) != 1:
            told = "no label" if not image.labels else f"the labels {', '.join(image.labels)}"
            raise SourceError(
                f"{image.where}: {image.name} has {told}, and where classes exclude each other an "
                'image has one; set network_options to "problem=multi_label" for any number'
            )


def _in_table(path: Path, classes: tuple[str, ...]) -> Iterator[LabelledImage]:
    """Yield the images of a CSV: a column `file`, and `label` or a column for each class."""
    try:
        rows = rows_of(path.read_text(encoding="utf-8-sig"))
        columns, filled = list(rows.fieldnames or ()), list(rows)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{path} is not a table that can be read: a CSV in UTF-8") from error
    flags = {name: name.strip().lower() for name in classes}
    is_one_hot = "label" not in columns
    if "file" not in columns or (is_one_hot and not set(flags.values()) <= set(columns)):
        must = f"file and label, or file and {', '.join(classes)}; and {', '.join(TOLD)} if known"
        raise ConfigError(f"columns of {path}", ", ".join(columns)[:80], must)
    for number, row in enumerate(filled, start=2):
        where = f"{path} line {number}"
        if None in row:
            raise SourceError(f"{where}: there are more cells than columns")
        cells = {column: text.strip() for column, text in row.items()}
        if not cells["file"]:
            continue
        image = path_at(path.parent / cells["file"])
        if not image.is_file():
            raise SourceError(f"{where}: there is no file {image}")
        if is_one_hot:
            labels = [n for n, column in flags.items() if _flag(cells[column], f"{n} in {where}")]
        else:
            labels = [each.strip() for each in cells["label"].split(BETWEEN) if each.strip()]
        split = cells.get("split", "").lower()
        if split not in ("", "train", "validation"):
            raise ConfigError(f"split in {where}", split, "train, validation or empty")
        yield LabelledImage(
            path=image,
            name=shown_name(cells["file"]),
            labels=tuple(dict.fromkeys(labels)),
            where=where,
            mpp=mpp_of(cells.get("mpp", ""), where),
            patient=cells.get("patient", ""),
            split=split,  # type: ignore[arg-type]  # checked above
        )


def _flag(text: str, where: str) -> bool:
    if text.lower() not in (*YES, *NO):
        raise ConfigError(where, text, "0 or 1")
    return text.lower() in YES


def _in_folders(path: Path, _classes: tuple[str, ...]) -> Iterator[LabelledImage]:
    """Yield the images of the folders in a folder, each called after its folder."""
    _check_folder(path)
    for folder in sorted(each for each in path.iterdir() if each.is_dir()):
        for image in images_in(folder):
            name = shown_name(f"{folder.name}/{image.name}")
            yield LabelledImage(path=image, name=name, labels=(folder.name,), where=str(folder))


def _by_names(path: Path, classes: tuple[str, ...]) -> Iterator[LabelledImage]:
    """Yield the images of a folder whose names tell of each class whether they have it."""
    _check_folder(path)
    for image in images_in(path):
        match = FLAGS.search(image.name)
        flags = re.findall("[01]", match[1]) if match else []
        if len(flags) != len(classes):
            told = f"{len(flags)} numbers" if flags else "none"
            raise SourceError(
                f"{image} must have {len(classes)} numbers in its name, 0 or 1 for each of "
                f"{', '.join(classes)}, as [{' '.join('0' * len(classes))}]; it has {told}"
            )
        labels = tuple(n for n, flag in zip(classes, flags, strict=True) if flag == "1")
        name = shown_name(image.name)
        yield LabelledImage(path=image, name=name, labels=labels, where=str(path))


def _check_folder(path: Path) -> None:
    if not path.is_dir():
        raise SourceError(f"there is no folder {path}")


def images_in(folder: Path) -> list[Path]:
    """Return the pictures of a folder by name, without masks.

    Raises:
        SourceError: it cannot be read.
    """
    files = files_in(folder)
    return [p for p in files if split_name(p.name)[1] in SLIDES and not is_mask(p.name)]


_READERS: Mapping[LabelSource, Callable[[Path, tuple[str, ...]], Iterator[LabelledImage]]] = (
    MappingProxyType({"table": _in_table, "folders": _in_folders, "names": _by_names})
)


def _covering(image: LabelledImage, classes: tuple[str, ...]) -> Callable[..., Annotations]:
    """Return what gives the annotations of an image: each label all over it."""
    colours = {each.name: each.colour for each in ClassList.named(classes)}

    def load(spill: Path | None = None) -> Annotations:  # noqa: ARG001  they are few
        slide = measure_extent(image.path)
        whole = Shape(shapely.box(0, 0, slide.width_level0, slide.height_level0))
        layers = [
            Layer(label, colours.get(label, OTHER_COLOUR), (whole,)) for label in image.labels
        ]
        # A layer without shapes says that somebody has looked, and none of the classes is there.
        layers = layers or [Layer(classes[0], colours[classes[0]], ())]
        return Annotations(tuple(layers))

    return load
