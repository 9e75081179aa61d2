"""The flow of a segmentation: a slide and a bundle in, annotations out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from deeplab.annotations.formats.format import Trait, Writing, say_lost
from deeplab.annotations.formats.geojson import write_geojson
from deeplab.annotations.formats.girder_json import write_girder_json
from deeplab.annotations.formats.table import FORMATS, format_of_result
from deeplab.annotations.shapes import Annotations
from deeplab.annotations.trace.outlines import TracedShape
from deeplab.annotations.trace.simplify import simplify
from deeplab.bundles.card import Card
from deeplab.bundles.learnt_appearance import LearntAppearance
from deeplab.bundles.read import read_card_for
from deeplab.config.convert_request import ObjectType
from deeplab.config.progress import Progress
from deeplab.config.requests import SegmentRequest
from deeplab.errors import ConfigError
from deeplab.exchange.layers import post_layers
from deeplab.exchange.tissue_masks import find_tissue_mask, read_tissue_mask
from deeplab.files import all_or_none, check_spared, check_writable, whole_file
from deeplab.geometry.frames import WorkFrame
from deeplab.geometry.grid import TilePlan, TileSlot
from deeplab.inference.collectors.collector import Collector
from deeplab.inference.collectors.table import COLLECTORS
from deeplab.inference.fitting import fit_slots
from deeplab.inference.kept_answers import KeptAnswers, key_of
from deeplab.inference.layers import clean, make_layers
from deeplab.inference.likeness import Likeness
from deeplab.inference.overlay import write_overlay
from deeplab.inference.plan import Area, open_as_learnt, tile_plan, tissue_in, work_frame
from deeplab.inference.predictor import Predictor
from deeplab.inference.predictors import Predictors
from deeplab.inference.provenance import provenance
from deeplab.inference.rasters import Rasters
from deeplab.inference.stream import predict_tiles
from deeplab.inference.table import write_table
from deeplab.inference.timings import Timings
from deeplab.models.answers import AnswerKind
from deeplab.server.session import ServerLogin
from deeplab.slides.slide import Slide
from deeplab.slides.tissue import Thumbnail, TissueMask, read_thumbnail

log = logging.getLogger(__name__)

# What QuPath takes a shape for by itself: few large areas, or objects in their thousands.
OBJECT_TYPES: Final[Mapping[AnswerKind, ObjectType]] = {
    "labels": "annotation",
    "objects": "detection",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentResult:
    """What a segmentation found and how long it took."""

    annotations: Annotations
    slide: str
    seconds: float
    tiles: int
    runtime: str

    def summary(self) -> str:
        """Return a few lines for a person."""
        lines = [f"{self.slide}: {self.tiles} tiles by {self.runtime} in {self.seconds:.1f} s"]
        lines += [f"  {layer.name}: {layer.description}" for layer in self.annotations.layers]
        return "\n".join(lines)


class _Results(NamedTuple):
    """What is to be written; the first layers are those of what was found."""

    annotations: Annotations
    found_layers: int
    rasters: Rasters
    object_type: ObjectType

    @property
    def found(self) -> Annotations:
        """What was found, without where to annotate next."""
        return replace(self.annotations, layers=self.annotations.layers[: self.found_layers])


class _Look(NamedTuple):
    """What of a slide the network is shown."""

    slide: Slide
    frame: WorkFrame
    area: Area
    plan: TilePlan
    tissue: TissueMask | None
    slots: Sequence[tuple[TileSlot, bool]]
    likeness: Likeness

    @classmethod
    def at(cls, slide: Slide, request: SegmentRequest, card: Card, predictors: Predictors) -> _Look:
        """Return what a request asks for; the model is loaded while tissue is looked for."""
        frame = work_frame(request, card, slide)
        area = Area.of(request.regions, frame)
        plan = tile_plan(request, card, area)
        predictors.begin(request, card, plan)
        tissue, thumbnail = _tissue(slide, request, card)
        slots = fit_slots(plan, area, tissue)
        asked = sum(wanted for _, wanted in slots)
        log.info("%s by %s: %d of %d tiles", slide.name, slide.reader, asked, len(slots))
        likeness = Likeness.of(slide, thumbnail, card)
        return cls(slide, frame, area, plan, tissue, slots, likeness)

    @property
    def asked(self) -> int:
        """Tiles that the network is shown."""
        return sum(wanted for _, wanted in self.slots)

    def counts(self) -> dict[str, int | None]:
        """Return tiles, and work pixels that are shown, kept and, if it was looked for, tissue."""
        kept = (slot.write for slot, wanted in self.slots if wanted)
        return {
            "tiles": self.asked,
            "network_pixels": self.asked * self.plan.tile**2,
            "kept_pixels": sum(box.width * box.height for box in kept),
            "tissue_pixels": tissue_in(self.area, self.tissue) if self.tissue else None,
        }


def _tissue(
    slide: Slide, request: SegmentRequest, card: Card
) -> tuple[TissueMask | None, Thumbnail | None]:
    """Return the tissue that a mask of the user's shows, or where there is none the slide.

    With it comes the thumbnail, where that was needed. Who does without tissue also wants to do
    without a look at all of the slide; beside a mask only its stain may be of interest.
    """
    if request.tissue != "auto":
        return None, None
    if request.tissue_mask is None:
        thumbnail = read_thumbnail(slide)
        return thumbnail.tissue(), thumbnail
    path = find_tissue_mask(request.tissue_mask, slide.name, request.slide)
    check_spared(request.outputs, [path])
    compared = LearntAppearance.from_card(card) is not None
    return read_tissue_mask(path, slide), read_thumbnail(slide) if compared else None


def segment_slide(
    request: SegmentRequest,
    progress: Progress,
    predictors: Predictors | None = None,
    timings: Timings | None = None,
) -> SegmentResult:
    """Segment a slide as `request` says and write what it asks for, all of it or nothing.

    Args:
        request: what to segment, and how.
        progress: is told how far it is.
        predictors: keeps the model for the next slide; None: it is loaded for this one.
        timings: count from an earlier moment on; None: from now.

    Raises:
        BundleError, SlideError, ServerError, ConfigError, DeviceError, OutputError: as named.
    """
    started = time.monotonic()
    timings, predictors = timings or Timings(), predictors or Predictors()
    # All that can be refused is looked at before the network, the slowest to get, is loaded.
    _check_outputs(request)
    card = read_card_for("segment", request.model)
    login = ServerLogin(request.api_url, request.token) if request.api_url else None
    timings.begin("open")
    with open_as_learnt(request.slide, request, card, mpp=request.slide_mpp, login=login) as slide:
        timings.begin("plan")
        look = _Look.at(slide, request, card, predictors)
        with ExitStack() as work:
            rasters = work.enter_context(closing(Rasters(request, card.classes, look.frame)))
            runtime, object_type = "no network", _object_type(request, "labels")
            found: Iterable[TracedShape] = ()
            if look.asked:
                timings.begin("load")
                predictor, look = _loaded(predictors, request, card, look)
                runtime, object_type = predictor.runtime, _object_type(request, predictor.answer)
                log.info("predicting by %s", runtime)
                timings.begin("predict")
                collector = work.enter_context(
                    closing(
                        COLLECTORS[predictor.answer](
                            look.area, rasters, card.config.tiling.logit_stride
                        )
                    )
                )
                kept = work.enter_context(_kept(request, look, predictor))
                _predict(look, predictor, collector, kept, request.batch_size, progress, timings)
                found = collector.found()
            timings.begin("outline")
            slide.check_unchanged()
            progress("write", 0, 1)
            cleaned = rasters.number(clean(found, request, look.frame))
            made = make_layers(
                simplify(cleaned, request.simplify_um, slide.mpp),
                card,
                look.frame,
                look.likeness.remark,
            )
            origin = provenance(
                "SegmentWSI", request, card, slide, look.frame, runtime, look.likeness.unlike
            )
            annotations = Annotations(
                (*made.layers, *rasters.next_layers(look.area, look.likeness)),
                origin | {"found": made.found},
                slide.mpp,
            )
            results = _Results(annotations, len(made.layers), rasters, object_type)
            timings.begin("write")
            with all_or_none(_writers(request, results, slide, look.area)):
                if login and request.post_annotation == "auto":
                    post_layers(annotations, rasters.heatmaps(), request.slide, login)
            progress("write", 1, 1)
    if request.output_timings:  # after the others, whose writing it counts
        with whole_file(request.output_timings) as path:
            timings.save(path, {"runtime": runtime, **look.counts()})
    return SegmentResult(
        annotations=annotations,
        slide=slide.name,
        seconds=time.monotonic() - started,
        tiles=look.asked,
        runtime=runtime,
    )


def _loaded(
    predictors: Predictors, request: SegmentRequest, card: Card, look: _Look
) -> tuple[Predictor, _Look]:
    """Return what computes, and the look in tiles that memory suffices for."""
    predictor = predictors.of(request, card, look.plan)
    if predictor.side in (0, look.plan.tile):
        return predictor, look
    plan = replace(look.plan, tile=predictor.side)
    return predictor, look._replace(plan=plan, slots=fit_slots(plan, look.area, look.tissue))


@contextmanager
def _kept(
    request: SegmentRequest, look: _Look, predictor: Predictor
) -> Iterator[KeptAnswers | None]:
    """Give the answers that a run before has left; they go when the block ends well.

    None where no answers are to be kept.
    """
    if request.work_folder is None:
        yield None
        return
    key = key_of(request, look.slide, look.frame, look.plan, predictor.runtime)
    kept = KeptAnswers(request.work_folder, key, predictor.answer)
    yield kept
    kept.remove()


def _predict(
    look: _Look,
    predictor: Predictor,
    collector: Collector[Any],
    kept: KeptAnswers | None,
    batch_size: int,
    progress: Progress,
    timings: Timings,
) -> None:
    """Hand the answers of all tiles to a collector."""
    tiles = predict_tiles(
        timings.busy("read", look.slide.read),
        look.frame,
        [(slot, wanted and not (kept and slot in kept)) for slot, wanted in look.slots],
        predict=timings.busy("network", predictor.predict),
        decode=timings.busy("decode", predictor.decode),
        batch_size=batch_size,
    )
    collect = timings.busy("collect", collector.add)
    for number, (slot, answer) in enumerate(tiles, start=1):
        if kept and answer is None and slot in kept:
            collect(slot, kept.load(slot))
            continue
        if kept and answer is not None:
            kept.keep(slot, answer)
        collect(slot, answer)
        progress("segment", number, len(look.slots))


def _object_type(request: SegmentRequest, answer: AnswerKind) -> ObjectType:
    return OBJECT_TYPES[answer] if request.object_type == "auto" else request.object_type


def _check_outputs(request: SegmentRequest) -> None:
    """Refuse a result that cannot be written, or whose name says another format than its own.

    Raises:
        ConfigError, OutputError: there is such a one.
    """
    for path in request.outputs:
        check_writable(path)
    check_spared(request.outputs, [Path(request.slide), request.model])
    format_of_result("output_annotation", request.output_annotation)
    fixed = (("output_geojson", (".geojson", ".json")), ("output_mask", (".tiff", ".tif")))
    for name, suffixes in fixed:
        asked: Path | None = getattr(request, name)
        if asked and asked.suffix.lower() not in ("", *suffixes):
            raise ConfigError(name, asked, f"a file of type {' or '.join(suffixes)}")


def _write_annotation(path: Path, request: SegmentRequest, results: _Results, slide: Slide) -> None:
    """Write the layers in the format that the suffix says.

    Heatmaps are for HistomicsUI only, and where to annotate next for programs in which people draw.
    """
    form = format_of_result("output_annotation", request.output_annotation)
    # Of a program in which people draw; elsewhere a square would lie over what was found.
    is_drawn_in = Trait.MARKS in form.carries
    annotations = results.annotations if is_drawn_in else results.found
    heatmaps, said = results.rasters.heatmaps(), request.output_annotation or path
    if not is_drawn_in and len(results.annotations.layers) > results.found_layers:
        log.warning("%s: regions to annotate next are not in it, as it is no drawing", said)
    if form is FORMATS[0]:  # HistomicsUI's
        write_girder_json(path, annotations, heatmaps=heatmaps)
        return
    writing = Writing(
        width_level0=slide.width_level0,
        height_level0=slide.height_level0,
        object_type=results.object_type,
    )
    form.write(path, annotations, writing)
    say_lost(annotations, form, said)
    if heatmaps:
        log.warning("%s: heatmaps are not in it, as %s cannot carry them", said, form.title)


def _writers(
    request: SegmentRequest, results: _Results, slide: Slide, area: Area
) -> dict[Path, Callable[[Path], None]]:
    """Return what is to be written where."""
    annotations = results.annotations
    writers: dict[Path, Callable[[Path], None]] = {}
    if request.output_annotation:
        writers[request.output_annotation] = lambda path: _write_annotation(
            path, request, results, slide
        )
    if request.output_geojson:
        writing = Writing(object_type=results.object_type)
        writers[request.output_geojson] = lambda path: write_geojson(path, annotations, writing)
    if request.output_table:
        writers[request.output_table] = lambda path: write_table(path, results.found, slide.mpp)
    if request.output_overlay:
        part = area.frame.to_level0(area.box)
        writers[request.output_overlay] = lambda path: write_overlay(
            path, annotations, slide, part, dots=request.overlay_dots
        )
    if request.output_mask:
        writers[request.output_mask] = lambda path: results.rasters.save_mask(path, slide)
    return writers
