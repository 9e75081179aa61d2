"""What configs of several networks in one have in common: they are joined, not trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NoReturn, Self

from deeplab.config.classes import ClassList
from deeplab.config.network_settings import NetworkSettings
from deeplab.errors import ConfigError
from deeplab.geometry.tiling import Tiling


class JoinedNetworksConfig:
    """The part of `NetworkConfig` that is the same for all of them.

    Attributes:
        must: what a person gives instead who asks to train one, as the end of a sentence.
    """

    __slots__ = ()
    must: ClassVar[str]

    @property
    def backbone(self) -> None:
        """Each network has its own."""
        return None

    @classmethod
    def from_settings(cls, settings: NetworkSettings, classes: ClassList) -> Self:  # noqa: ARG003  NetworkConfig's
        """Refuse: what is joined has been trained.

        Raises:
            ConfigError: always.
        """
        cls._refuse(settings)

    @classmethod
    def suggested_patch_size(cls, settings: NetworkSettings) -> int:
        """Refuse: what is joined has been trained.

        Raises:
            ConfigError: always.
        """
        cls._refuse(settings)

    @staticmethod
    def original_recipe(steps: int) -> Mapping[str, Any]:  # noqa: ARG004  NetworkConfig's
        """Return nothing: what is joined has been trained."""
        return {}

    @classmethod
    def _refuse(cls, settings: NetworkSettings) -> NoReturn:
        raise ConfigError("network", settings.network, cls.must)


class JoinedPixelNetworksConfig(JoinedNetworksConfig):
    """Likewise, of those that give every pixel a class."""

    __slots__ = ()

    @property
    def class_count(self) -> int:
        """Number of classes, without the background."""
        raise NotImplementedError

    @property
    def tiling(self) -> Tiling:
        """The tiles that all networks take."""
        raise NotImplementedError

    @property
    def label_count(self) -> int:
        """Number of labels, the background's included."""
        return self.class_count + 1

    @property
    def logit_stride(self) -> int:
        """Work pixels per logit."""
        return self.tiling.logit_stride
