"""Find what is to be compared: two files, two folders, or the layers of Girder items."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from deeplab.annotations.format import IGNORE_LAYER, Reading
from deeplab.annotations.formats import FORMATS, format_of
from deeplab.annotations.shapes import Annotations
from deeplab.config.evaluate_request import EvaluateRequest
from deeplab.errors import AnnotationError, ConfigError, SourceError
from deeplab.evaluation.sides import Sides, only, reference_of_documents, sides_of_documents
from deeplab.exchange.beside import MASK, SLIDES
from deeplab.exchange.samples import ANNOTATIONS
from deeplab.files import check_spared
from deeplab.server.annotations import item_annotations
from deeplab.server.items import Item, item_with, large_image_items
from deeplab.server.session import ServerLogin, Session

SUFFIXES = frozenset(suffix for each in FORMATS for suffix in each.suffixes)
# Of several files of a slide the first is its annotation; a picture alone is a mask.
PREFERENCE = (MASK + ".png", *ANNOTATIONS[:-1], *sorted(SUFFIXES - set(ANNOTATIONS)), ".png")
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
    """All that `request` names; nothing is read of the layers yet.

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
    predictions = _predictions(request, items)
    found = Pairs()
    for item in items:
        path = predictions.get(_key(item.name), predictions.get(ONLY))
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


def _predictions(request: EvaluateRequest, items: Sequence[Item]) -> dict[str, Path]:
    """Files of predictions by the slide they are of; a single one is by ONLY."""
    if not request.prediction:
        return {}
    path = Path(request.prediction)
    if path.is_dir():
        files = _files(path)
        check_spared(request.outputs, files.values())
        return files
    if len(items) > 1:
        raise ConfigError("prediction", request.prediction, "a folder where several slides are")
    return {ONLY: path}


def _live(
    session: Session, item: Item, prediction: Path | None, request: EvaluateRequest
) -> Callable[[Reading], Sides]:
    def load(reading: Reading) -> Sides:
        documents = [told["annotation"] for told in item_annotations(session, item.id)]
        if prediction is None:
            return sides_of_documents(documents, request, item.name)
        reference = reference_of_documents(documents, request, item.name)
        return Sides(reference=reference, prediction=_predicted(prediction, reading, request))

    return load


def _of_disk(request: EvaluateRequest) -> Pairs:
    reference = Path(request.reference)
    if not reference.exists():
        raise SourceError(f"there is no file or folder {reference}")
    if not request.prediction:
        if reference.is_dir():
            raise ConfigError("prediction", "", "given: the file or folder to compare with it")
        load = _of_one_file(reference, request)
        return Pairs([Pair(name=reference.name, slide=request.slide, item="", load=load)])
    prediction = Path(request.prediction)
    if not prediction.exists():
        raise SourceError(f"there is no file or folder {prediction}")
    if prediction.is_dir() != reference.is_dir():
        raise ConfigError(
            "prediction", str(prediction), "a folder where the reference is, or both files"
        )
    if not reference.is_dir():
        slide = request.slide or _slide_beside(reference)
        check_spared(request.outputs, [Path(slide)] if slide else [])
        load = _of_files(reference, prediction, request)
        return Pairs([Pair(name=reference.name, slide=slide, item="", load=load)])
    return _of_folders(reference, prediction, request)


def _of_folders(reference: Path, prediction: Path, request: EvaluateRequest) -> Pairs:
    references, predictions = _files(reference), _files(prediction)
    slides = _slides(Path(request.slide)) if request.slide else {}
    slides |= {key: path for key, path in _slides(reference).items() if key not in slides}
    taken = (references, predictions, slides)
    check_spared(request.outputs, [path for side in taken for path in side.values()])
    found = Pairs()
    for key, path in sorted(references.items()):
        if key not in predictions:
            found.left_out[path.name] = "has no prediction"
            continue
        slide = slides.get(key)
        is_own = slide is None or slide in (path, predictions[key])  # a mask is no slide
        load = _of_files(path, predictions[key], request)
        name = path.name if is_own else str(slide.name)  # type: ignore[union-attr]
        found.pairs.append(Pair(name=name, slide="" if is_own else str(slide), item="", load=load))
    for key, path in sorted(predictions.items()):
        if key not in references:
            found.left_out[path.name] = "has no reference"
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
        if format_of(path).name == FORMATS[0].name:
            try:
                documents = json.loads(path.read_text(encoding="utf-8-sig"))
            except (ValueError, RecursionError) as error:
                raise AnnotationError(path, "is not JSON that can be read") from error
            sides = sides_of_documents(documents, request, path.name)
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
    return format_of(path).read(path, reading)


def _files(folder: Path) -> dict[str, Path]:
    """The annotation of each slide in a folder, by the slide's name without suffix."""
    found: dict[str, tuple[int, Path]] = {}
    for path in sorted(_visible(folder)):
        suffix = MASK + ".png" if path.name.lower().endswith(MASK + ".png") else path.suffix.lower()
        if suffix not in PREFERENCE:
            continue
        key, rank = _key(path.name[: -len(suffix)]), PREFERENCE.index(suffix)
        if key not in found or rank < found[key][0]:
            found[key] = (rank, path)
    if not found:
        raise SourceError(
            f"the folder {folder} holds no annotations: {', '.join(sorted(SUFFIXES))}"
        )
    return {key: path for key, (_, path) in found.items()}


def _slides(place: Path) -> dict[str, Path]:
    """The slides in a folder, or the one slide, by name without suffix; a scan before a picture."""
    if not place.exists():
        raise SourceError(f"there is no file or folder {place}")
    paths = _visible(place) if place.is_dir() else iter([place])
    found: dict[str, Path] = {}
    for path in sorted(paths, key=lambda each: (each.suffix.lower() == ".png", each.name)):
        if path.suffix.lower() in SLIDES and not path.stem.endswith(MASK):
            found.setdefault(_key(path.name), path)
    return found


def _slide_beside(annotation: Path) -> str:
    """The slide of an annotation's name beside it; "": there is none."""
    name = annotation.name.removesuffix(MASK + ".png")
    key = _key(name if name != annotation.name else annotation.stem)
    slide = _slides(annotation.parent).get(key)
    return str(slide) if slide and slide != annotation else ""


def _visible(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))


def _key(name: str) -> str:
    """The name of a slide without the suffix of one: "a.b.svs" and "a.b" are one slide."""
    path = Path(name)
    return path.stem if path.suffix.lower() in SLIDES else name


def reading_of(request: EvaluateRequest) -> Reading:
    """How files are read: numbers of masks have the names of the classes."""
    return Reading(classes=request.classes, ignore=request.ignore_class or IGNORE_LAYER)
