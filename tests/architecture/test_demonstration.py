"""The model that ships says what it is, and the documentation gives its figures."""

from pathlib import Path

from deeplab.bundles.read import read_card

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "deeplab/demonstration/nuclei.zip"
PAGE = ROOT / "docs/explanation/demonstration-model.md"


def test_it_is_small_and_says_that_it_is_a_demonstration():
    card = read_card(MODEL)
    assert MODEL.stat().st_size <= 12e6
    assert card.demonstration
    assert "not for diagnosis" in card.notice
    assert "BreCaHAD" in card.trained_on


def test_the_page_gives_the_figures_of_its_card():
    metrics = read_card(MODEL).metrics
    assert metrics["held-out dice nuclei"] >= 0.8
    text = PAGE.read_text()
    assert f"Dice is {metrics['held-out dice nuclei']:.3f}" in text
    assert f"IoU {metrics['held-out iou nuclei']:.3f}" in text
