"""U-Net and U-Net++ of segmentation_models_pytorch: its state dicts, and networks saved whole.

Encoder, depth, decoder, attention, channels and classes are worked out from names and shapes. What
lies around the network in a file is passed over, such as the weights of a loss beside it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import keras

from deeplab.bundles.importers.shown_channels import channels_named
from deeplab.bundles.importers.smp_state import (
    COUNTER,
    ENCODERS,
    RESNETS,
    StateEntry,
    state_entries,
)
from deeplab.bundles.importers.stored_tensors import Shape, StoredTensors, check_names
from deeplab.bundles.importers.torch_encoders import read_value
from deeplab.bundles.weights import named_weights
from deeplab.config.skip_decoder import DEPTHS, SkipDecoderConfig
from deeplab.config.unet import UNetConfig
from deeplab.config.unetplusplus import UNetPlusPlusConfig
from deeplab.errors import CheckpointError, ConfigError
from deeplab.models.backbones.efficientnet import LAYOUTS as EFFICIENTNETS
from deeplab.models.registry import family_of

CROP_SIZE = 512  # work pixels, a multiple of every depth's, and little more than DEDL's tiles
HEAD = "segmentation_head.0.weight"
# By what the first doubling is called.
DECODERS: Mapping[str, type[SkipDecoderConfig]] = {
    "decoder.blocks.0.": UNetConfig,
    "decoder.blocks.x_0_0.": UNetPlusPlusConfig,
}
STEMS = {"conv1.weight": "", "_conv_stem.weight": "", "conv_stem.weight": "timm_"}
IGNORED = r".*\." + COUNTER + r"|classification_head\..*"
KNOWN = (
    "resnet18, 34, 50, 101, efficientnet-b0 to b7, timm-efficientnet-b0 to b7, "
    "timm-tf_efficientnet_lite0 to 4"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedNetwork:
    """A network with the weights of a file.

    Attributes:
        network: Built from its config.
        taken: Number of variables that it took.
        skipped: Names of those that say nothing of the network.
    """

    network: keras.Model
    taken: int
    skipped: tuple[str, ...]


def is_smp(tensors: StoredTensors) -> bool:
    """Tell whether tensors are named as those of one of the library's networks with a decoder."""
    return _prefix(tensors) is not None


def _prefix(tensors: StoredTensors) -> str | None:
    """Return what stands before every name of the network, as "model."; None if there is none."""
    ends = (HEAD, *(f"{beginning}conv1.0.weight" for beginning in DECODERS))
    for name in tensors.shapes:
        for end in ends:
            if name == end or name.endswith(f".{end}"):
                return name.removesuffix(end)
    return None


def _network_shapes(tensors: StoredTensors) -> dict[str, Shape]:
    """Return the shapes in the network by its own names."""
    prefix = _prefix(tensors) or ""
    return {
        name.removeprefix(prefix): shape
        for name, shape in tensors.shapes.items()
        if name.startswith(prefix)
    }


def infer_smp(tensors: StoredTensors) -> SkipDecoderConfig:
    """Return the knobs of the network that has these tensors; no value is read.

    Raises:
        CheckpointError: it is another network of the library, or not whole.
    """
    shapes = _network_shapes(tensors)
    beginning = next((b for b in DECODERS if f"{b}conv1.0.weight" in shapes), None)
    if beginning is None:
        raise CheckpointError(tensors.path, "has no decoder of U-Net or U-Net++; no other is read")
    decoder = _decoder_channels(shapes, beginning)
    least, most = DEPTHS
    if not least <= len(decoder) <= most:
        problem = f"has a decoder of {len(decoder)} steps, where {least} to {most} are known"
        raise CheckpointError(tensors.path, problem)
    count = _sides(shapes, HEAD)[0]
    backbone, channels = _encoder(tensors, shapes)
    try:
        return DECODERS[beginning](
            label_count=max(2, count),
            backbone=backbone,
            depth=len(decoder),
            decoder_channels=decoder,
            attention="scse" if any(".attention1." in name for name in shapes) else "none",
            head="sigmoid" if count == 1 else "softmax",
            channels=channels_named((), channels),
            normalisation="zero_to_one",
            crop_size=CROP_SIZE,
        )
    except ConfigError as error:
        raise CheckpointError(tensors.path, f"is of a network in which {error}") from error


def _sides(shapes: Mapping[str, Shape], name: str) -> Shape:
    """Return the sides of a kernel; zeros where there is none."""
    shape = shapes.get(name, ())
    return shape if len(shape) == 4 else (0, 0, 0, 0)


