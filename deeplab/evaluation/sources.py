"""Find what is to be compared: two files, two folders, or the layers of Girder items."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from deeplab.annotations.files import opened, read_annotations
from deeplab.annotations.formats.format import IGNORE_LAYER, Reading
from deeplab.annotations.formats.table import FORMATS, format_of
from deeplab.annotations.shapes import Annotations
from deeplab.config.evaluate_request import EvaluateRequest
from deeplab.errors import ConfigError, SourceError
from deeplab.evaluation.files_of_side import SUFFIXES, FilesOfSide, absent_slides, called
from deeplab.evaluation.sides import Sides, only, reference_in_file, sides_in_file
from deeplab.exchange.beside import (
    MASKS,
    is_picture,
    names_beside,
    plain_name,
    slides_by_file,
)
from deeplab.exchange.glass import glass_of_item
from deeplab.exchange.live_annotations import read_live
from deeplab.exchange.samples import files_in
from deeplab.exchange.shared_files import (
    SharedFile,
    may_list_slides,
)
from deeplab.exchange.slide_entries import is_slide_folder, slide_folders, slides_among
from deeplab.files import check_spared
from deeplab.names import shown_name
from deeplab.server.items import Item, item_with, large_image_items
from deeplab.server.session import ServerLogin, Session

ONLY = ""  # no slide is called so


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A slide on which a prediction is compared with a reference.

    Attributes:
        name: what people know it by.
        slide: path, or id of a Girder item; "": there is none at hand.
        item: id of the Girder item to put layers on; "": there is none.
        load: reads both sides.
    """

    name: str
    slide: str
    item: str
    load: Callable[[Reading], Sides]


@dataclass(frozen=True, slots=True)
class Pairs:
    """What is compared, by name, and what is not: why, by name."""

    pairs: list[Pair] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def find_pairs(request: EvaluateRequest, login: ServerLogin | None) -> Pairs:
    """Return all that `request` names; nothing is read of the layers yet.

    Raises:
        SourceError: there is nothing of that name, or nothing that belongs together.
        ConfigError: one side is a folder and the other is not.
        ServerError: the server refuses or fails.
        OutputError: a file to write is one that is compared.
    """
    named = (request.reference, request.prediction, request.slide)
    check_spared(request.outputs, map(Path, filter(None, named)))
    found = _of_girder(request, login) if login else _of_disk(request)
    if not found.pairs:
        raise SourceError(
            f"nothing of {request.reference} and {request.prediction} belongs together; a"
            " prediction is called as the reference or the slide is, but for the suffix"
        )
    if len(found.pairs) > 1 and request.regions:
        raise ConfigError(
            "regions", f"given for {len(found.pairs)} slides", "left away; draw a region_layer"
        )
    return found


def _of_girder(request: EvaluateRequest, login: ServerLogin) -> Pairs:
    session = Session(login)
    items = _items(session, request)
    found = Pairs()
    predictions = _predictions(request, items, found.left_out)
    for item in items:
        path = predictions.get(item.name, predictions.get(ONLY))
        if request.prediction and path is None:
            found.left_out[item.name] = "has no prediction"
            continue
        names = {pair.name for pair in found.pairs}
        name = item.name if item.name not in names else f"{item.name} ({item.id})"
        load = _live(session, item, path, request)
        found.pairs.append(Pair(name=name, slide=item.id, item=item.id, load=load))
    return found


def _items(session: Session, request: EvaluateRequest) -> list[Item]:
    if not request.folder:
        return [item_with(session, request.reference)]
    items = large_image_items(session, request.folder)
    if not items:
        raise SourceError(f"the folder {request.folder} holds no slide")
    return items


def _predictions(
    request: EvaluateRequest, items: Sequence[Item], left_out: dict[str, str]
) -> dict[str, Path]:
    """Files of predictions by the slide they are of; a single one is by ONLY."""
    if not request.prediction:
        return {}
    path = Path(request.prediction)
    if path.is_dir() or (len(items) > 1 and SharedFile(path).slides):
        side = FilesOfSide.of(path)
        check_spared(request.outputs, side.files)
        return side.by_slide([item.name for item in items], (), left_out)
    if len(items) > 1:
        raise ConfigError("prediction", request.prediction, "a folder where several slides are")
    return {ONLY: path}


def _live(
    session: Session, item: Item, prediction: Path | None, request: EvaluateRequest
) -> Callable[[Reading], Sides]:
    def load(reading: Reading) -> Sides:
        if prediction is None:
            both = partial(sides_in_file, request=request, source=item.name)
            return read_live(session, item.id, item.name, both)
        drawn = partial(reference_in_file, request=request, source=item.name)
        reference = read_live(session, item.id, item.name, drawn)
        on_server = replace(reading, glass=partial(glass_of_item, session, item.id))
        return Sides(reference=reference, prediction=_predicted(prediction, on_server, request))

    return load


def _of_disk(request: EvaluateRequest) -> Pairs:
    reference = Path(request.reference)
    if not reference.exists():
        raise SourceError(f"there is no file or folder {reference}")
    if not request.prediction:
        if reference.is_dir():
            raise ConfigError("prediction", "", "given: the file or folder to compare with it")
        load = _of_one_file(reference, request)
        return Pairs(
            [Pair(name=shown_name(reference.name), slide=request.slide, item="", load=load)]
        )
    prediction = Path(request.prediction)
    if not prediction.exists():
        raise SourceError(f"there is no file or folder {prediction}")
    are_several = [_is_about_several(path, request) for path in (reference, prediction)]
    if prediction.is_dir() != reference.is_dir() and not all(are_several):
        raise ConfigError(
            "prediction", str(prediction), "a folder where the reference is, or both files"
        )
    if not any(are_several):
        slide = request.slide or _slide_beside(reference)
        check_spared(request.outputs, [Path(slide)] if slide else [])
        load = _of_files(reference, prediction, request)
        return Pairs([Pair(name=shown_name(reference.name), slide=slide, item="", load=load)])
    return _of_sides(FilesOfSide.of(reference), FilesOfSide.of(prediction), request)


