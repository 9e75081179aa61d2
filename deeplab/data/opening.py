"""Open the slides of a training, each on its side of the split, and say what there is on them.

One slide of many that cannot be learnt from is left out and named; only where none is left does
the training end.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from deeplab.annotations.formats.format import IGNORE_LAYER
from deeplab.annotations.shapes import Annotations
from deeplab.config.channels import RGB, Channels
from deeplab.config.classes import IGNORE, ClassList, SlideClass, parse_colour
from deeplab.config.families import classes_exclude, network_config
from deeplab.config.progress import Progress
from deeplab.config.train_request import TrainRequest
from deeplab.data.census import UNTYPED_LAYERS, Census, take_census
from deeplab.data.centres import split_by_centre, with_patients
from deeplab.data.folds import deal
from deeplab.data.levels import level_near
from deeplab.data.object_sizes import measure_sizes
from deeplab.data.split import Side, SplitCase, sides
from deeplab.data.truth import AnnotatedSlide, open_annotated
from deeplab.errors import (
    AccessDeniedError,
    AnnotationError,
    DeeplabError,
    ScaleError,
    ServerError,
    SlideError,
    TrainingError,
    UnreachableError,
)
from deeplab.exchange.label_sets import find_label_sets
from deeplab.exchange.labelled_images import find_labelled_images
from deeplab.exchange.labelling import Labelling, folded, nearest
from deeplab.exchange.pseudo_mask_folder import check_masked_classes
from deeplab.exchange.samples import Found, LeftOut, Sample, find_samples
from deeplab.files import check_spared, real_place
from deeplab.server.session import ServerLogin
from deeplab.slides.scale import check_upsampling

log = logging.getLogger(__name__)

OPENED_AT_ONCE = 4  # slides: what opening waits for is the disk or the server, more than a core
NOTHING_DRAWN = "nothing is drawn in its file, so all of its tissue is background"
# What says so in each format, as not all of them have layers without shapes.
EMPTY = "give it an empty layer of one, a label mask of zeros or a GeoJSON file without features"
NAMED = 3  # slides that are named in a sentence
UNTOLD = (
    ", whose types nobody told: name one class for all of them, or put their types beside them, as "
    "NAME.types.png is for NAME.instances.tif"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedSlides:
    """What a training learns from and is checked on, its classes, its channels, and numbers."""

    learn: list[AnnotatedSlide]
    held_out: list[AnnotatedSlide]
    classes: ClassList
    channels: Channels
    census: Census

    def close(self) -> None:
        """Give back files and connections."""
        for slide in (*self.learn, *self.held_out):
            slide.slide.close()


def open_slides(request: TrainRequest, progress: Progress) -> OpenedSlides:
    """Open all slides that `request` names, some of the patients' held out for validation.

    The log says what there is to learn from, in short.

    Raises:
        TrainingError: there is nothing to learn from, or not every class is drawn.
        ConfigError, SlideError, AnnotationError, ServerError: as reading them does.
    """
    slides, census = _survey(request, progress)
    for line in census.summary():
        log.info("%s", line)
    for line in census.remarks():
        log.warning("%s", line)
    learn = [slide for slide, side in slides if side == "train"]
    return OpenedSlides(
        learn=learn,
        held_out=[slide for slide, side in slides if side == "validation"],
        classes=_classes(request, learn, census),
        channels=_channels(request, [slide for slide, _ in slides]),
        census=census,
    )


def count_slides(request: TrainRequest, progress: Progress) -> Census:
    """Return what there is to learn from; the slides are opened and closed again.

    Raises:
        TrainingError: there is nothing to learn from.
        ConfigError, SlideError, AnnotationError, ServerError: as reading them does.
    """
    slides, census = _survey(request, progress)
    for slide, _ in slides:
        slide.slide.close()
    return census


def _survey(
    request: TrainRequest, progress: Progress
) -> tuple[list[tuple[AnnotatedSlide, Side]], Census]:
    """Return all slides that can be learnt from with their sides, and the census of all.

    No result may take the place of a slide or of its annotations.
    """
    rules = Labelling.of(request)
    login = ServerLogin(request.api_url, request.token) if request.api_url else None
    found = with_patients(_find(request, rules, login))
    check_spared(filter(None, (request.output_model, request.output_report)), found.files)
    opened, faults = _open_all(found.samples, _Opener(request, rules, login), progress)
    try:
        if all(sample.split == "validation" for _, sample in opened) and (faults or not opened):
            raise _nothing_left(rules, faults)
        left_out = [*found.left_out, *(fault.left_out for fault in faults)]
        places, folds = _sides(opened, request)
        slides = list(zip([s for s, _ in opened], places, strict=True))
        _check_label_map(request, slides, left_out)
        smaller = _smaller(request, slides)
        # An image that is labelled as a whole is no object of some size.
        of = [s for s, _ in opened] if request.labels == "outlines" else []
        sizes = measure_sizes(of, rules.classes)
        census = take_census(
            rules, slides, left_out, smaller_than_patch=smaller, folds=folds, sizes=sizes
        )
        if len(census.undrawn) == len(rules.classes):
            raise TrainingError(_undrawn(rules.classes, census.drawn, "no slide"))
    except DeeplabError:
        for slide, _ in opened:
            slide.slide.close()
        raise
    return slides, census


def _find(request: TrainRequest, rules: Labelling, login: ServerLogin | None) -> Found:
    """Return the slides of a training, or the images that are labelled as a whole."""
    if request.labels != "outlines":
        config = network_config(request, ClassList.named(rules.classes))
        return find_labelled_images(
            request.source,
            labels=request.labels,
            classes=rules.classes,
            exclusive=classes_exclude(config),
            login=login,
        )
    is_from_zero = request.mask_values == "from_zero"
    find = partial(
        find_samples,
        classes=rules.classes,
        ignore=rules.ignore_class or IGNORE_LAYER,
        beyond=0 if is_from_zero else None,
        login=login,
        corrected=rules if request.corrected_only else None,
    )
    if request.label_sets and request.label_path:
        if is_from_zero:
            check_masked_classes(request.label_path, request.classes)
        found = find_label_sets(
            find, request.source, request.label_path, tuple(request.label_set_weights)
        )
    else:
        found = find(request.source, annotations=request.label_path)
    if request.valid_slide_path:
        held_out = find(
            request.valid_slide_path,
            annotations=request.valid_label_path,
            beyond=IGNORE if is_from_zero else None,
        )
        return Found(
            [
                *(replace(sample, split="train") for sample in found.samples),
                *(replace(sample, split="validation") for sample in held_out.samples),
            ],
            [*found.left_out, *held_out.left_out],
        )
    if request.train_centers or request.val_centers:
        return split_by_centre(found, request.train_centers, request.val_centers)
    return found


class _Fault(NamedTuple):
    """A slide that is left out, and the error where it was one."""

    left_out: LeftOut
    error: DeeplabError | None


@dataclass(frozen=True, slots=True)
class _Opener:
    """Opens slides as a request wants them."""

    request: TrainRequest
    rules: Labelling
    login: ServerLogin | None

    def __call__(self, sample: Sample) -> AnnotatedSlide | _Fault:
        try:
            annotations = sample.load()
            if not annotations.names and not annotations.remarks:
                annotations = replace(annotations, remarks=(NOTHING_DRAWN,))
            elif not any(self.rules.meaning(name) for name in annotations.names):
                return _Fault(_unasked(sample.name, annotations), None)
            opened = open_annotated(
                sample,
                annotations,
                self._rules_for(annotations),
                slide_mpp=self.request.slide_mpp,
                login=self.login,
                channels=self.request.learnt_channels,
            )
            self._check_scale(opened)
        except (AccessDeniedError, UnreachableError):
            raise  # no fault of this slide: the others would go the same way
        except (SlideError, AnnotationError, ServerError) as error:
            return _Fault(LeftOut(sample.name, _why(error, sample.name)), error)
        return opened

    def _rules_for(self, annotations: Annotations) -> Labelling:
        """Return the rules for a slide: one that was corrected as a whole has no regions."""
        regions = self.rules.exhaustive_layer
        if self.request.corrected_only and regions not in map(
            self.rules.meaning, annotations.names
        ):
            return replace(self.rules, exhaustive_layer="")
        return self.rules

    def _check_scale(self, opened: AnnotatedSlide) -> None:
        """Raise ScaleError where a slide lacks the level asked for, or is too coarse to be used."""
        slide = opened.slide
        try:
            if self.request.resolution:
                level_near(slide, self.request.resolution)
            elif not (self.request.wsi_downsample or self.request.plans("work_mpp")):
                check_upsampling(slide.name, slide.mpp.mean, self.request.work_mpp)
        except ScaleError:
            opened.slide.close()
            raise


def _why(error: SlideError | AnnotationError | ServerError, name: str) -> str:
    """Return an error as the end of a sentence that begins with the name of a slide."""
    if isinstance(error, AnnotationError):
        return error.problem if error.source == name else str(error)
    return error.problem if isinstance(error, SlideError) else str(error)


def _open_all(
    samples: Sequence[Sample], opener: _Opener, progress: Progress
) -> tuple[list[tuple[AnnotatedSlide, Sample]], list[_Fault]]:
    """Return the slides that can be opened, and the others, both in the order of `samples`."""
    pool = ThreadPoolExecutor(OPENED_AT_ONCE, thread_name_prefix="open")
    futures = [pool.submit(opener, sample) for sample in samples]
    try:
        progress("open slides", 0, len(samples))
        for done, future in enumerate(as_completed(futures), start=1):
            future.result()  # what no slide alone is to blame for ends the run at once
            progress("open slides", done, len(samples))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    results = [(future.result(), sample) for future, sample in zip(futures, samples, strict=True)]
    opened = [(result, s) for result, s in results if isinstance(result, AnnotatedSlide)]
    return opened, [result for result, _ in results if isinstance(result, _Fault)]


def _unasked(name: str, annotations: Annotations) -> LeftOut:
    """Return a slide none of whose layers is asked for: it may be misspelt, or not looked at."""
    counts = Counter({each: len(annotations.layer(each).shapes) for each in annotations.names})
    told = ", ".join(annotations.names) or "none"
    why = f"has no layer that is asked for (it has: {told})"
    return LeftOut(name, f"{why}; if it has none of the classes, {EMPTY}", counts)


def _sides(
    opened: Sequence[tuple[AnnotatedSlide, Sample]], request: TrainRequest
) -> tuple[list[Side], list[int]]:
    """Return the side of each slide; and its fold, where all of them are asked for.

    Each slide is then learnt from in some fold.
    """
    count = len(request.classes)
    claims = [
        SplitCase(
            name=sample.name,
            patient=sample.patient,
            file=sample.slide if request.api_url else str(real_place(Path(sample.slide))),
            side=sample.split,
            classes=frozenset(n for n in range(1, count + 1) if slide.shapes_of(n)),
        )
        for slide, sample in opened
    ]
    if not request.folds:
        return sides(claims, request.validation_fraction, request.seed), []
    folds = deal(claims, request.folds, request.seed)
    if not request.fold:
        return ["train" for _ in folds], folds
    return ["validation" if fold == request.fold else "train" for fold in folds], []


def _check_label_map(
    request: TrainRequest,
    slides: Sequence[tuple[AnnotatedSlide, Side]],
    left_out: Sequence[LeftOut],
) -> None:
    """Raise TrainingError where a layer of the label map is on no slide at all."""
    drawn = dict.fromkeys(layer.name for slide, _ in slides for layer in slide.layers)
    drawn |= dict.fromkeys(name for entry in left_out for name in entry.drawn)
    known = {folded(name) for name in drawn}
    missing = [layer for layer, _ in request.labelled_layers if folded(layer) not in known]
    if missing:
        raise TrainingError(
            f"label_map names {missing[0]}, and no slide has a layer or group of that name "
            f"(there are: {', '.join(drawn) or 'none'})"
        )


def _smaller(request: TrainRequest, slides: Sequence[tuple[AnnotatedSlide, Side]]) -> list[str]:
    """Return the slides that are smaller than a patch both ways, where it is the smallest.

    None is where its size is not planned yet.

    Raises:
        TrainingError: all slides to learn from are.
    """
    if request.plans("work_mpp") or request.plans("patch_size"):
        return []
    side, smaller, largest = request.patch_size, [], (0, "")
    learn = [slide for slide, where in slides if where == "train"]
    for slide, _ in slides:
        finest = min(request.wsi_downsample, default=0) * slide.slide.mpp.mean
        frame = slide.slide.frame(finest or request.work_mpp)
        if max(frame.width, frame.height) < side:
            smaller.append(slide.name)
            told = f"{slide.name} has {frame.width} x {frame.height} at {frame.work_mpp:.4g} um"
            largest = max(largest, (frame.width * frame.height, told))
    if {slide.name for slide in learn} <= set(smaller):
        raise TrainingError(
            f"a patch of {side} x {side} pixels is larger than every slide to learn from "
            f"({largest[1]}); choose a smaller patch_size or a finer scale"
        )
    return smaller


def _nothing_left(rules: Labelling, faults: Sequence[_Fault]) -> DeeplabError:
    """Return the error that says why no slide is left to learn from."""
    if len(faults) == 1 and faults[0].error:
        return faults[0].error
    if all(fault.error is None for fault in faults):
        drawn = Counter[str]()
        for fault in faults:
            drawn.update(fault.left_out.drawn)
        return TrainingError(_undrawn(rules.classes, drawn, "no slide"))
    told = "; ".join(f"{f.left_out.name} {f.left_out.why}" for f in faults[:NAMED])
    more = f"; and {len(faults) - NAMED} more" if len(faults) > NAMED else ""
    return TrainingError(f"none of {len(faults)} slides can be learnt from: {told}{more}")


def _undrawn(names: Sequence[str], drawn: Iterable[str], where: str) -> str:
    """Return the sentence on classes that nobody drew."""
    layers = tuple(sorted(drawn))
    near = next((found for name in names if (found := nearest(name, layers))), "")
    return (
        f"{where} has a shape of {', '.join(names)}"
        + (f"; did you mean {near}?" if near else "")
        + f" (there are: {', '.join(layers) or 'none'})"
        + (UNTOLD if len(names) > 1 and layers and UNTYPED_LAYERS.issuperset(layers) else "")
    )


def _channels(request: TrainRequest, slides: Sequence[AnnotatedSlide]) -> Channels:
    """Return the channels by name: one that is asked for by its index has that of the slides.

    Raises:
        TrainingError: slides call it differently.
    """
    if request.learnt_channels is None:
        return RGB
    channels = request.learnt_channels.channels
    names = list(channels.names)
    for place, name in enumerate(names):
        seen = {slide.slide.seen[place].on_slide: slide.name for slide in slides}
        if not name.isdecimal() or not any(seen):
            continue
        if len(seen) > 1:
            (one, first), (other, second) = list(seen.items())[:2]
            raise TrainingError(
                f"channel {name} is {one or 'without a name'} on {first} and "
                f"{other or 'without a name'} on {second}; give channels by name, as "
                f"--channels {one or other}={name} where all are the same stain"
            )
        (names[place],) = seen
    return replace(channels, names=tuple(names))


def _classes(request: TrainRequest, learn: Sequence[AnnotatedSlide], census: Census) -> ClassList:
    """Return the classes in the colours asked for, or in which they were drawn.

    Raises:
        TrainingError: a class is on no slide to learn from.
    """
    missing = [n for n in request.classes if not census.total(n, "train").objects]
    if missing:
        held_out = [n for n in missing if census.total(n).objects]
        if held_out:
            raise TrainingError(
                f"{', '.join(held_out)} is drawn on held-out slides only; give one of them the "
                "split train"
            )
        raise TrainingError(_undrawn(missing, census.drawn, "no slide to learn from"))
    drawn = {layer.meaning: layer.colour for slide in learn for layer in reversed(slide.layers)}
    colours = [parse_colour(text) for text in request.colours]
    colours = colours or [drawn[name] for name in request.classes]
    return ClassList(
        tuple(SlideClass(n, colour) for n, colour in zip(request.classes, colours, strict=True))
    )
