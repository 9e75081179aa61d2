"""The flow of a segmentation: a slide and a bundle in, annotations out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from deeplab.annotations.formats.format import Writing, say_lost
from deeplab.annotations.formats.geojson import write_geojson
from deeplab.annotations.formats.girder_json import write_girder_json
from deeplab.annotations.formats.table import FORMATS, format_of_result
from deeplab.annotations.shapes import Annotations
from deeplab.annotations.trace.outlines import TracedShape
from deeplab.annotations.trace.simplify import simplify
from deeplab.bundles.card import Card
from deeplab.bundles.read import read_card_for
from deeplab.config.convert_request import ObjectType
from deeplab.config.progress import Progress
from deeplab.config.requests import SegmentRequest
from deeplab.config.views import View
from deeplab.errors import ConfigError
from deeplab.exchange.layers import post_layers
from deeplab.files import all_or_none, check_spared, check_writable
from deeplab.geometry.grid import TilePlan
from deeplab.geometry.tiling import Tiling
from deeplab.inference.collectors.table import COLLECTORS
from deeplab.inference.layers import clean, make_layers
from deeplab.inference.overlay import write_overlay
from deeplab.inference.plan import Area, open_as_learnt, tile_plan, wanted_slots, work_frame
from deeplab.inference.predictor import GraphSpec, Predictor
from deeplab.inference.provenance import provenance
from deeplab.inference.rasters import Rasters
from deeplab.inference.runtime import start_predictor
from deeplab.inference.stream import predict_tiles
from deeplab.inference.table import write_table
from deeplab.models.answers import AnswerKind
from deeplab.models.outputs import CONFIDENCE, LABELS, PROBABILITIES, PredictedMap
from deeplab.models.readings import reading_of
from deeplab.server.session import ServerLogin
from deeplab.slides.slide import Slide
from deeplab.slides.tissue import tissue_mask

log = logging.getLogger(__name__)

# What QuPath takes a shape for: few large areas, or objects in their thousands.
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
    """What is to be written."""

    annotations: Annotations
    rasters: Rasters
    object_type: ObjectType


class Predictors:
    """Loads a model once for slides that it answers in tiles of one size."""

    def __init__(self) -> None:
        self._last: tuple[object, Predictor] | None = None

    def of(self, request: SegmentRequest, card: Card, plan: TilePlan) -> Predictor:
        """Return what computes a run of a request."""
        spec = segment_spec(
            request.model,
            card,
            views=request.views,
            heatmap=request.save_heatmap,
            tiling=plan.tiling,
        )
        key = (spec, plan.tile, plan.trim, request.gpu, request.runtime)
        if self._last is None or self._last[0] != key:
            self._last = None  # two models at a time are not held
            # Here TensorFlow may start: all that can be refused has been looked at.
            predictor = start_predictor(
                spec,
                card,
                tile=plan.tile,
                trim=plan.trim,
                gpu=request.gpu,
                runtime=request.runtime,
            )
            self._last = key, predictor
        return self._last[1]


def segment_spec(
    model: Path, card: Card, *, views: tuple[View, ...], heatmap: bool, tiling: Tiling
) -> GraphSpec:
    """Return the graph that segments slides.

    Args:
        model: the model.
        card: of it.
        views: how each tile is looked at.
        heatmap: whether probabilities are wanted.
        tiling: of the plan, whole cells in every view.
    """
    maps: tuple[PredictedMap, ...] = ()  # a graph that is decoded gives what it decodes
    if not reading_of(card.config).decode:
        maps = (LABELS, CONFIDENCE, *((PROBABILITIES,) if heatmap else ()))
    return GraphSpec(
        model=model,
        maps=maps,
        views=views,
        # A training crop, or a little more to be of whole cells.
        trial_side=tiling.only or tiling.round_up(card.config.crop_size),
    )


def segment_slide(
    request: SegmentRequest, progress: Progress, predictors: Predictors | None = None
) -> SegmentResult:
    """Segment a slide as `request` says and write what it asks for, all of it or nothing.

    Args:
        request: what to segment, and how.
        progress: is told how far it is.
        predictors: keeps the model for the next slide; None: it is loaded for this one.

    Raises:
        BundleError, SlideError, ServerError, ConfigError, DeviceError, OutputError: as named.
    """
    started = time.monotonic()
    # All that can be refused is looked at before the network, the slowest to get, is loaded.
    for path in request.outputs:
        check_writable(path)
    check_spared(request.outputs, [Path(request.slide), request.model])
    _check_suffixes(request)
    card = read_card_for("segment", request.model)
    login = ServerLogin(request.api_url, request.token) if request.api_url else None
    with open_as_learnt(request.slide, request, card, mpp=request.slide_mpp, login=login) as slide:
        frame = work_frame(request, card, slide)
        area = Area.of(request.regions, frame)
        plan = tile_plan(request, card, area)
        tissue = tissue_mask(slide) if request.tissue == "auto" else None
        slots = wanted_slots(plan, area, tissue)
        asked = sum(wanted for _, wanted in slots)
        log.info("%s by %s: %d of %d tiles", slide.name, slide.reader, asked, len(slots))
        with ExitStack() as work:
            rasters = work.enter_context(closing(Rasters(request, card.classes, frame)))
            runtime, object_type = "no network", OBJECT_TYPES["labels"]
            found: Iterable[TracedShape] = ()
            if asked:
                predictor = (predictors or Predictors()).of(request, card, plan)
                runtime, object_type = predictor.runtime, OBJECT_TYPES[predictor.answer]
                log.info("predicting by %s", runtime)
                make_collector = COLLECTORS[predictor.answer]
                collector = work.enter_context(
                    closing(make_collector(area, rasters, card.config.tiling.logit_stride))
                )
                tiles = predict_tiles(
                    slide,
                    frame,
                    slots,
                    predict=predictor.predict,
                    decode=predictor.decode,
                    batch_size=request.batch_size,
                )
                for number, (slot, answer) in enumerate(tiles, start=1):
                    collector.add(slot, answer)
                    progress("segment", number, len(slots))
                found = collector.found()
            slide.check_unchanged()
            progress("write", 0, 1)
            kept = rasters.number(clean(found, request, frame))
            layers = make_layers(simplify(kept, request.simplify_um, slide.mpp), card, frame)
            origin = provenance("SegmentWSI", request, card, slide, frame, runtime)
            annotations = Annotations(layers, origin, slide.mpp)
            results = _Results(annotations, rasters, object_type)
            with all_or_none(_writers(request, results, slide, area)):
                if login and request.post_annotation == "auto":
                    post_layers(annotations, rasters.heatmaps(), request.slide, login)
            progress("write", 1, 1)
    return SegmentResult(
        annotations=annotations,
        slide=slide.name,
        seconds=time.monotonic() - started,
        tiles=asked,
        runtime=runtime,
    )


def _check_suffixes(request: SegmentRequest) -> None:
    """Refuse a result whose name says another format than the one it is to be of.

    Raises:
        ConfigError: there is such a one.
    """
    format_of_result("output_annotation", request.output_annotation)
    fixed = (("output_geojson", (".geojson", ".json")), ("output_mask", (".tiff", ".tif")))
    for name, suffixes in fixed:
        path: Path | None = getattr(request, name)
        if path and path.suffix.lower() not in ("", *suffixes):
            raise ConfigError(name, path, f"a file of type {' or '.join(suffixes)}")


def _write_annotation(path: Path, request: SegmentRequest, results: _Results, slide: Slide) -> None:
    """Write the layers in the format that the suffix says; heatmaps are for HistomicsUI only."""
    form = format_of_result("output_annotation", request.output_annotation)
    annotations, heatmaps = results.annotations, results.rasters.heatmaps()
    if form is FORMATS[0]:  # HistomicsUI's
        write_girder_json(path, annotations, heatmaps=heatmaps)
        return
    writing = Writing(
        width_level0=slide.width_level0,
        height_level0=slide.height_level0,
        object_type=results.object_type,
    )
    form.write(path, annotations, writing)
    said = request.output_annotation or path
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
        writers[request.output_table] = lambda path: write_table(path, annotations, slide.mpp)
    if request.output_overlay:
        part = area.frame.to_level0(area.box)
        writers[request.output_overlay] = lambda path: write_overlay(
            path, annotations, slide, part, dots=request.overlay_dots
        )
    if request.output_mask:
        writers[request.output_mask] = lambda path: results.rasters.save_mask(path, slide)
    return writers
