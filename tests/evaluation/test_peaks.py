"""Peaks of a map of probabilities."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from deeplab.evaluation.peaks import find_peaks


@given(st.integers(0, 60), st.integers(0, 2**32 - 1), st.floats(0, 40))
def test_peaks_are_those_of_loops(count, seed, reach_um):
    rng = np.random.default_rng(seed)
    points = rng.integers(0, 100, (count, 2)).astype(float)
    values = rng.integers(0, 10, count) / 10
    expected, left = [], list(range(count))
    while left:
        peak = max(left, key=lambda place: (values[place], -place))
        expected.append(peak)
        left = [
            place
            for place in left
            if place != peak
            and sum((points[place] - points[peak]) ** 2) > reach_um**2 * (1 + 1e-12)
        ]
    assert find_peaks(points, values, reach_um).tolist() == expected


def test_one_hill_is_one_detection_and_two_that_are_apart_are_two():
    x = np.arange(0, 1000, 32.0)
    points = np.column_stack([x, np.zeros_like(x)])
    one = np.exp(-(((x - 320) / 60) ** 2))
    assert points[find_peaks(points, one)][0].tolist() == [320, 0]
    both = one + 0.5 * np.exp(-(((x - 800) / 60) ** 2))
    assert points[find_peaks(points, both)][:2, 0].tolist() == [320, 800]
