"""Find slides and their annotations: a folder, a list file, or a Girder folder."""

from __future__ import annotations

import csv
import logging
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path
from typing import Literal, Protocol

from deeplab.annotations.files import read_annotations
from deeplab.annotations.formats.format import IGNORE_LAYER, Reading
from deeplab.annotations.formats.girder_json import annotations_in, read_girder_json
from deeplab.annotations.shapes import Annotations
from deeplab.config.checks import is_girder_id
from deeplab.errors import (
    AnnotationError,
    ConfigError,
    SourceError,
    UnknownIdError,
)
from deeplab.exchange.beside import (
    ANNOTATIONS,
    KINDS_BESIDE,
    MASK,
    MASKS,
    SLIDES,
    is_mask,
    is_picture,
    names_beside,
    plain_name,
    slides_by_file,
    split_name,
    tells_types,
    unclear,
)
from deeplab.exchange.corrected_layers import choose_corrected
from deeplab.exchange.labelling import Labelling
from deeplab.exchange.live_annotations import read_live
from deeplab.exchange.maker import is_corrected
from deeplab.exchange.nuclei_datasets import find_nuclei_dataset
from deeplab.exchange.shared_files import SHARED, SharedFiles, listed_twice
from deeplab.exchange.slide_entries import is_slide_folder, slide_folders, slides_among
from deeplab.files import is_plain_file
from deeplab.names import shown_name
from deeplab.server.annotations import (
    annotation_heads,
)
from deeplab.server.items import Item, item_with, large_image_items
from deeplab.server.session import ServerLogin, Session

log = logging.getLogger(__name__)

BESIDE = (*ANNOTATIONS, ".png")  # after masks; a picture alone is a mask, too
PUBLISHED_MASK = "_mask"  # the end of the names of CAMELYON's masks, before the suffix
LONGEST_COLUMNS = 80  # letters; what is no list has long ones
COLUMNS = {"slide", "annotation", "mpp", "patient", "split"}


Split = Literal["", "train", "validation"]


class Load(Protocol):
    """Reads the annotations of a slide."""

    def __call__(self, spill: Path | None = None) -> Annotations:
        """All of them; kept in the folder `spill` where there may be too many for memory.

        Raises:
            AnnotationError: they are not what they claim to be.
            ServerError: the server that has them refused or failed.
        """


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
        files: on the disk, of which all this is read.
        label_sets: reads further annotations of the slide, by what they are called.
    """

    name: str
    slide: str
    load: Load
    mpp: float = 0.0
    patient: str = ""
    split: Split = ""
    files: tuple[Path, ...] = ()
    label_sets: Mapping[str, Load] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A slide that is not learnt from.

    Attributes:
        name: of the slide.
        why: as the end of a sentence about it.
        drawn: number of objects by layer, where that was seen.
        files: the slide, where it lies on the disk.
    """

    name: str
    why: str
    drawn: Mapping[str, int] = field(default_factory=dict)
    files: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """The annotated slides of a source by name, and the others."""

    samples: list[Sample] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)

    @property
    def files(self) -> Iterator[Path]:
        """All on the disk that belong to the source."""
        for sample in self.samples:
            yield from sample.files
        for left in self.left_out:
            yield from left.files


@dataclass(frozen=True, slots=True)
class _MaskNames:
    """What the values of a label mask stand for, and 255; see `Reading`."""

    classes: tuple[str, ...]
    ignore: str
    beyond: int | None


def find_samples(
    source: str,
    *,
    classes: Sequence[str] = (),
    ignore: str = IGNORE_LAYER,
    beyond: int | None = None,
    login: ServerLogin | None = None,
    annotations: Path | None = None,
    corrected: Labelling | None = None,
) -> Found:
    """Return all slides of a source; no slide is opened and no annotation read yet.

    Args:
        source: folder, slide, list file (CSV) or, with a login, id in Girder of a folder, an
            item or its file.
        classes: that the values 1, 2, ... of label masks stand for.
        ignore: layer that their value 255 stands for.
        beyond: where the classes are their values 0, 1, ..., the label of one more; see `Reading`.
        login: of the Girder server.
        annotations: folder of the annotations or masks, where they do not lie beside the slides of
            a folder; there any TIFF or PNG called after a slide, or ending in _mask, is a mask.
        corrected: on a server only slides with layers that a person has marked as corrected are
            annotated, and only by what people drew or marked, as `choose_corrected` has it by
            these rules; None: all layers count.

    Raises:
        SourceError: there is no such source, or no annotated slide in it.
        ConfigError: the list file has no column `slide` or a column that is not known.
        ServerError: the server refuses or fails.
    """
    names = _MaskNames(tuple(classes), ignore, beyond)
    if annotations and not Path(source).is_dir():
        raise ConfigError("label_path", annotations, "left away where the source is no folder")
    if annotations and not annotations.is_dir():
        raise SourceError(f"there is no folder {annotations} of annotations")
    entries = _entries(source, names, login, annotations, corrected)
    if not entries:
        kinds = f"{source} holds no slide; files of these kinds count: {_kinds()}"
        raise SourceError(_unpack_first(source) or kinds)
    found = Found()
    for entry in sorted(entries, key=lambda entry: entry.name):
        if isinstance(entry, Sample):
            found.samples.append(entry)
        else:
            found.left_out.append(entry)
    if not found.samples:
        beside = "" if login else f" in {annotations}" if annotations else " beside it"
        looked = "" if login else f"; looked for, after the name of a slide: {KINDS_BESIDE}, .png"
        raise SourceError(
            f"{source} holds no slide with annotations{beside}, but {len(entries)} without" + looked
        )
    return found


