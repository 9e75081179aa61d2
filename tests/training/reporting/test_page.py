"""The page about a training: whole, escaped, self-contained, and honest about what is not there."""

import base64
import io
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from PIL import Image

from deeplab.errors import OutputError
from deeplab.training.history import History
from deeplab.training.reporting.facts import OtherMethod
from deeplab.training.reporting.page import report, write_report
from tests.training.facts_for_tests import FACTS, VALIDATION, WICKED


def words(tree):
    return " ".join(" ".join(tree.itertext()).split())


@pytest.fixture(scope="module")
def tree():
    return ET.fromstring(report(FACTS))


def test_a_wicked_class_name_is_shown_and_never_run(tree):
    assert not tree.findall(".//script")
    assert WICKED in words(tree)
    assert "<script" not in report(FACTS)


def test_the_page_needs_nothing_from_elsewhere(tree):
    for element in tree.iter():
        for name in ("src", "href", "action", "data"):
            assert element.get(name, "data:").startswith("data:")
    style = tree.find("head/style").text
    assert "url(" not in style
    assert "@import" not in style


def test_every_picture_can_be_opened(tree):
    pictures = tree.findall(".//img")
    assert len(pictures) == 4, "confusion, two examples, curves"
    for picture in pictures:
        content = base64.b64decode(picture.get("src").partition(",")[2])
        with Image.open(io.BytesIO(content)) as opened:
            opened.load()
            assert opened.width > 100
        assert picture.get("alt")


def cells(tree, heading):
    """The rows of the first table after a heading."""
    elements = list(tree.iter())
    start = next(i for i, each in enumerate(elements) if each.text == heading)
    table = next(each for each in elements[start:] if each.tag == "table")
    return [["".join(cell.itertext()) for cell in row] for row in table.iter("tr")]


def test_the_figures_are_those_of_the_validation(tree):
    pooled = VALIDATION.pooled
    rows = {row[0]: row for row in cells(tree, "How good it is on slides that it has not seen")}
    assert rows["tumour"][1:5] == [
        f"{value:.3f}"
        for value in (pooled.dice[1], pooled.iou[1], pooled.precision[1], pooled.recall[1])
    ]
    assert rows["tumour"][5:] == [f"{3 * 64**2 * 0.25e-6:.3g}", "80"]
    assert rows["background"][1] == "–"
    by_slide = cells(tree, "Slide by slide")
    assert [row[0] for row in by_slide[1:]] == ["a", "b"], "the worst first"
    assert by_slide[1][1] == "P3"


def test_the_split_the_census_and_what_was_left_out_are_shown(tree):
    text = words(tree)
    assert "Learnt from: 3 slides of 2 patients" in text
    assert "Held out: 2 slides of 2 patients" in text
    assert "bare.tiff does not state its microns per pixel" in text
    learnt = cells(tree, "Learnt from: 3 slides of 2 patients")
    assert learnt[-1] == ["together", "", "", "120", "3.75", "150", "1.5"]


def test_the_versions_the_seed_the_time_and_the_use_are_told(tree):
    text = words(tree)
    for said in ("TensorFlow 2.21", "seed 17", "2 h 1 min", "0.33 to 0.75 µm per pixel",
                 "deeplab segment SLIDE --model m.zip", "that of step 66",
                 "1.25 patches a second", "peak of main memory 3.46 GB"):  # fmt: skip
        assert said in text


def test_other_methods_stand_beside_the_model():
    other = OtherMethod(name="colour alone", mean_iou=0.25, dice=(0.5, float("nan")))
    tree = ET.fromstring(report(replace(FACTS, comparisons=(other,))))
    rows = cells(tree, "Beside other methods")
    assert rows[1][:2] == ["this model", f"{VALIDATION.score:.3f}"]
    assert rows[2] == ["colour alone", "0.250", "0.500", "–"]


def test_without_held_out_slides_the_page_says_so_and_claims_nothing():
    alone = replace(
        FACTS, validation=None, examples=(), slides=FACTS.on("train"), history=History()
    )
    tree = ET.fromstring(report(alone))
    text = words(tree)
    assert "No slide was held out" in text
    assert "Held out: none" in text
    for claim in ("Dice", "mean IoU", "compared with"):
        assert claim not in text


def test_the_file_is_whole_or_not_there(tmp_path):
    write_report(tmp_path / "new" / "report.html", FACTS)
    assert (tmp_path / "new" / "report.html").read_text(encoding="utf-8") == report(FACTS)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        write_report(tmp_path / "file" / "report.html", FACTS)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "new", "report.html"]
