"""What network a TensorFlow 1 DeepLab checkpoint is of: told by names and shapes of variables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from deeplab.bundles.importers.tf1_names import NAMES
from deeplab.config.backbones import BACKBONES
from deeplab.config.deeplabv3plus import DeepLabV3PlusConfig
from deeplab.errors import CheckpointError
from deeplab.models.backbones.mobilenet_v2 import whole_channels

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]
# Of the mobilenets that were published, and 32, 48 and 64 filters for the 20 of a nas backbone.
DEPTH_MULTIPLIERS = (1.0, 0.25, 0.35, 0.5, 0.75, 1.25, 1.3, 1.4, 1.6, 2.4, 3.2)
# The variables that the knobs are told by, but for those of the backbones.
TOLD_BY = (
    "logits/semantic/biases",
    "aspp0/weights",
    "decoder/feature_projection0/weights",
    "decoder/decoder_conv0/weights",
    "decoder/decoder_conv0/biases",
    "decoder/decoder_conv0_pointwise/weights",
    "decoder/decoder_conv0/decoder_conv0_1/weights",
    "decoder/decoder_conv0/decoder_conv0_2/biases",
    "decoder/decoder_split_sep_conv0_pointwise/weights",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphOptions:
    """What a network was built with that its variables do not tell.

    Attributes:
        crop_size: Side of the training crops: the reach of the image pooling.
        output_stride: Work pixels per feature cell; None for 16, or for the one that the
            backbone has.
        atrous_rates: As many as there are atrous branches, or None for 6, 12, 18 at output stride
            16 and twice that at 8 (but not of nas_hnasnet, which has no other stride).
        decoder_output_stride: Work pixels per logit of a network with a decoder; None for what the
            channels of the low-level features tell, and for 4 where they do not.
        multi_grid: Rates of the last block's convolutions (xception) or units (resnet).
        pooling_crop_size: Side of the image pooling's window, if it is smaller than the crop.
        pooling_strides: From one such window to the next, in feature cells, down and across.
        gate: The activation of an image pooling that gates the features.
    """

    crop_size: int = 513
    output_stride: int | None = None
    atrous_rates: tuple[int, ...] | None = None
    decoder_output_stride: int | None = None
    multi_grid: tuple[int, ...] = ()
    pooling_crop_size: int | None = None
    pooling_strides: tuple[int, int] = (1, 1)
    gate: Literal["hard_gate", "gate"] = "hard_gate"


def infer_config(shapes: Shapes, options: GraphOptions, path: Path) -> DeepLabV3PlusConfig:
    """Return the knobs of the network that has variables of these names and shapes.

    Raises:
        CheckpointError: it is none that we can build.
        ConfigError: its sizes are out of bounds.
    """
    backbone = _backbone(shapes, path)
    _check_sides(shapes, backbone, path)
    multiplier, multiple = _width(shapes, backbone)
    output_stride = _output_stride(shapes, options, backbone, multiplier, path)
    return DeepLabV3PlusConfig(
        label_count=_label_count(shapes, path),
        backbone=backbone,
        depth_multiplier=multiplier,
        channel_multiple=multiple,
        atrous_rates=_atrous_rates(shapes, options, backbone, output_stride, path),
        output_stride=output_stride,
        multi_grid=options.multi_grid,
        crop_size=options.crop_size,
        image_pooling=_image_pooling(shapes, options),
        pooling_crop_size=options.pooling_crop_size,
        pooling_strides=options.pooling_strides,
        aspp_filters=_channels(shapes, "aspp0/weights", default=256),
        aspp_merge="project" if "concat_projection/weights" in shapes else "concat",
        **_decoder(shapes, options, backbone if multiplier == 1 else None),
    )


def _channels(shapes: Shapes, *names: str, default: int) -> int:
    """Channels that leave the first of some layers that is there."""
    return next((shapes[name][-1] for name in names if name in shapes), default)


def _backbone(shapes: Shapes, path: Path) -> str:
    found = [name for name, row in NAMES.items() if row.sign in shapes]
    if len(found) == 1:
        return found[0]
    scopes = {name.partition("/")[0] for name in shapes}
    raise CheckpointError(
        path,
        f"has no backbone that can be imported ({', '.join(NAMES)}); it holds "
        + (", ".join(sorted(scopes)[:8]) or "nothing"),
    )


def _check_sides(shapes: Shapes, backbone: str, path: Path) -> None:
    """Raise unless what the knobs are told by has the sides that such variables have."""
    told_by = (*TOLD_BY, *(f"{layer}/weights" for layer in NAMES[backbone].widths))
    for name in told_by:
        shape = shapes.get(name)
        sides = 1 if name.endswith("biases") else 4
        if shape is not None and (len(shape) != sides or 0 in shape):
            problem = f"is of a network that cannot be built: its {name} has the shape {shape}"
            raise CheckpointError(path, problem)


def _label_count(shapes: Shapes, path: Path) -> int:
    for name in (
        "logits/semantic/biases",
        "decoder/decoder_conv0/biases",
        "decoder/decoder_conv0/decoder_conv0_2/biases",
    ):
        if name in shapes:
            return shapes[name][0]
    raise CheckpointError(
        path, "has no logits/semantic/biases, so it segments nothing; train from it instead"
    )


def _atrous_rates(
    shapes: Shapes, options: GraphOptions, backbone: str, output_stride: int, path: Path
) -> tuple[int, ...]:
    branches = sum(
        re.fullmatch(r"aspp[1-9]_pointwise/weights", name) is not None for name in shapes
    )
    rates = options.atrous_rates
    if rates is None:
        # Twice the rates for a map twice as fine; a backbone that has one stride has one set.
        step = 6 if len(BACKBONES[backbone].channels) == 1 else 96 // output_stride
        rates = tuple(step * (index + 1) for index in range(branches))
    if len(rates) != branches:
        should = f"give {branches}, as 6 12 18 at output stride 16" if branches else "give none"
        raise CheckpointError(
            path, f"has {branches} atrous branches, but {len(rates)} rates are given; {should}"
        )
    return rates


def _image_pooling(
    shapes: Shapes, options: GraphOptions
) -> Literal["branch", "hard_gate", "gate", "none"]:
    if "image_pooling/weights" not in shapes:
        return "none"
    # A branch has a batch norm, a gate has not.
    return options.gate if "image_pooling/biases" in shapes else "branch"


def _decoder(shapes: Shapes, options: GraphOptions, backbone: str | None) -> dict[str, Any]:
    """Return the knobs of the decoder; `backbone` only where its taps have the table's channels."""
    projection = shapes.get("decoder/feature_projection0/weights")
    if projection is None:
        return {"decoder_output_stride": None}
    stride = options.decoder_output_stride
    if stride is None:
        taps = BACKBONES[backbone].taps if backbone else {}
        stride = next((at for at, channels in taps.items() if channels == projection[-2]), 4)
    plain, separable = "decoder/decoder_conv0/weights", "decoder/decoder_split_sep_conv0_pointwise"
    added = {plain, f"{separable}/weights"} & set(shapes)
    return {
        "decoder_output_stride": stride,
        "decoder_merge": "sum" if added else "concat",
        "decoder_output": (
            "logits" if "decoder/feature_projection0/biases" in shapes else "features"
        ),
        "decoder_filters": _channels(
            shapes,
            plain,
            f"{separable}/weights",
            "decoder/decoder_conv0_pointwise/weights",
            "decoder/decoder_conv0/decoder_conv0_1/weights",
            default=256,
        ),
        "low_level_filters": 48 if added else projection[-1],
    }


def _width(shapes: Shapes, backbone: str) -> tuple[float, int]:
    """Return the depth multiplier and channel multiple at which a backbone has its channels."""
    row = NAMES[backbone]
    found = [_channels(shapes, f"{layer}/weights", default=0) for layer in row.widths]
    for multiple in row.multiples:
        for multiplier in DEPTH_MULTIPLIERS:
            wanted = [whole_channels(full * multiplier, multiple) for full in row.widths.values()]
            if found == wanted:
                return multiplier, multiple if len(row.multiples) > 1 else 8
    return 1.0, 8


def _output_stride(
    shapes: Shapes, options: GraphOptions, backbone: str, multiplier: float, path: Path
) -> int:
    """Return what is asked for, or the one at which the backbone has its channels, or 16."""
    found = shapes.get("aspp0/weights", (0, 0))[-2]
    channels = BACKBONES[backbone].channels
    possible = [at for at, full in channels.items() if round(full * multiplier) == found]
    only = possible[0] if len(possible) == 1 else None
    if options.output_stride is None:
        return only or 16
    if only not in (None, options.output_stride):
        raise CheckpointError(path, f"has an output stride of {only}, not {options.output_stride}")
    return options.output_stride
