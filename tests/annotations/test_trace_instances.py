"""Outlines of objects that touch: each its own, whatever its neighbours are."""

import numpy as np
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from deeplab.annotations.trace.outlines import trace, trace_instances
from deeplab.geometry.frames import WorkBox, WorkFrame

BOX = WorkBox(30, 20, 9, 8)
FRAME = WorkFrame(2.0, 3.0, 100, 100, 0.5)
MAPS = arrays(np.int32, (BOX.height, BOX.width), elements=st.integers(0, 4))


def parts_of(mask):
    """The parts of an object as `trace` outlines them, level-0 pixels."""
    canvas = np.zeros((FRAME.height, FRAME.width), np.uint8)
    canvas[BOX.within(FRAME.box)] = mask
    return [part.polygon for part in trace(canvas, FRAME)]


@given(instances=MAPS)
def test_each_object_is_outlined_as_if_it_were_alone_and_of_several_parts_the_largest(instances):
    polygons = trace_instances(instances, BOX, FRAME)
    assert len(polygons) == instances.max()
    for number, polygon in enumerate(polygons, start=1):
        parts = parts_of(instances == number)
        if not parts:
            assert polygon is None
            continue
        largest = max(part.area for part in parts)
        assert polygon.area == largest
        assert any(shapely.equals(part, polygon) for part in parts)


def test_a_map_of_nothing_has_no_outlines():
    assert len(trace_instances(np.zeros((8, 9), np.int32), BOX, FRAME)) == 0