def _unpack_first(source: str) -> str:
    """Return the sentence on a data set of nuclei as its authors lay it out; "": it is none."""
    try:
        title = find_nuclei_dataset(Path(source)).title
    except (SourceError, AnnotationError):
        return ""
    return (
        f"{source} is laid out as {title}; unpack it to a folder to train from: deeplab unpack "
        f"{source} FOLDER"
    )


def _kinds() -> str:
    return ", ".join(sorted(SLIDES))


def _entries(
    source: str,
    names: _MaskNames,
    login: ServerLogin | None,
    annotations: Path | None,
    corrected: Labelling | None,
) -> list[Sample | LeftOut]:
    path = Path(source)
    if path.is_dir():
        entries = list(_in_folder(path, names, annotations=annotations))
        if is_slide_folder(path) and not any(isinstance(each, Sample) for each in entries):
            return _called(path, names) or entries
        return entries
    if split_name(path.name)[1] in SLIDES and path.is_file():
        return _called(path, names)
    if path.is_file():
        return list(_in_list(path, names))
    if login and is_girder_id(source):
        return list(_in_girder(source, login, corrected))
    raise SourceError(f"there is no folder or list file {source}")


def _called(path: Path, names: _MaskNames) -> list[Sample | LeftOut]:
    """Return the slide at a path, as it stands in its folder."""
    there = _in_folder(path.parent, names, wanted=path)
    return [each for each in there if each.name == shown_name(path.name)]


def _in_folder(
    folder: Path,
    names: _MaskNames,
    *,
    wanted: Path | None = None,
    annotations: Path | None = None,
) -> Iterator[Sample | LeftOut]:
    files = files_in(folder)
    # A suffix may be written in capitals; the rest of a name is taken to the letter.
    by_name = _drawn_by_name(files, annotations)
    slides = slides_among(files, drawn=by_name, suffixes=BESIDE, wanted=wanted)
    slides += slide_folders(folder)
    about = slides_by_file([p.name for p in slides], BESIDE)
    shared = SharedFiles.among(sorted(by_name.values())).besides(about)
    passed_over: list[str] = []
    scans = {p.stem: p for p in reversed(slides) if not is_picture(p.name)}
    for path in slides:
        name, scan = shown_name(path.name), scans.get(path.stem, path)
        if scan != path and is_picture(path.name):
            log.info("%s is not taken for a slide: %s has its name", name, shown_name(scan.name))
            continue
        there = [each for each in names_beside(path.name, BESIDE) if each in by_name]
        beside = [each for each in there if by_name[each] != path]
        own = (by_name[each] for each in beside if about[each] == [path.name])
        several = [] if beside else shared.of(path.name)
        taken = next(own, None) or (several[0] if len(several) == 1 else None)
        if taken:
            if unread := [shown_name(each.name) for each in own if not is_picture(each.name)]:
                passed_over.append(f"{name}: {shown_name(taken.name)}, not {', '.join(unread)}")
            yield Sample(
                name=name,
                slide=str(path),
                load=_reader(taken, path, names),
                files=(path, taken),
            )
        elif beside:
            others = [shown_name(each) for each in about[beside[0]]]
            why = f"has none: {unclear(shown_name(by_name[beside[0]].name), others)}"
            yield LeftOut(name, why, files=(path,))
        elif several:
            called = [shown_name(each.name) for each in several]
            yield LeftOut(name, listed_twice(called), files=(path,))
        else:
            yield LeftOut(name, _why_undrawn(path, slides, annotations), files=(path,))
    if wanted is None:
        strays = (path for name, path in sorted(by_name.items()) if name not in about)
        _name_strays(path for path in strays if not tells_types(path.name, by_name))
    if passed_over:
        more = f"; and so of {len(passed_over) - 1:,} more" if len(passed_over) > 1 else ""
        log.warning("of several files of annotations one is read: %s%s", passed_over[0], more)


