"""Weights files of Keras' MobileNetV2 and EfficientNets, and files that only look like one."""

import dataclasses
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras.src.legacy.saving import legacy_h5_format

from deeplab.bundles.importers import hdf5_weights
from deeplab.bundles.importers.keras_applications import APPLICATIONS, read_keras_weights
from deeplab.bundles.start import LoadedWeights, start_encoder, start_from
from deeplab.bundles.weights import named_weights
from deeplab.config.backbones import BACKBONES
from deeplab.config.classes import ClassList
from deeplab.config.deeplabv3plus import DeepLabV3PlusConfig
from deeplab.config.unet import UNetConfig
from deeplab.errors import BundleError, CheckpointError
from deeplab.models.backbones.efficientnet import LAYOUTS
from deeplab.models.registry import family_of
from tests.bundles.tiny_models import TINY, noise_tile

CONFIG = dataclasses.replace(TINY, depth_multiplier=0.35)
CLASSES = ClassList.named(["glomerulus", "vessel"])
MEANS, DEVIATIONS = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, in Keras' files
SIDE = 97  # 32 k + 1: every map has odd sides, which Keras pads as we do


def application(**options: object) -> keras.Model:
    """Keras' network with weights of which none is as it begins."""
    return drawn(
        keras.applications.MobileNetV2(
            **{"weights": None, "alpha": 0.35, "input_shape": (SIDE, SIDE, 3), **options}
        )
    )


def drawn(network: keras.Model) -> keras.Model:
    """Draw all weights of a network but those of its pixels."""
    rng = np.random.default_rng(0)
    for variable in network.weights:
        if variable.path.startswith("normalization"):
            continue
        value = rng.normal(0, 0.1, variable.shape)
        if variable.name in ("gamma", "moving_variance"):
            value = 1 + np.abs(value)
        elif variable.name == "kernel":
            fan_in = np.prod(variable.shape[:-1]) if variable.shape[-1] > 1 else 9
            value *= 10 * np.sqrt(2 / fan_in)
        variable.assign(value)
    return network


def efficientnet(size: int, **options: object) -> keras.Model:
    """Keras' EfficientNet for pictures of the side that it was published with."""
    side = LAYOUTS[f"efficientnet_b{size}"].side
    build = getattr(keras.applications, f"EfficientNetB{size}")
    return drawn(build(weights=None, input_shape=(side, side, 3), **options))


def save_as_keras_2_did(network: keras.Model, path: Path) -> None:
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, network)


WRITERS: dict[str, Callable[[keras.Model, Path], None]] = {
    "new.weights.h5": lambda network, path: network.save_weights(path),
    "whole.keras": lambda network, path: network.save(path),
    "whole.h5": lambda network, path: network.save(path),
    "old.h5": save_as_keras_2_did,
}


