"""The knobs of several networks that classify patches and answer together: those of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from deeplab.config.averaged import AveragedNetworksConfig
from deeplab.config.network import WholePatchConfig, classifies_patches
from deeplab.config.patch_encoders import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchEnsembleConfig(AveragedNetworksConfig):
    """Networks that say which classes a patch has, of which the mean probabilities count."""

    must_answer: ClassVar[str] = "classify patches"

    members: tuple[WholePatchConfig, ...]

    @staticmethod
    def _answers(member: object) -> bool:
        return classifies_patches(member)

    @property
    def classes(self) -> int:
        """Number of classes; there is no background."""
        return self.class_count

    @property
    def problem(self) -> Problem:
        """Whether classes exclude each other."""
        return self.members[0].problem

    @property
    def excludes(self) -> bool:
        """Whether a patch is of one class."""
        return self.members[0].excludes

    @property
    def least_cover(self) -> float:
        """Share of a patch from which it has a class."""
        return self.members[0].least_cover
