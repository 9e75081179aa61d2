"""The state dict of segmentation_models_pytorch: every entry of a network, in the library's order.

An encoder has all its layers there, also those that a network of few doublings does not use, and so
has the attention of the last doubling, which has no skip. Other order or names than these the
library does not load (`load_state_dict`, strict).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import keras
import numpy as np
from numpy.typing import NDArray

from deeplab.bundles.importers.hovernet_names import PYTORCH, Rule
from deeplab.bundles.importers.stored_tensors import Shape
from deeplab.bundles.importers.torch_encoders import LAYOUTS, EncoderNaming, is_depthwise
from deeplab.bundles.weights import named_weights
from deeplab.config.backbones import BACKBONES
from deeplab.config.skip_decoder import Attention, SkipDecoderConfig
from deeplab.config.unet import UNetConfig
from deeplab.models.backbones import resnet
from deeplab.models.backbones.efficientnet import LAYOUTS as EFFICIENTNETS

RESNETS: Mapping[str, resnet.ResNetLayout] = MappingProxyType(
    {
        "resnet_18": resnet.RESNET_18,
        "resnet_34": resnet.RESNET_34,
        "resnet_50": resnet.RESNET_50,
        "resnet_101": resnet.RESNET_101,
    }
)
# The encoders that the library and we have, and which of their programs' names it gives them.
ENCODERS: Mapping[str, EncoderNaming] = MappingProxyType(
    {name: LAYOUTS[name][0] for name in RESNETS}
    | {name: LAYOUTS[name][name.startswith("timm_")] for name in EFFICIENTNETS}
)
COUNTER = "num_batches_tracked"
_NODE = r"decoder\.(?:block_(\d+)|(x_\d_\d))"
DECODER: tuple[Rule, ...] = (
    (rf"{_NODE}\.conv(\d)", r"decoder.blocks.\1\2.conv\3.0"),
    (rf"{_NODE}\.conv(\d)\.norm", r"decoder.blocks.\1\2.conv\3.1"),
    (rf"{_NODE}\.attention(\d)\.squeeze", r"decoder.blocks.\1\2.attention\3.attention.cSE.1"),
    (rf"{_NODE}\.attention(\d)\.excite", r"decoder.blocks.\1\2.attention\3.attention.cSE.3"),
    (rf"{_NODE}\.attention(\d)\.space", r"decoder.blocks.\1\2.attention\3.attention.sSE.0"),
    (r"logits", r"segmentation_head.0"),
)
NORM = ("gamma", "beta", "moving_mean", "moving_variance")  # in PyTorch's order


@dataclass(frozen=True, slots=True)
class StateEntry:
    """One tensor of a state dict.

    Attributes:
        name: In the library.
        shape: There.
        weight: Our name of it; "" of a counter.
    """

    name: str
    shape: Shape
    weight: str


@dataclass(frozen=True, slots=True)
class _Layer:
    """A convolution, or with `kernel` 0 the batch norm of one."""

    name: str
    channels: int
    taken: int = 0
    kernel: int = 0
    bias: bool = False


def state_entries(config: SkipDecoderConfig) -> tuple[StateEntry, ...]:
    """Return all entries of the state dict of a network whose encoder is one of `ENCODERS`."""
    encoder = ENCODERS[config.backbone]
    entries = [
        entry
        for layer in _encoder(config.backbone, len(config.channels))
        for entry in _entries(layer, encoder, "encoder.")
    ]
    nodes = _unet(config) if isinstance(config, UNetConfig) else _nested(config)
    decoder = EncoderNaming(rules=DECODER)
    for name, taken, channels in nodes:
        for layer in _doubling(name, taken, channels, config.attention):
            entries += _entries(layer, decoder, "")
    count = 1 if config.head == "sigmoid" else config.label_count
    head = _Layer("logits", count, config.decoder_channels[-1], 3, bias=True)
    return (*entries, *_entries(head, decoder, ""))


def state_dict(
    config: SkipDecoderConfig, network: keras.Model
) -> Iterator[tuple[str, NDArray[np.float32 | np.int64]]]:
    """Yield names and values of the state dict of a network, as the library loads it.

    Layers that the network has not, as it does not use them, are zeros, and their batch norms
    change nothing.
    """
    weights = named_weights(network)
    for entry in state_entries(config):
        if not entry.weight:
            yield entry.name, np.zeros((), np.int64)
        elif entry.weight in weights:
            yield entry.name, _as_theirs(entry.weight, weights[entry.weight].numpy())
        else:
            is_factor = entry.weight.endswith(("/gamma", "/moving_variance"))
            yield entry.name, np.full(entry.shape, float(is_factor), np.float32)


def _as_theirs(weight: str, value: NDArray[np.float32]) -> NDArray[np.float32]:
    if value.ndim != 4:
        return value
    axes = (2, 3, 0, 1) if is_depthwise(weight) else (3, 2, 0, 1)
    return np.ascontiguousarray(value.transpose(axes))


def _entries(layer: _Layer, layout: EncoderNaming, prefix: str) -> Iterator[StateEntry]:
    if layer.kernel:
        shapes: dict[str, Shape] = {
            "kernel": (layer.channels, layer.taken, layer.kernel, layer.kernel)
        }
        shapes |= {"bias": (layer.channels,)} if layer.bias else {}
    else:
        shapes = dict.fromkeys(NORM, (layer.channels,))
    for kind, shape in shapes.items():
        weight = f"{layer.name}/{kind}"
        yield StateEntry(f"{prefix}{layout.name_of(weight)}", shape, weight)
    if not layer.kernel:
        scope = str(layout.name_of(f"{layer.name}/gamma")).removesuffix(PYTORCH.kinds["gamma"])
        yield StateEntry(f"{prefix}{scope}.{COUNTER}", (), "")


def _normed(name: str, channels: int, taken: int, kernel: int = 1) -> tuple[_Layer, _Layer]:
    return _Layer(name, channels, taken, kernel), _Layer(f"{name}.norm", channels)


def _encoder(backbone: str, channels: int) -> Iterator[_Layer]:
    if backbone in RESNETS:
        yield from _resnet(RESNETS[backbone], channels)
    else:
        yield from _efficientnet(backbone, channels)


def _resnet(layout: resnet.ResNetLayout, channels: int) -> Iterator[_Layer]:
    yield from _normed("backbone.conv1", resnet.STEM, channels, 7)
    taken = resnet.STEM
    for block, (width, units) in enumerate(zip(resnet.WIDTHS, layout.units, strict=True), start=1):
        filters = width * resnet.EXPANSION if layout.bottleneck else width
        for unit in range(units):
            name = f"backbone.block{block}.unit_{unit}"
            kernels = (1, 3, 1) if layout.bottleneck else (3, 3)
            before = taken
            for number, kernel in enumerate(kernels, start=1):
                out = filters if number == len(kernels) else width
                yield from _normed(f"{name}.conv{number}", out, taken, kernel)
                taken = out
            if unit == 0 and (block > 1 or before != filters):
                yield from _normed(f"{name}.shortcut", filters, before)


def _efficientnet(backbone: str, channels: int) -> Iterator[_Layer]:
    layout = EFFICIENTNETS[backbone]
    yield from _normed("backbone.stem", layout.stem, channels, 3)
    taken, index = layout.stem, 0
    for stage in layout.stages:
        for _ in range(stage.blocks):
            name, wide = f"backbone.block_{index}", taken * stage.expansion
            if stage.expansion > 1:
                yield from _normed(f"{name}.expand", wide, taken)
            yield from _normed(f"{name}.depthwise", wide, 1, stage.kernel)
            if not layout.lite:
                squeezed = taken // 4
                yield _Layer(f"{name}.squeeze", squeezed, wide, 1, bias=True)
                yield _Layer(f"{name}.excite", wide, squeezed, 1, bias=True)
            yield from _normed(f"{name}.project", stage.filters, wide)
            taken, index = stage.filters, index + 1
    yield from _normed("backbone.head", layout.head, taken)


def encoder_channels(config: SkipDecoderConfig) -> tuple[int, ...]:
    """Return the channels of the encoder's maps, the coarsest first."""
    facts = BACKBONES[config.backbone]
    channels = {max(facts.channels): next(iter(facts.channels.values()))} | dict(facts.taps)
    return tuple(channels[2**level] for level in range(config.depth, 0, -1))