def write(network: keras.Model, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras converts its variables in a way NumPy remarks on
        WRITERS[path.name](network, path)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keras")
    network = application(include_top=False)
    for name in WRITERS:
        write(network, folder / name)
    return folder


@cache
def network_of(config: DeepLabV3PlusConfig) -> keras.Model:
    return family_of(config).build(config)


def start(path: Path, config: DeepLabV3PlusConfig = CONFIG) -> tuple[keras.Model, LoadedWeights]:
    network = network_of(config)
    for name, variable in named_weights(network).items():
        if name.startswith("backbone."):
            variable.assign(np.zeros(variable.shape))  # nothing is left of a test before this one
    return network, start_from(network, config, CLASSES, path, fresh=())


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITERS)
def test_a_network_started_from_keras_finds_the_features_that_keras_finds(files: Path, name: str):
    network, taken = start(files / name)
    assert taken.taken == tuple(n for n in named_weights(network) if n.startswith("backbone."))
    theirs = application(include_top=False)
    tile = noise_tile(SIDE, count=2)
    scaled = keras.applications.mobilenet_v2.preprocess_input(tile.astype(np.float32))
    expected = keras.Model(theirs.input, theirs.get_layer("block_16_project_BN").output)(scaled)
    ours = keras.Model(
        network.input, network.get_layer("backbone.bottleneck_16.project.norm").output
    )
    # At output stride 16 the last blocks run at twice the resolution, and with rate 2.
    found = ours(tile)[:, ::2, ::2]
    assert np.std(expected) > 0.1
    np.testing.assert_allclose(found, expected, atol=2e-4 * np.abs(expected).max())
    low = keras.Model(theirs.input, theirs.get_layer("block_2_expand_BN").output)(scaled)
    ours = keras.Model(network.input, network.get_layer("backbone.bottleneck_2.expand.norm").output)
    np.testing.assert_allclose(ours(tile), low, atol=2e-4 * np.abs(low).max())


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.35, 1.0, 1.4])
@pytest.mark.parametrize("name", ["new.weights.h5", "old.h5"])
def test_files_of_every_width_with_the_layers_of_imagenet_are_taken(
    tmp_path: Path, alpha: float, name: str
):
    theirs = application(alpha=alpha, include_top=True)
    write(theirs, tmp_path / name)
    network, taken = start(tmp_path / name, dataclasses.replace(CONFIG, depth_multiplier=alpha))
    assert taken.taken == tuple(n for n in named_weights(network) if n.startswith("backbone."))
    for ours, their_layer in (
        ("backbone.stem/kernel", "Conv1"),
        ("backbone.bottleneck_0.depthwise/kernel", "expanded_conv_depthwise"),
        ("backbone.bottleneck_7.expand/kernel", "block_7_expand"),
        ("backbone.bottleneck_16.project/kernel", "block_16_project"),
    ):
        np.testing.assert_array_equal(
            named_weights(network)[ours], theirs.get_layer(their_layer).kernel
        )


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_of_another_width_says_what_to_set(files: Path, name: str):
    with pytest.raises(
        CheckpointError, match="is of another width: .* set depth_multiplier to its"
    ):
        start(files / name, dataclasses.replace(CONFIG, depth_multiplier=0.5))


@pytest.mark.parametrize("backbone", [name for name in BACKBONES if name not in APPLICATIONS])
def test_other_backbones_cannot_start_from_keras(files: Path, backbone: str):
    known = "mobilenet_v2, efficientnet_b0, .* or efficientnet_b7"
    with pytest.raises(CheckpointError, match=f"can start {known} only, not {backbone}"):
        read_keras_weights(files / "old.h5", network_of(CONFIG), backbone)


@pytest.mark.parametrize(
    ("backbone", "difference"),
    [
        ("resnet_v1_50", "strides in other layers, and its convolutions have biases"),
        ("xception_65", "pools where ours strides"),
        ("mobilenet_v3_large_seg", "twice the channels in its last blocks"),
    ],
)
def test_a_refusal_says_what_differs(files: Path, backbone: str, difference: str):
    with pytest.raises(CheckpointError, match=f"Keras' network of that name .*{difference}"):
        read_keras_weights(files / "old.h5", network_of(CONFIG), backbone)


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITERS)
def test_other_networks_of_keras_are_refused(tmp_path: Path, name: str):
    other = keras.applications.MobileNet(weights=None, alpha=0.25, include_top=False)
    write(other, tmp_path / name)
    with pytest.raises(CheckpointError, match="has not the layers of Keras' MobileNetV2") as caught:
        start(tmp_path / name)
    assert "\n" not in str(caught.value)


def set_pixels(network: keras.Model, mean: object, variance: object) -> None:
    """Set what a network of Keras takes from pixels, and divides them by the root of."""
    (layer,) = (each for each in network.layers if isinstance(each, keras.layers.Normalization))
    layer.set_weights([np.array(mean), np.array(variance), np.array(0)])
    layer.finalize_state()


