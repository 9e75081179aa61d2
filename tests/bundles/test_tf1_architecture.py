"""The knobs of a network are read off the variables that it has."""

import dataclasses
from pathlib import Path

import pytest

from deeplab.bundles.importers.tf1_architecture import GraphOptions, infer_config
from deeplab.bundles.importers.tf1_names import tf1_name
from deeplab.bundles.weights import named_weights
from deeplab.config.deeplabv3plus import DeepLabV3PlusConfig
from deeplab.errors import CheckpointError
from deeplab.models.deeplabv3plus.network import build

SMALL = DeepLabV3PlusConfig(
    label_count=3, depth_multiplier=0.35, aspp_filters=8, decoder_filters=8, low_level_filters=4
)
SEG = {
    "aspp_merge": "concat",
    "atrous_rates": (),
    "image_pooling": "hard_gate",
    "decoder_merge": "sum",
    "low_level_filters": 48,
}


def shapes_of(config: DeepLabV3PlusConfig) -> dict[str, tuple[int, ...]]:
    weights = named_weights(build(config))
    return {tf1_name(n, config.backbone): tuple(v.shape) for n, v in weights.items()}


@pytest.mark.parametrize(
    ("knobs", "options"),
    [
        ({}, {}),
        ({"depth_multiplier": 0.5, "channel_multiple": 1}, {}),
        ({"output_stride": 8, "atrous_rates": (12, 24, 36)}, {"output_stride": 8}),
        ({"atrous_rates": (3,), "crop_size": 512}, {"atrous_rates": (3,), "crop_size": 512}),
        ({"decoder_output_stride": None, "decoder_filters": 256, "low_level_filters": 48}, {}),
        ({"decoder_output_stride": 8}, {"decoder_output_stride": 8}),
        ({"depth_multiplier": 1.0, "decoder_output_stride": 8}, {}),
        ({"image_pooling": "none"}, {}),
        ({"image_pooling": "gate"}, {"gate": "gate"}),
        (
            {"pooling_crop_size": 257, "pooling_strides": (4, 5)},
            {"pooling_crop_size": 257, "pooling_strides": (4, 5)},
        ),
        (SEG, {}),
        ({**SEG, "decoder_output": "logits", "decoder_filters": 3}, {}),
        ({"decoder_output": "logits", "decoder_filters": 3}, {}),
        ({"backbone": "mobilenet_v3_small_seg", "depth_multiplier": 0.75}, {}),
        ({"backbone": "mobilenet_edgetpu"}, {}),
    ],
)
def test_knobs_are_read_off_the_variables(knobs: dict[str, object], options: dict[str, object]):
    config = dataclasses.replace(SMALL, **knobs)
    assert infer_config(shapes_of(config), GraphOptions(**options), Path("m")) == config


SHAPES = {
    "MobilenetV2/Conv/weights": (3, 3, 3, 32),
    "MobilenetV2/expanded_conv_1/project/weights": (1, 1, 96, 24),
    "MobilenetV2/expanded_conv_16/project/weights": (1, 1, 960, 320),
    "logits/semantic/biases": (3,),
    "aspp0/weights": (1, 1, 320, 8),
    "decoder/feature_projection0/weights": (1, 1, 144, 4),
    "decoder/decoder_conv0_pointwise/weights": (1, 1, 12, 8),
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("shape", [(), (0,), (3, 3), (1, 1, 0, 8), (1,) * 5])
def test_shapes_that_no_such_variable_has_are_one_sentence(name: str, shape: tuple[int, ...]):
    infer_config(SHAPES, GraphOptions(), Path("m"))
    with pytest.raises(CheckpointError, match=f"cannot be built: its {name} has the shape"):
        infer_config({**SHAPES, name: shape}, GraphOptions(), Path("m"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "multiplier", "output_stride", "rates"),
    [
        ("nas_pnasnet", 1.0, 8, (12, 24, 36)),
        ("nas_pnasnet", 1.6, 16, (6, 12, 18)),
        ("nas_pnasnet", 0.5, 32, (3, 6, 9)),
        ("nas_hnasnet", 2.4, 8, (6, 12, 18)),
    ],
)
def test_a_nas_backbone_tells_its_stride_by_its_channels(
    backbone: str, multiplier: float, output_stride: int, rates: tuple[int, ...]
):
    config = dataclasses.replace(
        SMALL,
        backbone=backbone,
        depth_multiplier=multiplier,
        output_stride=output_stride,
        atrous_rates=rates,
    )
    shapes = shapes_of(config)
    assert infer_config(shapes, GraphOptions(), Path("m")) == config
    with pytest.raises(CheckpointError, match=f"has an output stride of {output_stride}, not 4"):
        infer_config(shapes, GraphOptions(output_stride=4), Path("m"))


def test_an_original_with_an_odd_head_has_the_names_it_gives():
    names = set(shapes_of(dataclasses.replace(SMALL, **SEG)))
    assert {"image_pooling/biases", "decoder/decoder_split_sep_conv0_depthwise/BatchNorm/gamma"} < (
        names
    )
    assert "concat_projection/weights" not in names
    plain = dataclasses.replace(SMALL, decoder_output="logits", decoder_filters=3)
    assert {f"decoder/decoder_conv0/decoder_conv0_{i}/weights" for i in (1, 2)} < set(
        shapes_of(plain)
    )


def test_variables_that_end_in_no_logits_are_named():
    shapes = {n: s for n, s in shapes_of(SMALL).items() if not n.startswith("logits/")}
    with pytest.raises(CheckpointError, match="has no logits/semantic/biases, so it segments"):
        infer_config(shapes, GraphOptions(), Path("m"))