def _unet(config: SkipDecoderConfig) -> Iterator[tuple[str, int, int]]:
    """Yield the name of each doubling, the channels that it takes and gives."""
    taken, *skips = encoder_channels(config)
    for index, (skip, channels) in enumerate(
        zip((*skips, 0), config.decoder_channels, strict=True)
    ):
        yield f"decoder.block_{index}", taken + skip, channels
        taken = channels


def _nested(config: SkipDecoderConfig) -> Iterator[tuple[str, int, int]]:
    coarsest, *skips = encoder_channels(config)
    above = (coarsest, *config.decoder_channels)
    for last, skip in enumerate(skips):
        for first in range(last + 1):
            taken = above[last] if first == 0 else (coarsest, *skips)[last]
            joined = skip * (last + 1 - first)
            channels = config.decoder_channels[last] if first == 0 else skip
            yield f"decoder.x_{first}_{last}", taken + joined, channels
    yield f"decoder.x_0_{len(skips)}", above[len(skips)], config.decoder_channels[-1]


def _doubling(name: str, taken: int, channels: int, attention: Attention) -> Iterator[_Layer]:
    for number, gated in ((1, taken), (2, channels)):
        yield from _normed(f"{name}.conv{number}", channels, gated, 3)
        if attention == "scse":
            squeezed, scope = gated // 16, f"{name}.attention{number}"
            yield _Layer(f"{scope}.squeeze", squeezed, gated, 1, bias=True)
            yield _Layer(f"{scope}.excite", gated, squeezed, 1, bias=True)
            yield _Layer(f"{scope}.space", 1, gated, 1, bias=True)
