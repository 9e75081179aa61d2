"""The small picture shows each kind of pixel in its colour, whatever the blocks."""

import io

import numpy as np
import pytest
from PIL import Image

from deeplab.evaluation.error_map import KINDS, LONGEST, ErrorMap
from deeplab.geometry.frames import WorkBox
from tests.evaluation.cases_for_tests import read, side, sized, square

ASKED = {"classes": ("a", "b")}


@pytest.fixture
def case():
    """Two classes; a pixel of each kind has a square of its own."""
    reference = side(
        a=[square(10, 10, 10), square(40, 10, 10), square(70, 10, 10)], ignore=[square(40, 50, 10)]
    )
    prediction = side(a=[square(10, 10, 10), square(10, 50, 10)], b=[square(70, 10, 10)])
    return read(sized(reference, 100, 80), sized(prediction, 100, 80), **ASKED)


def picture(case, box, block):
    drawn = ErrorMap(box)
    for each in case.field.blocks(1, block):
        drawn.add(each)
    made = drawn.picture(0.5)
    with Image.open(io.BytesIO(made.png)) as opened:
        return np.array(opened), made.width_mm


def test_each_kind_has_its_colour_and_the_background_is_white(case):
    rgb, width_mm = picture(case, case.field.area, 10_000)
    assert rgb.shape == (80, 100, 3)
    assert width_mm == pytest.approx(0.05)
    places = [(15, 15), (45, 15), (15, 55), (75, 15), (45, 55)]
    assert [tuple(rgb[y, x]) for x, y in places] == [kind.colour for kind in KINDS]
    assert tuple(rgb[0, 0]) == (255, 255, 255)


@pytest.mark.parametrize("box", [WorkBox(0, 0, 100, 80), WorkBox(13, 7, 60, 50)])
def test_blocks_do_not_matter(case, box, monkeypatch):
    monkeypatch.setattr("deeplab.evaluation.error_map.LONGEST", 20)  # several pixels a cell
    whole, parts = (picture(case, box, block)[0] for block in (10_000, 17))
    assert max(whole.shape) <= 20
    assert (whole == parts).all()


def test_what_is_shown_is_what_is_drawn_and_a_little_more(case):
    box = case.drawn_box
    assert (box.x <= 10, box.y <= 10, box.right >= 80, box.bottom >= 60) == (True,) * 4
    assert box.width < 100
    nothing = read(sized(side(a=[]), 100, 80), sized(side(), 100, 80), classes=("a",))
    assert nothing.drawn_box == nothing.field.area
    assert LONGEST >= 100
