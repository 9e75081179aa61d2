"""`deeplab evaluate` gives files of numbered nuclei the figures of HoVer-Net's own program."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy.io import savemat

from deeplab_cli.main import main
from tests.golden.golden_files import each_golden, meta_of
from tests.golden.test_hovernet_metrics import told

OF_NUCLEI = {"bpq", "mpq", "centroid_f1", "type_f1", "type_accuracy", "binary_pq"}


def write_tiff(path: Path, numbers: np.ndarray) -> None:
    tifffile.imwrite(path.with_name(f"{path.name}.instances.tif"), numbers.astype(np.uint32))


def write_mat(path: Path, numbers: np.ndarray) -> None:
    savemat(path.with_name(f"{path.name}.mat"), {"inst_map": numbers.astype(float)})


@pytest.mark.slow
@pytest.mark.parametrize("write", [write_tiff, write_mat])
@each_golden("hovernet", "instance metrics")
def test_each_image_and_all_together_have_the_figures_of_the_original(golden, write, tmp_path):
    figures = meta_of(golden)["figures"]
    with np.load(golden) as arrays:
        for case in figures:
            for side in ("true", "pred"):
                (tmp_path / side).mkdir(exist_ok=True)
                write(tmp_path / side / case, arrays[f"{case}/{side}"])
    words = ["--slide_mpp", "0.25", "--centroid_um", "3", "--classes", "nucleus"]
    if write is write_mat:
        words = words[:-2]
    table = tmp_path / "t.csv"
    sides = [str(tmp_path / "true"), str(tmp_path / "pred")]
    assert main(["evaluate", *sides, *words, "--table", str(table)]) == 0
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for level in ("slide", "mean", "pooled"):
        assert {row["metric"] for row in rows if row["level"] == level} >= OF_NUCLEI, level
    found = {
        (row["slide"], row["metric"]): float(row["value"] or "nan")
        for row in rows
        if row["level"] == "slide" and not row["class"]
    }
    names = {slide for slide, _ in found}
    checked = 0
    for case, expected in figures.items():
        (name,) = (each for each in names if each.partition(".")[0] == case)
        dq, _, pq = told(expected["pq"], 3)
        wanted = {"pq": pq, "object_f1": dq, "binary_pq": pq, "binary_object_f1": dq}
        wanted |= {key: told(expected[key])[0] for key in ("aji", "aji_plus")}
        for metric, figure in wanted.items():
            if not math.isnan(figure):  # else the original ended in an error
                checked += 1
                assert found[name, metric] == pytest.approx(figure, abs=1e-6), (case, metric)
    assert checked > 4 * len(figures) / 2
