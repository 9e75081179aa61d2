"""Encoders with the weights of other programs give those programs' features."""

from pathlib import Path

import keras
import numpy as np
import pytest

from deeplab.bundles.importers.tensor_files import open_tensor_file
from deeplab.bundles.importers.torch_encoders import LAYOUTS, read_encoder_weights
from deeplab.bundles.weights import named_weights
from deeplab.config.backbones import BACKBONES, STANDARDISED
from deeplab.models.backbones.pyramid import BackboneOptions
from deeplab.models.backbones.table import BUILD
from tests.bundles import torch_for_tests as torch
from tests.golden.golden_files import GOLDEN, golden_image, meta_of, rebuild_checkpoint

RESNET_18 = GOLDEN / "timm/resnet18/golden.npz"


def encoder(name: str, output_stride: int) -> keras.Model:
    rgb = keras.Input((None, None, 3), dtype="uint8")
    facts = BACKBONES[name].normalisation
    x = keras.layers.Rescaling(facts.scale, offset=facts.offset)(rgb)
    options = BackboneOptions(
        output_stride=output_stride,
        depth_multiplier=1.0,
        channel_multiple=8,
        multi_grid=(),
        crop_size=384,
        drop_path_keep_prob=1.0,
        decay=0.99,
    )
    return keras.Model(rgb, BUILD[name](x, options).features)


@pytest.mark.slow
@pytest.mark.skipif(not RESNET_18.exists(), reason=f"{RESNET_18} is not there")
@pytest.mark.parametrize("kind", ["net.pth", "net.safetensors"])
def test_a_resnet_of_timm_gives_its_features(tmp_path: Path, kind: str):
    network = encoder("resnet_18", 32)
    with open_tensor_file(rebuild_checkpoint(RESNET_18, tmp_path / kind)) as tensors:
        values = read_encoder_weights(tensors, network, "resnet_18")
    weights = named_weights(network)
    assert list(values) == list(weights)
    for name, value in values.items():
        weights[name].assign(value)
    meta = meta_of(RESNET_18)
    features = network(golden_image(meta)[None]).numpy()[0]
    facts = meta["outputs"]["features"]
    with np.load(RESNET_18) as expected:
        wanted = expected["out:features"]
    step = features.shape[-1] // wanted.shape[-1]
    assert np.abs(features[..., ::step] - wanted).max() <= 5e-4 * facts["std"]


# Whose numbers are taken as they are.
EACH_LAYOUT = [
    (name, number)
    for name, layouts in LAYOUTS.items()
    for number, layout in enumerate(layouts)
    if name in BACKBONES and layout.normalisation is None and not layout.epsilon_more
]


def as_torch(weight: str, value: np.ndarray) -> np.ndarray:
    """A kernel in PyTorch's order of axes."""
    axes = (2, 3, 0, 1) if "depthwise" in weight else (3, 2, 0, 1)
    return np.ascontiguousarray(value.transpose(axes))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "layout"), EACH_LAYOUT)
def test_every_weight_of_an_encoder_is_taken_from_a_file(tmp_path: Path, name: str, layout: int):
    network = encoder(name, 32)
    rng = np.random.default_rng(0)
    ours = {
        n: rng.normal(size=w.shape).astype(np.float32) for n, w in named_weights(network).items()
    }

    def theirs(weight: str, value: np.ndarray) -> np.ndarray:
        if value.ndim != 4:
            return value
        return as_torch(weight, value)

    state = {LAYOUTS[name][layout].name_of(n): theirs(n, value) for n, value in ours.items()}
    path = torch.write_state(
        tmp_path / "a.pth", state | {"fc.weight": np.zeros((2, 3), np.float32)}
    )
    with open_tensor_file(path) as tensors:
        values = read_encoder_weights(tensors, network, name)
    assert list(values) == list(ours)
    for weight, value in values.items():
        np.testing.assert_array_equal(value, ours[weight])


# Names that torchvision and timm give the ends and the middle of MobileNetV2.
OF_MOBILENET = {
    "backbone.stem/kernel": ("features.0.0.weight", "conv_stem.weight"),
    "backbone.stem.norm/gamma": ("features.0.1.weight", "bn1.weight"),
    "backbone.bottleneck_0.depthwise/kernel": (
        "features.1.conv.0.0.weight",
        "blocks.0.0.conv_dw.weight",
    ),
    "backbone.bottleneck_0.project.norm/beta": ("features.1.conv.2.bias", "blocks.0.0.bn2.bias"),
    "backbone.bottleneck_2.expand/kernel": (
        "features.3.conv.0.0.weight",
        "blocks.1.1.conv_pw.weight",
    ),
    "backbone.bottleneck_16.project/kernel": (
        "features.17.conv.2.weight",
        "blocks.6.0.conv_pwl.weight",
    ),
    "backbone.bottleneck_16.project.norm/moving_mean": (
        "features.17.conv.3.running_mean",
        "blocks.6.0.bn3.running_mean",
    ),
}


