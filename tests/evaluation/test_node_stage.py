"""The stage of a patient by CAMELYON17's rules, and the agreement of two stagings."""

import itertools

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from deeplab.errors import SourceError
from deeplab.evaluation.lesions import CATEGORIES
from deeplab.evaluation.node_stage import (
    STAGES,
    Node,
    node_of,
    quadratic_kappa,
    stage_of,
    stage_patients,
)


@pytest.mark.parametrize(
    ("nodes", "stage"),
    [
        (["negative"] * 5, "pN0"),
        (["negative"] * 4 + ["itc"], "pN0(i+)"),
        (["itc"] * 5, "pN0(i+)"),
        (["micro", "itc", "itc", "itc", "negative"], "pN1mi"),
        (["micro"] * 5, "pN1mi"),
        (["macro", "negative", "negative", "negative", "itc"], "pN1"),
        (["macro", "micro", "micro", "itc", "itc"], "pN1"),
        (["macro", "micro", "micro", "micro", "itc"], "pN2"),
        (["macro"] * 5, "pN2"),
    ],
)
def test_the_stage_follows_the_rules(nodes, stage):
    assert stage_of(nodes) == stage


@pytest.mark.parametrize("nodes", list(itertools.combinations_with_replacement(CATEGORIES, 5)))
def test_the_stage_is_that_of_the_rules_written_one_by_one(nodes):
    macro, micro, itc = (nodes.count(name) for name in ("macro", "micro", "itc"))
    slow = {
        "pN0": macro == micro == itc == 0,
        "pN0(i+)": itc > 0 and macro == micro == 0,
        "pN1mi": micro > 0 and macro == 0,
        "pN1": macro > 0 and 1 <= macro + micro <= 3,
        "pN2": macro > 0 and 4 <= macro + micro <= 9,
    }
    assert [stage for stage, holds in slow.items() if holds] == [stage_of(nodes)]


def test_a_slide_says_whose_node_it_is():
    assert (
        node_of("patient_017_node_4.tif") == node_of("patient_017_node_4") == Node("patient_017", 4)
    )
    assert node_of("tumor_001.tif") is None


def slides(patient, categories):
    return {f"{patient}_node_{n}.tif": c for n, c in enumerate(categories)}


def test_patients_are_staged_one_by_one():
    some = slides("patient_001", ["negative"] * 5) | slides("patient_000", ["macro"] * 5)
    assert stage_patients(some) == {"patient_000": "pN2", "patient_001": "pN0"}


def test_a_patient_without_five_slides_has_no_stage():
    with pytest.raises(SourceError, match=r"patient_000 has 4 slides \(of node 0, 1, 2, 3\)"):
        stage_patients(slides("patient_000", ["micro"] * 4))
    with pytest.raises(SourceError, match="patient_000 has 6 slides"):
        stage_patients(slides("patient_000", ["micro"] * 6))
    doubled = slides("patient_000", ["micro"] * 4) | {"patient_000_node_3.svs": "itc"}
    with pytest.raises(SourceError, match="on two slides"):
        stage_patients(doubled)
    with pytest.raises(SourceError, match="tumor_001.tif does not say whose node"):
        stage_patients({"tumor_001.tif": "micro"})


def test_kappa_is_that_of_scikit_learn_and_of_a_sum_over_pairs():
    random = np.random.default_rng(3)
    for size in (2, 7, 100):
        first, second = ([STAGES[n] for n in random.integers(5, size=size)] for _ in range(2))
        one, other = ([STAGES.index(s) for s in each] for each in (first, second))
        kappa = quadratic_kappa(first, second)
        assert kappa == pytest.approx(
            cohen_kappa_score(one, other, labels=range(5), weights="quadratic")
        )
        seen = sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) / size
        chance = sum((a - b) ** 2 for a in one for b in other) / size**2
        assert kappa == pytest.approx(1 - seen / chance)
    assert quadratic_kappa(["pN0", "pN2"], ["pN0", "pN2"]) == 1
    assert quadratic_kappa(["pN0", "pN2"], ["pN2", "pN0"]) == -1
    assert np.isnan(quadratic_kappa(["pN1"], ["pN1"]))
