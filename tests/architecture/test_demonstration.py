"""The models that ship say what they are, and the documentation gives their figures."""

import re
from pathlib import Path

import pytest

from deeplab.bundles.read import read_card

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "deeplab/demonstration"
PAGE = ROOT / "docs/explanation/demonstration-model.md"
LEAST = {"pq": 0.58, "aji": 0.62, "dice": 0.88}
IMAGES = 22


@pytest.mark.parametrize("name", ["nuclei.zip", "nuclei_instances.zip"])
def test_each_is_small_and_says_that_it_is_a_demonstration(name):
    card = read_card(MODELS / name)
    assert (MODELS / name).stat().st_size <= 12e6
    assert card.demonstration
    assert "not for diagnosis" in card.notice
    assert "BreCaHAD" in card.trained_on
    assert name in PAGE.read_text()


def test_no_other_ships():
    assert sorted(path.name for path in MODELS.iterdir()) == ["nuclei.zip", "nuclei_instances.zip"]


def test_the_page_gives_the_figures_of_its_card():
    metrics = read_card(MODELS / "nuclei.zip").metrics
    assert metrics["held-out dice nuclei"] >= 0.8
    text = PAGE.read_text()
    assert f"Dice is {metrics['held-out dice nuclei']:.3f}" in text
    assert f"IoU {metrics['held-out iou nuclei']:.3f}" in text


def test_the_page_gives_the_figures_of_each_image_whose_means_are_those_of_the_card():
    metrics = read_card(MODELS / "nuclei_instances.zip").metrics
    rows = re.findall(r"^\| `\w+` \| \d+ \| \d+ ((?:\| \d\.\d{3} )+)\|$", PAGE.read_text(), re.M)
    assert len(rows) == IMAGES
    columns = zip(
        *([float(each) for each in row.split("|") if each.strip()] for row in rows), strict=True
    )
    for name, column in zip(("pq", "dq", "sq", "aji", "dice"), columns, strict=True):
        assert sum(column) / IMAGES == pytest.approx(metrics[f"held-out {name}"], abs=6e-4)
        assert metrics[f"held-out {name}"] >= LEAST.get(name, 0)
