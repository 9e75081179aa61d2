"""The network of a segmentation: loaded once for slides that it answers in tiles of one size."""

from __future__ import annotations

import math
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from deeplab.bundles.card import Card
from deeplab.cgroups import usable_memory_bytes
from deeplab.config.requests import Runtime, SegmentRequest
from deeplab.config.views import View, reach_factor
from deeplab.geometry.grid import TilePlan
from deeplab.geometry.tiling import Tiling
from deeplab.inference.memory import GB, Memory
from deeplab.inference.predictor import GraphSpec, Predictor
from deeplab.inference.runtime import start_predictor, starts_fast
from deeplab.inference.smaller_tiles import SmallerTiles, part_sides
from deeplab.models.outputs import CONFIDENCE, LABELS, PROBABILITIES, PredictedMap
from deeplab.models.readings import reading_of


class Predictors:
    """Loads a model once for slides that it answers in tiles of one size."""

    def __init__(self) -> None:
        self._last: tuple[_Run, Future[Predictor]] | None = None

    def begin(self, request: SegmentRequest, card: Card, plan: TilePlan) -> None:
        """Begin to load in a thread what `of` will return, where that needs no TensorFlow.

        TensorFlow takes so long that all that can be refused is looked at before.
        """
        run = _Run.of(request, card, plan)
        is_there = self._last is not None and self._last[0] == run
        if not is_there and starts_fast(run.spec, gpu=run.gpu, runtime=run.runtime):
            self._last = None  # two models at a time are not held
            loader = ThreadPoolExecutor(1, thread_name_prefix="load")
            self._last = run, loader.submit(run.started, request, card, plan)
            loader.shutdown(wait=False)

    def of(self, request: SegmentRequest, card: Card, plan: TilePlan) -> Predictor:
        """Return what computes a run of a request."""
        run = _Run.of(request, card, plan)
        last, self._last = self._last, None  # what fails is not kept
        if last is None or last[0] != run:
            last = None  # nor are two models at a time
            loaded = Future[Predictor]()
            loaded.set_result(run.started(request, card, plan))
            last = run, loaded
        predictor = last[1].result()
        self._last = last
        return predictor


class _Run(NamedTuple):
    """What a loaded model depends on."""

    spec: GraphSpec
    tile: int
    halo: int
    trim: int
    gpu: int
    runtime: Runtime
    memory_bytes: float

    @classmethod
    def of(cls, request: SegmentRequest, card: Card, plan: TilePlan) -> _Run:
        spec = segment_spec(
            request.model,
            card,
            views=request.views,
            heatmap=request.save_heatmap,
            tiling=plan.tiling,
        )
        limit = request.memory_limit * GB or usable_memory_bytes()
        return cls(spec, plan.tile, plan.halo, plan.trim, request.gpu, request.runtime, limit)

    def started(self, request: SegmentRequest, card: Card, plan: TilePlan) -> Predictor:
        """Return what computes this run."""
        least = math.ceil(card.config.crop_size * reach_factor(request.views))
        predictor = start_predictor(
            self.spec,
            card,
            tile=self.tile,
            trim=self.trim,
            gpu=self.gpu,
            runtime=self.runtime,
            memory=Memory(self.memory_bytes, part_sides(plan, least_side=least)),
        )
        if not predictor.side:
            predict = SmallerTiles(predictor.predict, plan, least_side=least)
            predictor = replace(predictor, predict=predict)
        return predictor


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
