"""Steps of descent: what they change, what they leave, and that they can be taken up again."""

from itertools import pairwise

import keras
import numpy as np
import pytest

from deeplab.errors import ConfigError
from tests.training.tiny_training import batch, learn, trainer

pytestmark = pytest.mark.slow


def weights(of):
    return {name: a for name, a in of.state.arrays().items() if name.startswith("weights/")}


def assert_equal(one, other):
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("optimizer", ["adamw", "momentum"])
def test_training_lowers_the_loss_in_every_precision(precision, optimizer):
    run = trainer(learning_rate=5e-2, precision=precision, optimizer=optimizer)
    losses = [done.loss for done in learn(run, [batch(n) for n in range(20)])]
    assert np.mean(losses[-3:]) < 0.8 * np.mean(losses[:3])
    assert run.steps_done == 20


def test_on_a_gpu_steps_are_told_of_two_steps_later():
    late, at_once = trainer(), trainer()
    late._behind = 2
    told = [[done.step for done in late.step(batch(n))] for n in range(4)]
    assert told == [[], [], [1], [2]]
    assert not late.is_whole
    assert [done.step for done in late.finish()] == [3, 4]
    assert late.is_whole
    learn(at_once, [batch(n) for n in range(4)])
    assert_equal(late.state.arrays(), at_once.state.arrays())


def test_the_step_is_traced_once():
    run = trainer()
    learn(run, [batch(n) for n in range(3)])
    assert run._one_step.experimental_get_tracing_count() == 1


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "momentum", "ema_decay": 0.0},
        {"ema_decay": 0.9, "gradient_accumulation": 2},
        {"precision": "mixed_float16"},
    ],
)
def test_a_run_taken_up_again_has_the_same_state_as_an_unbroken_one(settings):
    unbroken = trainer(dropout=0.5, **settings)
    learn(unbroken, [batch(n) for n in range(3)])
    kept = unbroken.state.arrays()
    learn(unbroken, [batch(n) for n in range(3, 6)])
    resumed = trainer(dropout=0.5, **settings)
    resumed.restore(kept)
    assert resumed.steps_done == 3
    learn(resumed, [batch(n) for n in range(3, 6)])
    assert_equal(unbroken.state.arrays(), resumed.state.arrays())


# The attention begins with the fourth step.
ATTENTION = {"epoch_steps": 1, "start": 3, "gamma": 1.0, "decay": 0.9, "floor": 0.5}


@pytest.mark.parametrize("settings", [{}, {"gradient_accumulation": 2}])
def test_attention_follows_the_step_and_goes_on_where_it_was(settings):
    settings |= {"attention": ATTENTION, "optimizer": "momentum"}
    plain, unbroken = trainer(**settings | {"attention": None}), trainer(**settings)
    without, with_it = (learn(run, [batch(n) for n in range(4)]) for run in (plain, unbroken))
    changed = [a.loss != b.loss for a, b in zip(without, with_it, strict=True)]
    assert changed == [False, False, False, True]
    kept = unbroken.state.arrays()
    assert kept["statistics/attention/training_step"] == 3  # before the last step
    learn(unbroken, [batch(n) for n in range(4, 7)])
    resumed = trainer(**settings)
    resumed.restore(kept)
    learn(resumed, [batch(n) for n in range(4, 7)])
    assert_equal(unbroken.state.arrays(), resumed.state.arrays())


def test_what_is_dropped_differs_from_step_to_step_and_hangs_on_the_seed():
    settings = {"learning_rate": 1e-12, "learning_rate_start": 0, "batch_norm": False}
    same = [batch(0)] * 3
    first, again = (learn(trainer(dropout=0.5, **settings), same) for _ in range(2))
    other = learn(trainer(dropout=0.5, seed=1, **settings), same)
    losses = [done.loss for done in first]
    assert len(set(losses)) == 3
    assert losses == [done.loss for done in again]
    assert losses != [done.loss for done in other]


@pytest.mark.parametrize("optimizer", ["adamw", "momentum"])
def test_accumulated_parts_give_the_step_of_the_whole_batch(optimizer):
    # Frozen: batch normalisation would count over the parts, one after the other.
    settings = {"batch_norm": False, "optimizer": optimizer, "dice_weight": 1.0}
    whole = trainer(**settings)
    parts = trainer(gradient_accumulation=4, **settings)
    one, other = (learn(run, [batch(n) for n in range(3)]) for run in (whole, parts))
    for a, b in zip(one, other, strict=True):
        assert a.loss == pytest.approx(b.loss, rel=1e-5)
        np.testing.assert_allclose(a.losses, b.losses, rtol=1e-5)
    for name, array in weights(whole).items():
        np.testing.assert_allclose(array, weights(parts)[name], atol=2e-5, err_msg=name)


