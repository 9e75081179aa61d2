"""What a training is asked to do: groups of settings, one for each room that acts on them.

The groups are joined into one flat, frozen value, checked when it is made; the task form
(`slicer_cli_spec/TrainNetwork.xml`) offers these fields with these defaults.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from deeplab.config.checks import (
    Checked,
    check_at_least,
    check_choice,
    check_girder_id,
    check_kind_of_file,
    check_range,
)
from deeplab.config.classes import ClassList, parse_colour
from deeplab.config.families import (
    Recipe,
    Task,
    class_weight_count,
    network_config,
    recipe_settings,
    suggested_patch_size,
    task_of,
)
from deeplab.config.network_settings import NetworkSettings
from deeplab.config.plan_settings import PLANNED, PlanSettings
from deeplab.config.requests import Posting
from deeplab.errors import ConfigError

Activation = Literal["relu", "gelu"]
Balance = Literal["equal", "area"]
Companion = Literal["none", "autoencoder"]
DataSampler = Literal["classes", "surf", "radboud"]
Keep = Literal["best", "last"]
LearningPolicy = Literal["cosine", "poly", "step"]
Optimizer = Literal["adamw", "momentum"]
PixelLoss = Literal["cross_entropy", "focal"]
Precision = Literal["float32", "mixed_bfloat16", "mixed_float16"]
ReducePrecision = Literal["float32", "bfloat16", "float16"]
# What says which classes there are: outlines on slides, or of whole images a table, their folders
# or their names.
LabelSource = Literal["outlines", "table", "folders", "names"]
MaskValues = Literal["from_one", "from_zero"]
Unannotated = Literal["background", "ignore"]

LABELLED = re.compile(r"(?P<layer>\S.*?):(?P<label>\d+)(?:\s+|$)")  # of label_map
CENTRES, ALL_CENTRES = 5, -1  # of CAMELYON17
MAX_LEVEL = 12  # halvings of level 0: no slide has more
MAX_FOLDS = 16  # as many networks average their probabilities
AS_AUGMENT = -1.0  # a single augmentation's strength: that of all


@dataclass(frozen=True, kw_only=True)
class SourceSettings(Checked):
    """What to learn, and from what.

    Attributes:
        source: folder of slides with annotations or label masks beside them, a list file (CSV
            with columns slide, annotation and, if known, mpp, patient and split), or the id of a
            Girder folder whose items carry live annotations.
        classes: names of the layers to learn, in the order of their labels; where layers overlap
            the later class wins.
        aliases: other names of classes, as "name=class": "Tumor=tumour".
        label_map: layers by their labels, each "layer:label" as "_2:1", also
            several with blanks between: 0 is the background, and
            layers of it are places to draw it from; 1, 2, ... are the classes in their order.
        colours: of the classes, as "#rrggbb"; empty: those of the annotations.
        ignore_class: a layer that is left out of the loss, drawn over all others.
        unannotated: what tissue is that nobody drew on: "background", or "ignore" for unknown;
            glass is background.
        exhaustive_layer: a layer whose shapes bound the regions in which everything was drawn:
            inside of them what is not drawn is background, outside it is ignored.
        untyped_layer: a layer of objects that are of one of the classes, nobody knows of which:
            networks of objects learn from them that they are, and no network of which class.
        labels: what says the classes: "outlines" on slides; or, of images that are labelled as a
            whole, a "table" (CSV with the columns file and label, or one a class; in Girder it lies
            beside them), the "folders" that they lie in, or numbers in their "names". For networks
            that classify patches.
        slide_mpp: um per level-0 pixel, where slides do not say it or say it wrong.
        label_path: folder of the annotations or label masks, called as the slides are, where they
            do not lie beside these; None: they do.
        mask_values: what the values of label masks mean that do not name them: "from_one" that 1,
            2, ... are the classes and 0 the background; "from_zero" that 0, 1, ... are the classes
            and one more than the last is none of them, which is the background where it is learnt
            and is not judged where slides are held out by `valid_slide_path`.
        dry_run: only say what there is to learn from; nothing is trained or written.
        api_url: of the Girder server that holds the data.
        token: for it.
    """

    source: str
    classes: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    label_map: tuple[str, ...] = ()
    colours: tuple[str, ...] = ()
    ignore_class: str = "ignore"
    unannotated: Unannotated = "background"
    exhaustive_layer: str = ""
    untyped_layer: str = ""
    labels: LabelSource = "outlines"
    slide_mpp: float = 0.0
    label_path: Path | None = None
    mask_values: MaskValues = "from_one"
    dry_run: bool = False
    api_url: str = ""
    token: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.api_url:
            check_girder_id("source", self.source, "a folder")
        if not self.classes:
            raise ConfigError("classes", "", "at least one name")
        if len(set(self.classes)) != len(self.classes):
            raise ConfigError("classes", ", ".join(self.classes), "different names")
        if self.ignore_class in self.classes:
            raise ConfigError("ignore_class", self.ignore_class, "none of the classes")
        if self.exhaustive_layer and self.exhaustive_layer in (*self.classes, self.ignore_class):
            raise ConfigError(
                "exhaustive_layer", self.exhaustive_layer, "a layer of its own, not a class"
            )
        self._check_untyped()
        check_choice("unannotated", self.unannotated, get_args(Unannotated))
        check_choice("labels", self.labels, get_args(LabelSource))
        check_choice("mask_values", self.mask_values, get_args(MaskValues))
        check_at_least("slide_mpp", self.slide_mpp, 0)
        self._check_aliases()
        self._check_label_map()
        self._check_label_path()
        if self.colours and len(self.colours) != len(self.classes):
            raise ConfigError("colours", ",".join(self.colours), "one for each class")
        for colour in self.colours:
            try:
                parse_colour(colour)
            except ConfigError as error:
                raise ConfigError("colours", colour, error.must) from None

    def _check_untyped(self) -> None:
        name, others = self.untyped_layer, (self.ignore_class, self.exhaustive_layer)
        if name and name in (*self.classes, *others):
            raise ConfigError("untyped_layer", name, "a layer of its own, not a class")
        if name and len(self.classes) == 1:
            must = f"empty: all objects are {self.classes[0]}; set aliases to take in other layers"
            raise ConfigError("untyped_layer", name, must)

    @property
    def labelled_layers(self) -> Iterator[tuple[str, int]]:
        """The layers of `label_map` and their labels."""
        for entry in self.label_map:
            for found in LABELLED.finditer(entry.strip()):
                yield found["layer"], int(found["label"])

    def _check_label_path(self) -> None:
        if self.label_path and (self.api_url or self.labels != "outlines"):
            must = "left away where slides are on a Girder server, or images labelled as a whole"
            raise ConfigError("label_path", self.label_path, must)

    def _check_label_map(self) -> None:
        layers = dict(self.labelled_layers)
        is_whole = all(not LABELLED.sub("", entry.strip()) for entry in self.label_map)
        if not is_whole or len(layers) < len(list(self.labelled_layers)):
            must = "layer:label for each layer once, as _0:0 _2:1"
            raise ConfigError("label_map", " ".join(self.label_map), must)
        for layer, label in layers.items():
            if label > len(self.classes):
                must = f"labels of 0 to {len(self.classes)}, the number of classes"
                raise ConfigError("label_map", f"{layer}:{label}", must)
        if 0 in layers.values() and self.exhaustive_layer:
            must = "without label 0 where an exhaustive_layer says what is background"
            raise ConfigError("label_map", " ".join(self.label_map), must)

    def _check_aliases(self) -> None:
        known = (*self.classes, self.ignore_class)
        known += (self.untyped_layer,) if self.untyped_layer else ()
        taken = dict(zip(known, known, strict=True)) | {self.exhaustive_layer: ""}
        for alias in self.aliases:
            other, name = (part.strip() for part in alias.partition("=")[::2])
            if not other or name not in known:
                raise ConfigError("aliases", alias, "name=class, with one of the classes")
            if taken.setdefault(other, name) != name:
                raise ConfigError("aliases", alias, f"of a name that means nothing else: {other}")


@dataclass(frozen=True, kw_only=True)
class StartSettings(Checked):
    """What to start from.

    Attributes:
        initial_model: bundle, TensorFlow 1 checkpoint or Keras application weights file.
        init_last_layer: take the layers of the classes from it, too, where they fit.
        last_layers_contain_logits_only: only the logits count as layers of the classes, not the
            spatial pyramid and the decoder.
        initial_encoder: instead of a model, a file of which the encoder is taken and nothing else:
            as `initial_model`, or a file of PyTorch's with the encoder's tensors.
    """

    initial_model: Path | None = None
    init_last_layer: bool = False
    last_layers_contain_logits_only: bool = False
    initial_encoder: Path | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.initial_encoder and self.initial_model:
            must = "left away where there is an initial model, whose encoder is taken"
            raise ConfigError("initial_encoder", self.initial_encoder, must)


@dataclass(frozen=True, kw_only=True)
class PatchSettings(Checked):
    """Which patches the network is shown.

    Attributes:
        work_mpp: um per pixel of the patches; not used where `wsi_downsample` is given.
        wsi_downsample: instead of `work_mpp`, multiples of level 0, one drawn for each patch.
        resolution: instead of both, um per pixel of which each slide has a level within a tenth,
            that is read as it is; 0: not asked for.
        data_sampler: how places are drawn: "classes", by the shares and balances below; "surf", on
            the contours of tumour and tissue in turn; "radboud", around points of annotations,
            each label and each annotation as often.
        bb_downsample: of "surf": halvings of level 0 at which contours are traced.
        batch_tumor_ratio: of "surf": share of each batch that is drawn on contours of a class.
        least_colour_spread: of "surf": standard deviation of the channels (0 to 255), their mean,
            below which a patch is drawn again.
        batch_size: patches a step, on all machines together.
        class_shares: how often a patch is drawn for the background and each class; empty: equally.
        slide_balance: whether slides are drawn equally often or by the area drawn on them (for the
            background, by that of their tissue without objects).
        object_balance: whether the objects of a class are drawn equally often or by their area.
        include_background_prob: share of background patches drawn anywhere instead of on tissue.
        hard_mining: share of the patches drawn where the network was wrong before; the other
            settings hold for the rest.
        mix_up: 0, or how evenly each patch is mixed with another one and its classes likewise: the
            shares are drawn from Beta(mix_up, mix_up). For networks that classify patches.
        seed: of everything that is drawn.
    """

    work_mpp: float = 0.5
    wsi_downsample: tuple[float, ...] = ()
    resolution: float = 0.0
    data_sampler: DataSampler = "classes"
    bb_downsample: int = 7
    batch_tumor_ratio: float = 0.5
    least_colour_spread: float = 15.0
    batch_size: int = 4
    class_shares: tuple[float, ...] = ()
    slide_balance: Balance = "equal"
    object_balance: Balance = "equal"
    include_background_prob: float = 0.1
    hard_mining: float = 0.0
    mix_up: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("batch_size", 1), ("work_mpp", 0), ("seed", 0)):
            check_at_least(name, getattr(self, name), least)
        for value in self.wsi_downsample:
            check_at_least("wsi_downsample", value, 1)
        if not (self.work_mpp or self.wsi_downsample):
            raise ConfigError("work_mpp", self.work_mpp, "above 0 where wsi_downsample is empty")
        for share in self.class_shares:
            check_at_least("class_shares", share, 0)
        if self.class_shares and not any(self.class_shares):
            raise ConfigError("class_shares", self.class_shares, "above 0 for some class")
        check_range("include_background_prob", self.include_background_prob, 0, 1)
        check_range("hard_mining", self.hard_mining, 0, 0.9)
        check_range("mix_up", self.mix_up, 0, 10)
        check_choice("slide_balance", self.slide_balance, get_args(Balance))
        check_choice("object_balance", self.object_balance, get_args(Balance))
        check_choice("data_sampler", self.data_sampler, get_args(DataSampler))
        check_range("bb_downsample", self.bb_downsample, 0, MAX_LEVEL)
        check_range("batch_tumor_ratio", self.batch_tumor_ratio, 0, 1)
        check_range("least_colour_spread", self.least_colour_spread, 0, 127)
        self._check_sampler()
        check_at_least("resolution", self.resolution, 0)
        if self.resolution:
            if self.wsi_downsample:
                must = "left away where wsi_downsample says the scales"
                raise ConfigError("resolution", self.resolution, must)
            object.__setattr__(self, "work_mpp", self.resolution)

    def _check_sampler(self) -> None:
        """Refuse what the chosen way of drawing places does not look at."""
        others = {name: of for name, of in _OF_SAMPLER.items() if of != self.data_sampler}
        for name, sampler in others.items():
            default = PatchSettings.__dataclass_fields__[name].default
            if getattr(self, name) != default:
                must = f"left away where data_sampler is {self.data_sampler}, not {sampler}"
                raise ConfigError(name, getattr(self, name), must)


# Which way of drawing places a setting belongs to.
_OF_SAMPLER: Mapping[str, DataSampler] = {
    **dict.fromkeys(
        ("class_shares", "slide_balance", "object_balance", "include_background_prob"), "classes"
    ),
    **dict.fromkeys(("bb_downsample", "batch_tumor_ratio", "least_colour_spread"), "surf"),
}


@dataclass(frozen=True, kw_only=True)
class AugmentSettings(Checked):
    """How strongly patches are changed, from 0 (not at all) to 1.

    Attributes:
        augment: strength of all kinds whose own strength is -1.
        augment_flip: the eight orientations of a square.
        augment_rotation: by any angle.
        augment_scale: around the working um per pixel.
        augment_elastic: local bending.
        augment_blur: defocus.
        augment_noise: of the camera.
        augment_jpeg: compression.
        augment_brightness: and contrast.
        augment_hue: a turn of the circle of colours; brightness stays.
        augment_saturation: the distance from grey.
        augment_stain: the amount and hue of each stain, in the space of optical density.
    """

    augment: float = 0.5
    augment_flip: bool = True
    augment_rotation: float = AS_AUGMENT
    augment_scale: float = AS_AUGMENT
    augment_elastic: float = AS_AUGMENT
    augment_blur: float = AS_AUGMENT
    augment_noise: float = AS_AUGMENT
    augment_jpeg: float = AS_AUGMENT
    augment_brightness: float = AS_AUGMENT
    augment_hue: float = AS_AUGMENT
    augment_saturation: float = AS_AUGMENT
    augment_stain: float = AS_AUGMENT

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("augment", self.augment, 0, 1)
        for kind in AUGMENTATIONS:
            check_range(f"augment_{kind}", getattr(self, f"augment_{kind}"), AS_AUGMENT, 1)

    def strength(self, kind: str) -> float:
        """Strength, 0 to 1, of one kind of augmentation, as "elastic"."""
        own = float(getattr(self, f"augment_{kind}"))
        return self.augment if own < 0 else own


AUGMENTATIONS = (
    "rotation", "scale", "elastic", "blur", "noise", "jpeg", "brightness", "hue", "saturation",
    "stain",
)  # fmt: skip
# What fluorescence has not: colours, stains that take light away, files that lose detail.
OF_COLOURS_ONLY = ("jpeg", "hue", "saturation", "stain")


@dataclass(frozen=True, kw_only=True)
class LossSettings(Checked):
    """What the network is told of its errors.

    Attributes:
        loss: of each pixel: "cross_entropy" or "focal".
        focal_gamma: how little what is already known counts in the focal loss.
        class_weights: of the background and each class in the pixel loss; empty: all 1.
        dice_weight: of the soft Dice loss that is added.
        lovasz_weight: of the Lovasz-softmax loss that is added, a surrogate of the IoU.
        top_k_percent_pixels: share of the pixels, the hardest, that count in the pixel loss.
        hard_example_mining_step: steps over which that share falls from 1 to its value.
        upsample_logits: compare at the labels' size; otherwise labels are taken at the logits'.
        label_sets: folders within `label_path` that have a label mask of every slide each, as
            "folder=weight": the loss is the sum of those of all of them, each times its weight. By
            the first, patches are drawn and slides held out are judged. For networks that label
            every pixel; empty: one label image a slide.
        companion: a second network that is trained on the first one's logits and left out of the
            model: "autoencoder", for networks that label every pixel, or "none".
        companion_activation: of its layers.
        companion_learning_rate: its highest rate, by Adam; it rises and falls as the network's.
    """

    loss: PixelLoss = "cross_entropy"
    focal_gamma: float = 2.0
    class_weights: tuple[float, ...] = ()
    dice_weight: float = 0.5
    lovasz_weight: float = 0.0
    top_k_percent_pixels: float = 1.0
    hard_example_mining_step: int = 0
    upsample_logits: bool = True
    label_sets: tuple[str, ...] = ()
    companion: Companion = "none"
    companion_activation: Activation = "relu"
    companion_learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("loss", self.loss, get_args(PixelLoss))
        check_choice("companion", self.companion, get_args(Companion))
        check_choice("companion_activation", self.companion_activation, get_args(Activation))
        check_at_least("companion_learning_rate", self.companion_learning_rate, 1e-12)
        check_range("focal_gamma", self.focal_gamma, 0, 10)
        check_range("dice_weight", self.dice_weight, 0, 10)
        check_range("lovasz_weight", self.lovasz_weight, 0, 10)
        check_range("top_k_percent_pixels", self.top_k_percent_pixels, 0.001, 1)
        check_at_least("hard_example_mining_step", self.hard_example_mining_step, 0)
        for weight in self.class_weights:
            check_at_least("class_weights", weight, 0)
        if self.class_weights and not any(self.class_weights):
            raise ConfigError("class_weights", self.class_weights, "above 0 for some class")
        if len(self.label_set_weights) < len(self.label_sets):
            must = "folder=weight for each folder once"
            raise ConfigError("label_sets", ",".join(self.label_sets), must)

    @property
    def label_set_weights(self) -> dict[str, float]:
        """What each label set counts for, by its folder.

        Raises:
            ConfigError: an entry is no folder and weight above 0.
        """
        weights = {}
        for entry in self.label_sets:
            name, _, text = (part.strip() for part in entry.rpartition("="))
            try:
                weights[name] = float(text)
            except ValueError:
                weights[name] = math.nan
            if not name or "/" in name or name == ".." or not 0 < weights[name] < math.inf:
                must = "folder=weight with a weight above 0, as PM_bn7=0.6"
                raise ConfigError("label_sets", entry, must)
        return weights


@dataclass(frozen=True, kw_only=True)
class DescentSettings(Checked):
    """How the weights follow the errors.

    Attributes:
        recipe: where settings are as they are by default, "original": those with which the
            network's authors trained it; "dedl": those of the DEDL study, with its companion;
            "wsss": those of WSSS-Tissue's patch classifier, with its attention.
        steps: optimiser steps.
        learning_policy: how the rate falls from its highest to its last value.
        learning_rate: highest rate.
        learning_rate_start: rate at the first step.
        slow_start_step: steps until the highest rate.
        end_learning_rate: rate at the last step.
        learning_power: of the policy "poly".
        learning_rate_decay_step: steps from one fall of the policy "step" to the next.
        learning_rate_decay_factor: what remains of the rate at each of them.
        freeze_encoder_steps: steps of the policy in which the encoder's weights stay as they are;
            the learning rate begins anew when they are over.
        global_step: step of the policy at which this run begins: those of earlier rounds.
        decay_steps: steps of the policy, of all rounds together; 0: it ends with this run.
        optimizer: "adamw", or "momentum" as the ancestor's.
        momentum: of the latter.
        weight_decay: of kernels; biases, normalisation and depthwise kernels are free of it.
        clip_norm: greatest norm of all gradients together; 0: any.
        bias_gradient_multiplier: the ancestor's is 2.
        last_layer_gradient_multiplier: of the layers of the classes.
        batch_norm: train the batch normalisation, too.
        gradient_accumulation: parts of a batch that are computed one after the other.
        rematerialisation: compute most maps of the network again in the backward pass instead of
            keeping them: less memory, more time, the same weights but for rounding.
        ema_decay: of the moving average of the weights that is kept as the model; 0: none.
        precision: of the arithmetic.
    """

    recipe: Recipe = "default"
    steps: int = 5000
    learning_policy: LearningPolicy = "cosine"
    learning_rate: float = 1e-3
    learning_rate_start: float = 1e-5
    slow_start_step: int = 200
    end_learning_rate: float = 0.0
    learning_power: float = 0.9
    learning_rate_decay_step: int = 2000
    learning_rate_decay_factor: float = 0.1
    freeze_encoder_steps: int = 0
    global_step: int = 0
    decay_steps: int = 0
    optimizer: Optimizer = "adamw"
    momentum: float = 0.9
    weight_decay: float = 4e-5
    clip_norm: float = 1.0
    bias_gradient_multiplier: float = 1.0
    last_layer_gradient_multiplier: float = 1.0
    batch_norm: bool = True
    gradient_accumulation: int = 1
    rematerialisation: bool = False
    ema_decay: float = 0.999
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in _LEAST_IN_DESCENT.items():
            check_at_least(name, getattr(self, name), least)
        if 0 < self.decay_steps < self.global_step + self.steps:
            must = f"at least {self.global_step + self.steps} (global_step and steps), or 0"
            raise ConfigError("decay_steps", self.decay_steps, must)
        if self.freeze_encoder_steps >= (self.decay_steps or self.global_step + self.steps):
            must = "below the number of steps"
            raise ConfigError("freeze_encoder_steps", self.freeze_encoder_steps, must)
        check_range("learning_rate_decay_factor", self.learning_rate_decay_factor, 0, 1)
        check_range("momentum", self.momentum, 0, 0.9999)
        check_range("ema_decay", self.ema_decay, 0, 0.99999)
        check_choice("learning_policy", self.learning_policy, get_args(LearningPolicy))
        check_choice("optimizer", self.optimizer, get_args(Optimizer))
        check_choice("precision", self.precision, get_args(Precision))


_LEAST_IN_DESCENT = {
    "steps": 1,
    "learning_rate": 1e-12,
    "learning_rate_start": 0,
    "slow_start_step": 0,
    "end_learning_rate": 0,
    "learning_power": 0,
    "learning_rate_decay_step": 1,
    "freeze_encoder_steps": 0,
    "global_step": 0,
    "decay_steps": 0,
    "weight_decay": 0,
    "clip_norm": 0,
    "bias_gradient_multiplier": 0,
    "last_layer_gradient_multiplier": 0,
    "gradient_accumulation": 1,
}


@dataclass(frozen=True, kw_only=True)
class ValidationSettings(Checked):
    """How good the model is on slides it does not learn from, and what is made of that.

    Attributes:
        validation_fraction: of the patients, held out whole.
        valid_slide_path: instead of a fraction, a folder or list of the slides to hold out.
        valid_label_path: folder of their annotations, where they do not lie beside these.
        train_centers: numbers of CAMELYON17's centres (0 to 4) to learn from, by the patient's
            number in the name of a slide; none: all.
        val_centers: instead of a fraction, of those to hold out; none: by the fraction.
        folds: instead of a fraction: deal the patients out to so many folds, and train a model for
            each on the others; 0: one model, by the fraction.
        fold: train that of one fold only, counted from 1; 0: all, one after the other.
        compare_without_companion: train twice, without the companion, too, and say what it gains.
        validate_every: steps from one validation to the next.
        early_stopping: validations without a better one after which the training ends; 0: never.
        keep: whether the model is that of the "best" validation or of the "last" step.
        output_report: an HTML page about the training to write.
        post_worst: "auto" puts the regions where the model is worst on the held-out slides of a
            Girder server, as a layer.
    """

    validation_fraction: float = 0.2
    valid_slide_path: str = ""
    valid_label_path: Path | None = None
    train_centers: tuple[int, ...] = ()
    val_centers: tuple[int, ...] = ()
    folds: int = 0
    fold: int = 0
    compare_without_companion: bool = False
    validate_every: int = 500
    early_stopping: int = 0
    keep: Keep = "best"
    output_report: Path | None = None
    post_worst: Posting = "off"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("validation_fraction", self.validation_fraction, 0)
        if self.validation_fraction >= 1:
            raise ConfigError("validation_fraction", self.validation_fraction, "below 1")
        self._check_held_out()
        if self.folds and not 2 <= self.folds <= MAX_FOLDS:
            raise ConfigError("folds", self.folds, f"from 2 to {MAX_FOLDS}, or 0")
        if not 0 <= self.fold <= self.folds:
            raise ConfigError("fold", self.fold, f"from 1 to folds ({self.folds}), or 0")
        check_at_least("validate_every", self.validate_every, 1)
        check_at_least("early_stopping", self.early_stopping, 0)
        check_choice("keep", self.keep, get_args(Keep))
        check_choice("post_worst", self.post_worst, get_args(Posting))

    def _check_held_out(self) -> None:
        """Check what says which slides are held out; -1 stands for all centres."""
        for name in ("train_centers", "val_centers"):
            centres = getattr(self, name)
            if centres == (ALL_CENTRES,):
                object.__setattr__(self, name, ())
            elif not set(centres) <= set(range(CENTRES)):
                must = f"centres of CAMELYON17, 0 to {CENTRES - 1}"
                raise ConfigError(name, " ".join(map(str, centres)), must)
        if both := set(self.train_centers) & set(self.val_centers):
            must = "none of train_centers: a patient cannot be on both sides"
            raise ConfigError("val_centers", " ".join(map(str, sorted(both))), must)
        if self.valid_label_path and not self.valid_slide_path:
            must = "left away where there is no valid_slide_path"
            raise ConfigError("valid_label_path", self.valid_label_path, must)
        for name in ("val_centers", "folds"):
            if self.valid_slide_path and getattr(self, name):
                must = "left away where valid_slide_path has the slides to hold out"
                raise ConfigError(name, getattr(self, name), must)
        if self.val_centers and self.folds:
            must = "left away where folds hold each patient out in turn"
            raise ConfigError("val_centers", " ".join(map(str, self.val_centers)), must)


@dataclass(frozen=True, kw_only=True)
class MachineSettings(Checked):
    """Where the work is done, and what is left when it is interrupted.

    Attributes:
        gpu: number of the first GPU, -1 for the CPU.
        num_clones: GPUs of each machine, from `gpu` on; 0: all.
        workers: "host:port" of every machine of a cluster, this one included; empty: this alone.
        worker_index: which of them this one is.
        reduce_precision: in which gradients travel between GPUs and machines.
        work_folder: checkpoints and the log go here; None: beside the model.
        checkpoint_minutes: at most this much time is lost when a run is killed.
        checkpoint_folder: Girder folder to which checkpoints go up, and from which a run goes on.
    """

    gpu: int = 0
    num_clones: int = 1
    workers: tuple[str, ...] = ()
    worker_index: int = 0
    reduce_precision: ReducePrecision = "float32"
    work_folder: Path | None = None
    checkpoint_minutes: float = 5.0
    checkpoint_folder: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("gpu", self.gpu, -1)
        check_at_least("num_clones", self.num_clones, 0)
        check_at_least("worker_index", self.worker_index, 0)
        check_at_least("checkpoint_minutes", self.checkpoint_minutes, 0)
        check_choice("reduce_precision", self.reduce_precision, get_args(ReducePrecision))
        if self.workers and self.worker_index >= len(self.workers):
            raise ConfigError("worker_index", self.worker_index, f"below {len(self.workers)}")
        if self.checkpoint_folder:
            check_girder_id("checkpoint_folder", self.checkpoint_folder, "a folder")


@dataclass(frozen=True, kw_only=True)
class TrainRequest(
    SourceSettings,
    PlanSettings,
    StartSettings,
    NetworkSettings,
    PatchSettings,
    AugmentSettings,
    LossSettings,
    DescentSettings,
    ValidationSettings,
    MachineSettings,
):
    """Train a network on slides with annotations: all groups, and the bundle to write.

    The settings of a recipe, and what the network suggests, are in their fields. Where a plan is
    asked for, all of its settings that were changed are `fixed`, and a patch size of 0 stays.

    Attributes:
        output_model: bundle to write.
        corrected_only: of the slides of a Girder folder only those are learnt from on which a
            person has marked layers as corrected, and only by what people drew or marked. Where
            such a slide has no `exhaustive_layer`, all of it is finished.
    """

    output_model: Path
    corrected_only: bool = False

    def __post_init__(self) -> None:
        self._follow_recipe()
        if self.hours:
            self._fix_what_was_changed()
        super().__post_init__()
        if not self.patch_size and not self.plans("patch_size"):
            object.__setattr__(self, "patch_size", suggested_patch_size(self))
        self._check_several()
        if self.api_url and (self.valid_slide_path or self.train_centers or self.val_centers):
            must = "left away for slides of a Girder server, whose metadata say their split"
            raise ConfigError("valid_slide_path, train_centers or val_centers", "given", must)
        if self.corrected_only and (not self.api_url or self.labels != "outlines"):
            must = "left away where what is learnt is not drawn on slides of a Girder server"
            raise ConfigError("corrected_only", True, must)  # noqa: FBT003  its value
        check_kind_of_file("output_model", self.output_model, ".zip")
        check_kind_of_file("output_report", self.output_report, ".html", ".htm")
        count = len(self.classes) + 1
        if self.class_shares and len(self.class_shares) != count:
            must = f"{count} numbers, the background's first"
            raise ConfigError("class_shares", self.class_shares, must)
        if self.label_sets and not self.label_path:
            must = "left away where no label_path has the folders"
            raise ConfigError("label_sets", ",".join(self.label_sets), must)
        self._check_changes_of_colours()
        config = network_config(self, ClassList.named(self.classes))
        for name, value, only in (("labels", self.labels, "outlines"), ("mix_up", self.mix_up, 0)):
            if value != only and task_of(config) != "classify":
                must = f"{only} for a network that does not classify patches"
                raise ConfigError(name, value, must)
        self._check_plan(task_of(config))
        count = class_weight_count(config)
        if self.class_weights and len(self.class_weights) != count:
            first = ", the background's first" if count > len(self.classes) else ", one a class"
            raise ConfigError("class_weights", self.class_weights, f"{count} numbers{first}")

    def _follow_recipe(self) -> None:
        """Set what a recipe says where it is as it is by default."""
        check_choice("recipe", self.recipe, get_args(Recipe))
        told = dict(recipe_settings(self.recipe, self, self.steps, len(self.classes)))
        options = self._with_options(told.pop("network_options", ()))
        object.__setattr__(self, "network_options", options)
        for name, value in told.items():
            if getattr(self, name) == self.__dataclass_fields__[name].default:
                object.__setattr__(self, name, value)

    def _with_options(self, options: Sequence[str]) -> tuple[str, ...]:
        """Return the network's options with those of a recipe that were not given."""
        given = {option.partition("=")[0].strip() for option in self.network_options}
        added = (option for option in options if option.partition("=")[0] not in given)
        return (*self.network_options, *added)

    def _fix_what_was_changed(self) -> None:
        """Keep a plan from all settings that are not as they are by default."""
        defaults = {name: self.__dataclass_fields__[name].default for name in PLANNED}
        changed = (name for name, default in defaults.items() if getattr(self, name) != default)
        object.__setattr__(self, "fixed", tuple(dict.fromkeys([*self.fixed, *changed])))

    def _check_plan(self, task: Task) -> None:
        """Check that there is a plan for what is asked; all are made for outlines."""
        if self.hours and (task == "classify" or self.labels != "outlines"):
            raise ConfigError("hours", self.hours, "0 for a network that classifies patches")
        if self.hours and self.workers:
            must = "0 where several machines train; give them the settings that a dry run plans"
            raise ConfigError("hours", self.hours, must)

    def _check_several(self) -> None:
        """Check what takes several trainings."""
        if self.compare_without_companion and self.companion == "none":
            must = "left away where there is no companion; set companion to autoencoder"
            raise ConfigError("compare_without_companion", True, must)  # noqa: FBT003  its value
        if self.workers and (self.compare_without_companion or (self.folds and not self.fold)):
            must = "left away where several models are trained; give fold to train one of them"
            raise ConfigError("workers", ",".join(self.workers), must)

    def _check_changes_of_colours(self) -> None:
        for kind in OF_COLOURS_ONLY if self.channels else ():
            name = f"augment_{kind}"
            if getattr(self, name) > 0:
                must = "left away, or 0, where channels are given: they have no colours or stains"
                raise ConfigError(name, getattr(self, name), must)
