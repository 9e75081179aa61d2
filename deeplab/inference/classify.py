"""The flow of a classification: a slide and a patch classifier in, scores of its patches out."""

from __future__ import annotations

import csv
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deeplab.annotations.formats.format import Writing
from deeplab.annotations.formats.geojson import write_geojson
from deeplab.annotations.formats.girder_json import write_girder_json
from deeplab.annotations.heatmap import Heatmap
from deeplab.annotations.shapes import Annotations, Layer
from deeplab.bundles.card import Card
from deeplab.bundles.read import read_card_for
from deeplab.config.classify_request import AS_THE_MODEL, ClassifyRequest
from deeplab.config.progress import Progress
from deeplab.config.views import AS_IT_IS
from deeplab.errors import ConfigError
from deeplab.evaluation.patch_tally import thresholds_of
from deeplab.exchange.layers import post_layers
from deeplab.files import all_or_none, check_spared, check_writable, whole_file
from deeplab.geometry.grid import TilePlan, TileSlot
from deeplab.inference.collectors.patches import PatchCollector, taken_for
from deeplab.inference.decode import tile_decoder
from deeplab.inference.layers import make_layers
from deeplab.inference.likeness import Likeness
from deeplab.inference.plan import Area, open_as_learnt, wanted_slots, work_frame
from deeplab.inference.predictor import GraphSpec
from deeplab.inference.provenance import provenance
from deeplab.inference.pseudo_outlines import PseudoOutlines
from deeplab.inference.runtime import start_predictor
from deeplab.inference.stream import predict_tiles
from deeplab.models.answers import PatchAnswer
from deeplab.native_log import remarks_left_out
from deeplab.report.cells import safe_cell
from deeplab.server.session import ServerLogin
from deeplab.slides.slide import Slide
from deeplab.slides.tissue import read_thumbnail, tissue_mask

if TYPE_CHECKING:
    from deeplab.inference.activation import ActivationGrid
    from deeplab.inference.stream import Predict

log = logging.getLogger(__name__)

BETWEEN = ";"  # classes of one patch in a table


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifyResult:
    """What a classification found and how long it took.

    Attributes:
        slide: its name.
        names: of the classes.
        scores: float32 (patches, classes).
        labels: how many patches were taken for each class, (classes,).
        seconds: it took.
        runtime: that computed.
        thresholds: score from which a patch was taken for each class.
        exclusive: whether it was taken for one at most.
    """

    slide: str
    names: Sequence[str]
    scores: NDArray[np.float32]
    labels: Sequence[int]
    seconds: float
    runtime: str
    thresholds: Sequence[float]
    exclusive: bool

    def summary(self) -> str:
        """Return a few lines for a person."""
        count = len(self.scores)
        lines = [f"{self.slide}: {count} patches by {self.runtime} in {self.seconds:.1f} s"]
        means = self.scores.mean(axis=0) if count else [0.0] * len(self.names)
        lines += [
            f"  {name}: {taken} patches from a score of {least:.2f} on, mean score {mean:.3f}"
            for name, taken, least, mean in zip(
                self.names, self.labels, self.thresholds, means, strict=True
            )
        ]
        return "\n".join(lines)

    @property
    def image_scores(self) -> NDArray[np.float32]:
        """Mean score of all patches, (classes,); 0 where there is none."""
        if not len(self.scores):
            return np.zeros(len(self.names), np.float32)
        mean: NDArray[np.float32] = self.scores.mean(axis=0)
        return mean

    @property
    def image_classes(self) -> str:
        """What all of it is taken for: names of classes between semicolons."""
        taken = taken_for(self.image_scores, self.thresholds, exclusive=self.exclusive)
        return BETWEEN.join(self.names[at] for at in taken) if len(self.scores) else ""


class Loaded(NamedTuple):
    """A model that is ready.

    Attributes:
        runtime: name of what computes.
        predict: patches to maps.
        decode: the maps of a patch to its answer.
    """

    runtime: str
    predict: Predict
    decode: Callable[[dict[str, Any]], PatchAnswer]


class Models:
    """Loads a model once for all slides of a run."""

    def __init__(self) -> None:
        self._loaded: Loaded | None = None

    def of(self, request: ClassifyRequest, card: Card) -> Loaded:
        """Return what computes a run of a request; every one is asked of the same model."""
        if self._loaded is None:
            # Here TensorFlow may start: all that can be refused has been looked at.
            self._loaded = _load(request, card)
            log.info("predicting by %s", self._loaded.runtime)
        return self._loaded


def classify_spec(model: Path, card: Card) -> GraphSpec:
    """Return the graph that classifies patches; `card` is the model's."""
    return GraphSpec(model=model, maps=(), views=AS_IT_IS, trial_side=card.config.crop_size)


