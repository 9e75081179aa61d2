"""`deeplab import-checkpoint`: checkpoints and frozen graphs become bundles, or one sentence."""

import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from deeplab.bundles.load import load_bundle
from deeplab.bundles.read import read_card
from deeplab.config.deeplabv3plus import DeepLabV3PlusConfig
from deeplab.errors import BundleError
from deeplab_cli.main import main
from tests.bundles.tf1_for_tests import tf1_variables, write_checkpoint, write_frozen_graph
from tests.bundles.tiny_models import noise_tile, tiny_network

CONFIG = DeepLabV3PlusConfig(
    label_count=3,
    depth_multiplier=0.25,
    atrous_rates=(2, 4),
    crop_size=65,
    aspp_filters=8,
    decoder_filters=8,
    low_level_filters=4,
)
RATES = ["--atrous-rates", "2", "4"]
Variables = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def variables() -> Variables:
    found = tf1_variables(tiny_network(CONFIG), "mobilenet_v2")
    found["MobilenetV2/Logits/Conv2d_1c_1x1/weights"] = np.zeros((1, 1, 80, 11), np.float32)
    return found


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory, variables: Variables) -> Path:
    prefix = tmp_path_factory.mktemp("checkpoint") / "model.ckpt-7"
    write_checkpoint(prefix, variables)
    return prefix


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory, variables: Variables) -> Path:
    path = tmp_path_factory.mktemp("graph") / "frozen_inference_graph.pb"
    return write_frozen_graph(path, variables)


def run(source: Path, output: Path, *words: str) -> int:
    return main(["import-checkpoint", str(source), *words, "--output", str(output)])


def complaint(capsys: pytest.CaptureFixture[str], source: Path, tmp_path: Path, *words: str) -> str:
    """The one line that an import ends in that cannot be done."""
    output = tmp_path / "out.zip"
    assert run(source, output, *words) == 2
    assert not output.exists()
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    return line


def check_logits(bundle: Path) -> None:
    tiles = noise_tile(65)
    np.testing.assert_array_equal(
        load_bundle(bundle).network(tiles)["semantic_logits"],
        tiny_network(CONFIG)(tiles)["semantic_logits"],
    )


@pytest.mark.slow
def test_a_checkpoint_becomes_a_bundle_of_equal_logits(prefix: Path, tmp_path: Path, capsys):
    model = tmp_path / "new/model.zip"
    words = ["--architecture", "mobilenet_v2", "--decoder-output-stride", "4", *RATES]
    words += ["--crop-size", "65", "--classes", "nothing,gland,vessel", "--work-mpp", "0.5"]
    assert run(prefix, model, *words, "--colours", "#ff0000,#00ff00") == 0
    check_logits(model)
    card = load_bundle(model).card
    assert card.config == CONFIG
    assert card.classes.names == ("gland", "vessel")
    assert [entry.colour for entry in card.classes] == [(255, 0, 0), (0, 255, 0)]
    assert (card.work_mpp, card.halo) == (0.5, 64)
    said = capsys.readouterr().out
    assert "imported DeepLabV3+ on mobilenet_v2, output stride 16" in said
    assert "1 global_step, 1 of MobilenetV2's classifier" in said
    assert "Momentum" in said


@pytest.mark.slow
def test_a_zip_with_args_txt_needs_rates_only(prefix: Path, tmp_path: Path):
    path = tmp_path / "old.zip"
    arguments = {"num_classes": 3, "compartments": "gland,vessel", "patch_size": 65}
    with zipfile.ZipFile(path, "w") as archive:
        for file in prefix.parent.iterdir():
            archive.write(file, f"out/{file.name}")
        archive.writestr("out/args.txt", json.dumps(arguments))
        archive.writestr("out/pickled.pkl", pickle.dumps(print))  # never read
    assert run(path, tmp_path / "model.zip", *RATES) == 0
    assert load_bundle(tmp_path / "model.zip").card.config == CONFIG
    assert load_bundle(tmp_path / "model.zip").card.classes.names == ("gland", "vessel")


