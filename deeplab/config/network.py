"""What every network's config answers, whatever its family: one frozen class a family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import Field
from typing import Any, ClassVar, Protocol, Self

from deeplab.config.channels import Channels
from deeplab.config.classes import ClassList
from deeplab.config.network_settings import NetworkSettings
from deeplab.config.patch_encoders import Problem
from deeplab.geometry.tiling import Tiling


class NetworkConfig(Protocol):
    """Every knob of one network: a frozen dataclass, checked when it is made.

    Its fields are what a bundle's card keeps as JSON: numbers, texts, None, tuples of these.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def class_count(self) -> int:
        """Number of classes, without the background."""

    @property
    def crop_size(self) -> int:
        """Side of the patches trained on, work pixels."""

    @property
    def channels(self) -> Channels:
        """What the network is shown of a slide."""

    @property
    def tiling(self) -> Tiling:
        """The tiles that it takes and how much of one it answers."""

    @property
    def backbone(self) -> str | None:
        """A row of `deeplab.config.backbones`; None for a network that has none."""

    @property
    def least_weight_count(self) -> int:
        """Numbers that a file of such a network holds at least: those where wide layers meet."""

    @classmethod
    def from_settings(cls, settings: NetworkSettings, classes: ClassList) -> Self:
        """Make the config that a training asks for.

        Raises:
            ConfigError: a setting or an option is none that this network has, or not possible.
        """

    @staticmethod
    def suggested_patch_size(settings: NetworkSettings) -> int:
        """Return the side of the patches to train on where none is asked for, work pixels.

        Raises:
            ConfigError: an option is none that this network has, or not possible.
        """

    @staticmethod
    def original_recipe(steps: int) -> Mapping[str, Any]:
        """Return how the network's authors trained it, in so many steps.

        These are settings of a training by name, those only that are not as they are by default.
        """

    def describe(self) -> str:
        """Say in words which network this is."""


class WholePatchConfig(NetworkConfig, Protocol):
    """The config of a network that classifies patches."""

    @property
    def problem(self) -> Problem:
        """Whether classes exclude each other."""

    @property
    def excludes(self) -> bool:
        """Whether a patch is of one class."""

    @property
    def least_cover(self) -> float:
        """Share of a patch that outlines of a class cover where the patch has the class."""


def compare_answers(
    first: NetworkConfig, other: NetworkConfig
) -> Sequence[tuple[str, object, object]]:
    """Return what two networks must have alike to be averaged, in words, and what each has."""
    one, two = first.tiling, other.tiling
    return (
        ("kind of answer", _kind_of_answer(first), _kind_of_answer(other)),
        ("number of classes", first.class_count, other.class_count),
        ("list of channels", first.channels, other.channels),
        ("number of pixels per logit", one.logit_stride, two.logit_stride),
        ("kind of tile", _kind_of_tile(one), _kind_of_tile(two)),
    )


def _kind_of_answer(config: NetworkConfig) -> str:
    if classifies_patches(config):
        return "one class a patch" if getattr(config, "excludes", False) else "any classes a patch"
    return "a class for every pixel" if labels_pixels(config) else "objects"


def _kind_of_tile(tiling: Tiling) -> str:
    plus = f" plus {tiling.extra}" if tiling.extra else ""
    margin = f" with a margin of {tiling.margin}" if tiling.margin else ""
    return f"{tiling.only or f'a multiple{plus}'}{margin}"


def labels_pixels(config: object) -> bool:
    """Tell whether this is the config of a network that gives every pixel one of its labels."""
    return hasattr(config, "label_count")


def classifies_patches(config: object) -> bool:
    """Tell whether this is the config of a network that says which classes a patch has."""
    return hasattr(config, "excludes")
