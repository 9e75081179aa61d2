"""DeepLabV3+ of Keras, as SURF-segmentation trains it: `.h5` files by the names of their layers.

The files are `deeplabv3_xception_tf_dim_ordering_tf_kernels.h5`, its sister of MobileNetV2, and
what was trained from them. Only names, shapes and numbers are read: no configuration in a file is
looked at, and nothing of it is run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import keras
from numpy.typing import NDArray

from deeplab.bundles.foreign import is_hdf5
from deeplab.bundles.importers.hdf5_weights import Shape, list_weights, plain_hdf5, read_named
from deeplab.bundles.weights import named_weights
from deeplab.config.deeplabv3plus import DeepLabV3PlusConfig
from deeplab.errors import CheckpointError, ConfigError
from deeplab.models.registry import family_of

CROP_SIZE = 512  # work pixels, the side of the original's input where nothing is said
RATES: Mapping[int, tuple[int, ...]] = MappingProxyType({16: (6, 12, 18), 8: (12, 24, 36)})
SIGN = "aspp0/kernel"  # a weight that every such network has
LAST = {
    "mobilenet_v2": "expanded_conv_16_project/kernel",
    "xception_65": "exit_flow_block2_separable_conv3_pointwise/kernel",
}
LOGITS = ("custom_logits_semantic", "logits_semantic")  # of own classes, and of Pascal VOC's
WIDTH = 320  # channels of MobileNetV2's last map at width 1
# From a layer of ours, of which a batch norm ends in `.norm`, to the original's.
RULES: tuple[tuple[str, str], ...] = (
    (r"backbone\.stem", "Conv"),
    (r"backbone\.bottleneck_0\.(\w+)", r"expanded_conv_\1"),
    (r"backbone\.bottleneck_(\d+)\.(\w+)", r"expanded_conv_\1_\2"),
    (r"backbone\.entry_flow\.(conv1_\d)", r"entry_flow_\1"),
    (r"backbone\.(entry|exit)_flow\.(block\d)\.unit_1\.(\w+)", r"\1_flow_\2_\3"),
    (r"backbone\.(entry|exit)_flow\.(block\d)\.unit_1\.(\w+)\.(\w+)", r"\1_flow_\2_\3_\4"),
    (r"backbone\.middle_flow\.block1\.unit_(\d+)\.(\w+)\.(\w+)", r"middle_flow_unit_\1_\2_\3"),
    (r"image_pooling", "image_pooling"),
    (r"aspp\.point", "aspp0"),
    (r"aspp\.atrous_(\d)\.(\w+)", r"aspp\1_\2"),
    (r"aspp\.project", "concat_projection"),
    (r"decoder\.low_level", "feature_projection0"),
    (r"decoder\.conv_(\d)\.(\w+)", r"decoder_conv\1_\2"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedDeepLab:
    """A network with the weights of a file.

    Attributes:
        network: Built from its config.
        taken: Number of weights that it took.
        skipped: Names of those that it has no use for: there are none.
    """

    network: keras.Model
    taken: int
    skipped: tuple[str, ...] = ()


def is_keras_deeplab(path: Path) -> bool:
    """Tell whether a path is an HDF5 file with the layers of such a network.

    Raises:
        CheckpointError: it is an HDF5 file that cannot be read.
    """
    if not is_hdf5(path):
        return False
    with plain_hdf5(path) as plain:
        return SIGN in list_weights(plain, path)


def list_keras_deeplab(path: Path) -> dict[str, Shape]:
    """Return the shape of every weight, as `<layer>/<weight>`; no value is read.

    Raises:
        CheckpointError: the file is damaged, or of another network.
    """
    with plain_hdf5(path) as plain:
        shapes = list_weights(plain, path)
    if SIGN not in shapes:
        raise CheckpointError(
            path,
            "is a weights file of Keras that is not of its DeepLabV3+; of other networks it can "
            "only start a training (--initial-model)",
        )
    return shapes


def infer_keras_deeplab(
    shapes: Mapping[str, Shape],
    path: Path,
    *,
    crop_size: int | None,
    output_stride: int | None,
    atrous_rates: tuple[int, ...],
) -> DeepLabV3PlusConfig:
    """Return the knobs of the network that has such weights.

    Args:
        shapes: As listed.
        path: What errors call the file by.
        crop_size: Side of the training patches, which no weight tells; None: 512.
        output_stride: Work pixels per feature cell, which no weight tells; None: 8 of MobileNetV2,
            16 of Xception.
        atrous_rates: Of the ASPP of Xception; none: those that go with the output stride.

    Raises:
        CheckpointError: they are of a network that cannot be built.
    """
    backbone = backbone_of(shapes, path)
    logits = shapes.get(f"{_logits(shapes)}/bias", ())
    branches = len({m[1] for name in shapes if (m := re.match(r"aspp(\d)_depthwise/", name))})
    stride = output_stride or (8 if backbone == "mobilenet_v2" else 16)
    try:
        return DeepLabV3PlusConfig(
            label_count=sum(logits),
            backbone=backbone,
            depth_multiplier=_width(shapes) if backbone == "mobilenet_v2" else 1.0,
            atrous_rates=(atrous_rates or RATES.get(stride, ())) if branches else (),
            output_stride=stride,
            decoder_output_stride=4 if "feature_projection0/kernel" in shapes else None,
            stem_padding="same" if backbone == "xception_65" else "symmetric",
            crop_size=crop_size or CROP_SIZE,
        )
    except ConfigError as error:
        raise CheckpointError(path, f"is of a network in which {error}") from error


def backbone_of(shapes: Mapping[str, Shape], path: Path) -> str:
    """Return the row of the backbone that weights are of.

    Raises:
        CheckpointError: of none of the two.
    """
    for backbone, last in LAST.items():
        if last in shapes:
            return backbone
    raise CheckpointError(path, f"is of neither of {' and '.join(LAST)}, which alone are taken")


def _width(shapes: Mapping[str, Shape]) -> float:
    """Return the width of a MobileNetV2, whose last channels are not rounded at those published."""
    return sum(shapes[LAST["mobilenet_v2"]][-1:]) / WIDTH


def _logits(shapes: Mapping[str, Shape]) -> str:
    """Return the name of the layer of the logits."""
    return next((name for name in LOGITS if f"{name}/kernel" in shapes), LOGITS[0])


def keras_names(network: keras.Model, shapes: Mapping[str, Shape]) -> dict[str, str]:
    """Return the original's name of each weight of a network of ours, where it has one."""
    rules = (*RULES, (r"logits", _logits(shapes)))
    names = {}
    for weight in named_weights(network):
        layer, _, kind = weight.rpartition("/")
        plain = layer.removesuffix(".norm")
        for pattern, template in rules:
            if match := re.fullmatch(pattern, plain):
                end = "_BN" if plain != layer else ""
                theirs = "depthwise_kernel" if plain.endswith("depthwise") and not end else kind
                names[weight] = f"{match.expand(template)}{end}/{theirs}"
                break
    return names


