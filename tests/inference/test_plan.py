import numpy as np

from deeplab.geometry.frames import Mpp, WorkBox, WorkFrame
from deeplab.inference.plan import Area

FRAME = WorkFrame.over(100, 100, Mpp.square(0.5), 0.5)


def test_a_region_that_crosses_itself_is_all_that_it_goes_round():
    eight = ((0, 0), (40, 40), (40, 0), (0, 40))
    twice = ((50, 50), (90, 50), (90, 90), (50, 90), (50, 60), (80, 60), (80, 80), (50, 80))
    area = Area.of((eight, twice), FRAME)
    box = WorkBox(0, 0, 100, 100)
    inside = area.clip(np.ones((100, 100), np.uint8), box)
    assert inside[20, 5] == inside[20, 35] == 1  # both halves of the eight
    assert inside[70, 65] == 1  # what it goes round twice
    assert inside[20, 60] == inside[2, 20] == 0
