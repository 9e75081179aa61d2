"""HoVer-Net trained by the command: its published modes, patients, and when it ends early."""

import csv
import math

import numpy as np
import pytest
from PIL import Image

from deeplab.bundles.read import read_card
from deeplab_cli.main import main
from tests.exchange.test_unpack_dataset import IDS, RGB, TYPES
from tests.flows.nuclei_for_tests import TYPES as NAMES
from tests.flows.nuclei_for_tests import nuclei_in_all_forms, paint_nuclei, write_mat

SCALE = ("--slide_mpp", "0.5", "--work_mpp", "0.5", "--gpu", "-1", "--slow_start_step", "0")
HOVERNET = ("--network", "hovernet")
BOTH = ("--classes", ",".join(NAMES))
ALL_ONE = (
    *("--classes", "nucleus"),
    *("--aliases", "epithelial=nucleus,lymphocyte=nucleus,type 2=nucleus"),
)


def trained(folder, model, *words):
    assert main(["train", str(folder), str(model), *HOVERNET, *SCALE, *map(str, words)]) == 0
    with (model.with_suffix(".work") / "log.csv").open(newline="") as file:
        return read_card(model), list(csv.DictReader(file))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "side", "classes", "types"),
    [("fast", 128, ALL_ONE, 0), ("original", 198, BOTH, 2)],
)
def test_the_published_modes_learn_on_a_tiny_set(tmp_path, mode, side, classes, types):
    for seed in range(2):
        rgb, instances, kinds = paint_nuclei(seed, 208)
        Image.fromarray(rgb).save(tmp_path / f"{seed}.png")
        write_mat(tmp_path / f"{seed}.mat", instances, kinds)
    words = ("--backbone", "preact_resnet50", "--network_options", f"mode={mode}")
    # Without a copy of the weights and without validation, as these networks are large.
    words += ("--steps", 1, "--batch_size", 1, "--ema_decay", 0, "--validation_fraction", 0)
    card, (row,) = trained(tmp_path, tmp_path / "m.zip", *words, *classes, "--patch_size", side)
    config = card.config
    assert (config.mode, config.type_count, config.crop_size) == (mode, types, side)
    assert config.tiling.accepts(card.tile)
    assert math.isfinite(float(row["loss"]))


@pytest.mark.slow
def test_a_training_ends_where_pq_is_not_better_any_more_and_keeps_the_best(tmp_path):
    nuclei_in_all_forms(tmp_path, 1)
    words = ("--network_options", "decoder_width=8", "--depth_multiplier", 0.1, *BOTH)
    words += ("--patch_size", 48, "--batch_size", 2, "--steps", 9, "--ema_decay", 0)
    # Nothing moves, so that no validation is better than the first.
    words += ("--batch_norm", "false", "--learning_rate", 1e-12, "--learning_rate_start", 0)
    words += ("--validate_every", 1, "--early_stopping", 2, "--augment", 0)
    card, rows = trained(tmp_path, tmp_path / "m.zip", *words)
    assert {row["step"] for row in rows} == {"1", "2", "3"}
    assert card.training["steps"] == 1
    assert {"pq", "aji_plus"} <= card.metrics.keys()


def test_patches_of_one_patient_are_on_one_side(tmp_path, capsys):
    places = [f"{name}-{number:04d}" for name in ("consep_1", "dpath_7", "pannuke_3")
              for number in range(3)]  # fmt: skip
    np.save(tmp_path / "images.npy", np.stack([RGB] * len(places)))
    labels = np.stack([np.dstack([IDS, TYPES])] * len(places))
    np.save(tmp_path / "labels.npy", labels.astype(np.uint16))
    (tmp_path / "patch_info.csv").write_text("\n".join(["patch_info", *places]))
    assert main(["unpack", str(tmp_path), str(tmp_path / "out")]) == 0
    capsys.readouterr()
    for seed in range(3):
        words = ("--work_mpp", 0.25, "--patch_size", 33, "--validation_fraction", 0.3)
        words += ("--classes", "neutrophil,epithelial", "--seed", seed, "--dry-run")
        source, model = tmp_path / "out/list.csv", tmp_path / "m.zip"
        assert main(["train", str(source), str(model), *HOVERNET, *map(str, words)]) == 0
        lines = capsys.readouterr().out.splitlines()
        rows = [line.split() for line in lines if line.startswith("conic_")]
        sides = {(patient, side) for *_, patient, side, _, _, _, _ in rows}
        assert len(rows) == len(places)
        assert {patient for patient, _ in sides} == {"consep_1", "dpath_7", "pannuke_3"}
        assert sorted(side for _, side in sides) == ["train", "train", "validation"]
