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
    if name in BACKBONES and layout.normalisation is None
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
