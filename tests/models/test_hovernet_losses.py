"""The loss of nuclei against formulas in NumPy, and what every split of a batch agrees on."""

import numpy as np
import pytest
import tensorflow as tf

from deeplab.config.classes import IGNORE
from deeplab.config.train_request import LossSettings
from deeplab.errors import ConfigError
from deeplab.models.hovernet.losses import derivative_kernel, nuclei_loss
from deeplab.models.loss import loss_share, loss_terms
from tests.models.hovernet_for_tests import NucleiConfig

TYPES = 3
ORIGINAL = NucleiConfig(convention="original", gradients="cross_axis", type_count=TYPES)
LOCAL = NucleiConfig(type_count=TYPES)
BOTH = pytest.mark.parametrize("config", [LOCAL, ORIGINAL], ids=lambda config: config.convention)
SIDE = 14


def example(count=3, *, ignored=1 / 6, seed=0):
    """Targets and maps; the last patch has no nuclei."""
    random = np.random.default_rng(seed)
    nuclei = random.integers(0, 2, (count, SIDE, SIDE)).astype(np.uint8)
    nuclei[-1] = 0
    types = nuclei * random.integers(1, TYPES, nuclei.shape).astype(np.uint8)  # the last nowhere
    hv = random.uniform(-1, 1, (*nuclei.shape, 2)).astype(np.float32) * nuclei[..., None]
    types[random.uniform(size=nuclei.shape) < ignored] = IGNORE
    nuclei[random.uniform(size=nuclei.shape) < ignored] = IGNORE
    maps = {
        "np": random.normal(0, 2, (*nuclei.shape, 2)).astype(np.float32),
        "hv": random.normal(0, 0.7, (*nuclei.shape, 2)).astype(np.float32),
        "tp": random.normal(0, 2, (*nuclei.shape, TYPES + 1)).astype(np.float32),
    }
    return {"np": nuclei, "hv": hv, "tp": types}, maps


def terms_of(config, targets, maps, **settings):
    loss = nuclei_loss(config, LossSettings(**settings))
    totals = tf.reduce_sum(loss.weights(targets, 0), axis=0)
    terms = loss_terms(loss.errors(targets, maps, 0), totals).numpy()
    return dict(zip(loss.terms, terms, strict=True))


def softmax(logits):
    powers = np.exp(logits.astype(np.float64))
    return powers / powers.sum(axis=-1, keepdims=True)


@BOTH
def test_pixels_are_the_mean_of_what_counts(config):
    targets, maps = example()
    terms = terms_of(config, targets, maps)
    for branch in ("np", "tp"):
        labels = targets[branch].astype(int)
        counts = labels != IGNORE
        p = np.take_along_axis(softmax(maps[branch]), (labels * counts)[..., None], axis=-1)[..., 0]
        assert terms[f"{branch} cross entropy"] == pytest.approx(
            -np.log(p[counts]).mean(), rel=1e-5
        )


def test_dice_is_of_the_classes_that_a_patch_has():
    targets, maps = example()
    counts = targets["tp"] != IGNORE
    p = softmax(maps["tp"]) * counts[..., None]
    expected = 0.0
    for patch in range(3):
        for label in range(TYPES + 1):
            truth = targets["tp"][patch] == label
            if truth.any():
                of_class = p[patch, ..., label]
                both = 2 * of_class[truth].sum() + 1
                expected += 1 - both / (of_class.sum() + truth.sum() + 1)
    assert terms_of(LOCAL, targets, maps, dice_weight=2)["tp Dice"] == pytest.approx(
        2 * expected / 3, rel=1e-5
    )


def test_original_dice_counts_a_class_that_is_nowhere_and_local_does_not():
    targets, maps = example(ignored=0)
    maps["tp"][..., TYPES] = -20
    local, original = (terms_of(config, targets, maps)["tp Dice"] for config in (LOCAL, ORIGINAL))
    assert original > local + 0.2


def slopes(values, along):
    """The derivative of a map (h, w) along an axis, place by place."""
    wide = np.pad(values.astype(np.float64), 2)
    result = np.zeros_like(values, np.float64)
    for y in range(-2, 3):
        for x in range(-2, 3):
            if (y, x) != (0, 0):
                weight = (y, x)[along] / (y * y + x * x)
                result += weight * wide[2 + y : 2 + y + SIDE, 2 + x : 2 + x + SIDE]
    return result


