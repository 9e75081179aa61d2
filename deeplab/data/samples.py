"""Find slides and their annotations: a folder, a list file, or a Girder folder."""

from __future__ import annotations

import csv
import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from deeplab.annotations.files import read_annotations
from deeplab.annotations.girder_json import annotations_of
from deeplab.annotations.shapes import Annotations
from deeplab.config.checks import is_girder_id
from deeplab.errors import ConfigError, TrainingError
from deeplab.server.annotations import annotation_heads, item_annotations
from deeplab.server.items import large_image_items
from deeplab.server.session import ServerLogin, Session

log = logging.getLogger(__name__)

SLIDES = {
    *(".svs", ".tif", ".tiff", ".ndpi", ".scn", ".mrxs", ".vms", ".vmu", ".bif", ".svslide"),
    *(".qptiff", ".dcm", ".czi", ".png", ".jpg", ".jpeg"),
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


def find_samples(source: str, classes: Sequence[str], login: ServerLogin | None) -> list[Sample]:
    """All annotated slides of a source, by name.

    Args:
        source: folder, list file (CSV) or, with a login, id of a Girder folder.
        classes: names that the values 1, 2, ... of label masks stand for.
        login: of the Girder server.

    Raises:
        TrainingError: there is no such source, or no annotated slide in it.
        ConfigError: the list file has no column `slide` or a column that is not known.
        ServerError: the server refuses or fails.
    """
    path = Path(source)
    if path.is_dir():
        samples = list(_in_folder(path, classes))
    elif path.is_file():
        samples = list(_in_list(path, classes))
    elif login and is_girder_id(source):
        samples = list(_in_girder(source, login))
    else:
        raise TrainingError(f"there is no folder or list file {source}")
    if not samples:
        raise TrainingError(
            f"{source} holds no slide with annotations beside it ({', '.join(ANNOTATIONS)})"
        )
    return sorted(samples, key=lambda sample: sample.name)


def split_samples(
    samples: Sequence[Sample], fraction: float, seed: int
) -> tuple[list[Sample], list[Sample]]:
    """Training and validation samples; all slides of a patient are on one side.

    Sides named in the list file are kept. The others are drawn by a hash of patient and seed, so
    that a slide that is added later does not move the others.

    Raises:
        TrainingError: one patient is on both sides by the list file.
    """
    chosen = {s.patient or s.name: s.split for s in samples if s.split}
    for sample in samples:
        if sample.split and chosen[sample.patient or sample.name] != sample.split:
            raise TrainingError(
                f"patient {sample.patient} is in both splits; put all slides of a patient in one"
            )
    free = sorted(
        {s.patient or s.name for s in samples} - chosen.keys(),
        key=lambda patient: hashlib.sha256(f"{seed}/{patient}".encode()).digest(),
    )
    # Where the user named slides for validation none is added; a lone patient is never held out.
    wanted = 0 if "validation" in chosen.values() else round(fraction * len(free))
    held_out = set(free[: min(wanted, len(free) - 1)] if free else ())
    held_out |= {patient for patient, side in chosen.items() if side == "validation"}
    train = [s for s in samples if (s.patient or s.name) not in held_out]
    return train, [s for s in samples if (s.patient or s.name) in held_out]


def _in_folder(folder: Path, classes: Sequence[str]) -> Iterator[Sample]:
    files = {p for p in folder.iterdir() if p.is_file()}
    for path in sorted(files):
        if path.suffix.lower() not in SLIDES or path.stem.endswith(MASK):
            continue
        beside = [path.with_name(path.stem + MASK + ".png")]
        beside += [path.with_suffix(suffix) for suffix in ANNOTATIONS]
        found = next((p for p in beside if p in files and p != path), None)
        if found:
            yield Sample(name=path.name, slide=str(path), load=_reader(found, classes))


def _in_list(path: Path, classes: Sequence[str]) -> Iterator[Sample]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        columns = set(rows.fieldnames or ())
        if not {"slide", "annotation"} <= columns or columns - COLUMNS:
            raise ConfigError(
                f"columns of {path}",
                ", ".join(sorted(columns)),
                "slide, annotation and, if known, mpp, patient, split",
            )
        for number, row in enumerate(rows, start=2):
            yield _listed(row, f"{path} line {number}", path.parent, classes)


def _listed(row: dict[str, str], where: str, folder: Path, classes: Sequence[str]) -> Sample:
    slide, annotation = folder / row["slide"], folder / row["annotation"]
    for file in (slide, annotation):
        if not file.is_file():
            raise TrainingError(f"{where}: there is no file {file}")
    split = (row.get("split") or "").strip().lower()
    if split not in ("", "train", "validation"):
        raise ConfigError(f"split in {where}", split, "train, validation or empty")
    try:
        mpp = float(row.get("mpp") or 0)
    except ValueError as error:
        raise ConfigError(f"mpp in {where}", row["mpp"], "a number") from error
    sample = Sample(
        name=slide.name,
        slide=str(slide),
        load=_reader(annotation, classes),
        mpp=mpp,
        patient=(row.get("patient") or "").strip(),
    )
    return replace(sample, split=split)  # type: ignore[arg-type]  # checked above


def _reader(path: Path, classes: Sequence[str]) -> Callable[[], Annotations]:
    return lambda: read_annotations(path, classes=classes)


def _in_girder(folder: str, login: ServerLogin) -> Iterator[Sample]:
    session = Session(login)
    for item in large_image_items(session, folder):
        if annotation_heads(session, item.id):
            yield Sample(name=item.name, slide=item.id, load=_live(session, item.id, item.name))
        else:
            # Nobody has looked at it: its tissue is not known to be background.
            log.info("%s has no annotations and is left out", item.name)


def _live(session: Session, item_id: str, name: str) -> Callable[[], Annotations]:
    def load() -> Annotations:
        documents = [told["annotation"] for told in item_annotations(session, item_id)]
        return annotations_of(documents, name)

    return load
