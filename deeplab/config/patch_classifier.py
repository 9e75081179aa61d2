"""The knobs of a network that says of a whole patch which classes it shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self, get_args

from deeplab.config.backbones import BACKBONES, STANDARDISED, ZERO_TO_ONE, Normalisation
from deeplab.config.channels import RGB, Channels
from deeplab.config.checks import check_choice, check_range, check_whole
from deeplab.config.classes import ClassList
from deeplab.config.network_settings import NetworkSettings
from deeplab.config.patch_encoders import (
    PATCH_ENCODERS,
    ConvNextFacts,
    PatchEncoder,
    Problem,
    ResNet38Facts,
    VitFacts,
)
from deeplab.errors import ConfigError
from deeplab.geometry.tiling import Tiling

CNN_STRIDE, CNN_SIDE = 32, 256
CNNS = tuple(name for name, facts in BACKBONES.items() if CNN_STRIDE in facts.channels)
MAX_CLASSES = 254  # labels are bytes: 0 is none of them, 255 is not known
MOST_LEARNT = 32  # classes; an imported network may have more
ENCODERS = (*CNNS, *PATCH_ENCODERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchClassifierConfig:
    """The knobs of a patch classifier: an encoder, the mean of its features, one layer.

    Attributes:
        classes: How many it tells apart; there is no background.
        crop_size: Side in work pixels of a patch, a multiple of what the encoder needs.
        problem: "multi_class": a patch is of one class; "multi_label": of any number of them.
        backbone: A row of the backbones with a map at stride 32, or of the patch encoders.
        depth_multiplier: Width of a backbone that has several.
        least_cover: Share of a patch that outlines of a class cover where the patch has the class.
        dropout: Share of the pooled features left out in training.
        attention_epoch: Steps of an epoch of progressive dropout attention (Han et al. 2022), in
            which a training leaves out of the features what speaks most for each class, and more of
            it from epoch to epoch; 0: there is none.
        attention_start: Epochs before it begins.
        attention_gamma: Share of a class's highest activation from which on all is left out.
        attention_decay: What that share is multiplied by at the end of each epoch.
        attention_floor: The share falls no further once it is that or below.
        taps: Layers of which pseudo masks are made, from fine to coarse; none: those of the
            encoder's publication, or the last maps of its three coarsest sizes.
        frozen: Beginnings of the names of layers that a training leaves as they are.
        batch_norm_decay: Share of the moving statistics kept at each training step.
        channels: What the network is shown of a slide.
    """

    classes: int
    crop_size: int
    problem: Problem
    backbone: str
    depth_multiplier: float = 1.0
    least_cover: float = 0.25
    dropout: float = 0.0
    attention_epoch: int = 0
    attention_start: int = 3
    attention_gamma: float = 1.0
    attention_decay: float = 0.98
    attention_floor: float = 0.65
    taps: tuple[str, ...] = ()
    frozen: tuple[str, ...] = ()
    batch_norm_decay: float = 0.99
    channels: Channels = RGB

    def __post_init__(self) -> None:
        check_whole("classes", self.classes, 1, MAX_CLASSES)
        check_choice("problem", self.problem, get_args(Problem))
        if self.problem == "multi_class" and self.classes < 2:
            must = "multi_label for a single class"
            raise ConfigError("problem", self.problem, must)
        if self.backbone not in ENCODERS:
            raise ConfigError("backbone", self.backbone, "one of " + ", ".join(ENCODERS))
        facts = BACKBONES.get(self.backbone)
        check_range("depth_multiplier", self.depth_multiplier, 0.1, 4.0)
        if self.depth_multiplier != 1.0 and not (facts and facts.widths):
            raise ConfigError("depth_multiplier", self.depth_multiplier, f"1 for {self.backbone}")
        check_whole("crop_size", self.crop_size, 32, 4096)
        if self.crop_size % self.cell:
            must = f"a multiple of {self.cell} for {self.backbone}"
            raise ConfigError("patch_size", self.crop_size, must)
        check_range("least_cover", self.least_cover, 0.001, 1)
        check_range("dropout", self.dropout, 0, 0.9)
        check_range("batch_norm_decay", self.batch_norm_decay, 0, 0.99999)
        self._check_attention()

    def _check_attention(self) -> None:
        check_whole("attention_epoch", self.attention_epoch, 0, 10**9)
        check_whole("attention_start", self.attention_start, 0, 10**6)
        for name in ("attention_gamma", "attention_decay", "attention_floor"):
            check_range(name, getattr(self, name), 0.01, 1)
        if self.attention_epoch and not self.reads_the_mean:
            must = f"0 for {self.backbone}, which reads classes from more than the mean of a map"
            raise ConfigError("attention_epoch", self.attention_epoch, must)

    @property
    def encoder(self) -> PatchEncoder | None:
        """The facts of an encoder of whole patches; None for a backbone."""
        return PATCH_ENCODERS.get(self.backbone)

    @property
    def excludes(self) -> bool:
        """Whether a patch is of one class."""
        return self.problem == "multi_class"

    @property
    def cell(self) -> int:
        """Side of the coarsest cell of its maps, work pixels."""
        return self.encoder.multiple if self.encoder else CNN_STRIDE

    @property
    def normalisation(self) -> Normalisation:
        """What is done to pixels before the encoder gets them."""
        if self.encoder is None:
            told = BACKBONES[self.backbone].normalisation
        else:
            told = ZERO_TO_ONE if isinstance(self.encoder, ResNet38Facts) else STANDARDISED
        return told.of(self.channels)

    @property
    def reads_the_mean(self) -> bool:
        """Whether classes are read from the mean of the last map, and so from each of its cells."""
        return not isinstance(self.encoder, ConvNextFacts | VitFacts)

    @property
    def logit_bias(self) -> bool:
        """Whether a constant is added to the logits: not in the published ResNet38-d."""
        return not isinstance(self.encoder, ResNet38Facts)

    @property
    def class_count(self) -> int:
        """Number of classes; there is no background."""
        return self.classes

    @property
    def tiling(self) -> Tiling:
        """A patch and nothing else, at any place."""
        return Tiling(multiple=1, extra=0, reach=0, logit_stride=1, only=self.crop_size)

    @property
    def least_weight_count(self) -> int:
        """Numbers that a file of such a network holds at least: those where wide layers meet."""
        if self.encoder:
            return self.encoder.weight_count
        channels = BACKBONES[self.backbone].channels[CNN_STRIDE]
        return round(channels * min(1.0, self.depth_multiplier)) * self.classes

    @classmethod
    def from_settings(cls, settings: NetworkSettings, classes: ClassList) -> Self:
        """Make the config that a training asks for.

        Several classes exclude each other unless the options say "problem=multi_label".

        Raises:
            ConfigError: a setting or an option is none that this network has, or not possible.
        """
        knobs = settings.knobs(cls, told=("classes", "crop_size"))
        knobs.setdefault("problem", "multi_class" if len(classes) > 1 else "multi_label")
        if len(classes) > MOST_LEARNT:
            must = f"at most {MOST_LEARNT} names for a patch classifier that learns"
            raise ConfigError("classes", len(classes), must)
        side = settings.patch_size or suggested_side(knobs["backbone"])
        return cls(classes=len(classes), crop_size=side, **knobs)

    @staticmethod
    def suggested_patch_size(settings: NetworkSettings) -> int:
        """Return the side of the patches to train on where none is asked for, work pixels.

        Raises:
            ConfigError: an option is none that this network has, or not possible.
        """
        knobs = settings.knobs(PatchClassifierConfig, told=("classes", "crop_size"))
        return suggested_side(knobs["backbone"])

    @staticmethod
    def original_recipe(steps: int) -> Mapping[str, Any]:  # noqa: ARG004  as of every network
        """Return the study's, DEDL's: Adam at 3e-4 that falls along a cosine, and a focal loss."""
        return {
            "optimizer": "adamw",
            "weight_decay": 0.0,
            "learning_rate": 3e-4,
            "slow_start_step": 0,
            "loss": "focal",
            "clip_norm": 0.0,
            "ema_decay": 0.0,
        }

    def describe(self) -> str:
        """Say in words which network this is."""
        kind = "one of them a patch" if self.problem == "multi_class" else "any of them a patch"
        count = f"{self.classes} classes" if self.classes > 1 else "one class"
        return f"a patch classifier on {self.backbone}, {count}, {kind}, {self.crop_size} pixels"


def suggested_side(backbone: str) -> int:
    """Return the side of the patches that suit an encoder, pixels."""
    encoder = PATCH_ENCODERS.get(backbone)
    return encoder.side if encoder else CNN_SIDE