def start_unet(path: Path, backbone: str, **options: object) -> keras.Model:
    config = UNetConfig(
        label_count=3, backbone=backbone, depth=5, decoder_channels=(16,) * 5, **options
    )
    network = family_of(config).build(config)
    start_encoder(network, config, path)
    return network


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITERS)
def test_an_efficientnet_of_imagenet_gives_its_features(tmp_path: Path, name: str):
    """Also at the border, as it was published with."""
    theirs = efficientnet(0, include_top=name != "old.h5")
    # ImageNet's files have deviations for variances; a network for them divides by both roots.
    set_pixels(theirs, MEANS, DEVIATIONS)
    write(theirs, tmp_path / name)
    set_pixels(theirs, MEANS, np.square(DEVIATIONS))
    side = theirs.input.shape[1]
    network = start_unet(tmp_path / name, "efficientnet_b0", crop_size=side)
    tile = noise_tile(side, count=2)
    for ours, their_layer in (
        ("backbone.stem.norm", "stem_bn"),
        ("backbone.block_4.depthwise.norm", "block3b_bn"),
        ("backbone.block_15.project.norm", "block7a_project_bn"),
    ):
        expected = keras.Model(theirs.input, theirs.get_layer(their_layer).output)(tile)
        found = keras.Model(network.input, network.get_layer(ours).output)(tile)
        assert np.std(expected) > 0.1
        np.testing.assert_allclose(found, expected, atol=2e-4 * np.abs(expected).max())


@pytest.mark.slow
def test_a_larger_efficientnet_is_taken_whole(tmp_path: Path):
    theirs = efficientnet(3, include_top=False)
    set_pixels(theirs, MEANS, DEVIATIONS)
    write(theirs, tmp_path / "new.weights.h5")
    network = start_unet(tmp_path / "new.weights.h5", "efficientnet_b3")
    for ours, their_layer in (
        ("backbone.stem/kernel", "stem_conv"),
        ("backbone.block_1.squeeze/kernel", "block1b_se_reduce"),
        ("backbone.block_20.excite/kernel", "block6c_se_expand"),
        ("backbone.block_25.project/kernel", "block7b_project_conv"),
    ):
        kernel = theirs.get_layer(their_layer).kernel
        np.testing.assert_array_equal(named_weights(network)[ours], kernel)


@pytest.mark.slow
@pytest.mark.parametrize(("mean", "variance"), [((0.0,) * 3, (1.0,) * 3), (MEANS, (0.1, 0.2, 0.3))])
def test_what_an_efficientnet_does_to_pixels_is_put_into_its_first_layer(
    tmp_path: Path, mean: tuple[float, ...], variance: tuple[float, ...]
):
    theirs = efficientnet(0, include_top=False)
    set_pixels(theirs, mean, variance)
    write(theirs, tmp_path / "whole.h5")
    network = start_unet(tmp_path / "whole.h5", "efficientnet_b0")
    tile = noise_tile(theirs.input.shape[1], count=1)
    expected = keras.Model(theirs.input, theirs.get_layer("stem_bn").output)(tile)
    found = keras.Model(network.input, network.get_layer("backbone.stem.norm").output)(tile)
    inner = (slice(None), slice(1, -1), slice(1, -1))  # padded with grey, and with black
    np.testing.assert_allclose(found.numpy()[inner], expected.numpy()[inner], atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["efficientnet_b0", "efficientnet_b2", "mobilenet_v2"])
@pytest.mark.parametrize("name", ["new.weights.h5", "old.h5"])
def test_an_efficientnet_of_another_size_is_one_sentence(tmp_path: Path, name: str, backbone: str):
    write(efficientnet(1, include_top=False), tmp_path / name)
    said = f"has not the layers of Keras' {APPLICATIONS[backbone]}|another width.*backbone to its"
    with pytest.raises(CheckpointError, match=said) as caught:
        start_unet(tmp_path / name, backbone)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_pixels_without_a_variance_are_one_sentence(tmp_path: Path):
    theirs = efficientnet(0, include_top=False)
    set_pixels(theirs, MEANS, (0.2, 0.2, -1.0))
    write(theirs, tmp_path / "old.h5")
    with pytest.raises(CheckpointError, match="a variance of pixels that is not above 0"):
        start_unet(tmp_path / "old.h5", "efficientnet_b0")