def import_keras_deeplab(
    path: Path, shapes: Mapping[str, Shape], config: DeepLabV3PlusConfig
) -> ImportedDeepLab:
    """Build the network that a file is of, with its values.

    Names and shapes are compared before the first value is read.

    Raises:
        CheckpointError: one is missing, left over, of another shape, damaged or no finite number.
    """
    network = family_of(config).build(config)
    weights, theirs = named_weights(network), keras_names(network, shapes)
    missing = [name for name in theirs.values() if name not in shapes]
    left = sorted(set(shapes) - set(theirs.values()))
    for words, names in (("lacks", missing), ("has beside it", left)):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            problem = f"does not fit {config.describe()}: it {words} {', '.join(names[:3])}{more}"
            raise CheckpointError(path, problem)
    for ours, name in theirs.items():
        if shapes[name] != tuple(weights[ours].shape):
            wanted = tuple(weights[ours].shape)
            problem = f"has {name} of shape {shapes[name]}, where the network has {wanted}"
            raise CheckpointError(path, problem)
    with plain_hdf5(path) as plain:
        values = read_named(plain, {name: shapes[name] for name in theirs.values()}, path)
    for ours, name in theirs.items():
        weights[ours].assign(values[name])
    return ImportedDeepLab(network=network, taken=len(theirs))


def read_keras_deeplab(path: Path, network: keras.Model, backbone: str) -> dict[str, NDArray[Any]]:
    """Return the weights of a file under our names, as far as `network` has them, to train on from.

    Raises:
        CheckpointError: it is of another backbone, or damaged.
    """
    shapes = list_keras_deeplab(path)
    found = backbone_of(shapes, path)
    if found != backbone:
        problem = f"has the backbone {found}, where the network to be trained has {backbone}"
        raise CheckpointError(path, f"{problem}; set backbone to {found}")
    theirs = {ours: n for ours, n in keras_names(network, shapes).items() if n in shapes}
    with plain_hdf5(path) as plain:
        values = read_named(plain, {name: shapes[name] for name in theirs.values()}, path)
    return {ours: values[name] for ours, name in theirs.items()}
