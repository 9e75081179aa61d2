"""ResNet38-d's weights are found under the names of PyTorch's files and of MXNet's."""

from pathlib import Path

import keras
import numpy as np
import pytest

from deeplab.bundles.importers.resnet38 import with_pytorch_names
from deeplab.bundles.importers.stored_tensors import StoredTensors
from deeplab.bundles.importers.tensor_files import open_tensor_file
from deeplab.bundles.importers.timm import infer_classifier
from deeplab.bundles.importers.torch_encoders import LAYOUTS, read_encoder_weights, stored_shape
from deeplab.bundles.weights import named_weights
from deeplab.config.patch_classifier import PatchClassifierConfig
from deeplab.config.patch_encoders import PATCH_ENCODERS, ResNet38Facts
from deeplab.errors import CheckpointError, ConfigError
from deeplab.models.patch_classifier.resnet38 import resnet38
from tests.bundles.test_mxnet_file import file_bytes

# As the published network, but narrow.
NARROW = ResNet38Facts(
    units=(3, 3, 6, 3),
    widths=((3, 3), (4, 4), (5, 5), (5, 6)),
    bottlenecks=((8, 0.3), (12, 0.5)),
    taps=(),
)
MXNET = {
    "arg:conv1a_weight": "conv1a.weight",
    "arg:res2a_branch1_weight": "b2.conv_branch1.weight",
    "arg:bn2a_branch2a_gamma": "b2.bn_branch2a.weight",
    "arg:bn2b1_branch2b1_beta": "b2_1.bn_branch2b1.bias",
    "aux:bn4b5_branch2a_moving_mean": "b4_5.bn_branch2a.running_mean",
    "aux:bn6a_branch2b2_moving_var": "b6.bn_branch2b2.running_var",
    "arg:res7a_branch2b2_weight": "b7.conv_branch2b2.weight",
    "arg:bn7_gamma": "bn7.weight",
    "aux:bn7_moving_mean": "bn7.running_mean",
    "arg:linear1000_weight": "arg:linear1000_weight",
}


def narrow() -> keras.Model:
    rgb = keras.Input((32, 32, 3))
    return keras.Model(rgb, resnet38(rgb, NARROW, decay=0.99))


def mxnet_name(theirs: str) -> str:
    """What MXNet's file calls a tensor of the PyTorch port."""
    parts = theirs.split(".")
    kind = {"running_mean": "moving_mean", "running_var": "moving_var"}.get(parts[-1], parts[-1])
    if parts[0] == "conv1a":
        return "arg:conv1a_weight"
    norm = parts[0] == "bn7" or parts[1].startswith("bn")
    if norm:
        kind = {"weight": "gamma", "bias": "beta"}.get(kind, kind)
    place = "aux" if kind.startswith("moving") else "arg"
    if parts[0] == "bn7":
        return f"{place}:bn7_{kind}"
    block, _, unit = parts[0].removeprefix("b").partition("_")
    branch = parts[1].partition("_")[2]
    return f"{place}:{'bn' if norm else 'res'}{block}{f'b{unit}' if unit else 'a'}_{branch}_{kind}"


def test_names_of_mxnet_are_those_of_the_port():
    shapes = dict.fromkeys(MXNET, (1,))
    stored = StoredTensors(path=Path("a"), shapes=shapes, read=lambda n: n, held_bytes=0)
    renamed = with_pytorch_names(stored)
    assert {renamed.read(name): name for name in renamed.shapes} == MXNET
    assert all(mxnet_name(port) == name for name, port in MXNET.items() if "linear" not in name)


@pytest.mark.slow
def test_the_encoder_starts_from_mxnets_file(tmp_path: Path):
    network = narrow()
    assert network.output.shape == (None, 4, 4, 12)  # an eighth of the patch's side
    (layout,) = LAYOUTS["resnet38d"]
    random = np.random.default_rng(1)
    wanted = {
        name: random.normal(size=stored_shape(name, tuple(weight.shape))).astype(np.float32)
        for name, weight in named_weights(network).items()
    }
    arrays = {mxnet_name(str(layout.name_of(name))): value for name, value in wanted.items()}
    arrays["arg:linear1000_weight"] = np.zeros((1000, 12), np.float32)
    path = tmp_path / "ilsvrc.params"
    path.write_bytes(file_bytes(arrays))
    with open_tensor_file(path) as tensors:
        values = read_encoder_weights(tensors, network, "resnet38d")
    assert set(values) == set(wanted)
    for name, value in values.items():
        assert value.shape == tuple(named_weights(network)[name].shape)
        ours = wanted[name].transpose(2, 3, 1, 0) if wanted[name].ndim == 4 else wanted[name]
        np.testing.assert_array_equal(value, ours)


def test_a_published_row_is_a_classifier_with_any_number_of_classes():
    facts = PATCH_ENCODERS["resnet38d"]
    assert facts.weight_count == 105_021_440  # of the 105,087,296 with norms and four classes
    shapes = {
        "conv1a.weight": (64, 3, 3, 3),
        "b4_5.conv_branch2b1.weight": (512, 512, 3, 3),
        "b7.conv_branch2b2.weight": (4096, 2048, 1, 1),
    }
    alone = StoredTensors(path=Path("a"), shapes=shapes, read=lambda n: n, held_bytes=0)
    with pytest.raises(CheckpointError, match="is the encoder resnet38d alone"):
        infer_classifier(alone, crop_size=None, problem=None)
    whole = StoredTensors(
        path=Path("a"),
        shapes={**shapes, "fc8.weight": (3, 4096, 1, 1)},
        read=lambda n: n,
        held_bytes=0,
    )
    config = infer_classifier(whole, crop_size=112, problem=None)
    assert (config.classes, config.problem, config.crop_size) == (3, "multi_label", 112)
    with pytest.raises(ConfigError, match="patch_size must be a multiple of 8 for resnet38d"):
        PatchClassifierConfig(classes=3, crop_size=100, problem="multi_label", backbone="resnet38d")
