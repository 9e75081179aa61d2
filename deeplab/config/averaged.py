"""What configs of networks have in common whose probabilities are averaged: those of each."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

from deeplab.config.channels import Channels
from deeplab.config.joined import JoinedNetworksConfig
from deeplab.config.network import NetworkConfig, compare_answers
from deeplab.errors import ConfigError
from deeplab.geometry.tiling import Tiling

MAX_MEMBERS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class AveragedNetworksConfig(JoinedNetworksConfig):
    """Networks of which the mean probabilities count.

    Attributes:
        members: Their configs, of any families, with equal numbers of classes and equal channels,
            logit strides and kinds of answers and tiles.
        must_answer: What each of them does, in words.
    """

    must: ClassVar[str] = (
        "a network that learns; train its members, then join them by deeplab ensemble"
    )
    must_answer: ClassVar[str]

    members: tuple[NetworkConfig, ...]

    def __post_init__(self) -> None:
        members: object = self.members  # of a card, whatever it has
        if not isinstance(members, tuple) or not 2 <= len(self.members) <= MAX_MEMBERS:
            raise ConfigError("members", self.members, f"from 2 to {MAX_MEMBERS} networks")
        for member in self.members:
            if isinstance(member, JoinedNetworksConfig) or not self._answers(member):
                must = f"networks that {self.must_answer}, none of which is several itself"
                raise ConfigError("members", member, must)
        for member in self.members[1:]:
            for what, one, other in compare_answers(self.members[0], member):
                if one != other:
                    must = f"networks that answer alike: the {what} of one is {one}"
                    raise ConfigError("members", other, must)

    @staticmethod
    def _answers(member: object) -> bool:
        """Return whether a member does what it must."""
        raise NotImplementedError

    @property
    def class_count(self) -> int:
        """Number of classes, without the background."""
        return self.members[0].class_count

    @property
    def crop_size(self) -> int:
        """Side of the largest patches that a member was trained on, work pixels."""
        return max(member.crop_size for member in self.members)

    @property
    def channels(self) -> Channels:
        """What the networks are shown of a slide."""
        return self.members[0].channels

    @property
    def tiling(self) -> Tiling:
        """The tiles that all members take, and how far the one looks that looks farthest."""
        tilings = [member.tiling for member in self.members]
        return replace(
            tilings[0],
            multiple=math.lcm(*(tiling.multiple for tiling in tilings)),
            reach=max(tiling.reach for tiling in tilings),
            decoder_reach=0,
        )

    @property
    def least_weight_count(self) -> int:
        """Numbers that a file of such networks holds at least."""
        return sum(member.least_weight_count for member in self.members)

    def describe(self) -> str:
        """Say in words which networks these are."""
        told = [member.describe() for member in self.members]
        if len(set(told)) == 1:
            return f"the mean of {len(told)} networks, each {told[0]}"
        return f"the mean of {len(told)} networks: {'; '.join(told)}"
