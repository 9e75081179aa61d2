import pytest
import shapely

from deeplab.annotations.shapes import Annotations, Layer, Shape, mend
from deeplab.errors import AnnotationError

SQUARE = shapely.box(0, 0, 4, 4)


def test_a_bow_tie_becomes_its_two_triangles_and_keeps_its_properties():
    bow = Shape(shapely.Polygon([(0, 0), (4, 4), (4, 0), (0, 4)]), {"grade": 3})
    shapes, mended = mend([Shape(SQUARE), bow])
    assert mended == 1
    assert [s.polygon.area for s in shapes] == [16, 4, 4]
    assert all(s.polygon.is_valid for s in shapes)
    assert shapes[2].properties == {"grade": 3}


def test_a_hole_over_the_edge_is_cut_out():
    hole = [(2, 2), (6, 2), (6, 3), (2, 3)]
    shapes, mended = mend([Shape(shapely.Polygon(SQUARE.exterior, [hole]))])
    assert (len(shapes), mended) == (1, 1)
    assert shapes[0].polygon.equals(SQUARE - shapely.box(2, 2, 4, 3))


def test_an_outline_that_encloses_nothing_is_dropped_and_counted():
    assert mend([Shape(shapely.Polygon([(0, 0), (4, 4), (0, 0)]))]) == ((), 1)


def test_layers_of_one_name_are_seen_as_one():
    annotations = Annotations(
        (
            Layer("tumour", (1, 2, 3), (Shape(SQUARE),), "first"),
            Layer("ignore", (0, 0, 0), ()),
            Layer("tumour", (9, 9, 9), (Shape(SQUARE),)),
        )
    )
    assert annotations.names == ("tumour", "ignore")
    assert annotations.shape_count == 2
    layer = annotations.layer("tumour")
    assert (len(layer.shapes), layer.colour, layer.description) == (2, (1, 2, 3), "first")


def test_an_unknown_layer_names_those_there_are():
    with pytest.raises(AnnotationError, match="no layer 'vessel', only tumour"):
        Annotations((Layer("tumour", (1, 2, 3), ()),)).layer("vessel")