# Names that torchvision gives its EfficientNets: of B0, and of B5 with its more blocks.
OF_EFFICIENTNET = {
    "b0": {
        "backbone.stem/kernel": "features.0.0.weight",
        "backbone.stem.norm/moving_variance": "features.0.1.running_var",
        "backbone.block_0.depthwise/kernel": "features.1.0.block.0.0.weight",
        "backbone.block_0.squeeze/kernel": "features.1.0.block.1.fc1.weight",
        "backbone.block_0.excite/bias": "features.1.0.block.1.fc2.bias",
        "backbone.block_0.project/kernel": "features.1.0.block.2.0.weight",
        "backbone.block_2.expand.norm/beta": "features.2.1.block.0.1.bias",
        "backbone.block_15.depthwise.norm/gamma": "features.7.0.block.1.1.weight",
        "backbone.block_15.squeeze/bias": "features.7.0.block.2.fc1.bias",
        "backbone.block_15.project.norm/moving_mean": "features.7.0.block.3.1.running_mean",
        "backbone.head/kernel": "features.8.0.weight",
        "backbone.head.norm/gamma": "features.8.1.weight",
    },
    "b5": {
        "backbone.block_2.project/kernel": "features.1.2.block.2.0.weight",
        "backbone.block_3.expand/kernel": "features.2.0.block.0.0.weight",
        "backbone.block_38.project/kernel": "features.7.2.block.3.0.weight",
    },
}


@pytest.mark.parametrize("size", OF_EFFICIENTNET)
@pytest.mark.parametrize("program", ["", "timm_"])
def test_an_efficientnet_is_called_as_torchvision_calls_it(size: str, program: str):
    layout = LAYOUTS[f"{program}efficientnet_{size}"][2]
    names = OF_EFFICIENTNET[size]
    assert {name: layout.name_of(name) for name in names} == names


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["efficientnet_b0", "timm_efficientnet_b0", "timm_efficientnet_b5"]
)
def test_an_efficientnet_of_torchvision_gives_its_features(tmp_path: Path, name: str):
    """Compare with timm's own, which computes as torchvision's but for the epsilon of B5 to B7.

    On a tile of which all maps have odd sides: there TensorFlow's padding is the same.
    """
    timms = f"timm_{name.removeprefix('timm_')}"
    network, theirs = encoder(name, 32), encoder(timms, 32)
    rng = np.random.default_rng(2)
    for weight_name, weight in named_weights(theirs).items():
        value = rng.normal(0, 0.1, weight.shape)
        if weight_name.endswith(("gamma", "moving_variance")):
            value = 0.01 + np.abs(value)
        weight.assign(value)
    for layer in theirs.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.epsilon = 1e-3 if name.endswith("5") else 1e-5
    state = {
        LAYOUTS[name][2].name_of(ours): (
            as_torch(ours, weight.numpy()) if ours.endswith("kernel") else weight.numpy()
        )
        for ours, weight in named_weights(theirs).items()
    }
    with open_tensor_file(torch.write_state(tmp_path / "a.pth", state)) as tensors:
        values = read_encoder_weights(tensors, network, name)
    weights = named_weights(network)
    assert list(values) == list(weights)
    for ours, value in values.items():
        weights[ours].assign(value)
    tile = rng.integers(0, 256, (1, 97, 97, 3)).astype(np.uint8)
    found, wanted = network(tile).numpy(), theirs(tile).numpy()
    assert np.std(wanted) > 0
    np.testing.assert_allclose(found, wanted, atol=5e-4 * wanted.std())


@pytest.mark.parametrize("layout", [0, 1], ids=["torchvision", "timm"])
def test_mobilenet_is_called_as_its_programs_call_it(layout: int):
    found = {name: LAYOUTS["mobilenet_v2"][layout].name_of(name) for name in OF_MOBILENET}
    assert found == {name: names[layout] for name, names in OF_MOBILENET.items()}


@pytest.mark.slow
@pytest.mark.parametrize("layout", [0, 1], ids=["torchvision", "timm"])
def test_mobilenet_of_torch_gives_its_features(tmp_path: Path, layout: int):
    """Compare with our own network that is told to compute as PyTorch's does."""
    network, theirs = encoder("mobilenet_v2", 16), encoder("mobilenet_v2", 16)
    rng = np.random.default_rng(1)
    for name, weight in named_weights(theirs).items():
        value = rng.normal(0, 0.1, weight.shape)
        if name.endswith(("gamma", "moving_variance")):
            value = 0.02 + np.abs(value)
        if name.endswith("kernel"):
            value *= 4
        weight.assign(value)
    state = {
        LAYOUTS["mobilenet_v2"][layout].name_of(name): (
            as_torch(name, weight.numpy()) if name.endswith("kernel") else weight.numpy()
        )
        for name, weight in named_weights(theirs).items()
    }
    with open_tensor_file(torch.write_state(tmp_path / "a.pth", state)) as tensors:
        values = read_encoder_weights(tensors, network, "mobilenet_v2")
    for name, weight in named_weights(network).items():
        weight.assign(values[name])
    for layer in theirs.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.epsilon = 1e-5
        if isinstance(layer, keras.layers.Rescaling):
            layer.scale, layer.offset = STANDARDISED.scale, STANDARDISED.offset
    # Where the padding, which is of another grey, does not reach.
    inner = [
        keras.Model(each.input, each.get_layer("backbone.bottleneck_2.expand.norm").output)
        for each in (network, theirs)
    ]
    tile = rng.integers(0, 256, (1, 193, 193, 3)).astype(np.uint8)
    ours, wanted = (each(tile).numpy()[:, 8:-8, 8:-8] for each in inner)
    np.testing.assert_allclose(ours, wanted, atol=2e-4 * wanted.std())
