"""The ancestor's models: a checkpoint and `args.txt`, zipped or in a folder."""

import dataclasses
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from deeplab.bundles.importers.tf1_architecture import GraphOptions
from deeplab.bundles.importers.tf1_checkpoint import import_tf1_checkpoint
from deeplab.bundles.load import load_bundle
from deeplab.bundles.read import read_card
from deeplab.bundles.start import start_from
from deeplab.bundles.weights import named_weights
from deeplab.config.classes import ClassList
from deeplab.config.deeplabv3plus import DeepLabV3PlusConfig
from deeplab.errors import BundleError, CheckpointError
from tests.bundles.tf1_for_tests import tf1_variables, write_checkpoint
from tests.bundles.tiny_models import noise_tile, tiny_network

CONFIG = DeepLabV3PlusConfig(
    label_count=3,
    depth_multiplier=0.25,
    crop_size=385,
    aspp_filters=8,
    decoder_filters=16,
    low_level_filters=4,
)
ARGUMENTS = {
    "num_classes": 3,
    "compartments": "glomerulus,arteriole",
    "patch_size": 400,
    "batch_size": 2,
    "steps": 5000,
    "init_model": "model.zip",
    "slides_used": [],
}


@pytest.fixture(scope="module")
def variables() -> dict[str, np.ndarray]:
    return tf1_variables(tiny_network(CONFIG), "mobilenet_v2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, variables: dict[str, np.ndarray]) -> Path:
    folder = tmp_path_factory.mktemp("ancestor")
    write_checkpoint(folder / "model.ckpt-5000", variables)
    older = {name: value + 1 for name, value in variables.items()}
    write_checkpoint(folder / "model.ckpt-900", older)
    (folder / "model.ckpt-5000.meta").write_bytes(b"graph")
    (folder / "args.txt").write_text(json.dumps(ARGUMENTS))
    return folder


def zipped(folder: Path, path: Path, prefix: str = "", arguments: object = ARGUMENTS) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.glob("model.*")):
            archive.write(file, prefix + file.name)
        if arguments is not None:
            archive.writestr(f"{prefix}args.txt", json.dumps(arguments))
    return path


@pytest.mark.parametrize("prefix", ["", "out/model/"])
def test_a_zip_is_a_model_also_when_it_is_inside_a_folder(
    folder: Path, tmp_path: Path, prefix: str
):
    path = zipped(folder, tmp_path / "model.zip", prefix)
    bundle = load_bundle(path)
    # 400 pixels were 25 cells of image pooling; so are 385.
    assert bundle.card.config == CONFIG
    assert bundle.card.classes.names == ("glomerulus", "arteriole")
    assert bundle.card.work_mpp is None
    tiles = noise_tile(65)
    np.testing.assert_array_equal(
        bundle.network(tiles)["semantic_logits"],
        tiny_network(CONFIG)(tiles)["semantic_logits"],
    )


@pytest.mark.parametrize("name", ["", "model.ckpt-5000", "model.ckpt-5000.index"])
def test_a_folder_or_a_checkpoint_in_it_is_a_model(folder: Path, name: str):
    bundle = load_bundle(folder / name)
    assert bundle.card.config == CONFIG
    assert bundle.card.classes.names == ("glomerulus", "arteriole")
    np.testing.assert_array_equal(
        named_weights(bundle.network)["logits/kernel"].numpy(),
        named_weights(tiny_network(CONFIG))["logits/kernel"].numpy(),
    )


def test_its_card_tells_the_classes_before_it_is_loaded(folder: Path, tmp_path: Path):
    for path in (folder, zipped(folder, tmp_path / "model.zip", "sub/")):
        card = read_card(path)
        assert card.classes.names == ("glomerulus", "arteriole")
        assert card.work_mpp is None
        assert card.config.crop_size == 385


def test_compartments_may_name_the_background(folder: Path, tmp_path: Path):
    arguments = {**ARGUMENTS, "compartments": "background,glomerulus,arteriole"}
    path = zipped(folder, tmp_path / "model.zip", arguments=arguments)
    assert load_bundle(path).card.classes.names == ("glomerulus", "arteriole")


def test_without_args_txt_classes_get_numbers_but_its_card_cannot_be_told(
    folder: Path, tmp_path: Path
):
    path = zipped(folder, tmp_path / "model.zip", arguments=None)
    bundle = load_bundle(path)
    assert bundle.card.classes.names == ("class 1", "class 2")
    assert bundle.card.config.crop_size == 513
    with pytest.raises(BundleError, match=r"neither a card\.json nor an args\.txt"):
        read_card(path)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({**ARGUMENTS, "num_classes": 9}, "names 2 compartments in args.txt, but num_classes is 9"),
        (
            {**ARGUMENTS, "num_classes": 2, "compartments": "a"},
            "names 1 classes in args.txt, but its network tells 2",
        ),
        ({"num_classes": 3}, "args.txt without num_classes and compartments"),
        ([1], "args.txt without num_classes and compartments"),
        ({**ARGUMENTS, "compartments": 5}, "compartments are not names"),
        ({**ARGUMENTS, "compartments": "a,a"}, "classes must be different"),
    ],
)
def test_args_txt_that_does_not_fit_is_one_sentence(
    folder: Path, tmp_path: Path, arguments: object, sentence: str
):
    path = zipped(folder, tmp_path / "model.zip", arguments=arguments)
    with pytest.raises(BundleError, match=sentence):
        load_bundle(path)