def changed(files: Path, folder: Path, change: Callable[[h5py.Group], None]) -> Path:
    """A copy of the old file of which the group of the first convolution is changed."""
    path = folder / "changed.h5"
    path.write_bytes((files / "old.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        group = file["Conv1/Conv1"]
        value = group["kernel"][()]
        del group["kernel"]
        change(group, value)
    return path


def a_link_to_a_file(group: h5py.Group, value: np.ndarray) -> None:
    group["kernel"] = h5py.ExternalLink("/etc/passwd", "/")


def a_link_inside(group: h5py.Group, value: np.ndarray) -> None:
    group["kernel"] = h5py.SoftLink("/Conv1")


def bytes_of_another_file(group: h5py.Group, value: np.ndarray) -> None:
    group.create_dataset("kernel", value.shape, "<f4", external=[("/etc/passwd", 0, value.nbytes)])


def packed(group: h5py.Group, value: np.ndarray) -> None:
    group.create_dataset("kernel", data=value, compression="gzip")


def whole_numbers(group: h5py.Group, value: np.ndarray) -> None:
    group["kernel"] = value.astype(np.int32)


def texts(group: h5py.Group, value: np.ndarray) -> None:
    group.create_dataset("kernel", value.shape, h5py.string_dtype())


def no_number(group: h5py.Group, value: np.ndarray) -> None:
    group["kernel"] = np.full_like(value, np.nan)


def enormous(group: h5py.Group, value: np.ndarray) -> None:
    group.create_dataset("kernel", (2**20, 2**20, 2**10), "<f4")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (a_link_to_a_file, "has not the layers of Keras' MobileNetV2"),
        (a_link_inside, "has not the layers of Keras' MobileNetV2"),
        (bytes_of_another_file, "not stored as Keras does"),
        (packed, "not stored as Keras does"),
        (whole_numbers, "not made of floats"),
        (texts, "not made of floats"),
        (no_number, "not a finite number"),
        (enormous, r"for backbone\.stem/kernel it has \(1048576, 1048576, 1024\)"),
    ],
)
def test_a_weight_that_no_application_has_is_refused(
    files: Path,
    tmp_path: Path,
    change: Callable[[h5py.Group, np.ndarray], None],
    sentence: str,
):
    with pytest.raises(CheckpointError, match=sentence) as caught:
        start(changed(files, tmp_path, change))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [name for name in WRITERS if name.endswith(".h5")])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_a_file_that_is_cut_short_is_one_sentence(
    files: Path, tmp_path: Path, name: str, share: float
):
    content = (files / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(share * len(content))])
    with pytest.raises(CheckpointError, match="is damaged or incomplete, copy it again") as caught:
        start(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_too_large_or_lists_too_much_is_refused(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with h5py.File(tmp_path / "many.h5", "w") as file:
        file.attrs["layer_names"] = np.full(2001, b"a")
    with pytest.raises(CheckpointError, match="layer_names lists 2001 names"):
        start(tmp_path / "many.h5")
    monkeypatch.setattr(hdf5_weights, "MAX_BYTES", 1000)
    with pytest.raises(CheckpointError, match="larger than 1 GiB"):
        start(files / "old.h5")


def test_a_file_that_is_not_there_or_no_model_is_one_sentence(tmp_path: Path):
    with pytest.raises(BundleError, match=r"none\.h5 does not exist"):
        start(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("weights")
    with pytest.raises(BundleError, match=r"text\.h5 is none; a model is"):
        start(tmp_path / "text.h5")


@pytest.mark.parametrize(
    ("reader", "sentence"),
    [
        ("import os; os.abort()", "is damaged or incomplete, copy it again"),
        ("print('some')", "is damaged or incomplete, copy it again"),
        ("while True: pass", "is damaged: 1 s did not do to read it"),
    ],
)
def test_a_file_that_ends_the_reader_or_never_does_is_one_sentence(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: str, sentence: str
):
    (tmp_path / "reader.py").write_text(reader)
    monkeypatch.setattr(hdf5_weights, "READER", tmp_path / "reader.py")
    monkeypatch.setattr(hdf5_weights, "READER_S", 1)
    with pytest.raises(CheckpointError, match=sentence):
        start(files / "old.h5")
