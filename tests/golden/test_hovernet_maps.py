"""Nuclei and maps are HoVer-Net's own where its conventions are asked for."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from deeplab.models.hovernet.decode import decode
from deeplab.models.hovernet.targets import encode
from tests.golden.golden_files import each_golden
from tests.models.hovernet_for_tests import NucleiConfig

Case = dict[str, NDArray[Any]]


def cases(golden: Path) -> Iterator[tuple[dict[str, Any], Case]]:
    """Each case of a file: what is said of it, and its arrays."""
    with np.load(golden) as arrays:
        for told in json.loads(arrays["meta"].item())["cases"]:
            start = told["name"] + "/"
            yield (
                told,
                {key.removeprefix(start): arrays[key] for key in arrays if key.startswith(start)},
            )


@each_golden("hovernet", "training targets")
def test_original_targets(golden: Path):
    for told, case in cases(golden):
        instances = case["instances"].astype(np.int32)
        margin = (instances.shape[0] - told["crop"]) // 2
        targets = encode(
            NucleiConfig(convention="original", margin=margin),
            {"instances": instances, "labels": (instances > 0).astype(np.uint8)},
        )
        inner = (slice(told["crop"]), slice(told["crop"]))
        np.testing.assert_array_equal(targets["np"][inner], case["np"], err_msg=told["name"])
        np.testing.assert_allclose(
            targets["hv"][inner], case["hv"], atol=1e-6, err_msg=told["name"]
        )


@each_golden("hovernet", "post-processing")
def test_original_nuclei(golden: Path):
    for told, case in cases(golden):
        types = told["nr_types"] or 0
        answer = decode(
            NucleiConfig(convention="original", type_count=max(types - 1, 0)),
            {
                "np": case["prob"].astype(np.float32) / 255,
                "hv": case["hv"].astype(np.float32) / 127,
                "tp": case.get("type_map", np.zeros_like(case["prob"])),
            },
        )
        truth = case["instances"].astype(np.int32)
        assert len(answer.labels) == told["instances"]
        assert answer.instances.max(initial=0) == told["instances"]
        number = np.zeros(told["instances"] + 1, np.int32)  # ours by theirs
        number[truth] = answer.instances
        assert np.mean(number[truth] == answer.instances) >= 0.999
        assert len(np.unique(number)) == told["instances"] + 1
        for row, theirs in enumerate(case["id"]):
            check_nucleus(answer.instances == number[theirs], case, row)
            if types:
                assert answer.labels[number[theirs] - 1] == case["type"][row]
                share = answer.label_probability[number[theirs] - 1]
                assert share == pytest.approx(case["type_prob"][row], abs=0.005)


def check_nucleus(mask: NDArray[np.bool_], case: Case, row: int) -> None:
    """Compare box, centroid and outline with a row of a case."""
    ys, xs = np.nonzero(mask)
    box = (ys.min(), xs.min(), ys.max() + 1, xs.max() + 1)
    np.testing.assert_array_equal(box, case["bbox"][row])
    np.testing.assert_allclose((xs.mean(), ys.mean()), case["centroid"][row], atol=0.05)
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
    end = case["contour_length"][: row + 1].sum()
    np.testing.assert_array_equal(
        outlines[0][:, 0], case["contour"][end - case["contour_length"][row] : end]
    )