@pytest.mark.parametrize(("config", "axes"), [(LOCAL, (1, 0)), (ORIGINAL, (0, 1))])
def test_hv_is_compared_everywhere_and_its_derivatives_on_nuclei(config, axes):
    targets, maps = example(ignored=0)
    difference = maps["hv"] - targets["hv"]
    terms = terms_of(config, targets, maps)
    assert terms["hv"] == pytest.approx(np.square(difference).mean(), rel=1e-5)
    squares = [
        np.square(slopes(patch[..., channel], axes[channel]))[nuclei == 1]
        for patch, nuclei in zip(difference, targets["np"], strict=True)
        for channel in range(2)
    ]
    assert terms["hv gradient"] == pytest.approx(np.concatenate(squares).mean(), rel=1e-5)


def test_the_kernel_falls_with_the_distance_and_has_no_middle():
    kernel = derivative_kernel("same_axis")
    np.testing.assert_allclose(kernel[2, :, 0, 0], [-0.5, -1, 0, 1, 0.5])
    np.testing.assert_allclose(kernel[:, 2, 1, 1], [-0.5, -1, 0, 1, 0.5])
    assert not kernel[..., 0, 1].any()
    crossed = derivative_kernel("cross_axis")
    np.testing.assert_array_equal(crossed[..., 0, 0], kernel[..., 1, 1])


@BOTH
def test_what_is_ignored_counts_nowhere(config):
    targets, maps = example()
    random = np.random.default_rng(1)
    changed = {name: values.copy() for name, values in maps.items()}
    for branch, by in (("np", "np"), ("hv", "np"), ("tp", "tp")):
        unknown = targets[by] == IGNORE
        changed[branch][unknown] += random.normal(0, 9, changed[branch][unknown].shape)
    other = targets | {"hv": targets["hv"].copy()}
    other["hv"][targets["np"] == IGNORE] = 0.3
    one, two = terms_of(config, targets, maps), terms_of(config, other, changed)
    assert list(one) == list(two)
    np.testing.assert_allclose(list(one.values()), list(two.values()), rtol=1e-5)


@BOTH
def test_a_patch_that_is_ignored_has_no_errors_and_no_weights(config):
    targets, maps = example()
    for branch in ("np", "tp"):
        targets[branch][1] = IGNORE
    loss = nuclei_loss(config, LossSettings())
    assert not loss.weights(targets, 0).numpy()[1].any()
    assert not loss.errors(targets, maps, 0).numpy()[1].any()


@BOTH
def test_every_split_of_a_batch_has_one_loss_and_one_gradient(config):
    targets, maps = example(4)
    loss = nuclei_loss(config, LossSettings(class_weights=(0.5, 1.0, 2.0, 1.5)))
    totals = tf.reduce_sum(loss.weights(targets, 0), axis=0)

    def share(part):
        of_part = {name: tf.constant(values[part]) for name, values in maps.items()}
        with tf.GradientTape() as tape:
            tape.watch(of_part)
            errors = loss.errors({name: t[part] for name, t in targets.items()}, of_part, 0)
            value = loss_share(errors, totals)
        return float(value), tape.gradient(value, of_part)

    whole, gradients = share(slice(None))
    parts = [share(part) for part in (slice(1), slice(1, 3), slice(3, 4))]
    assert sum(value for value, _ in parts) == pytest.approx(whole, rel=1e-5)
    for name, gradient in gradients.items():
        joined = np.concatenate([part[name] for _, part in parts])
        np.testing.assert_allclose(joined, gradient, atol=1e-6)
        assert np.isfinite(joined).all()


def test_half_precision_is_compared_in_float32():
    targets, maps = example()
    half = {name: tf.cast(values, tf.bfloat16) for name, values in maps.items()}
    assert nuclei_loss(LOCAL, LossSettings()).errors(targets, half, 0).dtype == tf.float32


def test_terms_are_of_what_is_asked_for():
    names = nuclei_loss(NucleiConfig(), LossSettings(loss="focal", dice_weight=0)).terms
    assert names == ("np focal", "hv", "hv gradient")
    assert nuclei_loss(LOCAL, LossSettings()).terms == (
        *("np cross entropy", "np Dice", "tp cross entropy", "tp Dice"),
        *("hv", "hv gradient"),
    )


@pytest.mark.parametrize(
    ("config", "settings", "field"),
    [
        (LOCAL, {"class_weights": (1.0, 2.0)}, "class_weights"),
        (NucleiConfig(), {"class_weights": (1.0,)}, "class_weights"),
        (LOCAL, {"lovasz_weight": 1.0}, "lovasz_weight"),
        (LOCAL, {"top_k_percent_pixels": 0.5}, "top_k_percent_pixels"),
    ],
)
def test_what_this_loss_has_not_is_refused(config, settings, field):
    with pytest.raises(ConfigError, match=field):
        nuclei_loss(config, LossSettings(**settings))
