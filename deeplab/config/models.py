"""Every knob of every network: one frozen value a family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from types import MappingProxyType
from typing import Any

from deeplab.errors import ConfigError

# The rows of `deeplab.models.backbones.table`, which this floor cannot import; a test compares.
BACKBONES: tuple[str, ...] = (
    "mobilenet_v2",
    "resnet_v1_18",
    "resnet_v1_18_beta",
    "resnet_v1_50",
    "resnet_v1_50_beta",
    "resnet_v1_101",
    "resnet_v1_101_beta",
    "xception_41",
    "xception_65",
    "xception_71",
)
# How many rates a multi-grid has: one a unit of resnet's last block, one a convolution of
# xception's. The backbones that are not here have none.
MULTI_GRID_RATES: Mapping[str, int] = MappingProxyType(
    {
        "resnet_v1_18": 2,
        "resnet_v1_18_beta": 2,
        "resnet_v1_50": 3,
        "resnet_v1_50_beta": 3,
        "resnet_v1_101": 3,
        "resnet_v1_101_beta": 3,
        "xception_41": 3,
        "xception_65": 3,
        "xception_71": 3,
    }
)
MAX_FILTERS = 4096


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(name, value, f"from {low:g} to {high:g}")


def _check_whole(name: str, value: object, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ConfigError(name, value, "a whole number")
    _check_range(name, value, low, high)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepLabV3PlusConfig:
    """The knobs of DeepLabV3+ (Chen et al. 2018, arXiv:1802.02611).

    Attributes:
        label_count: Number of label values, the background included.
        backbone: A row of the backbone table.
        depth_multiplier: Width of mobilenet_v2; the other backbones have 1 only.
        atrous_rates: Rates of the atrous branches, in feature cells; empty for none.
        output_stride: Work pixels per feature cell of the backbone's last map.
        decoder_output_stride: Work pixels per logit, or None for logits at `output_stride`.
        multi_grid: Rates of the last block's convolutions times this: three of xception's, one for
            each unit of resnet's (two of resnet_v1_18, three of the others); empty for 1.
        crop_size: Side in work pixels of the tiles trained on; image pooling averages over as many
            cells wherever the network runs, so that it sees in a slide what it saw in training.
        aspp_filters: Channels of each branch and of their projection.
        decoder_filters: Channels of the decoder's two convolutions.
        low_level_filters: Channels the low-level features are projected to.
        dropout: Share of the projected features dropped in training.
        batch_norm_decay: Share of the moving statistics kept at each training step.
    """

    label_count: int
    backbone: str = "mobilenet_v2"
    depth_multiplier: float = 1.0
    atrous_rates: tuple[int, ...] = (6, 12, 18)
    output_stride: int = 16
    decoder_output_stride: int | None = 4
    multi_grid: tuple[int, ...] = ()
    crop_size: int = 513
    aspp_filters: int = 256
    decoder_filters: int = 256
    # 48 channels: fewer would blur edges, more did not help (Chen 2018, section 4.1).
    low_level_filters: int = 48
    dropout: float = 0.1
    # The original's 0.9997 suits its 50,000 steps and more; short trainings would never catch up.
    batch_norm_decay: float = 0.99

    def __post_init__(self) -> None:
        _check_whole("label_count", self.label_count, 2, 255)
        if self.backbone not in BACKBONES:
            raise ConfigError("backbone", self.backbone, "one of " + ", ".join(BACKBONES))
        _check_range("depth_multiplier", self.depth_multiplier, 0.1, 2.0)
        if self.depth_multiplier != 1.0 and self.backbone != "mobilenet_v2":
            raise ConfigError("depth_multiplier", self.depth_multiplier, f"1 for {self.backbone}")
        self._check_rates()
        if self.output_stride not in (8, 16):
            raise ConfigError("output_stride", self.output_stride, "8 or 16")
        if self.decoder_output_stride not in (4, None):
            raise ConfigError("decoder_output_stride", self.decoder_output_stride, "4 or None")
        _check_whole("crop_size", self.crop_size, 33, 4097)
        if self.crop_size % 16 != 1:
            raise ConfigError("crop_size", self.crop_size, "a multiple of 16 plus 1")
        for name in ("aspp_filters", "decoder_filters", "low_level_filters"):
            _check_whole(name, getattr(self, name), 1, MAX_FILTERS)
        _check_range("dropout", self.dropout, 0, 0.9)
        _check_range("batch_norm_decay", self.batch_norm_decay, 0, 0.99999)

    def _check_rates(self) -> None:
        if len(self.atrous_rates) > 8:
            raise ConfigError("atrous_rates", self.atrous_rates, "at most 8 rates")
        for rate in self.atrous_rates:
            _check_whole("atrous_rates", rate, 1, 96)
        for rate in self.multi_grid:
            _check_whole("multi_grid", rate, 1, 16)
        wanted = MULTI_GRID_RATES.get(self.backbone, 0)
        if self.multi_grid and len(self.multi_grid) != wanted:
            should = f"{wanted} rates, or empty" if wanted else "empty"
            raise ConfigError("multi_grid", self.multi_grid, f"{should} for {self.backbone}")

    @property
    def logit_stride(self) -> int:
        """Work pixels per logit."""
        return self.decoder_output_stride or self.output_stride

    @property
    def pooling_cells(self) -> int:
        """Side of the image pooling's window, in feature cells."""
        return (self.crop_size - 1) // self.output_stride + 1


ModelConfig = DeepLabV3PlusConfig

# The families by the name their bundles carry; `deeplab.models.registry` has one row for each.
CONFIGS: Mapping[str, type[ModelConfig]] = MappingProxyType({"deeplabv3plus": DeepLabV3PlusConfig})


def config_to_json(config: ModelConfig) -> dict[str, Any]:
    """The knobs as JSON values."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(config).items()
    }


def config_from_json(family: str, knobs: Mapping[str, Any]) -> ModelConfig:
    """The config that `config_to_json` wrote, checked.

    Raises:
        ConfigError: the family or a knob is unknown, or a value is not one it can have.
    """
    if family not in CONFIGS:
        raise ConfigError("family", family, "one of " + ", ".join(CONFIGS))
    config = CONFIGS[family]
    known = {field.name: field for field in fields(config)}
    for name in knobs:
        if name not in known:
            raise ConfigError("config", name, "a knob of " + family)
    values: dict[str, Any] = {
        name: tuple(v) if isinstance(v, list) else v for name, v in knobs.items()
    }
    for name, field in known.items():
        if name not in values and field.default is MISSING:
            raise ConfigError("config", name, "given")
    try:
        return config(**values)
    except TypeError as error:
        raise ConfigError("config", dict(knobs), "made of values of the right types") from error
