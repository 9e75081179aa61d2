"""What networks have in common whose decoder doubles the encoder's map step by step, with skips."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self, get_args

from deeplab.config.backbones import BACKBONES, Normalisation, Pixels, pixel_normalisation
from deeplab.config.channels import RGB, Channels
from deeplab.config.checks import check_list, check_range, check_value, check_whole
from deeplab.config.classes import ClassList
from deeplab.config.network_settings import NetworkSettings
from deeplab.errors import ConfigError
from deeplab.geometry.tiling import Tiling

Attention = Literal["none", "scse"]
Head = Literal["softmax", "sigmoid"]
DECODER_CHANNELS = (256, 128, 64, 32, 16)  # from the coarsest map on, where nothing is asked
DEPTHS = (3, 5)
MAX_CHANNELS = 1024
SCSE_CHANNELS = 16  # at least: a sixteenth of them stand between the convolutions of a gate
PATCH_SIZE = 512  # work pixels
ATROUS_STRIDE = 16  # at which some backbones end in their last map though they have a tap there
# How far from a pixel its answer is decided, in work pixels, by how often the encoder halves the
# tile or, run atrous, would. The convolutions look farther, and their outermost weights hardly
# count: so far from a tile's end, logits of a U-Net++ of random weights (resnet_50, depth 5)
# differed by less than a thousandth of their deviation. Gates look half a training crop farther,
# and one after another farther than any halo: with scSE one label in ten thousand differed
# (resnet_101, depth 3). Of random weights, with statistics measured on tissue, at depth 5 no
# label differed beyond 288 pixels with mobilenet_v2, mobilenet_v3_large_seg and resnet_v1_50, but
# of 10,000 labels 7 with xception_41, 31 with efficientnet_lite0 and 52 with
# timm_efficientnet_lite0; beyond 352 less than 1, 4 and 13.
REACH: Mapping[int, int] = {3: 96, 4: 160, 5: 288}
FAR_REACH: Mapping[int, int] = {3: 128, 4: 224, 5: 416}  # of encoders that look farther


@dataclass(frozen=True, slots=True, kw_only=True)
class SkipDecoderConfig:
    """The knobs of an encoder with a decoder that takes in its finer maps.

    Attributes:
        label_count: Number of label values, the background included.
        backbone: A row of the backbone table that has a map at each stride down to 2 ** depth.
        depth_multiplier: Width of a mobilenet or of a nas backbone; the others have 1 only.
        depth: How often the encoder halves a tile, and the decoder doubles its map.
        decoder_channels: Of the map that each doubling ends in, from the coarsest on; as many as
            `depth`, or none for 256, 128, 64, 32, 16 as far as there are doublings.
        attention: What gates a doubled map before and after its convolutions.
        head: "softmax" for a logit a label, "sigmoid" for one that tells a single class from the
            background.
        channels: What the network is shown of a slide.
        normalisation: Whether pixels are brought to the values that the backbone learnt with on
            ImageNet, or from 0 to 255 to 0 to 1 and no more.
        crop_size: Side in work pixels of the patches trained on; means that gate features are over
            as much wherever the network runs, so that it sees in a slide what it saw in training.
        batch_norm_decay: Share of the moving statistics kept at each training step.
    """

    TITLE: ClassVar[str]

    label_count: int
    backbone: str = "mobilenet_v2"
    depth_multiplier: float = 1.0
    depth: int = 4
    decoder_channels: tuple[int, ...] = ()
    attention: Attention = "none"
    head: Head = "softmax"
    channels: Channels = RGB
    normalisation: Pixels = "backbone"
    crop_size: int = PATCH_SIZE
    batch_norm_decay: float = 0.99

    def __post_init__(self) -> None:
        check_whole("label_count", self.label_count, 2, 255)
        check_whole("depth", self.depth, *DEPTHS)
        self._check_backbone()
        self._check_decoder()
        check_value("head", self.head, get_args(Head))
        if self.head == "sigmoid" and self.label_count != 2:
            raise ConfigError("head", self.head, f"softmax for {self.class_count} classes")
        check_value("normalisation", self.normalisation, get_args(Pixels))
        check_whole("crop_size", self.crop_size, 32, 4096)
        if not self.tiling.accepts(self.crop_size):
            raise ConfigError("crop_size", self.crop_size, self.tiling.rule)
        check_range("batch_norm_decay", self.batch_norm_decay, 0, 0.99999)

    def _check_backbone(self) -> None:
        able = tuple(name for name in BACKBONES if depths_of(name))
        if self.backbone not in BACKBONES:
            raise ConfigError("backbone", self.backbone, f"one of {', '.join(able)}")
        depths = depths_of(self.backbone)
        if not depths:
            lacking = missing_strides(self.backbone, min(DEPTHS))[0]
            must = f"one with a map at stride {lacking}, such as {', '.join(able)}"
            raise ConfigError("backbone", self.backbone, must)
        if self.depth not in depths:
            must = f"{' or '.join(map(str, depths))} for {self.backbone}, whose maps "
            raise ConfigError("depth", self.depth, f"{must}end at stride {2 ** max(depths)}")
        check_range("depth_multiplier", self.depth_multiplier, 0.1, 4.0)
        if self.depth_multiplier != 1.0 and not BACKBONES[self.backbone].widths:
            raise ConfigError("depth_multiplier", self.depth_multiplier, f"1 for {self.backbone}")

    def _check_decoder(self) -> None:
        check_value("attention", self.attention, get_args(Attention))
        check_list("decoder_channels", self.decoder_channels, MAX_CHANNELS)
        if not self.decoder_channels:
            usual = DECODER_CHANNELS[: self.depth]
            object.__setattr__(self, "decoder_channels", usual)
        if len(self.decoder_channels) != self.depth:
            must = f"{self.depth} numbers, one for each doubling, or none"
            raise ConfigError("decoder_channels", self.decoder_channels, must)
        least = SCSE_CHANNELS if self.attention == "scse" else 1
        for count in self.decoder_channels:
            check_whole("decoder_channels", count, least, MAX_CHANNELS)

    @property
    def class_count(self) -> int:
        """Number of classes, without the background."""
        return self.label_count - 1

    @property
    def pixels(self) -> Normalisation:
        """What becomes of pixel values, by channel.

        Of other channels than red, green and blue each is taken for the mean of these.
        """
        return pixel_normalisation(self.backbone, self.normalisation, self.channels)

    @property
    def encoder_stride(self) -> int:
        """The output stride at which the encoder is built, so that it has the maps."""
        facts = BACKBONES[self.backbone]
        coarsest: int = 2**self.depth
        if coarsest not in facts.taps or (facts.atrous and coarsest == ATROUS_STRIDE):
            return coarsest
        return max(facts.channels)

    @property
    def logit_stride(self) -> int:
        """Work pixels per logit."""
        return 1

    @property
    def tiling(self) -> Tiling:
        """The tiles that it takes."""
        facts = BACKBONES[self.backbone]
        # Atrous convolutions of a last map at stride 16 look as far as plain ones at 32.
        seen = DEPTHS[1] if facts.atrous and 2**self.depth == ATROUS_STRIDE else self.depth
        gated = self.attention != "none" or facts.gated
        reach = (FAR_REACH if facts.far else REACH)[seen] + (self.crop_size // 2 if gated else 0)
        # Gates look at means over windows, and so farther than the convolutions around them.
        decoder_reach = 0 if self.attention != "none" else self.decoder_reach
        return Tiling(
            multiple=2**self.depth,
            extra=0,
            reach=reach,
            logit_stride=1,
            decoder_reach=decoder_reach,
        )

    @property
    def decoder_reach(self) -> int:
        """How far the decoder's convolutions look at most, work pixels, and the one of the logits.

        There are two of 3 x 3 behind each doubling.
        """
        return 1 + 2 * sum(1 << level for level in range(self.depth))

    @property
    def least_weight_count(self) -> int:
        """Numbers that a file of such a network holds at least: those where wide layers meet."""
        return sum(9 * count * count for count in self.decoder_channels)

    @classmethod
    def from_settings(cls, settings: NetworkSettings, classes: ClassList) -> Self:
        """Make the config that a training asks for.

        Raises:
            ConfigError: a setting or an option is none that this network has, or not possible.
        """
        side = settings.patch_size or cls.suggested_patch_size(settings)
        knobs = settings.knobs(cls, told=("label_count", "crop_size"))
        config = cls(label_count=classes.label_count, **knobs)
        return replace(config, crop_size=config.tiling.round_up(side))

    @staticmethod
    def suggested_patch_size(settings: NetworkSettings) -> int:  # noqa: ARG004  NetworkConfig's
        """Return the side of the patches to train on where none is asked for, work pixels."""
        return PATCH_SIZE

    @staticmethod
    def original_recipe(steps: int) -> Mapping[str, Any]:  # noqa: ARG004  NetworkConfig's
        """Return a DEDL study's: AdamW, a rate of 3.6e-4, a little decay, no average of weights.

        Its rate was meant to fall as a cosine does, and did not for want of a right length; here
        it does.
        """
        return {
            "optimizer": "adamw",
            "weight_decay": 1e-5,
            "learning_policy": "cosine",
            "learning_rate": 3.6e-4,
            "slow_start_step": 0,
            "clip_norm": 0.0,
            "ema_decay": 0.0,
        }

    def describe(self) -> str:
        """Say in words which network this is."""
        channels = " ".join(map(str, self.decoder_channels))
        said = f"{self.TITLE} on {self.backbone}, depth {self.depth}, decoder {channels}"
        said += ", scSE attention" if self.attention == "scse" else ""
        shown = ", ".join(self.channels.names)
        return said if self.channels == RGB else f"{said}, of {shown}"


def missing_strides(backbone: str, depth: int) -> tuple[int, ...]:
    """Return the strides down to 2 ** depth at which a backbone has no map."""
    facts = BACKBONES[backbone]
    there = {*facts.taps, *(stride for stride in facts.channels if stride == 2**depth)}
    return tuple(2**level for level in range(1, depth + 1) if 2**level not in there)


def depths_of(backbone: str) -> tuple[int, ...]:
    """Return how often a decoder over a backbone can double its map: to the tile's size."""
    least, most = DEPTHS
    return tuple(at for at in range(least, most + 1) if not missing_strides(backbone, at))