def _drawn_by_name(files: Sequence[Path], annotations: Path | None) -> dict[str, Path]:
    """Return the files that may be annotations by plain name: of some, or of a folder of such."""
    if annotations:
        return {_name_of_mask(path.name): path for path in reversed(files_in(annotations))}
    return {plain_name(path.name): path for path in reversed(files)}


def _why_undrawn(slide: Path, slides: Sequence[Path], annotations: Path | None) -> str:
    if annotations:
        return f"has no annotation in {annotations}"
    return "has no annotation beside it" + _unread_beside(slide, slides)


def _name_of_mask(name: str) -> str:
    """Return the plain name of a file that is no slide: a TIFF or picture is a mask."""
    stem, suffix = split_name(plain_name(name))
    if suffix not in MASKS or is_mask(name):
        return stem + suffix
    return stem.removesuffix(PUBLISHED_MASK) + MASK + suffix


def _name_strays(files: Iterable[Path]) -> None:
    """Warn of files of annotations that are called after no slide, as that is misspelt or gone."""
    strays = [
        path.name
        for path in files
        if is_mask(path.name) or split_name(path.name)[1] in {*ANNOTATIONS} - {*SHARED}
    ]
    if strays:
        more = f", nor are {len(strays) - 1:,} more" if len(strays) > 1 else ""
        log.warning("%s is called after no slide of the folder%s", shown_name(strays[0]), more)


def _unread_beside(slide: Path, slides: Sequence[Path]) -> str:
    """Return the end of a sentence on what is called after a slide and is none that is read."""
    stem = plain_name(slide.name).removesuffix(split_name(slide.name)[1])
    called = (
        each
        for each in sorted(slide.parent.iterdir())
        if plain_name(each.name).startswith(f"{stem}.") and each not in slides
    )
    unread = next(called, None)
    if not unread:
        return ""
    what = "is a folder" if unread.is_dir() else "is not of a kind that is read as such"
    return f"; {shown_name(unread.name)} {what}"


def files_in(folder: Path) -> list[Path]:
    """Return the visible files in a folder by name; pipes, devices and links to nowhere are none.

    Raises:
        SourceError: the folder cannot be read.
    """
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise SourceError(f"{folder} cannot be read: {error.strerror or error}") from error
    return [path for path in paths if not path.name.startswith(".") and is_plain_file(path)]


def rows_of(text: str) -> csv.DictReader[str]:
    """Return the rows of a table as text by column, whose names are in small letters.

    Raises:
        csv.Error: it is no table.
    """
    head = text.partition("\n")[0]
    # Spreadsheets of half of the world write semicolons.
    rows = csv.DictReader(StringIO(text), delimiter=max(",;\t", key=head.count), restval="")
    rows.fieldnames = [name.strip().lower() for name in rows.fieldnames or ()]
    return rows


def _in_list(path: Path, names: _MaskNames) -> Iterator[Sample | LeftOut]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (UnicodeDecodeError, OSError) as error:
        raise SourceError(f"{path} is not a list that can be read: a CSV in UTF-8") from error
    rows = rows_of(text)
    columns = list(rows.fieldnames or ())
    if not {"slide", "annotation"} <= set(columns) or set(columns) - COLUMNS:
        raise ConfigError(
            f"columns of {path}",
            ", ".join(sorted(columns))[:LONGEST_COLUMNS],
            "slide, annotation and, if known, mpp, patient, split",
        )
    try:
        filled = [(n, row) for n, row in enumerate(rows, start=2) if any(row.values())]
    except csv.Error as error:
        raise SourceError(f"{path} is not a list that can be read: {error}") from error
    # Two slides of one name are told apart by their folders.
    called = Counter(Path(row["slide"]).name for _, row in filled)
    for number, row in filled:
        entry = _listed(row, f"{path} line {number}", path.parent, names)
        yield replace(entry, name=row["slide"].strip()) if called[entry.name] > 1 else entry


