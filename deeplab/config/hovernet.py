"""The knobs of HoVer-Net."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, Self, get_args

from deeplab.config.backbones import BACKBONES
from deeplab.config.channels import RGB, Channels
from deeplab.config.checks import check_range, check_value, check_whole
from deeplab.config.classes import ClassList
from deeplab.config.network_settings import NetworkSettings
from deeplab.config.nuclei import Convention, Gradients
from deeplab.errors import ConfigError
from deeplab.geometry.tiling import Tiling

Mode = Literal["original", "fast", "light"]
PREACT = "preact_resnet50"  # the encoder of the published networks
LIGHT_STRIDES = (2, 4, 8)  # of the finer maps that a light decoder takes in
LIGHT_STRIDE = 16  # of an encoder's last map in a light network
MAX_WIDTH = 1024
# Of tiles of the published networks, which keep 256 channels at full resolution: a segmentation
# takes 2.9 GB in float32, of which 3 kB a pixel of the tile, and 1.7 GB in bfloat16.
PREACT_SIDE = 832


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How large the convolutions of a mode are, and what of a tile it so answers.

    Attributes:
        kernel: Side of the decoder's convolutions.
        tiling: The tiles that it takes.
        crop_size: Side of the patches that it was published with, or that suit it.
    """

    kernel: int
    tiling: Tiling
    crop_size: int


# Two convolutions of 3 x 3 at strides 8, 4 and 2, and the last doubling.
LIGHT_DECODER_REACH = 2 * (8 + 4 + 2) + 1
# A nucleus that begins where a tile's answer is kept must be answered whole.
MOST_RADIUS = 64  # work pixels

