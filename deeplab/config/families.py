"""The families of networks by name: one config class each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, replace
from types import MappingProxyType
from typing import Any, Literal

from deeplab.config.channels import RGB, Channels
from deeplab.config.class_gate import ClassGateConfig
from deeplab.config.classes import ClassList
from deeplab.config.deeplabv3plus import DeepLabV3PlusConfig
from deeplab.config.efficientdet_seg import EfficientDetSegConfig
from deeplab.config.hovernet import HoverNetConfig
from deeplab.config.network import NetworkConfig
from deeplab.config.network_ensemble import NetworkEnsembleConfig
from deeplab.config.network_settings import NetworkSettings, text_of_value
from deeplab.config.patch_classifier import PatchClassifierConfig
from deeplab.config.patch_ensemble import PatchEnsembleConfig
from deeplab.config.recipes import dedl_recipe, wsss_recipe
from deeplab.config.unet import UNetConfig
from deeplab.config.unetplusplus import UNetPlusPlusConfig
from deeplab.errors import ConfigError

Recipe = Literal["default", "original", "dedl", "wsss"]
CHANNELS = "channels"  # the field of configs whose networks may be shown others than colours

# The families of several networks, which no training asks for.
ENSEMBLE, PATCH_ENSEMBLE, GATE = "network_ensemble", "patch_ensemble", "class_gate"
COMPOSED = (ENSEMBLE, PATCH_ENSEMBLE, GATE)

# By the name that bundles carry; `deeplab.models.registry` has one row for each.
CONFIGS: Mapping[str, type[NetworkConfig]] = MappingProxyType(
    {
        "deeplabv3plus": DeepLabV3PlusConfig,
        "efficientdet_seg": EfficientDetSegConfig,
        "hovernet": HoverNetConfig,
        "patch_classifier": PatchClassifierConfig,
        ENSEMBLE: NetworkEnsembleConfig,
        PATCH_ENSEMBLE: PatchEnsembleConfig,
        GATE: ClassGateConfig,
        "unet": UNetConfig,
        "unetplusplus": UNetPlusPlusConfig,
    }
)

Task = Literal["segment", "classify"]  # that uses a model, as the command line calls it
# Of families that are not used to segment.
TASKS: Mapping[str, Task] = MappingProxyType(
    {"patch_classifier": "classify", PATCH_ENSEMBLE: "classify"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingCost:
    """What a training takes for the pixels of its patches, in float32.

    Attributes:
        bytes_per_px: of memory, for the maps that are kept until the backward pass.
        core_s_per_mpx: seconds for a megapixel on one core.
        gpu_s_per_mpx: the same on one GPU.
    """

    bytes_per_px: float
    core_s_per_mpx: float
    gpu_s_per_mpx: float


# By family and backbone. The first is measured on two slow cores: 3.2 s of a processor, and one is
# not always busy. The memory of the others is the sum of all maps and two fifths more, the most
# that was measured beyond that sum; their seconds are estimates, by the multiplications for a
# pixel, as are those of a GPU, of 8 TFLOPS.
_COSTS: Mapping[tuple[str, str], TrainingCost] = MappingProxyType(
    {
        ("deeplabv3plus", "mobilenet_v2"): TrainingCost(
            bytes_per_px=2700, core_s_per_mpx=4, gpu_s_per_mpx=0.2
        ),
        ("deeplabv3plus", "resnet_50"): TrainingCost(
            bytes_per_px=7100, core_s_per_mpx=25, gpu_s_per_mpx=0.7
        ),
        ("hovernet", "mobilenet_v2"): TrainingCost(
            bytes_per_px=3600, core_s_per_mpx=5, gpu_s_per_mpx=0.2
        ),
        ("hovernet", "resnet_50"): TrainingCost(
            bytes_per_px=6100, core_s_per_mpx=25, gpu_s_per_mpx=0.7
        ),
    }
)
# Of most others no more: a U-Net++ on mobilenet_v2.
_OTHER_COST = TrainingCost(bytes_per_px=7400, core_s_per_mpx=35, gpu_s_per_mpx=0.9)


def training_cost(settings: NetworkSettings) -> TrainingCost:
    """Return what a training of the network that is asked for takes."""
    return _COSTS.get((settings.network, settings.backbone), _OTHER_COST)


def network_of_objects() -> str:
    """Return the name of the family whose networks find objects one by one."""
    return "hovernet"


def task_of(config: NetworkConfig) -> Task:
    """Return the task that uses models of such a network."""
    return TASKS.get(family_name(config), "segment")


def classifying_network() -> str:
    """Return the name of the family whose networks learn to classify patches."""
    return next(name for name in learning_networks() if TASKS.get(name) == "classify")


def cell_side(config: NetworkConfig) -> int:
    """Return the side of the coarsest cell of a network's maps, work pixels."""
    if isinstance(config, PatchClassifierConfig):
        return config.cell
    return config.tiling.multiple


def classes_exclude(config: NetworkConfig) -> bool:
    """Tell whether a patch is of one class at most, for a network that classifies patches."""
    return isinstance(config, PatchClassifierConfig | PatchEnsembleConfig) and config.excludes


def class_weight_count(config: NetworkConfig) -> int:
    """Return how many class weights there are: one a class, and first the background's if any."""
    return config.class_count + (task_of(config) == "segment")


def network_config(settings: NetworkSettings, classes: ClassList) -> NetworkConfig:
    """Make the config of the network that a training asks for.

    Raises:
        ConfigError: there is no such family, or it has not what is asked.
    """
    config = _config_class(settings.network).from_settings(settings, classes)
    wanted = settings.learnt_channels
    return with_channels(config, wanted.channels) if wanted else config


