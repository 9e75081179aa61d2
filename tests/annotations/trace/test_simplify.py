import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from deeplab.annotations.trace.outlines import TracedShape, trace
from deeplab.annotations.trace.simplify import simplify
from deeplab.errors import ConfigError
from deeplab.geometry.frames import Mpp, WorkFrame

LABELS = hnp.arrays(np.uint8, (24, 24), elements=st.sampled_from([0, 1, 1]))


@settings(max_examples=60)
@given(LABELS, st.floats(0.1, 6))
def test_outlines_stay_valid_and_move_no_further_than_allowed(labels, tolerance_um):
    # Coarser blocks make outlines worth simplifying out of noise.
    traced = trace(np.kron(labels, np.ones((3, 3), np.uint8)), WorkFrame(2, 2, 72, 72, 1))
    mpp = Mpp(0.5, 0.25)
    for before, after in zip(traced, simplify(traced, tolerance_um, mpp), strict=True):
        assert after.polygon.is_valid
        assert len(after.polygon.interiors) == len(before.polygon.interiors)
        moved = shapely.hausdorff_distance(
            before.polygon.boundary, after.polygon.boundary, densify=0.2
        )
        assert moved * 0.5 <= tolerance_um + 1e-9


def test_a_staircase_becomes_a_line():
    labels = np.tril(np.ones((40, 40), np.uint8))
    (before,) = trace(labels)
    (after,) = simplify([before], 1.0, Mpp.square(1.0))
    assert len(before.polygon.exterior.coords) > 80
    assert len(after.polygon.exterior.coords) <= 6
    assert (after.label, after.area_px_work) == (1, before.area_px_work)


def test_a_tolerance_of_0_changes_nothing_and_below_0_is_refused():
    shape = TracedShape(1, shapely.box(0, 0, 3, 3), 9, None)
    assert list(simplify([shape], 0, Mpp.square(1))) == [shape]
    with pytest.raises(ConfigError, match="0 um or more"):
        list(simplify([shape], -1, Mpp.square(1)))
