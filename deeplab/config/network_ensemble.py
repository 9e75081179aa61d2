"""The knobs of several networks that label pixels and answer together: those of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from deeplab.config.averaged import AveragedNetworksConfig
from deeplab.config.joined import JoinedPixelNetworksConfig
from deeplab.config.network import labels_pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkEnsembleConfig(AveragedNetworksConfig, JoinedPixelNetworksConfig):
    """Networks that give every pixel a class, of which the mean probabilities count."""

    must_answer: ClassVar[str] = "give every pixel a class"

    @staticmethod
    def _answers(member: object) -> bool:
        return labels_pixels(member)
