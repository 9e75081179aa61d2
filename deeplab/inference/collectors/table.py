"""The collector of each kind of answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

from deeplab.inference.collectors.collector import Collector
from deeplab.inference.collectors.labels import LabelCollector
from deeplab.inference.collectors.objects import ObjectCollector
from deeplab.inference.plan import Area
from deeplab.inference.rasters import Rasters
from deeplab.models.answers import AnswerKind


class MakeCollector(Protocol):
    """What makes a collector."""

    def __call__(self, area: Area, rasters: Rasters, logit_stride: int) -> Collector[Any]:
        """Return a collector for the tiles over an area."""


COLLECTORS: Final[Mapping[AnswerKind, MakeCollector]] = {
    "labels": LabelCollector,
    "objects": ObjectCollector,
}
