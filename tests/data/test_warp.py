"""The grid of sampling points of a patch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deeplab.config.classes import IGNORE
from deeplab.data.warp import Warp, orient

SIDE = 33


def test_the_eight_orientations_are_different():
    rgb = np.random.default_rng(4).integers(0, 255, (5, 5, 3)).astype(np.uint8)
    seen = {orient(rgb, {}, which)[0].tobytes() for which in range(8)}
    assert len(seen) == 8


@pytest.mark.parametrize("which", range(8))
def test_an_orientation_is_numpys_turn_and_mirror(which):
    rgb = np.random.default_rng(5).integers(0, 255, (6, 6, 3)).astype(np.uint8)
    turned = np.rot90(rgb, which % 4)
    expected = turned[:, ::-1] if which >= 4 else turned
    after, truth = orient(rgb, {"labels": np.ascontiguousarray(rgb[..., 0])}, which)
    assert (after == expected).all()
    assert (truth["labels"] == expected[..., 0]).all()


@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_a_turn_by_a_quarter_is_numpys(quarter):
    warp = Warp(angle=quarter * np.pi / 2)
    read = warp.reads(SIDE, 1.0)
    rgb = np.random.default_rng(0).integers(0, 255, (read, read, 3)).astype(np.uint8)
    first = (read - SIDE) // 2
    middle = rgb[first : first + SIDE, first : first + SIDE]
    turned, truth = warp.apply(rgb, {"labels": rgb[..., 0]}, SIDE, 1.0)
    assert (turned == np.rot90(middle, quarter)).all()
    assert (truth["labels"] == np.rot90(middle[..., 0], quarter)).all()


@pytest.mark.parametrize("step", [0.75, 1.0, 1.5, 2.0])
def test_a_square_is_as_large_as_the_step_says(step):
    warp = Warp(scale=step)
    read = warp.reads(SIDE * 3, step)
    labels = np.zeros((read, read), np.uint8)
    half = round(12 * step)
    middle = slice(read // 2 - half, read // 2 + half)
    labels[middle, middle] = 1
    _, after = warp.apply(np.zeros((read, read, 3), np.uint8), {"labels": labels}, SIDE * 3, step)
    assert after["labels"].sum() == pytest.approx((2 * half / step) ** 2, rel=0.1)


@pytest.mark.parametrize("step", [1.4, 1.6, 1.74])
def test_averaging_goes_before_leaving_out(step):
    # Noise of single pixels shall fall as it does where areas of that side are averaged.
    warp = Warp(scale=step)
    read = warp.reads(SIDE * 3, step)
    rgb = np.random.default_rng(1).integers(0, 256, (read, read, 3)).astype(np.uint8)
    after, _ = warp.apply(rgb, {}, SIDE * 3, step)
    assert after.std() == pytest.approx(rgb.std() / step, rel=0.2)


@settings(max_examples=40)
@given(
    st.floats(-np.pi, np.pi), st.sampled_from([0.75, 1.0, 1.6]), st.integers(0, 7), st.booleans()
)
def test_objects_are_moved_with_their_labels_and_keep_their_numbers(angle, step, which, bends):
    random = np.random.default_rng(2)
    bend = 4 * random.standard_normal((2, 4, 4), np.float32) if bends else None
    warp = Warp(angle=angle, scale=step, orientation=which, bend=bend)
    read = warp.reads(SIDE, step)
    labels = random.integers(0, 200, (read, read)).astype(np.uint8)
    # A number for each label, among them such as no float32 has.
    numbers = np.concatenate([[0], 2**31 - 1 - np.arange(199)]).astype(np.int32)
    truth = {"labels": labels, "instances": numbers[labels], "labels/other": labels}
    _, moved = warp.apply(np.zeros((read, read, 3), np.uint8), truth, SIDE, step)
    assert moved["instances"].dtype == np.int32
    inside = moved["labels"] != IGNORE
    assert inside.any()
    assert (moved["instances"][inside] == numbers[moved["labels"][inside]]).all()
    assert (moved["labels/other"] == moved["labels"]).all()


def test_beyond_what_was_read_there_is_no_object_and_nothing_is_known():
    warp = Warp(angle=0.3)
    read = 5  # too little for any turn
    truth = {"labels": np.ones((read, read), np.uint8), "instances": np.ones((read, read), "i4")}
    _, moved = warp.apply(np.zeros((read, read, 3), np.uint8), truth, SIDE, 1.0)
    assert moved["labels"][0, 0] == IGNORE
    assert moved["instances"][0, 0] == 0
    assert moved["instances"][SIDE // 2, SIDE // 2] == 1
