"""Encoders with the weights of other programs give those programs' features."""

from pathlib import Path

import keras
import numpy as np
import pytest

from deeplab.bundles.importers.tensor_files import open_tensor_file
from deeplab.bundles.importers.torch_encoders import RULES, _name_of, read_encoder_weights
from deeplab.bundles.weights import named_weights
from deeplab.config.backbones import BACKBONES
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


EACH_ENCODER = ("resnet_18", "resnet_34", "resnet_50", "resnet_101", "efficientnet_lite0")


@pytest.mark.slow
@pytest.mark.parametrize("name", EACH_ENCODER)
def test_every_weight_of_an_encoder_is_taken_from_a_file(tmp_path: Path, name: str):
    network = encoder(name, 32)
    rng = np.random.default_rng(0)
    ours = {
        n: rng.normal(size=w.shape).astype(np.float32) for n, w in named_weights(network).items()
    }

    def theirs(weight: str, value: np.ndarray) -> np.ndarray:
        if value.ndim != 4:
            return value
        return np.ascontiguousarray(
            value.transpose(2, 3, 0, 1) if "depthwise" in weight else value.transpose(3, 2, 0, 1)
        )

    state = {_name_of(n, RULES[name]): theirs(n, value) for n, value in ours.items()}
    path = torch.write_state(
        tmp_path / "a.pth", state | {"fc.weight": np.zeros((2, 3), np.float32)}
    )
    with open_tensor_file(path) as tensors:
        values = read_encoder_weights(tensors, network, name)
    assert list(values) == list(ours)
    for weight, value in values.items():
        np.testing.assert_array_equal(value, ours[weight])
