"""EfficientDet for segmentation of SURF-segmentation: TensorFlow's object checkpoints, in and out.

Its `{epoch}_ckpt` have a tensor for each variable, called by the way that leads to it through the
objects of the program (the object key); Keras' own names repeat there. Size, filters, cells and
levels are worked out from names and shapes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import keras
import numpy as np
from numpy.typing import NDArray

from deeplab.bundles.importers.tf1_network import Variables
from deeplab.bundles.read import check_held
from deeplab.bundles.weights import named_weights
from deeplab.config.efficientdet_seg import MAX_LEVEL, SIZES, EfficientDetSegConfig
from deeplab.errors import CheckpointError, ConfigError
from deeplab.models.backbones.efficientnet import LAYOUTS
from deeplab.models.registry import family_of

VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
SLOT = "/.OPTIMIZER_SLOT/"  # in what an optimiser keeps of a variable, behind the variable's key
STEM = "backbone/_stem/_conv_stem/kernel"
HEAD = "seg_head/head_transpose/bias"
CROP_SIZE = 1024  # work pixels, as SURF-segmentation's networks are trained
LOGITS = "logits/kernel"  # the sides of which are stored in another order

_NODE = r"fpn\.cell_(\d+)\.node_(\d+)"
_CELL = r"fpn_cells/cells/\1/fnodes/\2"
# From a weight of ours to its object key.
RULES: tuple[tuple[str, str], ...] = (
    (r"backbone\.stem/(\w+)", r"backbone/_stem/_conv_stem/\1"),
    (r"backbone\.stem\.norm/(\w+)", r"backbone/_stem/_bn/\1"),
    (r"backbone\.block_(\d+)\.(expand|project)/(\w+)", r"backbone/_blocks/\1/_\2_conv/\3"),
    (
        r"backbone\.block_(\d+)\.depthwise/(\w+)",
        r"backbone/_blocks/\1/_depthwise_conv/depthwise_\2",
    ),
    (r"backbone\.block_(\d+)\.expand\.norm/(\w+)", r"backbone/_blocks/\1/_bn0/\2"),
    (r"backbone\.block_(\d+)\.depthwise\.norm/(\w+)", r"backbone/_blocks/\1/_bn1/\2"),
    (r"backbone\.block_(\d+)\.project\.norm/(\w+)", r"backbone/_blocks/\1/_bn2/\2"),
    (r"backbone\.block_(\d+)\.squeeze/(\w+)", r"backbone/_blocks/\1/_se/_se_reduce/\2"),
    (r"backbone\.block_(\d+)\.excite/(\w+)", r"backbone/_blocks/\1/_se/_se_expand/\2"),
    (r"fpn\.level_6/(\w+)", r"resample_layers/0/conv2d/\1"),
    (r"fpn\.level_6\.norm/(\w+)", r"resample_layers/0/bn/\1"),
    (rf"{_NODE}\.lateral_(\d)/(\w+)", rf"{_CELL}/resample_layers/\3/conv2d/\4"),
    (rf"{_NODE}\.lateral_(\d)\.norm/(\w+)", rf"{_CELL}/resample_layers/\3/bn/\4"),
    (rf"{_NODE}\.fuse/weight_0", rf"{_CELL}/WSM"),
    (rf"{_NODE}\.fuse/weight_(\d)", rf"{_CELL}/WSM_\3"),
    (rf"{_NODE}\.depthwise/(\w+)", rf"{_CELL}/op_after_combine/conv_op/depthwise_\3"),
    (rf"{_NODE}\.pointwise/kernel", rf"{_CELL}/op_after_combine/conv_op/pointwise_kernel"),
    (rf"{_NODE}\.pointwise/bias", rf"{_CELL}/op_after_combine/conv_op/bias"),
    (rf"{_NODE}\.pointwise\.norm/(\w+)", rf"{_CELL}/op_after_combine/bn/\3"),
    (r"head\.up_(\d)/(\w+)", r"seg_head/con2d_ts/\1/\2"),
    (r"head\.up_(\d)\.norm/(\w+)", r"seg_head/con2d_t_bns/\1/\2"),
    (r"logits/(\w+)", r"seg_head/head_transpose/\1"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedEfficientDet:
    """A network with the weights of a checkpoint.

    Attributes:
        network: Built from its config.
        taken: Number of variables that it took.
        skipped: Names of those that are not the network's.
    """

    network: keras.Model
    taken: int
    skipped: tuple[str, ...]


def is_object_checkpoint(variables: Variables) -> bool:
    """Tell whether variables are called by object keys, as TensorFlow 2 calls them."""
    return any(name.endswith(VALUE) for name in variables.shapes)


def object_key(weight: str) -> str:
    """Return the object key of a weight of ours.

    Raises:
        KeyError: no rule speaks of it.
    """
    for pattern, template in RULES:
        if match := re.fullmatch(pattern, weight):
            return match.expand(template)
    raise KeyError(weight)


def _keys(variables: Variables) -> dict[str, str]:
    """Return the checkpoint's names of the variables of its network, by object key.

    The network may be a part of what was saved, as "model".

    Raises:
        CheckpointError: it is of another program.
    """
    names = [name for name in variables.shapes if name.endswith(VALUE) and SLOT not in name]
    stem = next((name for name in names if name.endswith(STEM + VALUE)), None)
    if stem is None:
        raise CheckpointError(
            variables.path,
            "is a checkpoint of TensorFlow 2 that is no EfficientDet: of these only "
            "EfficientDet for segmentation is taken",
        )
    prefix = stem.removesuffix(STEM + VALUE)
    keys = {n.removeprefix(prefix).removesuffix(VALUE): n for n in names if n.startswith(prefix)}
    if HEAD not in keys:
        raise CheckpointError(
            variables.path,
            "is an EfficientDet without a head that labels pixels, as those that find boxes; only "
            "EfficientDet for segmentation is taken",
        )
    return keys


def infer_efficientdet(variables: Variables, crop_size: int | None) -> EfficientDetSegConfig:
    """Return the knobs of the network that has these variables; no value is read.

    Args:
        variables: Of the checkpoint.
        crop_size: Side of the training patches, which no variable tells; None: 1,024.

    Raises:
        CheckpointError: it is of another network.
        ConfigError: the crop size is none that it takes.
    """
    keys = _keys(variables)
    shapes = {key: variables.shapes[name] for key, name in keys.items()}
    filters = shapes.get("fpn_cells/cells/0/fnodes/0/op_after_combine/conv_op/bias", ())
    cells = _count(shapes, r"fpn_cells/cells/(\d+)/")
    nodes = _count(shapes, r"fpn_cells/cells/0/fnodes/(\d+)/")
    try:
        config = EfficientDetSegConfig(
            label_count=sum(shapes[HEAD]),
            size=_size(variables, shapes),
            fpn_filters=sum(filters),
            fpn_cells=cells,
            min_level=MAX_LEVEL - nodes // 2,  # a node down and one up between two levels
            fusion="linear",
            normalisation="unit_range",
            crop_size=CROP_SIZE,
        )
    except ConfigError as error:
        raise CheckpointError(variables.path, f"is of a network in which {error}") from error
    return config if crop_size is None else replace(config, crop_size=crop_size)


def _count(shapes: Mapping[str, tuple[int, ...]], pattern: str) -> int:
    return len({match[1] for key in shapes if (match := re.match(pattern, key))})


def _size(variables: Variables, shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Return the size whose backbone has such a stem and so many blocks."""
    found = (sum(shapes[STEM][-1:]), _count(shapes, r"backbone/_blocks/(\d+)/"))
    for size, facts in SIZES.items():
        layout = LAYOUTS[facts.backbone]
        if found == (layout.stem, sum(stage.blocks for stage in layout.stages)):
            return size
    raise CheckpointError(
        variables.path,
        f"has a backbone of {found[1]} blocks on {found[0]} channels, which is no EfficientNet "
        "from B0 to B7",
    )