def options_of(config: NetworkConfig) -> Mapping[str, str]:
    """Return the knobs that are not as by default, as `network_options` of a training have them.

    What follows from the classes, the patches, the backbone and the channels is not among them.
    """
    return {
        each.name: text_of_value(value)
        for each in fields(config)
        if each.name not in ("backbone", "crop_size", CHANNELS)
        and each.default is not MISSING
        and (value := getattr(config, each.name)) != each.default
    }


def with_channels(config: NetworkConfig, channels: Channels) -> NetworkConfig:
    """Return the config of the same network that is shown other channels.

    Raises:
        ConfigError: it is one of colours only.
    """
    if CHANNELS not in {each.name for each in fields(config)}:
        must = f"left away: {config.describe()} sees colours only"
        raise ConfigError(CHANNELS, ", ".join(channels.names), must)
    return replace(config, channels=channels)


def _config_class(network: str) -> type[NetworkConfig]:
    if network not in CONFIGS:
        raise ConfigError("network", network, "one of " + ", ".join(learning_networks()))
    return CONFIGS[network]


def learning_networks() -> tuple[str, ...]:
    """Return the names of the families that a training can ask for."""
    return tuple(name for name in CONFIGS if name not in COMPOSED)


def ensemble_config(members: tuple[NetworkConfig, ...]) -> NetworkConfig:
    """Return the config of networks whose probabilities are averaged.

    Raises:
        ConfigError: they do not answer alike, or one of them is several networks itself.
    """
    patches = tuple(each for each in members if isinstance(each, PatchClassifierConfig))
    if len(patches) == len(members):
        return PatchEnsembleConfig(members=patches)
    return NetworkEnsembleConfig(members=members)


def gate_config(
    segmenter: NetworkConfig, classifier: NetworkConfig, threshold: float
) -> NetworkConfig:
    """Return the config of a network behind a gate of what a classifier sees in a patch.

    Raises:
        ConfigError: the second classifies no patches, or they do not go together.
    """
    if not isinstance(classifier, PatchClassifierConfig):
        raise ConfigError("classifier", classifier.describe(), "a network that classifies patches")
    return ClassGateConfig(segmenter=segmenter, classifier=classifier, threshold=threshold)


def suggested_patch_size(settings: NetworkSettings) -> int:
    """Return the side of patches that suits the network that a training asks for, work pixels.

    Raises:
        ConfigError: there is no such family, or an option is none that it has.
    """
    return _config_class(settings.network).suggested_patch_size(settings)


def recipe_settings(
    recipe: Recipe, settings: NetworkSettings, steps: int, class_count: int
) -> Mapping[str, Any]:
    """Return the settings of a training that a recipe changes, for a network of any name.

    Args:
        recipe: its name.
        settings: name the family; one that there is not has no recipes.
        steps: of the training, of which its phases are shares.
        class_count: number of the classes to learn.

    Raises:
        ConfigError: the recipe is of another network.
    """
    if recipe == "default" or settings.network not in CONFIGS:
        return {}
    if recipe == "dedl":
        return dedl_recipe(class_count)
    if recipe == "wsss":
        if TASKS.get(settings.network) != "classify":
            must = "default, original or dedl for a network that does not classify patches"
            raise ConfigError("recipe", recipe, must)
        return wsss_recipe(steps, settings.backbone)
    return CONFIGS[settings.network].original_recipe(steps)


def family_name(config: NetworkConfig) -> str:
    """Return the name of the family that a config is of.

    Raises:
        ConfigError: it is of none.
    """
    for name, kind in CONFIGS.items():
        if type(config) is kind:
            return name
    raise ConfigError("model", type(config).__name__, "the config of a known family")


def config_to_json(config: NetworkConfig) -> dict[str, Any]:
    """Return the knobs as JSON values; a network within is its family and its own knobs.

    Of channels that are colours nothing is said.
    """
    return {
        each.name: _to_json(value)
        for each in fields(config)
        if (value := getattr(config, each.name)) != RGB
    }


def _to_json(value: Any) -> Any:  # noqa: ANN401  a knob is any value
    if isinstance(value, tuple):
        return [_to_json(each) for each in value]
    if isinstance(value, Channels):
        return value.to_json()
    if type(value) in CONFIGS.values():
        return {"family": family_name(value), "config": config_to_json(value)}
    return value


def config_from_json(family: str, knobs: Mapping[str, Any]) -> NetworkConfig:
    """Return the config that `config_to_json` wrote, checked.

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
        name: tuple(map(_member, v)) if isinstance(v, list) else _member(v)
        for name, v in knobs.items()
    }
    for name, field in known.items():
        if name not in values and field.default is MISSING:
            raise ConfigError("config", name, "given")
    if CHANNELS in values:
        values[CHANNELS] = Channels.from_json(values[CHANNELS])
    try:
        return config(**values)
    except TypeError as error:
        raise ConfigError("config", dict(knobs), "made of values of the right types") from error


def _member(value: Any) -> Any:  # noqa: ANN401  JSON is any value
    """Return the config of a network within another one; what is none is left as it is.

    Raises:
        ConfigError: as `config_from_json` does, or it has networks within, too.
    """
    if not isinstance(value, dict) or value.keys() != {"family", "config"}:
        return value
    family, knobs = value["family"], value["config"]
    if not isinstance(family, str) or family in COMPOSED or not isinstance(knobs, dict):
        raise ConfigError("members", family, "single networks with a family and a config each")
    return config_from_json(family, knobs)