def _is_about_several(path: Path, request: EvaluateRequest) -> bool:
    """Return whether a side is a folder, or a file that lists slides of which none is chosen."""
    if path.is_dir():
        return True
    slide = Path(request.slide)
    is_chosen = bool(request.slide) and (slide.is_file() or is_slide_folder(slide))
    return not is_chosen and may_list_slides(path.name) and len(SharedFile(path).slides) > 1


def _of_sides(reference: FilesOfSide, prediction: FilesOfSide, request: EvaluateRequest) -> Pairs:
    slides = slides_at_hand(reference, request.slide)
    check_spared(request.outputs, [*reference.files, *prediction.files, *slides.values()])
    sides = [side.without(slides.values()) for side in (reference, prediction)]
    absent = absent_slides(sides, slides)
    found = Pairs()
    references, predictions = (side.by_slide([*slides], absent, found.left_out) for side in sides)
    for name, path in references.items():
        if name not in predictions:
            found.left_out.setdefault(called(name, path), "has no prediction")
            continue
        slide = str(slides.get(name, ""))
        load = _of_files(path, predictions[name], request)
        shown = shown_name(name) if slide else called(name, path)
        found.pairs.append(Pair(name=shown, slide=slide, item="", load=load))
    for name, path in predictions.items():
        if name not in references:
            found.left_out.setdefault(called(name, path), "has no reference")
    return found


def _of_files(
    reference: Path, prediction: Path, request: EvaluateRequest
) -> Callable[[Reading], Sides]:
    def load(reading: Reading) -> Sides:
        drawn = only(_read(reference, reading), request.reference_layers, reference.name)
        return Sides(reference=drawn, prediction=_predicted(prediction, reading, request))

    return load


def _predicted(path: Path, reading: Reading, request: EvaluateRequest) -> Annotations:
    return only(_read(path, reading), request.prediction_layers, path.name)


def _of_one_file(path: Path, request: EvaluateRequest) -> Callable[[Reading], Sides]:
    """Both sides from one file: as HistomicsUI keeps them, or by the names of layers."""

    def load(reading: Reading) -> Sides:
        with opened(path, reading.slide) as file:
            if format_of(file).name == FORMATS[0].name:
                sides = sides_in_file(file, reading, request, path.name)
                return replace(sides, reference=_with_mpp(sides.reference, sides.prediction))
        if not (request.reference_layers and request.prediction_layers):
            raise ConfigError(
                "prediction", "", "a file, or reference_layers and prediction_layers be named"
            )
        drawn = _read(path, reading)
        return Sides(
            reference=only(drawn, request.reference_layers, path.name),
            prediction=only(drawn, request.prediction_layers, path.name),
        )

    return load


def _with_mpp(annotations: Annotations, other: Annotations) -> Annotations:
    return annotations if annotations.mpp else replace(annotations, mpp=other.mpp)


def _read(path: Path, reading: Reading) -> Annotations:
    return read_annotations(path, reading)


def slides_at_hand(reference: FilesOfSide, slide: str) -> dict[str, Path]:
    """Return the slides at hand by name: those asked for, and those in the folder of the reference.

    Args:
        reference: files of annotations; what could be one of them is no slide.
        slide: that is asked for, or a folder of such; "": none is.

    Raises:
        SourceError: it is not there.
    """
    asked = Path(slide) if slide else None
    if asked and not asked.exists():
        raise SourceError(f"there is no file or folder {asked}")
    is_slide = asked is not None and (asked.is_file() or is_slide_folder(asked))
    there = files_in(asked) if asked and not is_slide else []
    # What could be a mask is one, unless something is drawn for it.
    names = {plain_name(path.name) for path in reference.files}
    files = files_in(reference.folder)
    shared = reference.shared.besides(slides_by_file([path.name for path in files], SUFFIXES))
    there += [
        path
        for path in files
        if not (is_picture(path.name) or path.suffix.lower() in MASKS)
        or names & {*names_beside(path.name, SUFFIXES)} - {plain_name(path.name)}
        or shared.of(path.name)
    ]
    slides = slides_among(there, drawn=names, suffixes=SUFFIXES)
    slides += slide_folders(reference.folder)
    if asked:
        slides += [asked] if is_slide else slide_folders(asked)
    return dict(sorted((path.name, path) for path in reversed(slides)))


def _slide_beside(annotation: Path) -> str:
    """Return the slide of an annotation's name beside it; "": there is none.

    Raises:
        ConfigError: there are several.
    """
    files = [each for each in files_in(annotation.parent) if each != annotation]
    drawn = {plain_name(annotation.name)}
    there = slides_among(files, drawn=drawn, suffixes=SUFFIXES) + slide_folders(annotation.parent)
    slides = [each.name for each in there]
    found = slides_by_file(slides, SUFFIXES).get(plain_name(annotation.name), [])
    if len(found) > 1:
        told = " or ".join(map(shown_name, found))
        raise ConfigError("slide", "", f"named: {shown_name(annotation.name)} may be about {told}")
    return str(annotation.with_name(found[0])) if found else ""


def reading_of(request: EvaluateRequest) -> Reading:
    """Return how files are read: numbers of masks have the names of the classes."""
    return Reading(classes=request.classes, ignore=request.ignore_class or IGNORE_LAYER)
