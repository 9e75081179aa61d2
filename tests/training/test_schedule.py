"""The learning rate over the steps."""

import math

import pytest

from deeplab.config.train_request import DescentSettings
from deeplab.training.schedule import schedule_of


def schedule(**settings):
    values = {
        "steps": 1100,
        "slow_start_step": 100,
        "learning_rate": 1e-2,
        "learning_rate_start": 1e-5,
        "end_learning_rate": 1e-4,
    }
    return schedule_of(DescentSettings(**values | settings))


@pytest.mark.parametrize("policy", ["cosine", "poly", "step"])
@pytest.mark.parametrize(("step", "rate"), [(0, 1e-5), (50, (1e-5 + 1e-2) / 2), (100, 1e-2)])
def test_every_policy_begins_with_a_straight_rise(policy, step, rate):
    assert float(schedule(learning_policy=policy).rate(step)) == pytest.approx(rate, rel=1e-5)


def falls(policy, done):
    """The rate after a share of the 1000 steps of the fall, written out."""
    if policy == "cosine":
        return 1e-4 + (1e-2 - 1e-4) * (1 + math.cos(math.pi * done)) / 2
    if policy == "poly":
        return 1e-4 + (1e-2 - 1e-4) * (1 - done) ** 0.9
    return 1e-2 * 0.5 ** (done * 1000 // 300)


@pytest.mark.parametrize("policy", ["cosine", "poly", "step"])
@pytest.mark.parametrize("step", [101, 350, 400, 600, 999, 1099])
def test_the_fall_follows_the_formula_of_its_policy(policy, step):
    found = schedule(
        learning_policy=policy, learning_rate_decay_step=300, learning_rate_decay_factor=0.5
    )
    expected = falls(policy, (step - 100) / 1000)
    assert float(found.rate(step)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("policy", ["cosine", "poly"])
def test_after_its_end_the_rate_stays_at_the_last_one(policy):
    assert float(schedule(learning_policy=policy).rate(5000)) == pytest.approx(1e-4, rel=1e-5)


@pytest.mark.parametrize("policy", ["cosine", "poly", "step"])
def test_rounds_of_a_federation_together_follow_one_schedule(policy):
    whole = schedule(learning_policy=policy)
    rounds = [
        schedule(learning_policy=policy, steps=550, global_step=first, decay_steps=1100)
        for first in (0, 550)
    ]
    for step in (0, 99, 100, 549, 550, 800, 1099):
        found = rounds[step // 550].rate(step % 550)
        assert float(found) == pytest.approx(float(whole.rate(step)), rel=1e-5)


def test_a_later_round_without_a_length_ends_with_itself():
    last = schedule(learning_policy="poly", steps=100, global_step=1000)
    assert float(last.rate(100)) == pytest.approx(1e-4, rel=1e-5)
    assert float(last.rate(50)) > 1e-4


def test_without_a_slow_start_the_first_step_has_the_highest_rate():
    assert float(schedule(slow_start_step=0).rate(0)) == pytest.approx(1e-2)


def test_a_short_trial_rises_for_half_of_its_steps_at_most():
    assert float(schedule(steps=60).rate(30)) == pytest.approx(1e-2)


def test_a_frozen_encoder_has_a_schedule_of_its_own_and_the_rest_another():
    both = schedule(freeze_encoder_steps=400, slow_start_step=0)
    alone = {steps: schedule(steps=steps, slow_start_step=0) for steps in (400, 700)}
    for step in (0, 1, 200, 399):
        assert float(both.rate(step)) == pytest.approx(float(alone[400].rate(step)), rel=1e-5)
        assert float(both.rate(400 + step)) == pytest.approx(float(alone[700].rate(step)), rel=1e-5)


def test_rounds_of_a_federation_share_the_steps_with_a_frozen_encoder():
    whole = schedule(freeze_encoder_steps=300)
    later = schedule(freeze_encoder_steps=300, steps=900, global_step=200, decay_steps=1100)
    for step in (0, 99, 100, 150, 800):
        assert float(later.rate(step)) == pytest.approx(float(whole.rate(200 + step)), rel=1e-5)
