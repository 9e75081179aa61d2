"""Find slides and their annotations: a folder, a list file, or a Girder folder."""

from __future__ import annotations

import csv
import logging
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path
from typing import Literal

from deeplab.annotations.files import read_annotations
from deeplab.annotations.girder_json import annotations_of
from deeplab.annotations.shapes import Annotations
from deeplab.config.checks import is_girder_id
from deeplab.data.labelling import Labelling
from deeplab.errors import ConfigError, TrainingError
from deeplab.server.annotations import annotation_heads, item_annotations
from deeplab.server.items import large_image_items
from deeplab.server.session import ServerLogin, Session

log = logging.getLogger(__name__)

PICTURES = {".png", ".jpg", ".jpeg"}
SLIDES = {
    *(".svs", ".tif", ".tiff", ".ndpi", ".scn", ".mrxs", ".vms", ".vmu", ".bif", ".svslide"),
    *(".qptiff", ".dcm", ".czi", *PICTURES),
}
ANNOTATIONS = (".xml", ".geojson", ".json", ".anot", ".png")  # in this order of preference
MASK = ".mask"  # slide.mask.png holds label values
COLUMNS = {"slide", "annotation", "mpp", "patient", "split"}

Split = Literal["", "train", "validation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One slide and where its annotations come from.

    Attributes:
        name: what the user knows the slide by.
        slide: path, or id of a Girder item.
        load: reads the annotations, live ones at the moment of the call.
        mpp: um per level-0 pixel that overrides the slide's own; 0: its own.
        patient: slides of one patient stay on one side of a split.
        split: the side, where the user has chosen it.
    """

    name: str
    slide: str
    load: Callable[[], Annotations]
    mpp: float = 0.0
    patient: str = ""
    split: Split = ""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A slide that is not learnt from.

    Attributes:
        name: of the slide.
        why: as the end of a sentence about it.
        drawn: number of objects by layer, where that was seen.
    """

    name: str
    why: str
    drawn: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Found:
    """The annotated slides of a source by name, and the others."""

    samples: list[Sample] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


def find_samples(source: str, rules: Labelling, login: ServerLogin | None) -> Found:
    """All slides of a source; no slide is opened and no annotation read yet.

    Args:
        source: folder, list file (CSV) or, with a login, id of a Girder folder.
        rules: whose names the values of label masks stand for.
        login: of the Girder server.

    Raises:
        TrainingError: there is no such source, or no annotated slide in it.
        ConfigError: the list file has no column `slide` or a column that is not known.
        ServerError: the server refuses or fails.
    """
    path = Path(source)
    if path.is_dir():
        entries = list(_in_folder(path, rules))
    elif path.is_file():
        entries = list(_in_list(path, rules))
    elif login and is_girder_id(source):
        entries = list(_in_girder(source, login))
    else:
        raise TrainingError(f"there is no folder or list file {source}")
    if not entries:
        raise TrainingError(f"{source} holds no slide; files of these kinds count: {_kinds()}")
    found = Found()
    for entry in sorted(entries, key=lambda entry: entry.name):
        if isinstance(entry, Sample):
            found.samples.append(entry)
        else:
            found.left_out.append(entry)
    if not found.samples:
        beside = "" if login else f" beside it ({', '.join(ANNOTATIONS)})"
        raise TrainingError(
            f"{source} holds no slide with annotations{beside}, but {len(entries)} without"
        )
    return found


def _kinds() -> str:
    return ", ".join(sorted(SLIDES))


def _in_folder(folder: Path, rules: Labelling) -> Iterator[Sample | LeftOut]:
    files = [p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")]
    # A suffix may be written in capitals; the rest of a name is taken to the letter.
    by_name = {p.stem + p.suffix.lower(): p for p in sorted(files, reverse=True)}
    slides = [p for p in sorted(files) if p.suffix.lower() in SLIDES and not p.stem.endswith(MASK)]
    scans = {p.stem: p for p in reversed(slides) if p.suffix.lower() not in PICTURES}
    for path in slides:
        scan = scans.get(path.stem, path)
        if scan != path and path.suffix.lower() in PICTURES:
            log.info("%s is not taken for a slide: %s has its name", path.name, scan.name)
            continue
        beside = [path.stem + MASK + ".png"]
        beside += [name + suffix for name in (path.stem, path.name) for suffix in ANNOTATIONS]
        taken = next((by_name[n] for n in beside if n in by_name and by_name[n] != path), None)
        if taken:
            yield Sample(name=path.name, slide=str(path), load=_reader(taken, rules))
        else:
            yield LeftOut(path.name, "has no annotation beside it")


def _in_list(path: Path, rules: Labelling) -> Iterator[Sample | LeftOut]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (UnicodeDecodeError, OSError) as error:
        raise TrainingError(f"{path} is not a list that can be read: a CSV in UTF-8") from error
    head = text.partition("\n")[0]
    # Spreadsheets of half of the world write semicolons.
    rows = csv.DictReader(StringIO(text), delimiter=max(",;\t", key=head.count), restval="")
    columns = [name.strip().lower() for name in rows.fieldnames or ()]
    if not {"slide", "annotation"} <= set(columns) or set(columns) - COLUMNS:
        raise ConfigError(
            f"columns of {path}",
            ", ".join(sorted(columns)),
            "slide, annotation and, if known, mpp, patient, split",
        )
    rows.fieldnames = columns
    try:
        filled = [(n, row) for n, row in enumerate(rows, start=2) if any(row.values())]
    except csv.Error as error:
        raise TrainingError(f"{path} is not a list that can be read: {error}") from error
    # Two slides of one name are told apart by their folders.
    names = Counter(Path(row["slide"]).name for _, row in filled)
    for number, row in filled:
        entry = _listed(row, f"{path} line {number}", path.parent, rules)
        yield replace(entry, name=row["slide"].strip()) if names[entry.name] > 1 else entry


def _listed(row: dict[str, str], where: str, folder: Path, rules: Labelling) -> Sample | LeftOut:
    if None in row:
        raise TrainingError(f"{where}: there are more cells than columns")
    cells = {column: text.strip() for column, text in row.items()}
    slide, annotation = folder / cells["slide"], folder / cells["annotation"]
    if not slide.is_file():
        raise TrainingError(f"{where}: there is no file {slide}")
    if not cells["annotation"]:
        return LeftOut(slide.name, "has no annotation in the list")
    if not annotation.is_file():
        raise TrainingError(f"{where}: there is no file {annotation}")
    sample = Sample(
        name=slide.name,
        slide=str(slide),
        load=_reader(annotation, rules),
        mpp=_mpp(cells.get("mpp", ""), where),
        patient=cells.get("patient", ""),
    )
    return _with_split(sample, cells.get("split", ""), where)


def _with_split(sample: Sample, text: str, where: str) -> Sample:
    split = text.lower()
    if split not in ("", "train", "validation"):
        raise ConfigError(f"split in {where}", split, "train, validation or empty")
    return replace(sample, split=split)  # type: ignore[arg-type]  # checked above


def _mpp(text: str, where: str) -> float:
    try:
        mpp = float(text or 0)
    except ValueError as error:
        raise ConfigError(f"mpp in {where}", text, "a number") from error
    if not (math.isfinite(mpp) and mpp >= 0):
        raise ConfigError(f"mpp in {where}", text, "a number of um per pixel")
    return mpp


def _reader(path: Path, rules: Labelling) -> Callable[[], Annotations]:
    ignore = rules.ignore_class or "ignore"
    return lambda: read_annotations(path, classes=rules.classes, ignore=ignore)


def _in_girder(folder: str, login: ServerLogin) -> Iterator[Sample | LeftOut]:
    session = Session(login)
    for item in large_image_items(session, folder):
        if annotation_heads(session, item.id):
            yield _with_split(
                Sample(
                    name=item.name,
                    slide=item.id,
                    load=_live(session, item.id, item.name),
                    mpp=_mpp(item.words.get("mpp", ""), f"the metadata of {item.name}"),
                    patient=item.words.get("patient", ""),
                ),
                item.words.get("split", ""),
                f"the metadata of {item.name}",
            )
        else:
            # Nobody has looked at it: its tissue is not known to be background.
            yield LeftOut(item.name, "has no annotations")


def _live(session: Session, item_id: str, name: str) -> Callable[[], Annotations]:
    def load() -> Annotations:
        documents = [told["annotation"] for told in item_annotations(session, item_id)]
        return annotations_of(documents, name)

    return load
