"""The knobs of EfficientDet with a head that labels pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal, Self, get_args

from deeplab.config.backbones import BACKBONES, UNIT_RANGE, Normalisation
from deeplab.config.channels import RGB, Channels
from deeplab.config.checks import check_range, check_value, check_whole
from deeplab.config.classes import ClassList
from deeplab.config.network_settings import NetworkSettings
from deeplab.errors import ConfigError
from deeplab.geometry.tiling import Tiling

Fusion = Literal["linear", "relu"]
EfficientDetPixels = Literal["backbone", "unit_range"]
MAX_LEVEL = 7  # of the pyramid: its coarsest map has a stride of 2 ** 7
MIN_LEVELS = (1, 3)
MAX_FILTERS, MAX_CELLS = 1024, 32
PATCH_SIZE = 1024  # work pixels
# How far from a pixel its answer is decided, in cells of the coarsest map, beside half a crop for
# the gates: one each time the pyramid is gone through, and these for the maps that lead down to it
# and up again. The convolutions look farther, with weights that hardly count. Measured as labels
# that differed so far from a tile's end: 2 in 10,000 of a D0 with one cell that had learnt for 50
# steps (18 with one cell of the map less, 119 with two less), and 2 of a D0 with 6 cells whose
# weights were drawn at random.
CELLS_BESIDE = 2
# About what is kept of a tile, whose maps are large and whose halo is.
KEPT = 1536


@dataclass(frozen=True, slots=True, kw_only=True)
class EfficientDetFacts:
    """One size of the network, as published.

    Attributes:
        backbone: A row of `deeplab.config.backbones`.
        fpn_filters: Channels of the pyramid's maps.
        fpn_cells: How often the pyramid is gone through, down and up.
    """

    backbone: str
    fpn_filters: int
    fpn_cells: int


SIZES: Mapping[str, EfficientDetFacts] = MappingProxyType(
    {
        f"d{number}": EfficientDetFacts(
            backbone=f"efficientnet_b{number}", fpn_filters=filters, fpn_cells=cells
        )
        for number, (filters, cells) in enumerate(
            ((64, 3), (88, 4), (112, 5), (160, 6), (224, 7), (288, 7), (384, 8), (384, 8))
        )
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EfficientDetSegConfig:
    """The knobs of an EfficientNet, a pyramid that is gone through both ways, and its head.

    Attributes:
        label_count: Number of label values, the background included.
        size: A row of `SIZES`, with its backbone.
        fpn_filters: Channels of the pyramid's maps; 0: those of the size.
        fpn_cells: How often the pyramid is gone through; 0: as often as that of the size.
        min_level: The pyramid's finest map has a stride of 2 to this, and a logit half of that.
        fusion: Whether the shares in which maps are added pass a ReLU, so that none is below 0, or
            stay as they are, as in SURF-segmentation.
        channels: What the network is shown of a slide.
        normalisation: Whether pixels are brought to the values that the backbone learnt with on
            ImageNet, or from 0 to 255 to -1 to 1 and no more.
        crop_size: Side in work pixels of the patches trained on; means that gate features are over
            as much wherever the network runs, so that it sees in a slide what it saw in training.
        batch_norm_decay: Share of the moving statistics kept at each training step.
    """

    label_count: int
    size: str = "d0"
    fpn_filters: int = 0
    fpn_cells: int = 0
    min_level: int = 2
    fusion: Fusion = "relu"
    channels: Channels = RGB
    normalisation: EfficientDetPixels = "backbone"
    crop_size: int = PATCH_SIZE
    batch_norm_decay: float = 0.99

    def __post_init__(self) -> None:
        check_whole("label_count", self.label_count, 2, 255)
        check_value("size", self.size, tuple(SIZES))
        for name, most in (("fpn_filters", MAX_FILTERS), ("fpn_cells", MAX_CELLS)):
            check_whole(name, getattr(self, name), 0, most)
            if not getattr(self, name):
                object.__setattr__(self, name, getattr(SIZES[self.size], name))
        check_whole("min_level", self.min_level, *MIN_LEVELS)
        check_value("fusion", self.fusion, get_args(Fusion))
        check_value("normalisation", self.normalisation, get_args(EfficientDetPixels))
        check_whole("crop_size", self.crop_size, 2**MAX_LEVEL, 4096)
        if not self.tiling.accepts(self.crop_size):
            raise ConfigError("crop_size", self.crop_size, self.tiling.rule)
        check_range("batch_norm_decay", self.batch_norm_decay, 0, 0.99999)

    @property
    def class_count(self) -> int:
        """Number of classes, without the background."""
        return self.label_count - 1

    @property
    def backbone(self) -> str:
        """The row of the size's backbone."""
        return SIZES[self.size].backbone

    @property
    def levels(self) -> range:
        """The levels of the pyramid, the finest first: strides are 2 to the power of one."""
        return range(self.min_level, MAX_LEVEL + 1)

    @property
    def pixels(self) -> Normalisation:
        """What becomes of pixel values, by channel.

        Of other channels than red, green and blue each is taken for the mean of these.
        """
        facts = BACKBONES[self.backbone].normalisation
        return (UNIT_RANGE if self.normalisation == "unit_range" else facts).of(self.channels)

    @property
    def logit_stride(self) -> int:
        """Work pixels per logit: those of the head are doubled until there is one a pixel."""
        return 1

    @property
    def tiling(self) -> Tiling:
        """The tiles that it takes."""
        reach = (self.fpn_cells + CELLS_BESIDE) * 2**MAX_LEVEL + self.crop_size // 2
        return Tiling(
            multiple=2**MAX_LEVEL, extra=0, reach=reach, logit_stride=1, usual=2 * reach + KEPT
        )

    @property
    def least_weight_count(self) -> int:
        """Numbers that a file of such a network holds at least: those where wide layers meet."""
        filters, levels = self.fpn_filters, len(self.levels) - 1
        return levels * filters * filters * (2 * self.fpn_cells + 9)

    @classmethod
    def from_settings(cls, settings: NetworkSettings, classes: ClassList) -> Self:
        """Make the config that a training asks for.

        Raises:
            ConfigError: a setting or an option is none that this network has, or not possible.
        """
        side = settings.patch_size or cls.suggested_patch_size(settings)
        knobs = settings.knobs(cls, told=("label_count", "crop_size"))
        config = cls(label_count=classes.label_count, **knobs)
        if not config.tiling.accepts(side):
            # Not rounded up as elsewhere: so coarse a step would hide what was asked.
            raise ConfigError("patch_size", side, f"{config.tiling.rule} for {config.describe()}")
        return replace(config, crop_size=side)

    @staticmethod
    def suggested_patch_size(settings: NetworkSettings) -> int:  # noqa: ARG004  NetworkConfig's
        """Return the side of the patches to train on where none is asked for, work pixels."""
        return PATCH_SIZE

    @staticmethod
    def original_recipe(steps: int) -> Mapping[str, Any]:  # noqa: ARG004  NetworkConfig's
        """Return SURF-segmentation's: cross entropy, Adam, a steady rate of 1e-3, no average.

        Its label smoothing of 0.2 is left away, as masks are right, and so is the rate times the
        number of workers: a batch has as many patches whoever computes it.
        """
        return {
            "optimizer": "adamw",
            "weight_decay": 0.0,
            "learning_policy": "step",
            "learning_rate": 1e-3,
            "learning_rate_decay_factor": 1.0,
            "slow_start_step": 0,
            "clip_norm": 0.0,
            "ema_decay": 0.0,
            "dice_weight": 0.0,
        }

    def describe(self) -> str:
        """Say in words which network this is."""
        said = (
            f"EfficientDet-{self.size.upper()} for segmentation on {self.backbone}, pyramid of "
            f"{self.fpn_filters} filters and {self.fpn_cells} cells from level {self.min_level} on"
        )
        shown = ", ".join(self.channels.names)
        return said if self.channels == RGB else f"{said}, of {shown}"
