"""Images that are labelled as a whole: by a table, by the folders that they lie in, by their names.

What an image is labelled as is drawn all over it, so that a training, its census and its validation
treat it as a slide with outlines.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import shapely

from deeplab.annotations.shapes import Annotations, Layer, Shape
from deeplab.config.checks import is_girder_id
from deeplab.config.classes import ClassList, Rgb
from deeplab.config.train_request import LabelSource
from deeplab.errors import ConfigError, SourceError
from deeplab.exchange.image_sources import (
    DiskImages,
    GirderImages,
    ImageFile,
    ImageSource,
    unreadable,
)
from deeplab.exchange.samples import Found, Sample, Split, mpp_of, rows_of, split_of
from deeplab.names import shown_name
from deeplab.server.session import ServerLogin, Session
from deeplab.slides.slide import measure_extent

BETWEEN = ";"  # labels of one image
TOLD = ("mpp", "patient", "split")  # columns of a table that say something else of an image
# In a name: one a class, with blanks between them as in LUAD-HistoSeg or none as in BCSS-WSSS.
FLAGS = re.compile(r"\[\s*([01](?:[ ,_]*[01])*)\s*\]")
NOTHING_TOLD: Mapping[str, str] = MappingProxyType({})
YES, NO = ("1", "true", "yes"), ("", "0", "false", "no")
OTHER_COLOUR: Rgb = (128, 128, 128)  # of a label that is none of the classes


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledImage:
    """An image and what it is labelled as.

    Attributes:
        source: path, or id of a Girder item.
        name: by which messages call it.
        labels: as they were given.
        where: what says so, for sentences.
        mpp: um per pixel; 0: as the image says.
        patient: images of one patient stay on one side of a split.
        split: the side, where it was chosen.
    """

    source: str
    name: str
    labels: tuple[str, ...]
    where: str
    mpp: float = 0.0
    patient: str = ""
    split: Split = ""

    @property
    def path(self) -> Path:
        """Where it lies on the disk."""
        return Path(self.source)


def find_labelled_images(
    source: str,
    *,
    labels: LabelSource,
    classes: Sequence[str],
    exclusive: bool,
    login: ServerLogin | None = None,
) -> Found:
    """Return the images of a source with annotations that cover each of them.

    Args:
        source: a table (CSV), or a folder; with a login, id of a Girder folder, which holds the
            table beside its images.
        labels: what says the labels.
        classes: to be learnt.
        exclusive: whether an image has one label.
        login: of the Girder server.

    Raises:
        SourceError: there is no such source or no image, an image is there twice or not at all, or
            it has not one label where it must.
        ConfigError: a table has not the columns that it needs, or a cell makes no sense.
        ServerError: the server refuses or fails.
    """
    on_server = login if is_girder_id(source) and not Path(source).exists() else None
    images = _read(
        GirderImages(Session(on_server), source) if on_server else DiskImages(Path(source)),
        labels=labels,
        classes=classes,
        exclusive=exclusive,
    )
    samples = [
        Sample(
            name=each.name,
            slide=each.source,
            load=_covering(each, tuple(classes), on_server),
            mpp=each.mpp,
            patient=each.patient,
            split=each.split,
            files=() if on_server else (each.path,),
        )
        for each in images
    ]
    return Found(samples=samples)


def labelled_images(
    source: str, *, labels: LabelSource, classes: Sequence[str], exclusive: bool
) -> list[LabelledImage]:
    """Return the images on the disk with their labels, by name; see `find_labelled_images`.

    Raises:
        SourceError, ConfigError: as `find_labelled_images` does.
    """
    on_disk = DiskImages(Path(source))
    return _read(on_disk, labels=labels, classes=classes, exclusive=exclusive)


def _read(
    source: ImageSource, *, labels: LabelSource, classes: Sequence[str], exclusive: bool
) -> list[LabelledImage]:
    images = list(_READERS[labels](source, tuple(classes)))
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


def _in_table(source: ImageSource, classes: tuple[str, ...]) -> Iterator[LabelledImage]:
    """Yield the images of a CSV: a column `file`, and `label` or a column for each class."""
    table, text = source.read_table()
    try:
        rows = rows_of(text)
        columns, filled = list(rows.fieldnames or ()), list(rows)
    except csv.Error as error:
        raise unreadable(table) from error
    flags = {name: name.strip().lower() for name in classes}
    is_one_hot = "label" not in columns
    if "file" not in columns or (is_one_hot and not set(flags.values()) <= set(columns)):
        must = f"file and label, or file and {', '.join(classes)}; and {', '.join(TOLD)} if known"
        raise ConfigError(f"columns of {table}", ", ".join(columns)[:80], must)
    for number, row in enumerate(filled, start=2):
        where = f"{table} line {number}"
        if None in row:
            raise SourceError(f"{where}: there are more cells than columns")
        cells = {column: text.strip() for column, text in row.items()}
        if not cells["file"]:
            continue
        try:
            image = source.find(cells["file"])
        except SourceError as error:
            raise SourceError(f"{where}: {error}") from error
        if is_one_hot:
            labels = [n for n, column in flags.items() if _flag(cells[column], f"{n} in {where}")]
        else:
            labels = [each.strip() for each in cells["label"].split(BETWEEN) if each.strip()]
        told = {name: cells[name] for name in TOLD if cells.get(name)}
        yield _labelled(image, labels, where, told)


def _flag(text: str, where: str) -> bool:
    if text.lower() not in (*YES, *NO):
        raise ConfigError(where, text, "0 or 1")
    return text.lower() in YES


def _in_folders(source: ImageSource, _classes: tuple[str, ...]) -> Iterator[LabelledImage]:
    """Yield the images of the folders in a folder, each called after its folder."""
    for folder, images in source.folders():
        for image in images:
            named = replace(image, name=f"{shown_name(folder)}/{image.name}")
            yield _labelled(named, [folder], f"{source}/{folder}")


def _by_names(source: ImageSource, classes: tuple[str, ...]) -> Iterator[LabelledImage]:
    """Yield the images of a folder whose names tell of each class whether they have it."""
    for image in source.images():
        match = FLAGS.search(image.name)
        flags = re.findall("[01]", match[1]) if match else []
        if len(flags) != len(classes):
            told = f"{len(flags)} numbers" if flags else "none"
            raise SourceError(
                f"{source}/{image.name} must have {len(classes)} numbers in its name, 0 or 1 for "
                f"each of {', '.join(classes)}, as [{' '.join('0' * len(classes))}]; it has {told}"
            )
        labels = [n for n, flag in zip(classes, flags, strict=True) if flag == "1"]
        yield _labelled(image, labels, str(source))


def _labelled(
    image: ImageFile, labels: Sequence[str], where: str, told: Mapping[str, str] = NOTHING_TOLD
) -> LabelledImage:
    """Return an image with its labels; what is `told` of it goes before the server's metadata."""
    words = {**image.metadata, **told}
    return LabelledImage(
        source=image.source,
        name=image.name,
        labels=tuple(dict.fromkeys(labels)),
        where=where,
        mpp=mpp_of(words.get("mpp", ""), where),
        patient=words.get("patient", ""),
        split=split_of(words.get("split", ""), where),
    )


_Reader = Callable[[ImageSource, tuple[str, ...]], Iterator[LabelledImage]]
_READERS: Mapping[LabelSource, _Reader] = MappingProxyType(
    {"table": _in_table, "folders": _in_folders, "names": _by_names}
)


def _covering(
    image: LabelledImage, classes: tuple[str, ...], login: ServerLogin | None
) -> Callable[..., Annotations]:
    """Return what gives the annotations of an image: each label all over it."""
    colours = {each.name: each.colour for each in ClassList.named(classes)}

    def load(spill: Path | None = None) -> Annotations:  # noqa: ARG001  they are few
        slide = measure_extent(image.source, server=login)
        whole = Shape(shapely.box(0, 0, slide.width_level0, slide.height_level0))
        layers = [
            Layer(label, colours.get(label, OTHER_COLOUR), (whole,)) for label in image.labels
        ]
        # A layer without shapes says that somebody has looked, and none of the classes is there.
        layers = layers or [Layer(classes[0], colours[classes[0]], ())]
        return Annotations(tuple(layers))

    return load
