"""Figures of nuclei are HoVer-Net's own where its conventions are asked for."""

import math
from pathlib import Path

import numpy as np
import pytest

from deeplab.evaluation.instances import Overlaps, compare_objects
from deeplab.evaluation.original_hovernet import original_figures, original_type_figures
from tests.golden.golden_files import each_golden, meta_of

PQ = {"pq": 0.5, "pq_03": 0.3}
ONE = {
    "dice": lambda figures: figures.dice,
    "dice2": lambda figures: figures.dice_2,
    "dice2_slow": lambda figures: figures.dice_2,
    "aji": lambda figures: figures.aji,
    "aji_plus": lambda figures: figures.aji_plus,
}


def told(figure: object, count: int = 1) -> list[float]:
    """Return so many figures of the original; NaN for null and where it ended in an error."""
    if isinstance(figure, str) and figure.startswith("raises "):
        return [math.nan] * count
    listed = figure if isinstance(figure, list) else [figure]
    assert len(listed) == count
    return [math.nan if each is None else float(each) for each in listed]


@each_golden("hovernet", "instance metrics")
def test_figures_of_instance_maps_are_those_of_the_original(golden: Path):
    figures = meta_of(golden)["figures"]
    assert figures
    with np.load(golden) as arrays:
        assert {name.rpartition("/")[0] for name in arrays if name != "meta"} == set(figures)
        for case, expected in figures.items():
            sides = (arrays[f"{case}/{side}"].astype(np.int32) for side in ("true", "pred"))
            overlaps = Overlaps.of_maps(*sides)
            for name, figure in expected.items():
                ours = original_figures(overlaps, PQ.get(name, 0.5))
                found = [ONE[name](ours)] if name in ONE else list(ours.of_matches)
                assert found == pytest.approx(told(figure, len(found)), abs=1e-9, nan_ok=True), case


@each_golden("hovernet", "instance metrics")
def test_figures_of_the_default_are_the_same_but_for_sq_where_they_are_defined(golden: Path):
    with np.load(golden) as arrays:
        for case, expected in meta_of(golden)["figures"].items():
            sides = (arrays[f"{case}/{side}"].astype(np.int32) for side in ("true", "pred"))
            ours = compare_objects(Overlaps.of_maps(*sides))
            for name, found in (("aji", ours.aji), ("aji_plus", ours.aji_plus)):
                (figure,) = told(expected[name])
                assert math.isnan(figure) or found == pytest.approx(figure, abs=1e-9)
            dq, _, pq = told(expected["pq"], 3)
            assert math.isnan(dq) or ours.detection_quality == pytest.approx(dq, abs=1e-9)
            assert math.isnan(pq) or ours.panoptic_quality == pytest.approx(pq, abs=1e-6)


@each_golden("hovernet", "detection and type metrics")
def test_detection_and_types_are_those_of_the_original(golden: Path):
    figures = meta_of(golden)["figures"]
    assert figures
    with np.load(golden) as arrays:
        for case, expected in figures.items():
            numbers = {int(name.split("/")[1]) for name in arrays if name.startswith(f"{case}/")}
            images = [
                tuple(
                    (
                        arrays[f"{case}/{place}/{side}_centroid"].reshape(-1, 2),
                        arrays[f"{case}/{place}/{side}_type"].ravel().astype(np.intp),
                    )
                    for side in ("true", "pred")
                )
                for place in sorted(numbers)
            ]
            f_d, accuracy, f_type = original_type_figures(
                images, expected["type_uid_list"], exhaustive=expected["exhaustive"]
            )
            found = [f_d, accuracy, *f_type]
            keys = ("f_d", "accuracy", "f_type")
            assert set(expected) == {*keys, "type_uid_list", "exhaustive"}
            told_figures = [expected["f_d"], expected["accuracy"], *expected["f_type"]]
            figure = told(told_figures, len(found))
            assert found == pytest.approx(figure, abs=1e-9, nan_ok=True), case