# The decoders of the published networks do not pad, so that they answer less than they read. The
# encoder's convolutions do, and look 56 pixels farther, of which the outer ones hardly count; the
# radius of a nucleus is farther than they matter.
FORMS: Mapping[Mode, Form] = MappingProxyType(
    {
        "original": Form(
            kernel=5,
            tiling=Tiling(
                multiple=8, extra=6, reach=128, logit_stride=1, margin=95, usual=PREACT_SIDE
            ),
            crop_size=270,
        ),
        "fast": Form(
            kernel=3,
            tiling=Tiling(
                multiple=8, extra=0, reach=80, logit_stride=1, margin=46, usual=PREACT_SIDE
            ),
            crop_size=256,
        ),
        # About as far as efficientnet_lite0 and the decoder look. Cut at 80, a nucleus in twenty of
        # a slide had another outline, or none, where tiles were of another size; at 288 one in 250.
        "light": Form(
            kernel=3,
            tiling=Tiling(
                multiple=16,
                extra=0,
                reach=288,
                logit_stride=1,
                usual=2560,
                decoder_reach=LIGHT_DECODER_REACH + MOST_RADIUS,
            ),
            crop_size=256,
        ),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HoverNetConfig:
    """The knobs of HoVer-Net (Graham et al. 2019, arXiv:1812.06499).

    Attributes:
        type_count: Types of nuclei that it tells apart, the background not counted; 0: none.
        mode: "original" (270 to 80 pixels) or "fast" (256 to 164), both of the encoder
            preact_resnet50; or "light", whose decoders are narrower and pad, of any encoder with
            maps at strides 2, 4, 8 and 16.
        backbone: A row of the backbone table.
        depth_multiplier: Width of a backbone that has several.
        decoder_width: Channels of a light decoder at stride 8; half as many at 4, a quarter at 2.
        crop_size: Side in work pixels of the patches trained on.
        convention: How nuclei become the hv maps and these become nuclei again.
        gradients: Derivatives of the hv maps that the loss compares.
        edge_kernel: Side of the filters that find where hv maps fall, work pixels, odd.
        batch_norm_decay: Share of the moving statistics kept at each training step.
        channels: What the network is shown of a slide.
    """

    type_count: int
    mode: Mode = "light"
    backbone: str = "mobilenet_v2"
    depth_multiplier: float = 1.0
    decoder_width: int = 96
    crop_size: int = 256
    convention: Convention = "local"
    gradients: Gradients = "same_axis"
    edge_kernel: int = 7
    batch_norm_decay: float = 0.99
    channels: Channels = RGB

    def __post_init__(self) -> None:
        check_whole("type_count", self.type_count, 0, 254)
        check_value("mode", self.mode, get_args(Mode))
        self._check_backbone()
        check_whole("decoder_width", self.decoder_width, 8, MAX_WIDTH)
        if self.decoder_width % 4:
            raise ConfigError("decoder_width", self.decoder_width, "a multiple of 4")
        check_whole("crop_size", self.crop_size, 32, 4096)
        if not self.tiling.accepts(self.crop_size):
            raise ConfigError("crop_size", self.crop_size, self.tiling.rule)
        check_value("convention", self.convention, get_args(Convention))
        check_value("gradients", self.gradients, get_args(Gradients))
        check_whole("edge_kernel", self.edge_kernel, 3, 31)
        if self.edge_kernel % 2 == 0:
            raise ConfigError("edge_kernel", self.edge_kernel, "odd")
        check_range("batch_norm_decay", self.batch_norm_decay, 0, 0.99999)

    def _check_backbone(self) -> None:
        if self.mode != "light":
            check_value("backbone", self.backbone, (PREACT,))
        elif self.backbone not in LIGHT_BACKBONES:
            raise ConfigError("backbone", self.backbone, "one of " + ", ".join(LIGHT_BACKBONES))
        check_range("depth_multiplier", self.depth_multiplier, 0.1, 4.0)
        if self.depth_multiplier != 1.0 and not BACKBONES[self.backbone].widths:
            raise ConfigError("depth_multiplier", self.depth_multiplier, f"1 for {self.backbone}")

    @property
    def class_count(self) -> int:
        """Number of classes, without the background: one, nuclei, where types are not told."""
        return max(1, self.type_count)

    @property
    def tiling(self) -> Tiling:
        """The tiles that it takes and how much of one it answers."""
        return FORMS[self.mode].tiling

    @property
    def margin(self) -> int:
        """Pixels at each side of a tile that the network does not answer."""
        return self.tiling.margin

    @property
    def kernel(self) -> int:
        """Side of the decoder's convolutions."""
        return FORMS[self.mode].kernel

    @property
    def branches(self) -> tuple[tuple[str, int], ...]:
        """Names and channels of the outputs: nuclei, distances and, where told, types."""
        types = (("tp", self.type_count + 1),) if self.type_count else ()
        return (("np", 2), ("hv", 2), *types)

    @property
    def least_weight_count(self) -> int:
        """Numbers that a file of such a network holds at least: those where wide layers meet."""
        count = len(self.branches)
        if self.mode == "light":
            return count * 9 * self.decoder_width * self.decoder_width
        # The encoder's widest convolutions, and those that each branch begins with.
        return 20_000_000 + count * self.kernel**2 * 1024 * 256

    @classmethod
    def from_settings(cls, settings: NetworkSettings, classes: ClassList) -> Self:
        """Make the config that a training asks for.

        A single class is that of all nuclei, so that there are no types to be told apart.

        Raises:
            ConfigError: a setting or an option is none that this network has, or not possible.
        """
        knobs = _knobs(settings)
        form = FORMS[knobs["mode"]]
        return cls(
            type_count=len(classes) if len(classes) > 1 else 0,
            crop_size=form.tiling.round_up(settings.patch_size or form.crop_size),
            **knobs,
        )

    @staticmethod
    def suggested_patch_size(settings: NetworkSettings) -> int:
        """Return the side of the patches to train on where none is asked for, work pixels.

        Raises:
            ConfigError: an option is none that this network has, or not possible.
        """
        return FORMS[_knobs(settings)["mode"]].crop_size

    @staticmethod
    def original_recipe(steps: int) -> Mapping[str, Any]:
        """Return the authors': Adam in two phases of 50 epochs, the encoder frozen in the first.

        In each phase the rate falls to a tenth after 25 epochs; all losses weigh the same. AdamW
        without decay is Adam.
        """
        phase = math.ceil(steps / 2)
        return {
            "optimizer": "adamw",
            "weight_decay": 0.0,
            "learning_policy": "step",
            "learning_rate": 1e-4,
            "slow_start_step": 0,
            "learning_rate_decay_step": math.ceil(phase / 2),
            "learning_rate_decay_factor": 0.1,
            "freeze_encoder_steps": steps - phase,
            "clip_norm": 0.0,
            "ema_decay": 0.0,
            "dice_weight": 1.0,
        }

    def describe(self) -> str:
        """Say in words which network this is."""
        types = f"{self.type_count} types" if self.type_count else "no types"
        said = f"HoVer-Net ({self.mode}) on {self.backbone}, {types}"
        return f"{said}, decoder width {self.decoder_width}" if self.mode == "light" else said


def _knobs(settings: NetworkSettings) -> dict[str, Any]:
    """Return the knobs that a training asks for, with the mode that follows from them.

    Raises:
        ConfigError: a setting or an option is none that this network has.
    """
    knobs = settings.knobs(HoverNetConfig, told=("type_count", "crop_size"))
    knobs.setdefault("mode", "fast" if knobs["backbone"] == PREACT else "light")
    check_value("mode", knobs["mode"], get_args(Mode))
    return knobs


LIGHT_BACKBONES = tuple(
    name
    for name, facts in BACKBONES.items()
    if LIGHT_STRIDE in facts.channels and all(stride in facts.taps for stride in LIGHT_STRIDES)
)
