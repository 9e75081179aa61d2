"""Numbered nuclei of public data sets, counted for a training and judged one by one."""

import csv

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from deeplab.annotations.formats.format import Reading, Writing
from deeplab.annotations.formats.table import named
from deeplab_cli.main import main
from tests.exchange.test_unpack_dataset import (
    IDS,
    RGB,
    SIDE,
    TYPES,
    conic,
    consep,
    monuseg,
    pannuke,
)


@pytest.mark.parametrize(
    ("layout", "classes", "count"),
    [
        (pannuke, "neoplastic,dead", "6"),
        (conic, "neutrophil,epithelial", "4"),
        (consep, "other,inflammatory", "4"),
        (monuseg, "nucleus", "6"),
    ],
)
def test_an_unpacked_data_set_is_counted_nucleus_by_nucleus(
    tmp_path, capsys, layout, classes, count
):
    layout(tmp_path)
    assert main(["unpack", str(tmp_path), str(tmp_path / "out")]) == 0
    words = ["train", str(tmp_path / "out/list.csv"), str(tmp_path / "m.zip"), "--dry-run"]
    assert (
        main(
            [
                *words,
                "--network",
                "hovernet",
                "--classes",
                classes,
                "--work_mpp",
                "0.25",
                "--patch_size",
                "33",
            ]
        )
        == 0
    )
    said = capsys.readouterr().out
    first = f"{classes.split(',')[0]}:"
    counted = [line.split() for line in said.splitlines() if line.startswith(first)]
    assert [words[1:3] for words in counted] == [[count, "objects,"]], said  # though they touch


def test_numbers_of_another_size_than_their_picture_are_left_out_and_named(tmp_path, capsys):
    for name in ("a", "b"):
        Image.fromarray(RGB).save(tmp_path / f"{name}.png")
        ids = IDS.astype(np.uint16)[: SIDE if name == "a" else 20]
        Image.fromarray(ids).save(tmp_path / f"{name}.instances.png")
    words = ["train", str(tmp_path), str(tmp_path / "m.zip"), "--dry-run", "--classes", "nucleus"]
    assert main([*words, "--work_mpp", "0.25", "--patch_size", "33", "--slide_mpp", "0.25"]) == 0
    assert "b.png" in (said := capsys.readouterr().out)
    assert "64 x 20" in said.replace("×", "x")


@pytest.mark.parametrize("name", ["p.mat", "p.instances.tif"])
def test_nuclei_of_a_mat_are_judged_with_their_types(tmp_path, capsys, name):
    savemat(tmp_path / "r.mat", {"inst_map": IDS.astype(float), "type_map": TYPES.astype(float)})
    form = named("mat" if name.endswith(".mat") else "instances")
    drawn = named("mat").read(tmp_path / "r.mat", Reading(classes=("a", "b")))
    form.write(tmp_path / name, drawn, Writing(width_level0=SIDE, height_level0=SIDE))
    words = ["evaluate", str(tmp_path / "r.mat"), str(tmp_path / name), "--slide_mpp", "0.25"]
    words += ["--classes", "a,b", "--centroid_um", "3", "--table", str(tmp_path / "t.csv")]
    assert main(words) == 0, capsys.readouterr()
    with (tmp_path / "t.csv").open() as file:
        rows = list(csv.DictReader(file))
    told = {(r["metric"], r["class"]): r["value"] for r in rows if r["level"] == "pooled"}
    assert {told[key, ""] for key in ("pq", "binary_pq", "mpq", "bpq", "type_accuracy")} == {"1"}
    assert (told["type_f1", "a"], told["true_objects", "a"], told["true_objects", ""]) == (
        "1",
        "2",
        "3",
    )
