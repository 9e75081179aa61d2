"""Shapes drawn from bands on disk are those drawn from memory."""

import tempfile
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import shapely
from hypothesis import example, given, settings
from hypothesis import strategies as st

from deeplab.annotations.raster import edge_bands
from deeplab.annotations.raster.edge_bands import EdgeBands
from deeplab.annotations.raster.rasterize import ShapeIndex
from deeplab.annotations.shapes import Annotations, Layer, Shape
from deeplab.errors import OutputError
from deeplab.geometry.frames import WorkBox, WorkFrame

NUMBER = st.floats(-30, 60, allow_nan=False) | st.integers(-30, 60)
RING = st.lists(st.tuples(NUMBER, NUMBER), min_size=3, max_size=9)
VALUES = {"a": 1, "ignore": 255, "b": 2}


@settings(max_examples=100)
@given(
    st.lists(st.tuples(st.sampled_from(list(VALUES)), RING), max_size=6),
    st.floats(0.3, 5),
    st.integers(1, 25),
    st.integers(1, 9),
)
@example([("a", [(0, 0), (0, 0), (0, 0)]), ("b", [(0, -9), (9, 90), (-9, 90)])], 1.0, 7, 3)
def test_bands_change_no_pixel(drawn, scale, rows, high):
    layers = tuple(
        Layer(name, (0, 0, 0), tuple(Shape(shapely.Polygon(r)) for n, r in drawn if n == name))
        for name in ("b", "ignore", "a")
    )
    annotations, frame = Annotations(layers), WorkFrame(scale, scale, 20, 20, 1.0)
    whole = ShapeIndex(annotations, VALUES).draw(frame.box, frame)
    small = patch.multiple(edge_bands, LEAST_ROWS=rows, AT_ONCE=2)
    with tempfile.TemporaryDirectory() as folder, small:
        # The slide ends within its last pixel, and some shapes end far beyond it.
        bands = EdgeBands(annotations, VALUES, max(1, int(19.5 * scale)), Path(folder))
        parts = [WorkBox(0, y, 20, min(high, 20 - y)) for y in range(0, 20, high)]
        np.testing.assert_array_equal(
            np.concatenate([bands.draw(box, frame) for box in parts]), whole
        )


def test_a_full_disk_is_one_sentence(tmp_path):
    layer = Layer("a", (0, 0, 0), (Shape(shapely.box(0, 0, 2, 2)),))
    with pytest.raises(OutputError, match="No such file"):
        EdgeBands(Annotations((layer,)), {"a": 1}, 9, tmp_path / "gone")