def _decoder_channels(shapes: Mapping[str, Shape], first: str) -> tuple[int, ...]:
    """Return the channels of the outermost doublings, as far as they are numbered in order."""
    channels: list[int] = []
    while (name := f"{first[:-2]}{len(channels)}.conv1.0.weight") in shapes:
        channels.append(_sides(shapes, name)[0])
    return tuple(channels)


def _encoder(tensors: StoredTensors, shapes: Mapping[str, Shape]) -> tuple[str, int]:
    """Return the row of the encoder's backbone, and the channels that it takes.

    Raises:
        CheckpointError: it is none that we have.
    """
    for stem, program in STEMS.items():
        width, channels, *_ = _sides(shapes, f"encoder.{stem}")
        if not width:
            continue
        if stem == "conv1.weight":
            backbone = _resnet(shapes)
        else:
            head = f"encoder.{stem.replace('_stem', '_head')}"
            backbone = _efficientnet(shapes, program, width, _sides(shapes, head)[:2])
        if backbone is not None:
            return backbone, channels
    raise CheckpointError(
        tensors.path, f"has an encoder that is not known; those are {KNOWN} in the library's words"
    )


def _count(shapes: Mapping[str, Shape], pattern: str) -> int:
    """Return how many different numbers or pairs of numbers stand in names of a pattern."""
    return len({match.group(1) for name in shapes if (match := re.match(pattern, name))})


def _resnet(shapes: Mapping[str, Shape]) -> str | None:
    units = tuple(_count(shapes, rf"encoder\.layer{block}\.(\d+)\.conv1") for block in range(1, 5))
    bottleneck = "encoder.layer1.0.conv3.weight" in shapes
    for name, layout in RESNETS.items():
        if layout.units == units and layout.bottleneck == bottleneck:
            return name
    return None


def _efficientnet(shapes: Mapping[str, Shape], program: str, stem: int, head: Shape) -> str | None:
    depthwise = r"encoder\.(?:_blocks\.(?=\d+\._depth)|blocks\.(?=\d+\.\d+\.conv_dw))"
    blocks = _count(shapes, depthwise + r"([\d.]+)")
    gated = any("._se_reduce." in name or ".se.conv_reduce." in name for name in shapes)
    for name in ENCODERS:
        if name not in EFFICIENTNETS or name.startswith("timm_") != bool(program):
            continue
        layout = EFFICIENTNETS[name]
        sides = (layout.head, layout.stages[-1].filters)
        found = (layout.stem, sides, sum(stage.blocks for stage in layout.stages))
        if found == (stem, head, blocks) and gated != layout.lite:
            return name
    return None


def import_smp(tensors: StoredTensors, config: SkipDecoderConfig) -> ImportedNetwork:
    """Build the network that the tensors are of, with their values.

    Names and shapes are compared before it is built and before the first value is read.

    Raises:
        CheckpointError: one is missing, left over, of another shape, damaged or no finite number.
    """
    shapes, prefix = _network_shapes(tensors), _prefix(tensors) or ""
    entries = {entry.name: entry for entry in state_entries(config)}
    _check(tensors, config, shapes, entries)
    network = family_of(config).build(config)
    weights = named_weights(network)
    used = {entry.name: entry.weight for entry in entries.values() if entry.weight in weights}
    for name, ours in used.items():
        weights[ours].assign(read_value(tensors, prefix + name, ours))
    skipped = tuple(name for name in tensors.shapes if name.removeprefix(prefix) not in used)
    return ImportedNetwork(network=network, taken=len(used), skipped=skipped)


def _check(
    tensors: StoredTensors,
    config: SkipDecoderConfig,
    shapes: Mapping[str, Shape],
    entries: Mapping[str, StateEntry],
) -> None:
    missing = [n for n, entry in entries.items() if entry.weight and n not in shapes]
    left = [n for n in shapes if n not in entries and not re.fullmatch(IGNORED, n)]
    check_names(tensors, config.describe(), missing=missing, left=left)
    for name, entry in entries.items():
        if entry.weight and shapes[name] != entry.shape:
            problem = f"has {name} of shape {shapes[name]}, where the network has {entry.shape}"
            raise CheckpointError(tensors.path, problem)


def with_told(
    config: SkipDecoderConfig, channels: tuple[str, ...], changes: Mapping[str, object]
) -> SkipDecoderConfig:
    """Return a config with what the file does not tell and a request does.

    Raises:
        ConfigError: the names are not as many as channels, or a value is not possible.
    """
    names = {"channels": channels_named(channels, len(config.channels))} if channels else {}
    given = {name: value for name, value in changes.items() if value is not None}
    return replace(config, **names, **given)  # type: ignore[arg-type]  # by name, checked there
