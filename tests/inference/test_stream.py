"""Tiles come back in their order, decoded, whatever thread was first; an error ends it."""

import time

import numpy as np
import pytest

from deeplab.errors import SlideError
from deeplab.geometry.frames import Mpp, WorkBox, WorkFrame
from deeplab.geometry.grid import TileSlot
from deeplab.inference.stream import predict_tiles

FRAME = WorkFrame.over(400, 4, Mpp.square(0.5), 0.5)
SLOTS = [
    (TileSlot(read=WorkBox(x, 0, 4, 4), write=WorkBox(x, 0, 4, 4)), x % 12 != 0)
    for x in range(0, 400, 4)
]


class Slide:
    """Pixels that say where they are."""

    name = "a slide"

    def __init__(self):
        self.ahead = 0

    def read(self, _frame, box):
        self.ahead = max(self.ahead, box.x)
        return np.full((4, 4, 3), box.x // 4, np.uint8)


def answers(slide=None, *, decode=lambda maps: int(maps["place"]), predict=None, batch_size=3):
    predict = predict or (lambda tiles: {"place": tiles[:, 0, 0, 0]})
    return predict_tiles(
        (slide or Slide()).read, FRAME, SLOTS, predict=predict, decode=decode, batch_size=batch_size
    )


@pytest.mark.parametrize("batch_size", [1, 3])
def test_every_slot_comes_in_order_with_its_own_answer_or_none(batch_size):
    def decode(maps):
        time.sleep(0.002 * (int(maps["place"]) % 3))  # the first of three is the last to be ready
        return int(maps["place"])

    found = list(answers(decode=decode, batch_size=batch_size))
    assert [slot for slot, _ in found] == [slot for slot, _ in SLOTS]
    assert [answer for _, answer in found] == [
        slot.read.x // 4 if wanted else None for slot, wanted in SLOTS
    ]


def test_it_reads_no_farther_ahead_than_some_batches():
    slide = Slide()
    first = next(iter(answers(slide)))
    assert first.answer is None  # the first tile is not wanted
    time.sleep(0.05)
    assert slide.ahead <= 4 * 3 * 4 * 2


@pytest.mark.parametrize("place", ["read", "predict", "decode"])
def test_an_error_of_any_thread_ends_it(place):
    def fail(*_):
        raise SlideError("a slide", f"cannot be read in {place}")

    slide = Slide()
    if place == "read":
        slide.read = fail
        found = answers(slide)
    else:
        found = answers(**{place: fail})
    with pytest.raises(SlideError, match=place):
        list(found)
