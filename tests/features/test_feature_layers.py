"""Features as user fields and as metadata: numbers that JSON and MongoDB take."""

import json
import math

import jsonschema
import numpy as np
import pytest
import shapely

from deeplab.annotations.formats.girder_json import write_girder_json
from deeplab.annotations.shapes import Annotations, Layer, Shape
from deeplab.features.feature_layers import feature_layers, slide_metadata
from deeplab.features.table import FeatureTable, measure
from deeplab.geometry.frames import Mpp
from tests.annotations.girder_schema import load_schema
from tests.features.drawn import disc
from tests.features.measures_for_tests import of_classes


def layers_of(*shapes, channels=(), **more):
    annotations = Annotations((Layer("a", (1, 2, 3), shapes),))
    tables = measure(annotations, Mpp.square(0.5), radius_um=100)
    columns = tables["a"].columns | {name: np.array(values) for name, values in more.items()}
    return feature_layers(annotations, {"a": FeatureTable("a", columns)}, channels)


def test_a_shape_keeps_what_it_said_unless_it_was_measured():
    (layer,) = layers_of(
        Shape(disc(50, 50, 20), {"confidence": 0.9, "area_um2": 3, "grade": "x"})
    ).layers
    (shape,) = layer.shapes
    assert (shape.properties["confidence"], shape.properties["grade"]) == (0.9, "x")
    assert shape.properties["area_um2"] == pytest.approx(math.pi * 100, rel=1e-3)
    assert (layer.name, layer.colour, shape.properties["object"]) == ("a features", (1, 2, 3), 1)


def test_what_is_not_known_is_left_out_and_texture_stays_in_the_tables():
    shapes = [Shape(disc(50, 50, 20)), Shape(disc(150, 50, 20))]
    layers = layers_of(
        *shapes, pas_mean=[math.nan, 5], haralick_asm_mean=[1.0, 1.0], red_mean=[1.0, 1.0]
    )
    first, second = layers.layers[0].shapes
    assert "pas_mean" not in first.properties
    assert second.properties["pas_mean"] == 5
    assert not {"haralick_asm_mean", "red_mean"} & set(first.properties)


def test_a_channel_stays_though_it_is_called_as_a_colour():
    layers = layers_of(Shape(disc(50, 50, 20)), channels=["grey"], grey_mean=[7.0])
    assert layers.layers[0].shapes[0].properties["grey_mean"] == 7


def test_an_object_without_an_outline_is_left_out_and_the_others_keep_their_numbers():
    shapes = [Shape(shapely.Polygon()), Shape(disc(150, 50, 20))]
    (shape,) = layers_of(*shapes).layers[0].shapes
    assert shape.properties["object"] == 2


def test_the_layers_are_such_as_the_server_takes(tmp_path):
    schema = load_schema()
    if schema is None:
        pytest.skip("girder-large-image-annotation is not installed (pip install --no-deps)")
    write_girder_json(tmp_path / "o.anot", layers_of(Shape(disc(50, 50, 20))))
    (written,) = json.loads((tmp_path / "o.anot").read_text())
    jsonschema.Draft6Validator(schema).validate(written)


def test_metadata_are_flat_numbers_with_names_that_a_database_takes():
    found = slide_metadata(of_classes("s", {"a.b": [4.0, 8.0], "$x": [], "": [1.0]}, 2e6))
    assert found["a_b count"] == 2
    assert found["a_b total_area_mm2"] == 1.2e-5
    assert found["a_b density_per_mm2"] == 1
    assert found["x count"] == 0
    assert "x mean_area_um2" not in found
    assert found["tissue_area_mm2"] == 2
    assert not [name for name in found if "." in name or name.startswith("$") or not name]
    json.dumps(found, allow_nan=False)