def import_efficientdet(
    variables: Variables, config: EfficientDetSegConfig
) -> ImportedEfficientDet:
    """Build the network that the variables are of, with their values.

    Names and shapes are compared before the first value is read.

    Raises:
        CheckpointError: one is missing, left over, of another shape, damaged or no finite number.
    """
    check_held(config, variables.held_bytes, variables.path)
    network = family_of(config).build(config)
    keys, weights = _keys(variables), named_weights(network)
    theirs = {name: object_key(name) for name in weights}
    _check(variables, config, keys, theirs)
    for name, key in theirs.items():
        found, wanted = variables.shapes[keys[key]], _swapped(name, tuple(weights[name].shape))
        if found != wanted:
            problem = f"has {key} of shape {found}, where the network has {wanted}"
            raise CheckpointError(variables.path, problem)
    for name, key in theirs.items():
        value = variables.tensor(keys[key])
        if not np.isfinite(value).all():
            problem = f"has a value that is not a finite number in {key}"
            raise CheckpointError(variables.path, problem)
        weights[name].assign(value.transpose(0, 1, 3, 2) if name == LOGITS else value)
    used = {keys[key] for key in theirs.values()}
    skipped = tuple(name for name in variables.shapes if name not in used)
    return ImportedEfficientDet(network=network, taken=len(used), skipped=skipped)


def _check(
    variables: Variables,
    config: EfficientDetSegConfig,
    keys: Mapping[str, str],
    theirs: Mapping[str, str],
) -> None:
    """Raise CheckpointError where names are missing, or left over in the network's own parts."""
    wanted = set(theirs.values())
    parts = {key.partition("/")[0] for key in wanted}
    missing = [key for key in theirs.values() if key not in keys]
    left = [key for key in keys if key not in wanted and key.partition("/")[0] in parts]
    for words, names in (("lacks", missing), ("has beside it", left)):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            problem = f"does not fit {config.describe()}: it {words} {', '.join(names[:3])}{more}"
            raise CheckpointError(variables.path, problem)


def _swapped(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape as it is stored: the labels of the last kernel stand before its channels."""
    return (*shape[:2], shape[3], shape[2]) if name == LOGITS else shape


def object_values(
    config: EfficientDetSegConfig, network: keras.Model
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield object key and value of every weight of a network, as the checkpoints have them.

    A ReLU of fusion weights, which the program has not, is in their values.
    """
    for name, variable in named_weights(network).items():
        value = np.asarray(variable, np.float32)
        if ".fuse/" in name and config.fusion == "relu":
            value = np.maximum(value, np.float32(0))
        yield object_key(name), value.transpose(0, 1, 3, 2) if name == LOGITS else value
