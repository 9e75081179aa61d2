import numpy as np
import shapely

from deeplab.annotations.trace.outlines import trace
from deeplab.geometry.frames import WorkFrame
from deeplab.postprocess.regions import area_um2, drop_small, fill_holes

# Work pixels of 0.5 um, 2 x 4 level-0 pixels each.
FRAME = WorkFrame(2.0, 4.0, 12, 8, 0.5)
LABELS = np.zeros((8, 12), np.uint8)
LABELS[:, :8] = 1
LABELS[1, 1] = 0  # a hole of 1 work pixel, 0.25 um2
LABELS[3:5, 3:5] = 0  # a hole of 4, 1 um2
LABELS[2:4, 10] = 2  # 2 work pixels


def test_areas_are_in_um2():
    assert [area_um2(shape, FRAME) for shape in trace(LABELS, FRAME)] == [59 / 4, 2 / 4]


def test_shapes_below_the_least_area_are_dropped():
    traced = trace(LABELS, FRAME)
    assert list(drop_small(traced, 0.5, FRAME)) == traced
    assert [s.label for s in drop_small(traced, 0.51, FRAME)] == [1]


def test_holes_up_to_the_area_are_filled_and_counted():
    traced = trace(LABELS, FRAME)
    large, small = fill_holes(traced, 0.25, FRAME)
    assert small is traced[1]
    assert large.area_px_work == 60
    assert large.polygon.equals(shapely.box(0, 0, 16, 32) - shapely.box(6, 12, 10, 20))
    (all_filled, _) = fill_holes(traced, 1.0, FRAME)
    assert (all_filled.area_px_work, len(all_filled.polygon.interiors)) == (64, 0)
