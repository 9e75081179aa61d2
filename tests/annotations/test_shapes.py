import pytest
import shapely

from deeplab.annotations.shapes import Annotations, Layer, Shape
from deeplab.errors import AnnotationError

SQUARE = shapely.box(0, 0, 4, 4)


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
