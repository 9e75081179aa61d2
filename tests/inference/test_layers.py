"""What is found becomes layers: cleaned by um, one a class, those of no type apart."""

import shapely

from deeplab.annotations.formats.type_info import NO_TYPE
from deeplab.annotations.trace.outlines import TracedShape
from deeplab.bundles.card import Card
from deeplab.config.classes import ClassList
from deeplab.config.requests import SegmentRequest
from deeplab.geometry.frames import Mpp, WorkFrame
from deeplab.inference import layers
from deeplab.inference.layers import clean, make_layers
from tests.flows.models_for_tests import CONFIG

FRAME = WorkFrame.over(1000, 1000, Mpp.square(0.5), 0.5)
CARD = Card(
    config=CONFIG,
    classes=ClassList.named(["first", "second"]),
    work_mpp=0.5,
    mpp_range=(0.4, 0.6),
    tile=257,
    halo=48,
    notice="Not for patients.",
)


def square(label, side, *, hole=0, **known):
    polygon = shapely.box(0, 0, side, side)
    if hole:
        polygon = polygon.difference(shapely.box(1, 1, 1 + hole, 1 + hole))
    return TracedShape(
        label=label, polygon=polygon, area_px_work=round(polygon.area), confidence=None, **known
    )


def test_each_class_has_a_layer_and_what_has_no_type_another_if_there_is_any():
    found = [square(2, 10), square(0, 4), square(2, 20)]
    (first, second, untyped), held = make_layers(found, CARD, FRAME)
    assert (first.name, second.name, untyped.name) == ("first", "second", NO_TYPE)
    assert [len(each.shapes) for each in (first, second, untyped)] == [0, 2, 1]
    assert second.description == "2 outlined, together 0.000125 mm2. Not for patients."
    assert held == [
        {"name": "first", "count": 0, "area_mm2": 0},
        {"name": "second", "count": 2, "area_mm2": 0.000125},
        {"name": NO_TYPE, "count": 1, "area_mm2": 4e-06},
    ]
    assert len(make_layers(found[:1], CARD, FRAME).layers) == 2


def test_only_what_is_known_of_a_shape_is_said_of_it():
    (_, layer) = make_layers([square(2, 10)], CARD, FRAME).layers
    assert [shape.properties for shape in layer.shapes] == [{"area_um2": 25.0}]
    (_, layer) = make_layers([square(2, 10, label_probability=0.7)], CARD, FRAME).layers
    assert [shape.properties for shape in layer.shapes] == [{"area_um2": 25.0, "type_prob": 0.7}]


def test_small_shapes_go_and_small_holes_are_filled_by_um():
    request = SegmentRequest(
        slide="s",
        model="m",
        output_annotation="a.anot",
        min_area_um2=5.0,
        min_hole_um2=1.0,
        simplify_um=0.0,
    )
    found = [square(1, 4), square(1, 10, hole=2), square(1, 10, hole=3)]
    cleaned = list(clean(found, request, FRAME))
    assert [shape.polygon.area for shape in cleaned] == [100, 91]
    assert [shape.area_px_work for shape in cleaned] == [100, 91]


def test_a_file_of_many_shapes_is_there_as_long_as_their_layer(monkeypatch):
    monkeypatch.setattr(layers, "MOST_IN_MEMORY", 2)
    found = [square(1, side) for side in (10, 12, 14, 16)]
    layer = make_layers(found, CARD, FRAME).layers[0]
    path = layer.shapes._path
    assert [shape.polygon.area for shape in layer.shapes] == [100, 144, 196, 256]
    assert path.exists()
    del layer
    assert not path.exists()
