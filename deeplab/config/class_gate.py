"""The knobs of a network that labels pixels behind a gate of classes: those of both networks."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

from deeplab.config.channels import Channels
from deeplab.config.checks import check_range
from deeplab.config.gate_request import THRESHOLD
from deeplab.config.joined import JoinedPixelNetworksConfig
from deeplab.config.network import (
    NetworkConfig,
    WholePatchConfig,
    classifies_patches,
    labels_pixels,
)
from deeplab.errors import ConfigError
from deeplab.geometry.tiling import Tiling


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassGateConfig(JoinedPixelNetworksConfig):
    """A network that gives every pixel a class, and a classifier of what a patch may have.

    Patches lie side by side on a grid that begins at the slide's corner, so what a pixel may be
    depends on its place on the slide, and on no tile.

    Attributes:
        segmenter: Config of the first, of any family; not several networks itself.
        classifier: Config of the second, of the same classes and channels.
        threshold: Score of the classifier that a class must exceed to be in a patch.
    """

    must: ClassVar[str] = (
        "a network that learns; train both of its networks, then join them by deeplab gate"
    )

    segmenter: NetworkConfig
    classifier: WholePatchConfig
    threshold: float = THRESHOLD

    def __post_init__(self) -> None:
        segmenter: object = self.segmenter  # of a card, whatever it has
        classifier: object = self.classifier
        # Several networks have no backbone of their own.
        if not labels_pixels(segmenter) or self.segmenter.backbone is None:
            must = "one network that gives every pixel a class"
            raise ConfigError("segmenter", segmenter, must)
        if not classifies_patches(classifier):
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
    def least_weight_count(self) -> int:
        """Numbers that a file of such networks holds at least."""
        return self.segmenter.least_weight_count + self.classifier.least_weight_count

    def describe(self) -> str:
        """Say in words which networks these are."""
        return (
            f"{self.segmenter.describe()}, behind a gate of the classes that score above "
            f"{self.threshold:g} in {self.classifier.describe()}"
        )