def _listed(row: dict[str, str], where: str, folder: Path, names: _MaskNames) -> Sample | LeftOut:
    if None in row:
        raise SourceError(f"{where}: there are more cells than columns")
    cells = {column: text.strip() for column, text in row.items()}
    slide, annotation = (path_at(folder / cells[column]) for column in ("slide", "annotation"))
    if not (slide.is_file() or is_slide_folder(slide)):
        raise SourceError(f"{where}: there is no file {slide}")
    if not cells["annotation"]:
        return LeftOut(shown_name(slide.name), "has no annotation in the list", files=(slide,))
    if not annotation.is_file():
        raise SourceError(f"{where}: there is no file {annotation}")
    return Sample(
        name=shown_name(slide.name),
        slide=str(slide),
        load=_reader(annotation, slide, names),
        mpp=mpp_of(cells.get("mpp", ""), where),
        patient=cells.get("patient", ""),
        split=split_of(cells.get("split", ""), where),
        files=(slide, annotation),
    )


def path_at(path: Path) -> Path:
    """Return the file of a path, also where its name has other characters for the same letters."""
    if path.exists() or not path.name:
        return path
    try:
        there = list(path.parent.iterdir())
    except OSError:
        return path
    same = (each for each in there if plain_name(each.name) == plain_name(path.name))
    return next(same, path)


def split_of(text: str, where: str) -> Split:
    """Return the side in a cell, "" where it is empty.

    Raises:
        ConfigError: it is none; `where` says of which cell.
    """
    split = text.lower()
    if split not in ("", "train", "validation"):
        raise ConfigError(f"split in {where}", split, "train, validation or empty")
    return split  # type: ignore[return-value]  # checked above


def mpp_of(text: str, where: str) -> float:
    """Return the um per pixel in a cell, 0 where it is empty.

    Raises:
        ConfigError: it is none; `where` says of which cell.
    """
    try:
        mpp = float(text or 0)
    except ValueError as error:
        raise ConfigError(f"mpp in {where}", text, "a number") from error
    if not (math.isfinite(mpp) and mpp >= 0):
        raise ConfigError(f"mpp in {where}", text, "a number of um per pixel")
    return mpp


def _reader(path: Path, slide: Path, names: _MaskNames) -> Load:
    def load(spill: Path | None = None) -> Annotations:
        reading = Reading(
            classes=names.classes,
            ignore=names.ignore,
            beyond=names.beyond,
            spill=spill,
            slide=slide.name,
            slide_file=slide,
        )
        return read_annotations(path, reading)

    return load


def _in_girder(
    any_id: str, login: ServerLogin, corrected: Labelling | None
) -> Iterator[Sample | LeftOut]:
    session = Session(login)
    for item in slide_items(session, any_id):
        heads = annotation_heads(session, item.id)
        if heads and corrected and not any(is_corrected(each.attributes) for each in heads):
            yield LeftOut(item.name, "has no layer that is marked as corrected")
        elif heads:
            where = f"the metadata of {item.name}"
            yield Sample(
                name=item.name,
                slide=item.id,
                load=_live(session, item.id, item.name, corrected),
                mpp=mpp_of(item.words.get("mpp", ""), where),
                patient=item.words.get("patient", ""),
                split=split_of(item.words.get("split", ""), where),
            )
        else:
            # Nobody has looked at it: its tissue is not known to be background.
            yield LeftOut(item.name, "has no annotations")


def slide_items(session: Session, any_id: str) -> list[Item]:
    """Return the slides of the folder of this id, or the one item of it or of its file.

    Of several of one name all but the first are called by their ids as well.

    Raises:
        AccessDeniedError: the token may not read it.
        ServerError: there is no such folder, item or file, or the server failed.
    """
    try:
        found = [item for item in large_image_items(session, any_id) if not is_mask(item.name)]
    except UnknownIdError:
        item = item_with(session, any_id)
        found = [item] if item.is_large_image else []
    names = set[str]()
    return [_with_own_name(names, item) for item in found]


def _with_own_name(names: set[str], item: Item) -> Item:
    """Return the item, called by its id as well where another one of `names` is called as it is."""
    name = item.name if item.name not in names else f"{item.name} ({item.id})"
    names.add(name)
    return replace(item, name=name)


def _live(session: Session, item_id: str, name: str, corrected: Labelling | None) -> Load:
    def read(path: Path, reading: Reading) -> Annotations:
        if corrected is None:
            return read_girder_json(path, reading)
        entries = annotations_in(path)
        chosen = {id(each) for each in choose_corrected(entries, corrected, name)}
        return read_girder_json(
            path, reading, entries=entries, is_chosen=lambda each: id(each) in chosen
        )

    def load(spill: Path | None = None) -> Annotations:
        return read_live(session, item_id, name, read, spill=spill)

    return load