def _load(request: ClassifyRequest, card: Card) -> Loaded:
    if request.activations != "off":
        with remarks_left_out():
            return _load_explained(request)
    predictor: Any = start_predictor(
        classify_spec(request.model, card),
        card,
        tile=card.config.crop_size,
        gpu=request.gpu,
        runtime=request.runtime,
    )
    return Loaded(predictor.runtime, predictor.predict, predictor.decode)


def _load_explained(request: ClassifyRequest) -> Loaded:
    """Return the model that also says what in a patch speaks for a class, by its gradients."""
    from deeplab.bundles.load import load_bundle  # noqa: PLC0415  TensorFlow takes seconds
    from deeplab.device import choose_device  # noqa: PLC0415
    from deeplab.inference.activation import (  # noqa: PLC0415
        ACTIVATION,
        activating,
        activating_layers,
    )

    choose_device(request.gpu)
    bundle = load_bundle(request.model)
    explain, taps = bundle.family.explain, bundle.family.taps
    if explain is None or taps is None:
        must = "off for a model of several networks; ask one of its members"
        raise ConfigError("activations", request.activations, must)
    config = bundle.card.config
    decode: Any = tile_decoder(config)
    if request.activations == "grad_cam":
        return Loaded("TensorFlow", activating(explain(bundle.network)), decode)
    *_, last = taps(config, bundle.network).values()
    predict = activating_layers(
        bundle.network, {ACTIVATION: last}, side=config.crop_size, above_zero=False
    )
    return Loaded("TensorFlow", predict, decode)


def classify_slide(
    request: ClassifyRequest, progress: Progress, models: Models | None = None
) -> ClassifyResult:
    """Classify the patches of a slide and write what `request` asks for, all of it or nothing.

    Args:
        request: what to classify, and how.
        progress: is told how far it is.
        models: keeps the model for the next slide; None: it is loaded for this one.

    Raises:
        BundleError, SlideError, ServerError, ConfigError, DeviceError, OutputError: as named.
    """
    started = time.monotonic()
    for path in request.outputs:
        check_writable(path)
    check_spared(request.outputs, [Path(request.slide), request.model])
    card = read_card_for("classify", request.model)
    login = ServerLogin(request.api_url, request.token) if request.api_url else None
    with open_as_learnt(request.slide, request, card, mpp=request.slide_mpp, login=login) as slide:
        frame = work_frame(request, card, slide)
        area = Area.of(request.regions, frame)
        plan = patch_plan(request.stride, card, area)
        thumbnail = read_thumbnail(slide) if request.tissue == "auto" else None
        slots = wanted_slots(plan, area, thumbnail.tissue() if thumbnail else None)
        asked = sum(wanted for _, wanted in slots)
        log.info("%s by %s: %d of %d patches", slide.name, slide.reader, asked, len(slots))
        likeness = Likeness.of(slide, thumbnail, card)
        collector = PatchCollector(card.classes, frame, thresholds(request.threshold, card))
        runtime, speaking = "no network", _Speaking(request, card, area, slide)
        if asked:
            loaded = (models or Models()).of(request, card)
            runtime = loaded.runtime
            tiles = predict_tiles(
                slide.read,
                frame,
                slots,
                predict=loaded.predict,
                decode=lambda maps: (loaded.decode(maps), maps.get("activation")),
                batch_size=request.batch_size,
            )
            for number, (slot, answer) in enumerate(tiles, start=1):
                scored, activation = answer or (None, None)
                collector.add(slot, scored)
                speaking.add(slot, activation, scored, collector.taken(scored))
                progress("classify", number, len(slots))
        slide.check_unchanged()
        layers: tuple[Layer, ...] = ()
        if request.save_rectangles:
            layers = make_layers(collector.found(), card, frame, likeness.remark).layers
        layers = (*layers, *(speaking.layers(likeness.remark) if asked else ()))
        heatmaps = [*(collector.heatmaps() if request.save_heatmap else []), *speaking.heatmaps()]
        heatmaps = [replace(heatmap, remark=likeness.remark) for heatmap in heatmaps]
        origin = provenance(
            "ClassifyPatches", request, card, slide, frame, runtime, likeness.unlike
        )
        annotations = Annotations(layers, origin, slide.mpp)
        with all_or_none(_writers(request, annotations, heatmaps, collector)):
            if login and request.post_annotation == "auto":
                post_layers(annotations, heatmaps, request.slide, login)
        progress("write", 1, 1)
    return ClassifyResult(
        slide=slide.name,
        names=card.classes.names,
        scores=collector.scores,
        labels=_counts(collector),
        seconds=time.monotonic() - started,
        runtime=runtime,
        thresholds=collector.thresholds,
        exclusive=collector.exclusive,
    )