@pytest.mark.parametrize("suffix", [".data-00000-of-00001", ".index"])
def test_a_truncated_checkpoint_is_one_sentence(
    tmp_path: Path, variables: dict[str, np.ndarray], suffix: str
):
    prefix = tmp_path / "model.ckpt-1"
    write_checkpoint(prefix, variables)
    file = prefix.with_name(prefix.name + suffix)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(CheckpointError, match="is damaged or incomplete, copy it again") as caught:
        import_tf1_checkpoint(prefix)
    assert "\n" not in str(caught.value)


def test_a_zip_without_a_checkpoint_is_one_sentence(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.writestr("a.txt", "a")
    with pytest.raises(CheckpointError, match=r"holds neither a card\.json nor a checkpoint"):
        load_bundle(tmp_path / "photos.zip")


def test_missing_and_left_over_variables_are_named(
    tmp_path: Path, variables: dict[str, np.ndarray]
):
    changed = {name: v for name, v in variables.items() if "aspp0/BatchNorm" not in name}
    changed["decoder/decoder_conv7/weights"] = np.zeros(3, np.float32)
    write_checkpoint(tmp_path / "m", changed)
    with pytest.raises(
        CheckpointError,
        match="it lacks aspp0/BatchNorm/beta, .*; it has beside it decoder/decoder_conv7/weights",
    ):
        import_tf1_checkpoint(tmp_path / "m")


def test_a_variable_of_another_shape_is_named(tmp_path: Path, variables: dict[str, np.ndarray]):
    changed = {**variables, "aspp2_pointwise/weights": np.zeros((1, 1, 80, 9), np.float32)}
    write_checkpoint(tmp_path / "m", changed)
    with pytest.raises(
        CheckpointError, match=r"has aspp2_pointwise/weights of shape \(1, 1, 80, 9\)"
    ):
        import_tf1_checkpoint(tmp_path / "m")


def test_rates_must_be_one_a_branch(folder: Path):
    with pytest.raises(CheckpointError, match="has 3 atrous branches, but 2 rates are given"):
        import_tf1_checkpoint(folder, GraphOptions(atrous_rates=(6, 12)))
    at_8 = import_tf1_checkpoint(folder, GraphOptions(output_stride=8))
    assert at_8.config.atrous_rates == (12, 24, 36)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path):
    write_checkpoint(tmp_path / "m", {"vgg_16/conv1/weights": np.zeros(3, np.float32)})
    with pytest.raises(CheckpointError, match=r"no backbone that can be imported .*holds vgg_16"):
        import_tf1_checkpoint(tmp_path / "m")


def test_an_imagenet_checkpoint_starts_a_training_but_is_no_model(
    tmp_path: Path, variables: dict[str, np.ndarray]
):
    backbone = {name: v for name, v in variables.items() if name.startswith("MobilenetV2/")}
    backbone["MobilenetV2/Logits/Conv2d_1c_1x1/weights"] = np.zeros((1, 1, 8, 1001), np.float32)
    write_checkpoint(tmp_path / "m", backbone)
    with pytest.raises(CheckpointError, match="segments nothing; train from it instead"):
        load_bundle(tmp_path / "m")
    fresh = tiny_network(CONFIG, seed=1)
    classes = ClassList.named(["glomerulus", "arteriole"])
    taken = start_from(fresh, CONFIG, classes, tmp_path / "m", fresh=())
    assert taken.taken == tuple(n for n in named_weights(fresh) if n.startswith("backbone."))
    assert {name.partition(".")[0] for name in taken.absent} >= {"aspp", "decoder", "logits/kernel"}
    np.testing.assert_array_equal(
        named_weights(fresh)["backbone.stem/kernel"].numpy(),
        named_weights(tiny_network(CONFIG))["backbone.stem/kernel"].numpy(),
    )


def test_training_on_from_an_ancestor_takes_the_logits_of_its_compartments(folder: Path):
    config = dataclasses.replace(CONFIG, label_count=4)
    fresh = tiny_network(config, seed=1)
    before, old = (
        named_weights(network)["logits/kernel"].numpy() for network in (fresh, tiny_network(CONFIG))
    )
    classes = ClassList.named(["arteriole", "vein", "glomerulus"])
    taken = start_from(fresh, config, classes, folder, fresh=())
    assert taken.classes == ("background", "arteriole", "glomerulus")
    now = named_weights(fresh)["logits/kernel"].numpy()
    np.testing.assert_array_equal(now[..., [0, 1, 3]], old[..., [0, 2, 1]])
    np.testing.assert_array_equal(now[..., 2], before[..., 2])
