"""Networks as the weights of the programs that have the same, under their names: by family."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from deeplab.bundles.importers.efficientdet import object_values
from deeplab.bundles.importers.smp_state import ENCODERS, state_dict
from deeplab.config.families import family_name
from deeplab.config.network import NetworkConfig

StateDict = Iterator[tuple[str, NDArray[np.float32 | np.int64]]]
WRITERS: Mapping[str, Callable[[Any, keras.Model], StateDict]] = MappingProxyType(
    {"unet": state_dict, "unetplusplus": state_dict}
)

# Of the programs that keep them in object checkpoints of TensorFlow.
OBJECTS: Mapping[str, Callable[[Any, keras.Model], StateDict]] = MappingProxyType(
    {"efficientdet_seg": object_values}
)


def state_dict_problem(config: NetworkConfig) -> str:
    """Return why no program has a state dict of such a network; "" where one has."""
    if family_name(config) not in WRITERS:
        return f"is {config.describe()}; a state dict is written of a U-Net or U-Net++"
    if config.backbone not in ENCODERS:
        return (
            f"has the encoder {config.backbone}, which segmentation_models_pytorch has not; it has "
            + ", ".join(ENCODERS)
        )
    return ""


def state_dict_of(config: NetworkConfig, network: keras.Model) -> StateDict:
    """Yield names and values of the state dict of a network that has one, in its order."""
    return WRITERS[family_name(config)](config, network)


def object_checkpoint_problem(config: NetworkConfig) -> str:
    """Return why no program has an object checkpoint of such a network; "" where one has."""
    if family_name(config) not in OBJECTS:
        return f"is {config.describe()}; a checkpoint is written of an EfficientDet"
    return ""


def object_values_of(config: NetworkConfig, network: keras.Model) -> StateDict:
    """Yield object keys and values of a network that one program keeps in a checkpoint."""
    return OBJECTS[family_name(config)](config, network)