@pytest.mark.slow
def test_a_frozen_graph_becomes_a_bundle_of_equal_logits(graph: Path, tmp_path: Path):
    assert run(graph, tmp_path / "m.zip", *RATES, "--crop-size", "65") == 0
    check_logits(tmp_path / "m.zip")
    assert load_bundle(tmp_path / "m.zip").card.classes.names == ("class 1", "class 2")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "has 2 atrous branches, but 0 rates are given; give 2, as 6 12 18"),
        ([*RATES, "6"], "has 2 atrous branches, but 3 rates are given"),
        ([*RATES, "--architecture", "xception_65"], "is of mobilenet_v2, not of xception_65"),
        (["--architecture", "vgg"], "architecture must be one of efficientnet_b0"),
        ([*RATES, "--decoder-output-stride", "32"], "decoder_output_stride must be 4, 8 or None"),
        ([*RATES, "--aspp-filters", "9"], "has aspp filters 8, not 9; leave it away"),
        ([*RATES, "--no-concat-projection"], "has aspp merge project, not concat"),
        ([*RATES, "--aspp-squeeze-excite"], "has image pooling branch, not hard_gate"),
        ([*RATES, "--decoder-sum-merge"], "has decoder merge concat, not sum"),
        ([*RATES, "--decoder-filters", "5"], "has decoder filters 8, not 5"),
        ([*RATES, "--decoder-output-is-logits"], "has decoder output features, not logits"),
        ([*RATES, "--multi-grid", "1", "2"], "cannot be built: multi_grid must be empty"),
        ([*RATES, "--output-stride", "7"], "cannot be built: output_stride must be 8, 16 or 32"),
        ([*RATES, "--classes", "a"], "must be 2 names, or 3 with the background's first"),
        ([*RATES, "--colours", "#fff"], "colours must be 2, one a class"),
        ([*RATES, "--colours", "blue"], "colour must be #rrggbb"),
        ([*RATES, "--work-mpp", "-1"], "work_mpp must be from 0 to 1000"),
        (["--crop-size", "large"], "invalid int value: 'large'; see deeplab import-checkpoint"),
    ],
)
def test_what_the_variables_contradict_is_one_sentence(
    prefix: Path, tmp_path: Path, capsys, words: list[str], sentence: str
):
    assert sentence in complaint(capsys, prefix, tmp_path, *words)


def shortened(variables: Variables, tmp_path: Path) -> Path:
    write_checkpoint(tmp_path / "m", variables)
    file = tmp_path / "m.data-00000-of-00001"
    file.write_bytes(file.read_bytes()[:-100])
    return tmp_path / "m"


def without_data(variables: Variables, tmp_path: Path) -> Path:
    write_checkpoint(tmp_path / "m", variables)
    (tmp_path / "m.data-00000-of-00001").unlink()
    return tmp_path / "m"


def of_a_classifier(variables: Variables, tmp_path: Path) -> Path:
    backbone = {name: v for name, v in variables.items() if name.startswith("MobilenetV2/")}
    write_checkpoint(tmp_path / "m", backbone)
    return tmp_path / "m"


def claiming_ten_gigabytes(_: Variables, tmp_path: Path) -> Path:
    # One stored number of a variable that says it has 2,500 million.
    tf.raw_ops.SaveV2(
        prefix=str(tmp_path / "m"),
        tensor_names=["aspp0/weights"],
        shape_and_slices=["1 1 50000 50000 0,1:0,1:0,1:0,1"],
        tensors=[np.zeros((1, 1, 1, 1), np.float32)],
    )
    return tmp_path / "m"


def not_finite(variables: Variables, tmp_path: Path) -> Path:
    write_checkpoint(tmp_path / "m", {**variables, "aspp0/weights": np.full((1, 1, 80, 8), np.nan)})
    return tmp_path / "m"


def of_pickles(_: Variables, tmp_path: Path) -> Path:
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(print))
    return tmp_path / "m.zip"


def leading_out(_: Variables, tmp_path: Path) -> Path:
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
        archive.writestr("../m.index", b"")
    return tmp_path / "m.zip"


def folder_without(_: Variables, tmp_path: Path) -> Path:
    (tmp_path / "empty").mkdir()
    return tmp_path / "empty"


