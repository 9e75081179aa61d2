"""The knobs of a network that labels pixels behind a gate of classes: those of both networks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn, Protocol, Self

from deeplab.config.channels import Channels
from deeplab.config.checks import check_range
from deeplab.config.classes import ClassList
from deeplab.config.gate_request import THRESHOLD
from deeplab.config.network import NetworkConfig
from deeplab.config.network_settings import NetworkSettings
from deeplab.errors import ConfigError
from deeplab.geometry.tiling import Tiling

NOT_TRAINED = "a network that learns; train both of its networks, then join them by deeplab gate"


class WholePatchConfig(NetworkConfig, Protocol):
    """The config of a network that classifies patches."""

    @property
    def excludes(self) -> bool:
        """Whether a patch is of one class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassGateConfig:
    """A network that gives every pixel a class, and a classifier of what a patch may have.

    Patches lie side by side on a grid that begins at the slide's corner, so what a pixel may be
    depends on its place on the slide, and on no tile.

    Attributes:
        segmenter: Config of the first, of any family; not several networks itself.
        classifier: Config of the second, of the same classes and channels.
        threshold: Score of the classifier that a class must exceed to be in a patch.
    """

    segmenter: NetworkConfig
    classifier: WholePatchConfig
    threshold: float = THRESHOLD

    def __post_init__(self) -> None:
        segmenter: object = self.segmenter  # of a card, whatever it has
        classifier: object = self.classifier
        # Several networks have no backbone of their own.
        if not hasattr(segmenter, "label_count") or self.segmenter.backbone is None:
            must = "one network that gives every pixel a class"
            raise ConfigError("segmenter", segmenter, must)
        if not hasattr(classifier, "excludes"):
            raise ConfigError("classifier", classifier, "a network that classifies patches")
        check_range("threshold", self.threshold, 0, 1)
        for what, one, other in (
            ("number of classes", self.segmenter.class_count, self.classifier.class_count),
            ("list of channels", self.segmenter.channels, self.classifier.channels),
        ):
            if one != other:
                raise ConfigError("classifier", other, f"of the segmenter's {what}: {one}")

    @property
    def side(self) -> int:
        """Side of a patch, work pixels."""
        return self.classifier.crop_size

    @property
    def class_count(self) -> int:
        """Number of classes, without the background."""
        return self.segmenter.class_count

    @property
    def label_count(self) -> int:
        """Number of labels, the background's included."""
        return self.class_count + 1

    @property
    def crop_size(self) -> int:
        """Side of the patches that the segmenter was trained on, work pixels."""
        return self.segmenter.crop_size

    @property
    def channels(self) -> Channels:
        """What both networks are shown of a slide."""
        return self.segmenter.channels

    @property
    def tiling(self) -> Tiling:
        """The tiles that the segmenter takes, of whole patches; logits are at every pixel."""
        tiling = self.segmenter.tiling
        return replace(
            tiling,
            multiple=math.lcm(tiling.multiple, self.side),
            logit_stride=1,
            usual=0,
            decoder_reach=0,
        )

    @property
    def logit_stride(self) -> int:
        """Work pixels per logit."""
        return self.tiling.logit_stride

    @property
    def backbone(self) -> None:
        """Each network has its own."""
        return None

    @property
    def least_weight_count(self) -> int:
        """Numbers that a file of such networks holds at least."""
        return self.segmenter.least_weight_count + self.classifier.least_weight_count

    @classmethod
    def from_settings(cls, settings: NetworkSettings, classes: ClassList) -> Self:  # noqa: ARG003  NetworkConfig's
        """Refuse: what is joined has been trained.

        Raises:
            ConfigError: always.
        """
        _refuse(settings)

    @staticmethod
    def suggested_patch_size(settings: NetworkSettings) -> int:
        """Refuse: what is joined has been trained.

        Raises:
            ConfigError: always.
        """
        _refuse(settings)

    @staticmethod
    def original_recipe(steps: int) -> Mapping[str, Any]:  # noqa: ARG004  NetworkConfig's
        """Return nothing: what is joined has been trained."""
        return {}

    def describe(self) -> str:
        """Say in words which networks these are."""
        return (
            f"{self.segmenter.describe()}, behind a gate of the classes that score above "
            f"{self.threshold:g} in {self.classifier.describe()}"
        )


def _refuse(settings: NetworkSettings) -> NoReturn:
    raise ConfigError("network", settings.network, NOT_TRAINED)
