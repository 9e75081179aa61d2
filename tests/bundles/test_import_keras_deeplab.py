"""Weights files of Keras' DeepLabV3+ through the front door, good ones and such as are none."""

from collections.abc import Mapping
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from deeplab.bundles.importers.keras_deeplab import keras_names
from deeplab.bundles.load import load_bundle
from deeplab.bundles.start import start_from
from deeplab.bundles.weights import named_weights
from deeplab.config.classes import ClassList
from deeplab.config.deeplabv3plus import DeepLabV3PlusConfig
from deeplab.errors import CheckpointError
from deeplab.models.registry import family_of
from deeplab_cli.main import main

SMALL = DeepLabV3PlusConfig(
    label_count=3, depth_multiplier=0.35, atrous_rates=(), output_stride=8,
    decoder_output_stride=None, crop_size=129,
)  # fmt: skip
STRANGE = "group/a"


@pytest.fixture(scope="module")
def state() -> dict[str, np.ndarray]:
    """The weights of a network with numbers in all of them, as Keras calls them."""
    network = family_of(SMALL).build(SMALL)
    names = keras_names(network, {"custom_logits_semantic/kernel": ()})
    assert names.keys() == named_weights(network).keys()
    rng = np.random.default_rng(0)
    return {
        names[name]: rng.uniform(0.5, 1.5, tuple(variable.shape)).astype(np.float32)
        for name, variable in named_weights(network).items()
    }


def written(path: Path, state: Mapping[str, np.ndarray], root: str = "") -> Path:
    """A file as Keras 2 wrote it, of the weights alone or, in a group, of the whole model."""
    layers: dict[str, list[str]] = {}
    for name in state:
        layers.setdefault(name.partition("/")[0], []).append(name)
    with h5py.File(path, "w") as file:
        group = file.create_group(root) if root else file
        group.attrs["layer_names"] = np.array([layer.encode() for layer in layers])
        if root:
            file.attrs["model_config"] = b'{"class_name": "Lambda", "config": "import os"}'
        for layer, names in layers.items():
            group.create_group(layer).attrs["weight_names"] = np.array(
                [f"{name}:0".encode() for name in names]
            )
            for name in names:
                group[layer].create_dataset(f"{name}:0", data=state[name])
    return path


def run(source: Path, *words: str) -> int:
    return main(["import-checkpoint", str(source), "--output", f"{source.parent}/m.zip", *words])


@pytest.mark.slow
@pytest.mark.parametrize("root", ["", "model_weights"])
def test_a_network_is_told_by_its_weights_and_keeps_every_number(
    root: str, state: dict[str, np.ndarray], tmp_path: Path, capsys
):
    source = written(tmp_path / "deeplabv3_mobilenetv2.h5", state, root)
    words = ("--classes", "tumour,stroma", "--work-mpp", "0.5", "--crop-size", "129")
    assert run(source, *words) == 0
    assert "DeepLabV3+ on mobilenet_v2, output stride 8" in capsys.readouterr().out
    bundle = load_bundle(tmp_path / "m.zip")
    assert bundle.card.config == SMALL
    assert (bundle.card.classes.names, bundle.card.work_mpp) == (("tumour", "stroma"), 0.5)
    names = keras_names(bundle.network, state_shapes(state))
    for ours, variable in named_weights(bundle.network).items():
        np.testing.assert_array_equal(variable, state[names[ours]])


def state_shapes(state: Mapping[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
    return {name: value.shape for name, value in state.items()}


@pytest.mark.slow
def test_a_training_starts_from_it(state: dict[str, np.ndarray], tmp_path: Path):
    source = written(tmp_path / "a.h5", state)
    # With a decoder and rates, which the file has not, and other classes, of which it names none.
    config = DeepLabV3PlusConfig(
        label_count=2, depth_multiplier=0.35, atrous_rates=(6,), crop_size=129
    )
    network = family_of(config).build(config)
    taken = start_from(network, config, ClassList.named(["tumour"]), source, fresh=())
    weights = named_weights(network)
    np.testing.assert_array_equal(
        weights["backbone.bottleneck_3.depthwise/kernel"],
        state["expanded_conv_3_depthwise/depthwise_kernel"],
    )
    np.testing.assert_array_equal(weights["aspp.point/kernel"], state["aspp0/kernel"])
    assert "decoder.low_level/kernel" in taken.absent
    assert any(text.startswith("logits/kernel is") for text in taken.unfit)
    other = DeepLabV3PlusConfig(label_count=2, backbone="xception_41", crop_size=129)
    with pytest.raises(CheckpointError, match="set backbone to mobilenet_v2"):
        start_from(
            keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]),
            other,
            ClassList.named(["tumour"]),
            source,
            fresh=(),
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "words", "problem"),
    [
        (lambda s: s, ("--crop-size", "20"), "crop_size must be"),
        (lambda s: s, ("--multi-grid", "1", "2", "4"), "which has no multi grid"),
        (lambda s: s, ("--classes", "a"), "classes must be 2 names"),
        (lambda s: s, ("--architecture", "xception_65"), "is of mobilenet_v2, not of xception_65"),
        (
            lambda s: {k: v for k, v in s.items() if not k.startswith("aspp0")},
            (),
            "is a weights file of Keras that is not of its DeepLabV3+",
        ),
        (lambda s: {"aspp0/kernel": s["aspp0/kernel"]}, (), "is of neither of mobilenet_v2 and"),
        (
            lambda s: {k: v for k, v in s.items() if k != "Conv/kernel"},
            (),
            "it lacks Conv/kernel",
        ),
        (
            lambda s: s | {STRANGE: np.ones(2, np.float32)},
            (),
            f"it has beside it {STRANGE}",
        ),
        (
            lambda s: s | {"Conv_BN/beta": np.ones(3, np.float32)},
            (),
            "has Conv_BN/beta of shape (3,), where the network has (16,)",
        ),
        (
            lambda s: s | {"Conv_BN/beta": np.full(16, np.inf, np.float32)},
            (),
            "a weight that is not a finite number",
        ),
    ],
)
def test_what_is_no_such_network_is_one_sentence(
    change, words, problem, state: dict[str, np.ndarray], tmp_path: Path, capsys
):
    source = written(tmp_path / "a.h5", change(state))
    assert run(source, *words) == 2
    assert not (tmp_path / "m.zip").exists()
    said = capsys.readouterr().err
    assert problem in said
    assert len(said.splitlines()) == 1


def test_what_a_file_only_claims_to_hold_is_not_made_room_for(
    state: dict[str, np.ndarray], tmp_path: Path
):
    source = written(tmp_path / "a.h5", state)
    with h5py.File(source, "r+") as file:
        del file["Conv/Conv/kernel:0"]
        file["Conv/Conv"].create_dataset("kernel:0", (2**10, 2**10, 2**10), "<f4")
    network = family_of(SMALL).build(SMALL)
    with pytest.raises(CheckpointError, match="claims to hold more than 1 GiB"):
        start_from(network, SMALL, ClassList.named(["a", "b"]), source, fresh=())
