"""Weights files of `keras.applications`, to train on from.

Of its networks only those are taken whose layers are ours. MobileNetV2 is: the same convolutions,
normalisations (epsilon 1e-3), activations and scale of the input (-1 to 1). Before a stride Keras
pads sides of an even length at their ends only, where our networks pad both ends; sides of odd
length, as all maps of a tile of 32 k + 1 have, it pads as ours do. There the features are the same;
elsewhere they lie half a pixel aside, which training on makes up for.

EfficientNetB0 to B7 are TensorFlow's, as ours without `timm_` are, with the same padding at the
side that each was published with. What they do to pixels is a layer of theirs: where it is not what
ImageNet's files have, it is put into the first convolution, which is then padded with another grey.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import keras
import numpy as np
from numpy.typing import NDArray

from deeplab.bundles.archive import open_archive
from deeplab.bundles.foreign import KERAS_MEMBER, is_hdf5
from deeplab.bundles.importers.hdf5_weights import plain_hdf5, read_apart, split_weights
from deeplab.bundles.importers.torch_encoders import fold_normalisation
from deeplab.config.backbones import BACKBONES, STANDARDISED, Normalisation
from deeplab.errors import CheckpointError
from deeplab.models.backbones.efficientnet import LAYOUTS as EFFICIENTNETS
from deeplab.models.layers.norm import BatchNorm

# By our backbone: the application whose layers with weights it has, in the same order.
APPLICATIONS: Mapping[str, str] = MappingProxyType(
    {"mobilenet_v2": "MobileNetV2"}
    | {f"efficientnet_b{size}": f"EfficientNetB{size}" for size in range(8)}
)
# By the beginning of our backbone's name: what differs in the application of that name.
DIFFERENCES: Mapping[str, str] = MappingProxyType(
    {
        "mobilenet_v3": "has twice the channels in its last blocks",
        "resnet": "strides in other layers, and its convolutions have biases",
        "xception": "pools where ours strides, and normalises half as often",
    }
)
KINDS: Mapping[type[keras.layers.Layer], str] = MappingProxyType(
    {
        keras.layers.Conv2D: "conv2d",
        keras.layers.DepthwiseConv2D: "depthwise_conv2d",
        BatchNorm: "batch_normalization",
    }
)
PIXELS = ("pixels/mean", "pixels/variance")  # of the layer that an EfficientNet begins with
NORM = ("gamma", "beta", "moving_mean", "moving_variance")  # in the order of every Keras file


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A layer of ours that wants weights.

    Attributes:
        kind: What Keras 3 calls such layers in a `.weights.h5`, before it numbers them.
        weights: Our names and the shapes, in Keras' order.
    """

    kind: str
    weights: tuple[tuple[str, tuple[int, ...]], ...]


def is_keras_weights(path: Path) -> bool:
    """Return whether a path is an HDF5 file, or a zip that Keras 3 put one in.

    Raises:
        BundleError: it is a zip that is damaged or not safe.
    """
    return is_hdf5(path) or (path.is_file() and zipfile.is_zipfile(path) and _is_keras_zip(path))


def _is_keras_zip(path: Path) -> bool:
    with open_archive(path) as archive:
        return KERAS_MEMBER in archive.sizes


def read_keras_weights(
    path: Path, network: keras.Model, backbone: str
) -> dict[str, NDArray[np.float32]]:
    """Return the weights of an application under our names, which are those of the backbone.

    Args:
        path: As `save_weights` writes it (`.weights.h5`), as `save` does (`.keras`, `.h5`), or as
            Keras offers it for download (`.h5`); with or without the layers of ImageNet's classes.
        network: Whose backbone they are for.
        backbone: Its row of the table of backbones.

    Raises:
        CheckpointError: the file is of another network or width, damaged or not safe to read.
    """
    if backbone not in APPLICATIONS:
        raise CheckpointError(path, _no_application(backbone))
    slots = _slots(network)
    if has_pixels := backbone in EFFICIENTNETS:
        slots.insert(0, Slot(kind="normalization", weights=tuple((name, (3,)) for name in PIXELS)))
    wanted = [weight for slot in slots for weight in slot.weights]
    asked = {
        "slots": [(slot.kind, slot.weights) for slot in slots],
        "application": APPLICATIONS[backbone],
    }
    with plain_hdf5(path) as plain:
        values = split_weights(read_apart(plain, asked, path), wanted, path)
    if has_pixels:
        mean, variance = (values.pop(name) for name in PIXELS)
        theirs = _normalisation(mean, variance, path)
        if theirs != BACKBONES[backbone].normalisation:
            fold_normalisation(values, theirs, BACKBONES[backbone].normalisation)
    return values


def _normalisation(
    mean: NDArray[np.float32], variance: NDArray[np.float32], path: Path
) -> Normalisation:
    """Return what an EfficientNet of these does to pixels, of which it first takes a 255th.

    Raises:
        CheckpointError: a variance is none.
    """
    if not (variance > 0).all():
        raise CheckpointError(path, "is damaged: it has a variance of pixels that is not above 0")
    # ImageNet's files have deviations for variances, and a network that is built for them
    # divides by their roots once more.
    imagenet = _over(mean, variance)
    if np.allclose(imagenet.scale, STANDARDISED.scale) and np.allclose(
        imagenet.offset, STANDARDISED.offset
    ):
        return STANDARDISED
    return _over(mean, np.sqrt(variance))


def _over(mean: NDArray[np.float32], deviation: NDArray[np.float32]) -> Normalisation:
    return Normalisation(
        scale=tuple(map(float, 1 / (255 * deviation))), offset=tuple(map(float, -mean / deviation))
    )


def _no_application(backbone: str) -> str:
    *others, last = APPLICATIONS
    known = f"{', '.join(others)} or {last}"
    sentence = f"is a Keras weights file, which can start {known} only, not {backbone}"
    for beginning, difference in DIFFERENCES.items():
        if backbone.startswith(beginning):
            return f"{sentence}: Keras' network of that name {difference}"
    return sentence


def _slots(network: keras.Model) -> list[Slot]:
    """Return the layers of the backbone that have weights, in order."""
    slots = []
    for layer in network.layers:
        if layer.name.startswith("backbone.") and layer.weights:
            shapes = {weight.name: tuple(weight.shape) for weight in layer.weights}
            names = NORM if set(shapes) == set(NORM) else tuple(shapes)
            weights = tuple((f"{layer.name}/{name}", shapes[name]) for name in names)
            slots.append(Slot(kind=KINDS[type(layer)], weights=weights))
    return slots