def test_a_batch_that_cannot_be_parted_equally_is_refused():
    with pytest.raises(ConfigError, match=r"batch_size must be a multiple of 3.*in 3 parts"):
        trainer(gradient_accumulation=3)


def test_frozen_normalisation_keeps_its_statistics_and_uses_them():
    run = trainer(batch_norm=False)
    before = run.state.arrays()
    (done,) = learn(run, [batch(0)])
    after = run.state.arrays()
    kept = [name for name in before if "norm" in name]
    assert len(kept) == 8
    for name in kept:
        np.testing.assert_array_equal(before[name], after[name])
    trained = learn(trainer(), [batch(0)])[0]
    assert done.loss != pytest.approx(trained.loss, rel=1e-3), "in training it counts anew"


def test_statistics_keep_little_of_what_was_before_the_first_steps():
    run = trainer()
    learn(run, [batch(0)])
    rgb = batch(0).rgb / 127.5 - 1
    first = keras.ops.conv(rgb.astype("float32"), trainer()._network.layers[2].kernel, 2, "same")
    found = run.state.arrays()["statistics/first.norm/moving_mean"]
    # 0.1 of 0 and 0.9 of the batch's; of the layer's own momentum 0.9 it would be 0.1.
    np.testing.assert_allclose(found, 0.9 * np.mean(first, axis=(0, 1, 2)), rtol=1e-4)
    learn(run, [batch(n) for n in range(1, 100)])
    before = run.state.arrays()["statistics/first.norm/moving_mean"]
    kernel = run._network.layers[2].kernel.numpy()
    learn(run, [batch(0)])
    first = keras.ops.conv(rgb.astype("float32"), kernel, 2, "same")
    expected = 0.9 * before + 0.1 * np.mean(first, axis=(0, 1, 2))
    found = run.state.arrays()["statistics/first.norm/moving_mean"]
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_a_loss_that_is_no_number_changes_nothing_from_then_on():
    run = trainer()
    learn(run, [batch(0)])
    run._network.get_layer("logits").bias.assign([np.nan, 0.0])
    before = run.state.arrays()
    spoilt, after = learn(run, [batch(1), batch(2)])
    assert not spoilt.is_sound
    assert not after.is_sound
    assert np.isnan(spoilt.loss)
    assert spoilt.step == 2
    assert run.steps_done == 1
    assert run.is_whole
    assert_equal(before, run.state.arrays())


def test_gradients_too_large_for_float16_are_passed_over_and_the_scale_is_lowered():
    run = trainer(precision="mixed_float16")
    run.state.scale.assign(2.0**100)
    before = run.state.arrays()
    (done,) = learn(run, [batch(0)])
    after = run.state.arrays()
    assert done.is_sound
    assert after.pop("scale") == 2.0**99
    assert (after.pop("step"), after.pop("updates")) == (1, 0)
    assert_equal({name: before[name] for name in after}, after)


def test_the_average_follows_its_formula_and_takes_statistics_as_they_are():
    run = trainer(ema_decay=0.3)
    expected = weights(run)
    for n in range(4):
        learn(run, [batch(n)])
        decay = min(0.3, (1 + n) / (10 + n))
        expected = {k: decay * e + (1 - decay) * weights(run)[k] for k, e in expected.items()}
    arrays = run.state.arrays()
    model = run.state.model()
    for variable in model.trainable_variables:
        found = variable.numpy()
        np.testing.assert_allclose(found, expected[f"weights/{variable.path}"], rtol=1e-5)
        np.testing.assert_array_equal(found, arrays[f"average/{variable.path}"])
        assert not np.array_equal(found, arrays[f"weights/{variable.path}"])
    for variable in model.non_trainable_variables:
        np.testing.assert_array_equal(variable.numpy(), arrays[f"statistics/{variable.path}"])


def test_without_an_average_the_network_itself_is_the_model():
    run = trainer(ema_decay=0.0)
    assert run.state.model() is run._network


def moved(**settings):
    """How far the first step of momentum moves all weights: rate times gradient."""
    run = trainer(
        optimizer="momentum", learning_rate_start=1.0, weight_decay=0, batch_norm=False, **settings
    )
    before = weights(run)
    learn(run, [batch(0)])
    return {name: before[name] - array for name, array in weights(run).items()}


def norm_of(arrays):
    return np.sqrt(sum(np.square(array, dtype=np.float64).sum() for array in arrays.values()))


