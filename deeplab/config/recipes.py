"""Settings of a training that were published together, whatever the network is."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

# Of the background and the one class, as the DEDL study of U-Nets weighed them.
DEDL_CLASS_WEIGHTS = (0.1479139275021023, 0.8520860724978977)
DEDL_TURN = 3 / 180  # three degrees either way; the strength 1 is half a turn

# How the DEDL study trained U-Nets with autoencoder post-processing (APP), with its defects mended:
# the rate falls by half a wave over the whole training (theirs was moved at each batch between 3.4
# and 3.6e-4), and patches are normalised alike in training and use (theirs in training only).
DEDL: Mapping[str, Any] = MappingProxyType(
    {
        "companion": "autoencoder",
        "companion_learning_rate": 1e-3,
        "dice_weight": 0.0,
        "optimizer": "adamw",
        "learning_rate": 3.6e-4,
        "learning_rate_start": 3.6e-4,
        "slow_start_step": 0,
        "learning_policy": "cosine",
        "weight_decay": 1e-5,
        "clip_norm": 0.0,
        "ema_decay": 0.0,
        "batch_size": 16,
        "augment": 0.0,
        "augment_flip": True,
        "augment_rotation": DEDL_TURN,
    }
)


# How WSSS-Tissue trained its first stage, a classifier of patches with a ResNet38-d. Its
# optimiser's momentum is as good as none; for its flips we take the eight orientations of a square.
WSSS_EPOCHS = 20
WSSS: Mapping[str, Any] = MappingProxyType(
    {
        "optimizer": "momentum",
        "momentum": 0.0,
        "learning_rate": 0.01,
        "learning_rate_start": 0.01,
        "slow_start_step": 0,
        "learning_policy": "poly",
        "last_layer_gradient_multiplier": 10.0,
        "weight_decay": 5e-4,
        "clip_norm": 0.0,
        "batch_norm": False,
        "ema_decay": 0.0,
        "batch_size": 20,
        "augment": 0.0,
        "augment_flip": True,
    }
)
# Of the encoder that they used: the layers that stay as ImageNet left them.
WSSS_FROZEN: Mapping[str, str] = MappingProxyType(
    {"resnet38d": "frozen=backbone.conv1a backbone.b2"}
)


def wsss_recipe(steps: int, backbone: str) -> Mapping[str, Any]:
    """Return the settings of WSSS-Tissue's first stage for a training of so many steps.

    An epoch of its 20 is a twentieth of the steps; the attention begins in the fourth.
    """
    options = [
        "problem=multi_label",
        "dropout=0.5",
        f"attention_epoch={max(1, steps // WSSS_EPOCHS)}",
    ]
    if backbone in WSSS_FROZEN:
        options.append(WSSS_FROZEN[backbone])
    return {**WSSS, "network_options": tuple(options)}


def dedl_recipe(class_count: int) -> Mapping[str, Any]:
    """Return the settings of the DEDL study for so many classes; class weights are of one."""
    return {**DEDL, "class_weights": DEDL_CLASS_WEIGHTS} if class_count == 1 else DEDL
