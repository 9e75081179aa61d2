"""Object checkpoints of EfficientDet through the front door, good ones and such as are none."""

from pathlib import Path

import keras
import numpy as np
import pytest

from deeplab.bundles.importers.efficientdet import VALUE, object_values
from deeplab.bundles.importers.tf1_checkpoint import open_checkpoint
from deeplab.bundles.load import load_bundle
from deeplab.bundles.save import save_bundle
from deeplab.bundles.weights import named_weights
from deeplab.config.efficientdet_seg import EfficientDetSegConfig
from deeplab.models.registry import family_of
from deeplab_cli.main import main
from tests.bundles.tf1_for_tests import write_checkpoint
from tests.bundles.tiny_models import noise_tile, tiny_card, tiny_network

SMALL = EfficientDetSegConfig(
    label_count=3, fpn_filters=8, fpn_cells=2, min_level=3, fusion="linear",
    normalisation="unit_range", crop_size=128,
)  # fmt: skip


@pytest.fixture(scope="module")
def state() -> dict[str, np.ndarray]:
    """The variables of a network with numbers in all of them, by object key."""
    keras.utils.set_random_seed(3)
    network = family_of(SMALL).build(SMALL)
    rng = np.random.default_rng(0)
    for name, variable in named_weights(network).items():
        noise = rng.uniform(0.5, 1.5, tuple(variable.shape))
        variable.assign(noise if "kernel" not in name else variable.numpy() * noise)
    return dict(object_values(SMALL, network))


def written(folder: Path, state: dict[str, np.ndarray], prefix: str = "") -> Path:
    """A checkpoint as its program writes it, with what an optimiser keeps, too."""
    variables = {f"{prefix}{key}{VALUE}": value for key, value in state.items()}
    slot = f"{prefix}seg_head/head_transpose/bias/.OPTIMIZER_SLOT/{prefix}optimizer/m{VALUE}"
    others = {slot: np.zeros(3, np.float32), f"save_counter{VALUE}": np.int64(3)}
    write_checkpoint(folder / "12_ckpt", variables | others)
    return folder / "12_ckpt"


def complaint(capsys, source: Path, *words: str) -> str:
    output = source.parent / "m.zip"
    assert main(["import-checkpoint", str(source), "--output", str(output), *words]) == 2
    assert not output.exists()
    return capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("prefix", ["", "model/"])
def test_a_network_is_told_by_its_checkpoint_and_goes_out_as_it_came(
    prefix: str, state: dict[str, np.ndarray], tmp_path: Path, capsys
):
    source = written(tmp_path, state, prefix)
    model, out = tmp_path / "m.zip", tmp_path / "out"
    words = ["--output", str(model), "--classes", "tumour,stroma", "--work-mpp", "0.25"]
    assert main(["import-checkpoint", str(source), *words, "--crop-size", "128"]) == 0
    said = capsys.readouterr().out
    assert SMALL.describe() in said
    assert "left out: 2 VARIABLE_VALUE" in said
    bundle = load_bundle(model)
    assert bundle.card.config == SMALL
    assert (bundle.card.classes.names, bundle.card.work_mpp) == (("tumour", "stroma"), 0.25)
    assert dict(object_values(SMALL, bundle.network)).keys() == state.keys()
    assert main(["export", str(model), "--format", "checkpoint", "--output", str(out)]) == 0
    assert sorted(file.name for file in out.iterdir()) == [
        "model_ckpt.data-00000-of-00001",
        "model_ckpt.index",
    ]
    with open_checkpoint(out / "model_ckpt") as after:
        found = {name for name in after.shapes if name.endswith(VALUE)}
        assert found == {key + VALUE for key in state}
        for key, value in state.items():
            np.testing.assert_array_equal(after.tensor(key + VALUE), value)
    assert main(["export", str(model), "--format", "checkpoint", "--output", str(out)]) == 2
    assert "a checkpoint is a new folder" in capsys.readouterr().err


@pytest.mark.slow
def test_a_relu_of_shares_is_in_the_values_that_go_out(tmp_path: Path):
    ours = EfficientDetSegConfig(label_count=2, fpn_filters=8, fpn_cells=1, crop_size=128)
    network = family_of(ours).build(ours)
    named_weights(network)["fpn.cell_0.node_2.fuse/weight_1"].assign(-0.5)
    values = dict(object_values(ours, network))
    assert values["fpn_cells/cells/0/fnodes/2/WSM_1"] == 0
    plain = EfficientDetSegConfig(
        label_count=2, fpn_filters=8, fpn_cells=1, crop_size=128, fusion="linear"
    )
    other = family_of(plain).build(plain)
    for name, variable in named_weights(network).items():
        named_weights(other)[name].assign(np.maximum(variable, 0) if ".fuse/" in name else variable)
    tile = noise_tile(128)
    one, two = network(tile)["semantic_logits"], other(tile)["semantic_logits"]
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    ("change", "words", "problem"),
    [
        (lambda s: s, ("--crop-size", "1000"), "crop_size must be a multiple of 128"),
        (lambda s: s, ("--multi-grid", "1", "2"), "is an EfficientDet, which has no multi grid"),
        (lambda s: s, ("--classes", "a"), "classes must be 2 names"),
        (
            lambda s: s,
            ("--architecture", "xception_65"),
            "is of efficientnet_b0, not of xception_65",
        ),
        (
            lambda s: {k: v for k, v in s.items() if not k.startswith("seg_head")},
            (),
            "without a head that labels pixels",
        ),
        (lambda _: {"net/kernel": np.ones(3, np.float32)}, (), "that is no EfficientDet"),
        (
            lambda s: {k: v for k, v in s.items() if "_blocks/15/" not in k},
            (),
            "has a backbone of 15 blocks on 32 channels",
        ),
        (
            lambda s: {k: v for k, v in s.items() if k != "backbone/_stem/_bn/beta"},
            (),
            "it lacks backbone/_stem/_bn/beta",
        ),
        (
            lambda s: s | {"seg_head/extra/kernel": np.ones(3, np.float32)},
            (),
            "it has beside it seg_head/extra/kernel",
        ),
        (
            lambda s: s | {"backbone/_stem/_bn/beta": np.ones(3, np.float32)},
            (),
            "has backbone/_stem/_bn/beta of shape (3,), where the network has (32,)",
        ),
        (
            lambda s: s | {"backbone/_stem/_bn/beta": np.full(32, np.nan, np.float32)},
            (),
            "not a finite number in backbone/_stem/_bn/beta",
        ),
    ],
)
@pytest.mark.slow
def test_what_is_no_such_network_is_one_sentence(
    change, words, problem, state: dict[str, np.ndarray], tmp_path: Path, capsys
):
    said = complaint(capsys, written(tmp_path, change(state)), *words)
    assert problem in said
    assert len(said.splitlines()) == 1


@pytest.mark.slow
def test_it_is_no_model_before_it_is_imported(state: dict[str, np.ndarray], tmp_path: Path, capsys):
    source = written(tmp_path, state)
    assert (
        main(["export", str(source), "--format", "onnx", "--output", str(tmp_path / "a.onnx")]) == 2
    )
    assert "make a model of it: deeplab import-checkpoint" in capsys.readouterr().err


def test_a_checkpoint_is_written_of_an_efficientdet_only(tmp_path: Path, capsys):
    save_bundle(tiny_network(), tiny_card(), tmp_path / "a.zip")
    words = ["--format", "checkpoint", "--output", str(tmp_path / "out")]
    assert main(["export", str(tmp_path / "a.zip"), *words]) == 2
    assert "a checkpoint is written of an EfficientDet" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