def nowhere(_: Variables, tmp_path: Path) -> Path:
    return tmp_path / "none"


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (shortened, "lies beyond the end of its .data file, which has"),
        (
            without_data,
            "part of a checkpoint whose m.data-00000-of-00001 is not beside it; a check",
        ),
        (of_a_classifier, "so it segments nothing; train from it instead"),
        (claiming_ten_gigabytes, "has no backbone that can be imported"),
        (of_pickles, "holds no tensors by name; save the network's state_dict() alone"),
        (leading_out, "is refused: its file '../m.index' points outside of the zip"),
        (folder_without, "holds neither a card.json nor a checkpoint"),
        (nowhere, "does not exist"),
        pytest.param(not_finite, "not a finite number in aspp0/weights", marks=pytest.mark.slow),
    ],
)
def test_what_is_no_checkpoint_is_one_sentence(
    variables: Variables, tmp_path: Path, capsys, make, sentence: str
):
    assert sentence in complaint(capsys, make(variables, tmp_path), tmp_path, *RATES)


def test_a_bundle_needs_no_import(tmp_path: Path, capsys):
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
        archive.writestr("card.json", "{}")
    assert "is a model of this program already" in complaint(capsys, tmp_path / "m.zip", tmp_path)


def edited(graph: Path, tmp_path: Path, edit) -> Path:
    found = tf.compat.v1.GraphDef.FromString(graph.read_bytes())
    edit({node.name: node for node in found.node}, found)
    path = tmp_path / "edited.pb"
    path.write_bytes(found.SerializeToString())
    return path


def without_norms(nodes, found) -> None:
    kept = [node for node in found.node if "BatchNorm" not in node.name]
    del found.node[:]
    found.node.extend(kept)


def without_predictions(nodes, found) -> None:
    nodes["SemanticPredictions"].name = "Softmax"


def claiming(nodes, found) -> None:
    # One number, repeated 2,500 million times.
    value = nodes["aspp0/weights"].attr["value"].tensor
    value.ClearField("tensor_content")
    value.float_val.append(1.0)
    for place, side in enumerate((1, 1, 50_000, 50_000)):
        value.tensor_shape.dim[place].size = side


def cut_short(nodes, found) -> None:
    value = nodes["aspp0/weights"].attr["value"].tensor
    value.tensor_content = value.tensor_content + b"\0" * 4


def with_unknown_side(nodes, found) -> None:
    nodes["aspp0/weights"].attr["value"].tensor.tensor_shape.dim[2].size = -1


def of_text(nodes, found) -> None:
    value = nodes["aspp0/weights"].attr["value"].tensor
    value.dtype = tf.string.as_datatype_enum


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (without_predictions, "is not a frozen graph of DeepLab: it has no SemanticPredictions"),
        (with_unknown_side, r"its aspp0/weights has the shape (1, 1, -1, 8)"),
        pytest.param(claiming, "filters must be from 1 to 4096, but is 50000"),
        pytest.param(without_norms, "batch norms of their own", marks=pytest.mark.slow),
        pytest.param(cut_short, "does not fill (1, 1, 80, 8)", marks=pytest.mark.slow),
        pytest.param(of_text, "does not fill (1, 1, 80, 8)", marks=pytest.mark.slow),
    ],
)
def test_what_is_no_frozen_graph_of_deeplab_is_one_sentence(
    graph: Path, tmp_path: Path, capsys, edit, sentence: str
):
    assert sentence in complaint(capsys, edited(graph, tmp_path, edit), tmp_path, *RATES)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"\xff" * 99, "is not a frozen graph, or is damaged"), (None, "does not exist")],
)
def test_a_file_that_is_no_graph_at_all_is_one_sentence(tmp_path: Path, capsys, content, sentence):
    path = tmp_path / "m.pb"
    if content:
        path.write_bytes(content)
    assert sentence in complaint(capsys, path, tmp_path)


def test_a_frozen_graph_is_no_model_as_it_is(graph: Path):
    with pytest.raises(BundleError, match="make a model of it: deeplab import-checkpoint"):
        read_card(graph)


def test_an_output_that_cannot_be_written_is_said_first(tmp_path: Path, capsys):
    assert run(tmp_path / "none", tmp_path) == 2
    assert "it is a folder; name a file in it" in capsys.readouterr().err


def test_a_model_does_not_take_the_place_of_the_checkpoint(tmp_path: Path, capsys):
    for suffix in (".index", ".data-00000-of-00001"):
        (tmp_path / f"model.ckpt-4{suffix}").touch()
        assert run(tmp_path / "model.ckpt-4", tmp_path / f"model.ckpt-4{suffix}") == 2
        assert "it is read for the result; name another file" in capsys.readouterr().err
