"""Rectangles with a text, as HistomicsUI takes them in."""

import jsonschema
import pytest
import shapely

from deeplab.annotations.rectangles import Rectangle, rectangle_annotation
from deeplab.geometry.frames import Level0Box
from tests.annotations.documents_for_tests import read_documents
from tests.annotations.girder_schema import load_schema

PLACES = [
    Rectangle(box=Level0Box(10, 20, 30, 40), text="43 % wrong", properties={"error_share": 0.43}),
    Rectangle(box=Level0Box(0.5, 0, 7, 9), text='"<b>"'),
]


@pytest.fixture
def document():
    return rectangle_annotation(
        "worst", (213, 94, 0), PLACES, description="two", attributes={"cli": "TrainNetwork"}
    )


def test_a_rectangle_reads_back_as_its_box_with_text_and_properties(document):
    layer = read_documents([document]).layer("worst")
    assert layer.colour == (213, 94, 0)
    assert layer.shapes[0].polygon.equals(shapely.box(10, 20, 40, 60))
    assert layer.shapes[1].polygon.equals(shapely.box(0.5, 0, 7.5, 9))
    assert layer.shapes[0].properties == {"error_share": 0.43}
    assert [each["label"]["value"] for each in document["elements"]] == ["43 % wrong", '"<b>"']


def test_the_server_s_own_schema_accepts_it(document):
    schema = load_schema()
    if schema is None:
        pytest.skip("girder-large-image-annotation is not installed")
    jsonschema.Draft6Validator(schema).validate(document)
