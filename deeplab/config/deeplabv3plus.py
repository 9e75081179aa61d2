"""The knobs of DeepLabV3+."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Self, get_args

from deeplab.config.backbones import BACKBONES, Normalisation, Pixels, pixel_normalisation
from deeplab.config.channels import RGB, Channels
from deeplab.config.checks import check_list, check_range, check_value, check_whole
from deeplab.config.classes import ClassList
from deeplab.config.network_settings import NetworkSettings
from deeplab.errors import ConfigError
from deeplab.geometry.tiling import Tiling

OUTPUT_STRIDES: tuple[int, ...] = (8, 16, 32)
DECODER_OUTPUT_STRIDES: tuple[int | None, ...] = (4, 8, None)
MAX_FILTERS = 4096
PATCH_SIZE = 512  # work pixels: of half a um, a few glomeruli or glands with what is around them
CONVOLUTIONS_REACH = 32  # work pixels

ImagePooling = Literal["branch", "hard_gate", "gate", "none"]
AsppMerge = Literal["project", "concat"]
DecoderMerge = Literal["concat", "sum"]
DecoderOutput = Literal["features", "logits"]
Convolutions = Literal["separable", "full"]
StemPadding = Literal["symmetric", "same"]


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
            each unit of resnet's (two of resnet_18 and resnet_v1_18, three of the others); empty
            for 1.
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
        channels: What the network is shown of a slide.
        stem_padding: How the first convolution of an xception is padded where a side is even: on
            both sides, or behind only ("same"), as Keras does. On sides of 16 k + 1, which all
            tiles of slides have, it is the same.
        convolutions: Whether the atrous branches and the decoder convolve each channel by itself
            and then mix them ("separable"), or all channels at once ("full"), as first published
            in PyTorch: more weights, and more time.
        normalisation: Whether pixels are brought to the values that the backbone learnt with on
            ImageNet, or from 0 to 255 to 0 to 1 and no more.
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
    channels: Channels = RGB
    stem_padding: StemPadding = "symmetric"
    convolutions: Convolutions = "separable"
    normalisation: Pixels = "backbone"

    def __post_init__(self) -> None:
        check_whole("label_count", self.label_count, 2, 255)
        self._check_backbone()
        self._check_rates()
        self._check_pooling()
        self._check_decoder()
        for name in ("aspp_filters", "decoder_filters", "low_level_filters"):
            check_whole(name, getattr(self, name), 1, MAX_FILTERS)
        check_value("aspp_merge", self.aspp_merge, get_args(AsppMerge))
        check_value("convolutions", self.convolutions, get_args(Convolutions))
        check_value("normalisation", self.normalisation, get_args(Pixels))
        check_range("dropout", self.dropout, 0, 0.9)
        check_range("drop_path_keep_prob", self.drop_path_keep_prob, 0.1, 1)
        check_range("batch_norm_decay", self.batch_norm_decay, 0, 0.99999)

    def _check_backbone(self) -> None:
        if self.backbone not in BACKBONES:
            raise ConfigError("backbone", self.backbone, "one of " + ", ".join(BACKBONES))
        check_range("depth_multiplier", self.depth_multiplier, 0.1, 4.0)
        facts = BACKBONES[self.backbone]
        if self.depth_multiplier != 1.0 and not facts.widths:
            raise ConfigError("depth_multiplier", self.depth_multiplier, f"1 for {self.backbone}")
        check_value("stem_padding", self.stem_padding, get_args(StemPadding))
        if self.stem_padding != "symmetric" and not self.backbone.startswith("xception"):
            raise ConfigError("stem_padding", self.stem_padding, f"symmetric for {self.backbone}")
        check_whole("channel_multiple", self.channel_multiple, 1, 64)
        check_value("output_stride", self.output_stride, OUTPUT_STRIDES)
        if self.output_stride not in facts.channels:
            *others, last = map(str, facts.channels)
            should = f"{', '.join(others)} or {last}" if others else last
            raise ConfigError("output_stride", self.output_stride, f"{should} for {self.backbone}")

    def _check_pooling(self) -> None:
        check_whole("crop_size", self.crop_size, 33, 4097)
        check_value("image_pooling", self.image_pooling, get_args(ImagePooling))
        if self.pooling_crop_size is not None:
            check_whole("pooling_crop_size", self.pooling_crop_size, 33, self.crop_size)
        check_list("pooling_strides", self.pooling_strides, 2)
        if len(self.pooling_strides) != 2:
            raise ConfigError("pooling_strides", self.pooling_strides, "two: down and across")
        for stride in self.pooling_strides:
            check_whole("pooling_strides", stride, 1, 512)

    def _check_decoder(self) -> None:
        stride = self.decoder_output_stride
        check_value("decoder_output_stride", stride, DECODER_OUTPUT_STRIDES)
        check_value("decoder_merge", self.decoder_merge, get_args(DecoderMerge))
        check_value("decoder_output", self.decoder_output, get_args(DecoderOutput))
        if self.decoder_output == "logits":
            if stride is None:
                raise ConfigError("decoder_output", "logits", "features where there is no decoder")
            if self.decoder_filters != self.label_count:
                should = f"{self.label_count}, one a label, where they are the logits"
                raise ConfigError("decoder_filters", self.decoder_filters, should)

    def _check_rates(self) -> None:
        check_list("atrous_rates", self.atrous_rates, 8)
        check_list("multi_grid", self.multi_grid, 8)
        for rate in self.atrous_rates:
            check_whole("atrous_rates", rate, 1, 96)
        for rate in self.multi_grid:
            check_whole("multi_grid", rate, 1, 16)
        wanted = BACKBONES[self.backbone].multi_grid_rates
        if self.multi_grid and len(self.multi_grid) != wanted:
            should = f"{wanted} rates, or empty" if wanted else "empty"
            raise ConfigError("multi_grid", self.multi_grid, f"{should} for {self.backbone}")

    @property
    def class_count(self) -> int:
        """Number of classes, without the background."""
        return self.label_count - 1

    @property
    def tiling(self) -> Tiling:
        """The tiles that it takes: corners of all maps lie on the corners of a tile."""
        return Tiling(
            # No map of a backbone is coarser than its last one, but for one with a map within.
            multiple=max(16, self.output_stride, BACKBONES[self.backbone].inner_stride),
            extra=1,
            # Image pooling looks half a training crop far, the convolutions a little farther.
            reach=self.crop_size // 2 + CONVOLUTIONS_REACH,
            logit_stride=self.logit_stride,
            # Two convolutions of 3 x 3; a cell more where features are enlarged.
            decoder_reach=2 * self.logit_stride if self.decoder_output_stride else 0,
        )

    @property
    def pixels(self) -> Normalisation:
        """What becomes of pixel values, by channel."""
        return pixel_normalisation(self.backbone, self.normalisation, self.channels)

    @property
    def logit_stride(self) -> int:
        """Work pixels per logit."""
        return self.decoder_output_stride or self.output_stride

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

    @classmethod
    def from_settings(cls, settings: NetworkSettings, classes: ClassList) -> Self:
        """Make the config that a training asks for.

        Raises:
            ConfigError: a setting or an option is none that this network has, or not possible.
        """
        side = settings.patch_size or cls.suggested_patch_size(settings)
        config = cls(
            label_count=classes.label_count,
            crop_size=side,
            **settings.knobs(cls, told=("label_count", "crop_size")),
        )
        # The cells of every map fit the crop.
        return replace(config, crop_size=config.tiling.round_up(side))

    @staticmethod
    def suggested_patch_size(settings: NetworkSettings) -> int:  # noqa: ARG004  NetworkConfig's
        """Return the side of the patches to train on where none is asked for, work pixels."""
        return PATCH_SIZE

    @staticmethod
    def original_recipe(steps: int) -> Mapping[str, Any]:  # noqa: ARG004  NetworkConfig's
        """Return the authors': momentum, a poly policy after a slow start, no average of weights.

        Biases learn twice as fast as the rest, the layers of the classes ten times.
        """
        return {
            "optimizer": "momentum",
            "learning_policy": "poly",
            "learning_rate": 7e-4,
            "slow_start_step": 1000,
            "clip_norm": 0.0,
            "ema_decay": 0.0,
            "bias_gradient_multiplier": 2.0,
            "last_layer_gradient_multiplier": 10.0,
        }

    def describe(self) -> str:
        """Say in words which network this is."""
        rates = ", ".join(map(str, self.atrous_rates))
        said = f"DeepLabV3+ on {self.backbone}, output stride {self.output_stride}"
        said += f", atrous rates {rates}" if rates else ", no atrous branches"
        stride = self.decoder_output_stride
        return said + (f", decoder at stride {stride}" if stride else ", no decoder")
