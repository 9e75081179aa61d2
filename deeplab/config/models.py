"""Every knob of every network: one frozen value a family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from types import MappingProxyType
from typing import Any, Literal, get_args

from deeplab.errors import ConfigError

# The rows of `deeplab.models.backbones.table`, which this floor cannot import; a test compares.
BACKBONES: tuple[str, ...] = (
    "mobilenet_v2",
    "mobilenet_v3_large_seg",
    "mobilenet_v3_small_seg",
    "mobilenet_edgetpu",
    "nas_pnasnet",
    "nas_hnasnet",
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
# Whose width a depth multiplier sets.
DEPTH_MULTIPLIED: tuple[str, ...] = (
    "mobilenet_v2",
    "mobilenet_v3_large_seg",
    "mobilenet_v3_small_seg",
    "mobilenet_edgetpu",
    "nas_pnasnet",
    "nas_hnasnet",
)
OUTPUT_STRIDES: tuple[int, ...] = (8, 16, 32)
# The output stride of a backbone that has only one.
ONLY_OUTPUT_STRIDE: Mapping[str, int] = MappingProxyType({"nas_hnasnet": 8})
# The stride of the coarsest map, where it lies within the backbone.
INNER_STRIDE: Mapping[str, int] = MappingProxyType({"nas_hnasnet": 32})
DECODER_OUTPUT_STRIDES: tuple[int | None, ...] = (4, 8, None)
MAX_FILTERS = 4096

ImagePooling = Literal["branch", "hard_gate", "gate", "none"]
AsppMerge = Literal["project", "concat"]
DecoderMerge = Literal["concat", "sum"]
DecoderOutput = Literal["features", "logits"]


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(name, value, f"from {low:g} to {high:g}")


def _check_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    # 8.0 and True are equal to whole numbers, and none.
    if value not in choices or type(value) not in map(type, choices):
        *others, last = map(str, choices)
        raise ConfigError(name, value, f"{', '.join(others)} or {last}" if others else last)


def _check_whole(name: str, value: object, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ConfigError(name, value, "a whole number")
    _check_range(name, value, low, high)


def _check_list(name: str, value: object, most: int) -> None:
    if not isinstance(value, tuple):
        raise ConfigError(name, value, "a list")
    if len(value) > most:
        raise ConfigError(name, value, f"at most {most} rates")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepLabV3PlusConfig:
    """The knobs of DeepLabV3+ (Chen et al. 2018, arXiv:1802.02611).

    Attributes:
        label_count: Number of label values, the background included.
        backbone: A row of the backbone table.
        depth_multiplier: Width of a mobilenet or of a nas backbone; the others have 1 only.
        channel_multiple: What the channels of a mobilenet_v2 that is not of width 1 are multiples
            of: 8 in those trained on ImageNet, 1 in TensorFlow 1 DeepLab's own.
        atrous_rates: Rates of the atrous branches, in feature cells; empty for none.
        output_stride: Work pixels per feature cell of the backbone's last map.
        decoder_output_stride: Work pixels per logit, or None for logits at `output_stride`.
        multi_grid: Rates of the last block's convolutions times this: three of xception's, one for
            each unit of resnet's (two of resnet_v1_18, three of the others); empty for 1.
        crop_size: Side in work pixels of the tiles trained on; image pooling averages over as many
            cells wherever the network runs, so that it sees in a slide what it saw in training.
        image_pooling: What becomes of the means over a window: a "branch" of the ASPP, a factor
            of its result from 0 to 1 ("gate", of a sigmoid, or "hard_gate", of straight lines),
            or "none".
        pooling_crop_size: Side in work pixels of the window, if it is smaller than the crop.
        pooling_strides: Feature cells, down and across, from one such window to the next; between
            them means are interpolated. Of no consequence where the window is the crop.
        aspp_filters: Channels of each branch and of their projection.
        aspp_merge: Whether the branches are joined and projected ("project") or only joined.
        decoder_filters: Channels of the decoder's convolutions.
        decoder_merge: Whether low-level features are set beside the others ("concat") or added.
        decoder_output: Whether the decoder ends in features or, without batch norms and
            activations, in the logits themselves.
        low_level_filters: Channels the low-level features are projected to, where they are not
            added, which takes `decoder_filters`.
        dropout: Share of the projected features dropped in training.
        drop_path_keep_prob: Share of the paths in the last cell of a nas backbone that are kept in
            training; earlier cells keep more.
        batch_norm_decay: Share of the moving statistics kept at each training step.
    """

    label_count: int
    backbone: str = "mobilenet_v2"
    depth_multiplier: float = 1.0
    channel_multiple: int = 8
    atrous_rates: tuple[int, ...] = (6, 12, 18)
    output_stride: int = 16
    decoder_output_stride: int | None = 4
    multi_grid: tuple[int, ...] = ()
    crop_size: int = 513
    image_pooling: ImagePooling = "branch"
    pooling_crop_size: int | None = None
    pooling_strides: tuple[int, ...] = (1, 1)
    aspp_filters: int = 256
    aspp_merge: AsppMerge = "project"
    decoder_filters: int = 256
    decoder_merge: DecoderMerge = "concat"
    decoder_output: DecoderOutput = "features"
    # 48 channels: fewer would blur edges, more did not help (Chen 2018, section 4.1).
    low_level_filters: int = 48
    dropout: float = 0.1
    drop_path_keep_prob: float = 1.0
    # The original's 0.9997 suits its 50,000 steps and more; short trainings would never catch up.
    batch_norm_decay: float = 0.99

    def __post_init__(self) -> None:
        _check_whole("label_count", self.label_count, 2, 255)
        self._check_backbone()
        self._check_rates()
        self._check_pooling()
        self._check_decoder()
        for name in ("aspp_filters", "decoder_filters", "low_level_filters"):
            _check_whole(name, getattr(self, name), 1, MAX_FILTERS)
        _check_choice("aspp_merge", self.aspp_merge, get_args(AsppMerge))
        _check_range("dropout", self.dropout, 0, 0.9)
        _check_range("drop_path_keep_prob", self.drop_path_keep_prob, 0.1, 1)
        _check_range("batch_norm_decay", self.batch_norm_decay, 0, 0.99999)

    def _check_backbone(self) -> None:
        if self.backbone not in BACKBONES:
            raise ConfigError("backbone", self.backbone, "one of " + ", ".join(BACKBONES))
        _check_range("depth_multiplier", self.depth_multiplier, 0.1, 4.0)
        if self.depth_multiplier != 1.0 and self.backbone not in DEPTH_MULTIPLIED:
            raise ConfigError("depth_multiplier", self.depth_multiplier, f"1 for {self.backbone}")
        _check_whole("channel_multiple", self.channel_multiple, 1, 64)
        _check_choice("output_stride", self.output_stride, OUTPUT_STRIDES)
        only = ONLY_OUTPUT_STRIDE.get(self.backbone, self.output_stride)
        if self.output_stride != only:
            raise ConfigError("output_stride", self.output_stride, f"{only} for {self.backbone}")

    def _check_pooling(self) -> None:
        _check_whole("crop_size", self.crop_size, 33, 4097)
        _check_choice("image_pooling", self.image_pooling, get_args(ImagePooling))
        if self.pooling_crop_size is not None:
            _check_whole("pooling_crop_size", self.pooling_crop_size, 33, self.crop_size)
        _check_list("pooling_strides", self.pooling_strides, 2)
        if len(self.pooling_strides) != 2:
            raise ConfigError("pooling_strides", self.pooling_strides, "two: down and across")
        for stride in self.pooling_strides:
            _check_whole("pooling_strides", stride, 1, 512)

    def _check_decoder(self) -> None:
        stride = self.decoder_output_stride
        _check_choice("decoder_output_stride", stride, DECODER_OUTPUT_STRIDES)
        _check_choice("decoder_merge", self.decoder_merge, get_args(DecoderMerge))
        _check_choice("decoder_output", self.decoder_output, get_args(DecoderOutput))
        if self.decoder_output == "logits":
            if stride is None:
                raise ConfigError("decoder_output", "logits", "features where there is no decoder")
            if self.decoder_filters != self.label_count:
                should = f"{self.label_count}, one a label, where they are the logits"
                raise ConfigError("decoder_filters", self.decoder_filters, should)

    def _check_rates(self) -> None:
        _check_list("atrous_rates", self.atrous_rates, 8)
        _check_list("multi_grid", self.multi_grid, 8)
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
    def coarsest_stride(self) -> int:
        """Work pixels per cell of the coarsest map: tiles of a multiple of it plus 1 fit all."""
        return max(16, self.output_stride, INNER_STRIDE.get(self.backbone, 0))

    @property
    def crop_cells(self) -> int:
        """Side of the training crop, in feature cells."""
        return (self.crop_size - 1) // self.output_stride + 1

    @property
    def pooling_cells(self) -> int:
        """Side of the image pooling's window, in feature cells."""
        return ((self.pooling_crop_size or self.crop_size) - 1) // self.output_stride + 1

    @property
    def least_weight_count(self) -> int:
        """Numbers that a file of such a network holds at least: those where wide layers meet."""
        branches = 1 + len(self.atrous_rates) + (self.image_pooling == "branch")
        joined, count = branches * self.aspp_filters, 0
        if self.aspp_merge == "project":
            count, joined = joined * self.aspp_filters, self.aspp_filters
        if self.decoder_output_stride is not None and self.decoder_merge == "concat":
            count += joined * self.decoder_filters
        return count


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
