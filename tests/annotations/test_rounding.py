import numpy as np
import pytest
import shapely
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from deeplab.annotations.formats.format import Reading, Trait, Writing
from deeplab.annotations.formats.table import FORMATS
from deeplab.annotations.mending import mend
from deeplab.annotations.rounding import count_decimals, round_corners
from deeplab.annotations.shapes import Annotations, Layer, Shape

# Near whole pixels by thousandths, so that hundredths fold many an outline.
PLACES = st.builds(lambda whole, hair: whole + hair / 1000, st.integers(0, 7), st.integers(-9, 9))
POINTS = st.lists(st.tuples(PLACES, PLACES), min_size=4, max_size=14)
FAR = (31_234.0, 98_765.0)


@st.composite
def areas(draw):
    """A valid area, often with holes, several parts or sides that nearly touch."""
    found = mend(shapely.Polygon(draw(POINTS)))
    assume(found.area is not None and found.area.area > 0.1)
    area = shapely.transform(found.area, lambda xy: 9 * xy)  # no part of it is a sliver
    slit = shapely.box(-1, draw(PLACES) * 9, draw(PLACES) * 9, 64)
    cut = shapely.difference(area, shapely.box(*slit.bounds[:3], slit.bounds[1] + 0.004))
    cut = cut if draw(st.booleans()) else area
    assume(shapely.get_parts(cut).size and shapely.area(shapely.get_parts(cut)).min() > 1.1)
    found = mend(cut)
    assume(found.area is not None and not found.slivers)
    return shapely.transform(found.area, lambda xy: xy + draw(st.sampled_from([(0, 0), FAR])))


@pytest.mark.parametrize(
    "format_", [each for each in FORMATS if each.is_text], ids=lambda each: each.name
)
@settings(max_examples=60)  # writes and reads files
@given(drawn=st.lists(areas(), min_size=1, max_size=3))
def test_what_was_valid_is_valid_and_as_many_when_it_is_read_again(
    format_, drawn, tmp_path_factory
):
    path = tmp_path_factory.mktemp("round") / f"a{format_.suffixes[0]}"
    shapes = tuple(Shape(area) for area in drawn)
    format_.write(path, Annotations((Layer("a", (1, 2, 3), shapes),)), Writing())
    again = format_.read(path, Reading())
    assert not [remark for remark in again.remarks if "um per pixel" not in remark]
    (layer,) = again.layers
    pieces = sum(len(shape.parts) for shape in shapes)
    assert len(layer.shapes) == (len(shapes) if Trait.PARTS in format_.carries else pieces)
    assert all(shape.polygon.is_valid for shape in layer.shapes)
    filled = Trait.HOLES not in format_.carries
    assert _area(layer.shapes, filled) == pytest.approx(_area(shapes, filled), rel=1e-3, abs=1)


def _area(shapes, filled) -> float:
    parts = [part for shape in shapes for part in shape.parts]
    return sum(shapely.Polygon(p.exterior).area if filled else p.area for p in parts)


def test_corners_are_hundredths_of_pixels_where_they_can_be():
    third = shapely.Polygon([(0, 0), (10 / 3, 0), (10 / 3, 20 / 3)])
    assert shapely.get_coordinates(round_corners(third)).tolist()[1:3] == [[3.33, 0], [3.33, 6.67]]


def test_a_slit_finer_than_that_keeps_more_decimals():
    slit = shapely.box(0, 0, 40, 40) - shapely.box(10, -1, 10.001, 30)
    rounded = round_corners(slit)
    assert rounded.is_valid
    assert count_decimals(shapely.get_coordinates(rounded)) == 4
    assert rounded.equals(slit)


def test_what_no_fewer_decimals_can_hold_is_written_whole():
    slit = shapely.box(0, 0, 40, 40) - shapely.box(10, -1, np.nextafter(10, 11), 30)
    assert round_corners(slit) == slit