def patch_plan(stride: int, card: Card, area: Area) -> TilePlan:
    """Return the grid of patches over an area: each answers for the middle `stride` pixels.

    A stride of 0 is the side of a patch.

    Raises:
        ConfigError: the stride is not possible.
    """
    side = card.config.crop_size
    stride = stride or side
    if stride > side or (side - stride) % 2:
        parity = "even" if side % 2 == 0 else "odd"
        raise ConfigError("stride", stride, f"an {parity} number up to {side}, the patch's side")
    tiling = card.config.tiling
    return TilePlan(area=area.box, tile=side, halo=(side - stride) // 2, tiling=tiling)


def thresholds(asked: float, card: Card) -> Sequence[float | None]:
    """Return the score from which a patch is taken for each class; None where nobody says."""
    if asked != AS_THE_MODEL:
        return [asked] * len(card.classes)
    return thresholds_of(card.metrics, card.classes.names)


class _Speaking:
    """What in the patches speaks for the classes, as far as a request asks for it."""

    def __init__(self, request: ClassifyRequest, card: Card, area: Area, slide: Slide) -> None:
        self._card, self._area, self._mpp = card, area, slide.mpp
        self._grid: ActivationGrid | None = None
        self._outlines: PseudoOutlines | None = None
        if request.activations == "pseudo_masks":
            # Without the margin around tissue that is kept for patches.
            cut = tissue_mask(slide, margin_um=0) if request.tissue == "auto" else None
            self._outlines = PseudoOutlines(area, cut)

    def add(
        self,
        slot: TileSlot,
        activation: NDArray[np.float32] | None,
        answer: PatchAnswer | None,
        taken: Sequence[int],
    ) -> None:
        """Take the next patch: its activation, its scores, and the classes it is taken for."""
        if self._outlines:
            self._outlines.add(slot, activation, taken)
        elif activation is not None and answer is not None:
            self._grid = self._grid or self._make_grid(activation.shape[0])
            self._grid.add(slot, activation, answer.scores)

    def _make_grid(self, cells: int) -> ActivationGrid:
        from deeplab.inference.activation import ActivationGrid  # noqa: PLC0415  brings TensorFlow

        side = self._card.config.crop_size
        return ActivationGrid(self._card.classes, self._area.frame, cells=cells, side=side)

    def heatmaps(self) -> list[Heatmap]:
        """Return one a class, where they were asked for."""
        return self._grid.heatmaps() if self._grid else []

    def layers(self, remark: str) -> list[Layer]:
        """Return one of outlines a class, where they were asked for; `remark` is said in each."""
        if not self._outlines:
            return []
        return self._outlines.layers(self._card, self._mpp, remark)


def _counts(collector: PatchCollector) -> list[int]:
    counts = [0] * len(collector.classes)
    for scores in collector.scores:
        for at in taken_for(scores, collector.thresholds, exclusive=collector.exclusive):
            counts[at] += 1
    return counts


def _writers(
    request: ClassifyRequest,
    annotations: Annotations,
    heatmaps: Sequence[Heatmap],
    collector: PatchCollector,
) -> dict[Path, Callable[[Path], None]]:
    """Return what is to be written where."""
    writers: dict[Path, Callable[[Path], None]] = {}
    if request.output_annotation:
        writers[request.output_annotation] = lambda path: write_girder_json(
            path, annotations, heatmaps=heatmaps
        )
    if request.output_geojson:
        writing = Writing(object_type="detection")
        writers[request.output_geojson] = lambda path: write_geojson(path, annotations, writing)
    if request.output_table:
        writers[request.output_table] = lambda path: _write_rows(path, list(_patch_rows(collector)))
    return writers


def _patch_rows(collector: PatchCollector) -> Iterator[list[str]]:
    """Yield the head and a row a patch: its place in level-0 pixels, classes, scores."""
    names = collector.classes.names
    places = ("x_level0", "y_level0", "width_level0", "height_level0")
    yield [*places, "classes", *(safe_cell(name) for name in names)]
    for box, scores in zip(collector.places, collector.scores, strict=True):
        part = collector.frame.to_level0(box)
        taken = taken_for(scores, collector.thresholds, exclusive=collector.exclusive)
        numbers = (part.x0, part.y0, part.width, part.height)
        yield [
            *(f"{number:.2f}" for number in numbers),
            safe_cell(BETWEEN.join(names[at] for at in taken)),
            *(f"{score:.6f}" for score in scores),
        ]


def write_image_rows(path: Path, results: Sequence[tuple[str, ClassifyResult]]) -> None:
    """Write a CSV with one row an image: its classes, the mean scores, how many patches it has.

    Raises:
        OutputError: it cannot be written.
    """
    names = results[0][1].names
    rows = [["file", "classes", *map(safe_cell, names), "patches"]]
    rows += [
        [
            safe_cell(file),
            safe_cell(each.image_classes),
            *(f"{score:.6f}" for score in each.image_scores),
            str(len(each.scores)),
        ]
        for file, each in results
    ]
    _write_rows(path, rows)


def _write_rows(path: Path, rows: Sequence[Sequence[str]]) -> None:
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