def test_gradients_are_clipped_by_the_norm_of_all_together():
    free, clipped, loose = (moved(clip_norm=norm) for norm in (0.0, 0.1, 100.0))
    assert norm_of(free) > 0.2
    assert norm_of(clipped) == pytest.approx(0.1, rel=1e-4)
    for name, array in free.items():
        np.testing.assert_allclose(loose[name], array, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(clipped[name] * norm_of(free) / 0.1, array, rtol=1e-3, atol=1e-6)


def test_each_patch_is_told_with_its_own_loss_and_place():
    given = batch(0)
    (done,) = learn(trainer(batch_norm=False, dice_weight=0.0), [given])
    np.testing.assert_array_equal(done.places, given.places)
    np.testing.assert_array_equal(done.numbers, given.numbers)
    assert done.losses.mean() == pytest.approx(done.loss, rel=1e-5)


@pytest.mark.parametrize("settings", [{}, {"gradient_accumulation": 2}])
def test_the_terms_of_the_loss_are_told_one_by_one(settings):
    (done,) = learn(trainer(dice_weight=0.5, lovasz_weight=0.2, **settings), [batch(0)])
    assert list(done.terms) == ["cross entropy", "Dice", "Lovasz"]
    assert sum(done.terms.values()) == pytest.approx(done.loss, rel=1e-6)
    assert all(value > 0 for value in done.terms.values())


def test_a_frozen_encoder_stays_as_it_is_and_then_learns(monkeypatch):
    monkeypatch.setattr("deeplab.training.optimizer.ENCODER", "first")
    run = trainer(freeze_encoder_steps=3, steps=6, learning_rate=5e-2)
    seen = [weights(run)]
    for number in range(5):
        learn(run, [batch(number)])
        seen.append(weights(run))
    moved = [
        {name for name, array in after.items() if (array != before[name]).any()}
        for before, after in pairwise(seen)
    ]
    encoder = {name for name in seen[0] if "/first" in name}
    assert len(encoder) == 3
    assert moved[:3] == [seen[0].keys() - encoder] * 3
    assert moved[3:] == [seen[0].keys()] * 2
    assert run.rate(4) < run.rate(3)  # it begins anew, with a slow start


COMPANION = {"companion": "autoencoder", "class_weights": (0.3, 0.7)}


def test_a_companion_learns_beside_the_network_and_is_no_part_of_its_model():
    run = trainer(steps=40, companion_learning_rate=5e-3, **COMPANION)
    before = run.state.arrays()
    told = learn(run, [batch(n) for n in range(40)])
    assert told[0].terms.keys() == {"cross entropy", "Dice", "autoencoder cross entropy"}
    assert told[0].loss == pytest.approx(sum(told[0].terms.values()))
    of_companion = [done.terms["autoencoder cross entropy"] for done in told]
    assert np.mean(of_companion[-3:]) < 0.9 * np.mean(of_companion[:3])
    after = run.state.arrays()
    kernels = [name for name in after if name.startswith("companion/weights/")]
    assert len(kernels) == 22
    assert all(np.any(after[name] != before[name]) for name in kernels if "kernel" in name)
    alone = trainer()
    assert named(run.state.model()) == named(alone.state.model())


def test_a_companion_changes_what_the_network_learns_and_not_where_it_begins():
    beside, alone = trainer(**COMPANION), trainer(class_weights=(0.3, 0.7))
    assert_equal(weights(beside), weights(alone))
    same = [batch(n) for n in range(3)]
    first, other = learn(beside, same)[0], learn(alone, same)[0]
    assert first.terms["cross entropy"] == pytest.approx(other.terms["cross entropy"])
    assert any(np.any(weights(beside)[name] != a) for name, a in weights(alone).items())


@pytest.mark.parametrize("optimizer", ["adamw", "momentum"])
def test_a_companion_goes_on_where_it_was(optimizer):
    settings = COMPANION | {"optimizer": optimizer, "ema_decay": 0.9, "gradient_accumulation": 2}
    unbroken = trainer(**settings)
    learn(unbroken, [batch(n) for n in range(3)])
    kept = unbroken.state.arrays()
    learn(unbroken, [batch(n) for n in range(3, 6)])
    resumed = trainer(**settings)
    resumed.restore(kept)
    learn(resumed, [batch(n) for n in range(3, 6)])
    assert_equal(unbroken.state.arrays(), resumed.state.arrays())


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_a_companion_learns_in_half_precision(precision):
    run = trainer(**COMPANION | {"companion_activation": "gelu", "precision": precision})
    assert all(done.is_sound for done in learn(run, [batch(n) for n in range(3)]))


def test_the_rate_of_a_companion_is_its_own():
    slow = trainer(**COMPANION | {"companion_learning_rate": 1e-12})
    before = slow.state.arrays()
    learn(slow, [batch(n) for n in range(3)])
    after = slow.state.arrays()
    name = "companion/weights/autoencoder.1/kernel"
    np.testing.assert_allclose(after[name], before[name], atol=1e-9)
    assert np.any(weights(slow)["weights/first/kernel"] != before["weights/first/kernel"])


def named(model):
    return [(variable.path, tuple(variable.shape)) for variable in model.variables]
