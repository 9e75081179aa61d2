"""The learning rate over the steps."""

import pytest

from deeplab.training.schedule import SlowStartPoly


@pytest.fixture
def schedule():
    return SlowStartPoly(start=1e-5, peak=1e-2, end=1e-4, slow_steps=100, steps=1100, power=0.9)


@pytest.mark.parametrize(
    ("step", "rate"),
    [
        (0, 1e-5),
        (50, (1e-5 + 1e-2) / 2),
        (100, 1e-2),
        (600, 1e-4 + (1e-2 - 1e-4) * 0.5**0.9),
        (1100, 1e-4),
        (5000, 1e-4),
    ],
)
def test_the_rate_follows_its_formula(schedule, step, rate):
    assert float(schedule(step)) == pytest.approx(rate, rel=1e-5)


def test_it_is_rebuilt_from_its_config(schedule):
    again = SlowStartPoly.from_config(schedule.get_config())
    assert float(again(333)) == float(schedule(333))


def test_without_a_slow_start_the_first_step_has_the_highest_rate():
    schedule = SlowStartPoly(start=0, peak=1, end=0, slow_steps=0, steps=10, power=1)
    assert float(schedule(0)) == 1
