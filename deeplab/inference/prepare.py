"""Models made ready before the first slide: converted, compared with TensorFlow, and kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deeplab.bundles.card import Card
from deeplab.bundles.read import read_card
from deeplab.config.prepare_request import PrepareRequest
from deeplab.config.views import AS_IT_IS
from deeplab.inference.classify import classify_spec
from deeplab.inference.conversions import check_keeps
from deeplab.inference.predictor import GraphSpec
from deeplab.inference.predictors import segment_spec
from deeplab.inference.runtime import prepare_runtime
from deeplab.models.readings import reading_of


@dataclass(frozen=True, slots=True)
class PrepareResult:
    """What will compute each model on a CPU of this machine."""

    runtimes: tuple[tuple[Path, str], ...]

    def summary(self) -> str:
        """Return a line a model."""
        return "\n".join(f"{model}: {runtime}" for model, runtime in self.runtimes)


def prepare_models(request: PrepareRequest) -> PrepareResult:
    """Convert each model and try it, as the first run on a CPU would, and keep what comes of it.

    Raises:
        BundleError: one is no model that can be used.
        DeviceError: OpenVINO is not installed, so that there is nothing to be made ready; or the
            process that converts was ended.
        OutputError: nothing can be kept.
    """
    asked = [each for model in request.models for each in _specs(model, heatmaps=request.heatmaps)]
    for spec, _ in asked:
        check_keeps(spec)
    found = {spec.model: prepare_runtime(spec, card) for spec, card in asked}
    return PrepareResult(tuple(found.items()))


def _specs(model: Path, *, heatmaps: bool) -> Iterator[tuple[GraphSpec, Card]]:
    """Yield what runs with a model ask of it."""
    card = read_card(model)
    answer = reading_of(card.config).answer
    if answer == "patch":
        yield classify_spec(model, card), card
        return
    for heatmap in (False, True) if heatmaps and answer == "labels" else (False,):
        tiling = card.config.tiling
        yield segment_spec(model, card, views=AS_IT_IS, heatmap=heatmap, tiling=tiling), card
