"""Losses against formulas written out in NumPy, and what every split of a batch must agree on."""

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
import tensorflow as tf

from deeplab.config.train_request import LossSettings
from deeplab.errors import ConfigError
from deeplab.models.dense.losses import semantic_loss
from deeplab.models.loss import loss_of_each, loss_share, loss_terms
from deeplab.models.outputs import SEMANTIC_LOGITS
from tests.bundles.tiny_models import TINY

PIXELS_ONLY = {"dice_weight": 0.0}
ALL_TERMS = LossSettings(
    loss="focal",
    class_weights=(0.5, 2.0, 1.0),
    dice_weight=0.7,
    lovasz_weight=1.3,
    top_k_percent_pixels=0.3,
    hard_example_mining_step=100,
)


def make_loss(settings, label_count=3, **config):
    return semantic_loss(dataclasses.replace(TINY, label_count=label_count, **config), settings)


def loss_and_gradient(loss, labels, logits, step=0):
    logits = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        totals = tf.reduce_sum(loss.weights({SEMANTIC_LOGITS: labels}, step), axis=0)
        value = loss_share(
            loss.errors({SEMANTIC_LOGITS: labels}, {SEMANTIC_LOGITS: logits}, step), totals
        )
    assert value.dtype == tf.float32
    return float(value), tape.gradient(value, logits).numpy()


def loss_of(logits, labels, step=0, **settings):
    loss = make_loss(LossSettings(**settings), logits.shape[-1])
    return loss_and_gradient(loss, labels, logits, step)[0]


def example(count=3, side=17, label_count=3, seed=0):
    """Logits, and labels of which a sixth is ignored; the last patch has no class but the first."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, label_count, (count, side, side)).astype(np.uint8)
    labels[-1] = np.minimum(labels[-1], 1)
    labels[rng.uniform(size=labels.shape) < 1 / 6] = 255
    logits = rng.normal(0, 2, (count, side, side, label_count)).astype(np.float32)
    return logits, labels


def softmax(logits):
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def of_truth(logits, labels):
    """Probability of the true class, where labels are not ignored: flat, with the labels."""
    counted = labels != 255
    known = labels[counted].astype(int)
    return softmax(logits)[counted][np.arange(len(known)), known], known


def test_cross_entropy_is_the_mean_over_pixels_that_are_not_ignored():
    logits, labels = example()
    p, known = of_truth(logits, labels)
    assert loss_of(logits, labels, **PIXELS_ONLY) == pytest.approx(-np.log(p).mean(), rel=1e-5)
    weights = (0.5, 2.0, 3.0)
    weight = np.array(weights)[known]
    assert loss_of(logits, labels, class_weights=weights, **PIXELS_ONLY) == pytest.approx(
        -(np.log(p) * weight).sum() / weight.sum(), rel=1e-5
    )


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_the_focal_loss_lessens_what_is_known(gamma):
    logits, labels = example()
    p, _ = of_truth(logits, labels)
    expected = -((1 - p) ** gamma * np.log(p)).mean()
    found = loss_of(logits, labels, loss="focal", focal_gamma=gamma, **PIXELS_ONLY)
    assert found == pytest.approx(expected, rel=1e-5)


def test_focal_without_gamma_is_cross_entropy_gradient_included():
    logits, labels = example()
    plain, focal = (
        loss_and_gradient(make_loss(LossSettings(**chosen)), labels, logits)
        for chosen in ({}, {"loss": "focal", "focal_gamma": 0.0})
    )
    assert focal[0] == pytest.approx(plain[0], rel=1e-6)
    np.testing.assert_allclose(focal[1], plain[1], atol=1e-8)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_the_focal_loss_of_what_is_certain_has_a_finite_gradient(gamma):
    labels = np.zeros((1, 5, 5), np.uint8)
    logits = np.zeros((1, 5, 5, 3), np.float32)
    logits[..., 0] = 200
    loss = make_loss(LossSettings(loss="focal", focal_gamma=gamma, **PIXELS_ONLY))
    value, gradient = loss_and_gradient(loss, labels, logits)
    assert value == pytest.approx(0, abs=1e-6)
    assert np.isfinite(gradient).all()


def hardest(logits, labels, share, weights):
    """Mean error of the hardest `share` of each patch's pixels, all patches together."""
    errors, weight = 0.0, 0.0
    for one_logits, one_labels in zip(logits, labels, strict=True):
        p, known = of_truth(one_logits, one_labels)
        of_class = np.array(weights)[known]
        all_errors = np.sort(-np.log(p) * of_class)[::-1]
        count = max(1, int(np.floor(share * len(p) + 0.5)))
        errors += all_errors[:count].sum()
        weight += of_class.sum() * count / len(p)
    return errors / weight


@pytest.mark.parametrize("share", [0.003, 0.25, 0.9])
@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0), (0.5, 2.0, 3.0)])
def test_only_the_hardest_pixels_of_a_patch_count(share, weights):
    logits, labels = example()
    found = loss_of(
        logits, labels, top_k_percent_pixels=share, class_weights=weights, **PIXELS_ONLY
    )
    assert found == pytest.approx(hardest(logits, labels, share, weights), rel=1e-5)


def test_the_share_of_hard_pixels_falls_linearly_from_all_to_its_value():
    logits, labels = example()
    settings = {"top_k_percent_pixels": 0.2, "hard_example_mining_step": 50, **PIXELS_ONLY}
    values = []
    for step, share in ((0, 1.0), (10, 0.84), (25, 0.6), (50, 0.2), (1000, 0.2)):
        values.append(loss_of(logits, labels, step, **settings))
        assert values[-1] == pytest.approx(hardest(logits, labels, share, (1, 1, 1)), rel=1e-5)
    assert values[0] == pytest.approx(loss_of(logits, labels, **PIXELS_ONLY), rel=1e-6)
    assert all(a < b for a, b in pairwise(values[:4]))


def test_equally_hard_pixels_share_the_places():
    labels = np.zeros((1, 4, 4), np.uint8)
    logits = np.zeros((1, 4, 4, 2), np.float32)
    logits[0, 0, 0, 1] = 3
    loss = make_loss(LossSettings(top_k_percent_pixels=0.25, **PIXELS_ONLY), 2)
    value, gradient = loss_and_gradient(loss, labels, logits)
    assert value == pytest.approx((np.log(1 + np.exp(3)) + 3 * np.log(2)) / 4, rel=1e-6)
    others = np.delete(gradient[0, ..., 1].ravel(), 0)
    np.testing.assert_allclose(others, 0.5 * (3 / 15) / 4, rtol=1e-5)


def soft_dice(logits, labels):
    """1 minus the soft Dice with a pixel of slack: mean over patches of the present classes'."""
    found = []
    for p, truth in zip(softmax(logits), labels, strict=True):
        counted = truth != 255
        of_patch = []
        for label in range(1, p.shape[-1]):
            real = truth[counted] == label
            if real.any():
                guess = p[counted][:, label]
                both = 2 * (guess * real).sum()
                of_patch.append(1 - (both + 1) / (guess.sum() + real.sum() + 1))
        if of_patch:
            found.append(np.mean(of_patch))
    return np.mean(found)


def added(logits, labels, **settings):
    return loss_of(logits, labels, **{**PIXELS_ONLY, **settings}) - loss_of(
        logits, labels, **PIXELS_ONLY
    )


def test_dice_is_the_mean_over_patches_of_the_classes_that_they_have():
    logits, labels = example()
    expected = soft_dice(logits, labels)
    assert added(logits, labels, dice_weight=0.4) == pytest.approx(0.4 * expected, rel=1e-4)
    labels[1] = 0  # a patch without any class has no Dice
    expected = soft_dice(logits, labels)
    assert added(logits, labels, dice_weight=1.0) == pytest.approx(expected, rel=1e-4)


def test_dice_is_near_zero_for_the_truth_and_near_one_for_its_opposite():
    labels = np.zeros((1, 33, 33), np.uint8)
    labels[:, 8:25, 8:25] = 1
    right = 50 * np.eye(2, dtype=np.float32)[labels]
    assert loss_of(right, labels, dice_weight=1) == pytest.approx(0, abs=1e-3)
    assert added(-right, labels, dice_weight=1) == pytest.approx(1, abs=0.01)


def jaccard_loss(wrong, truth):
    """1 minus the IoU of a class when the pixels of a set are labelled wrongly."""
    guess = truth ^ wrong
    return 1 - (guess & truth).sum() / (guess | truth).sum()


def lovasz_extension(errors, truth):
    """Definition 1 of Berman 2018: a sum over growing sets of the most wrong pixels."""
    value, wrong, before = 0.0, np.zeros(len(truth), bool), 0.0
    for pixel in np.argsort(-errors, kind="stable"):
        wrong[pixel] = True
        after = jaccard_loss(wrong, truth)
        value += errors[pixel] * (after - before)
        before = after
    return value


def lovasz_softmax(logits, labels):
    found = []
    for p, truth in zip(softmax(logits), labels, strict=True):
        counted = truth != 255
        of_patch = []
        for label in range(p.shape[-1]):
            real = truth[counted] == label
            if real.any():
                of_patch.append(lovasz_extension(np.abs(real - p[counted][:, label]), real))
        found.append(np.mean(of_patch))
    return np.mean(found)


@pytest.mark.parametrize("seed", range(3))
def test_lovasz_is_the_extension_of_the_jaccard_loss(seed):
    logits, labels = example(side=9, seed=seed)
    expected = lovasz_softmax(logits, labels)
    assert added(logits, labels, lovasz_weight=1.0) == pytest.approx(expected, rel=1e-4)


def test_lovasz_of_hard_labels_is_one_minus_the_iou():
    rng = np.random.default_rng(0)
    labels, guess = rng.integers(0, 2, (2, 1, 9, 9)).astype(np.uint8)
    logits = 100 * np.eye(2, dtype=np.float32)[guess]
    iou = [
        ((labels == label) & (guess == label)).sum() / ((labels == label) | (guess == label)).sum()
        for label in (0, 1)
    ]
    assert added(logits, labels, lovasz_weight=1.0) == pytest.approx(1 - np.mean(iou), rel=1e-4)


def test_the_gradient_of_all_terms_is_that_of_finite_differences():
    logits, labels = example(count=2, side=3)  # few pixels, whose order no small change turns over
    loss = make_loss(dataclasses.replace(ALL_TERMS, class_weights=(1.0, 1.0, 1.0)))
    _, gradient = loss_and_gradient(loss, labels, logits, 50)
    rng = np.random.default_rng(1)
    for _ in range(5):
        way = rng.normal(size=logits.shape).astype(np.float32)
        ahead, behind = (
            loss_and_gradient(loss, labels, logits + s * way, 50)[0] for s in (1e-3, -1e-3)
        )
        assert (ahead - behind) / 2e-3 == pytest.approx((gradient * way).sum(), rel=0.02, abs=2e-3)


@pytest.mark.parametrize("settings", [LossSettings(), ALL_TERMS])
def test_what_is_ignored_changes_neither_loss_nor_gradient(settings):
    logits, labels = example()
    ignored = labels == 255
    loss = make_loss(settings)
    value, gradient = loss_and_gradient(loss, labels, logits, 60)
    assert np.all(gradient[ignored] == 0)
    assert np.abs(gradient[~ignored]).max() > 0
    changed = logits.copy()
    changed[ignored] = np.random.default_rng(5).normal(0, 1e4, (ignored.sum(), 3))
    again, other_gradient = loss_and_gradient(loss, labels, changed, 60)
    assert again == pytest.approx(value, rel=1e-6)
    np.testing.assert_allclose(other_gradient, gradient, atol=1e-8)
    assert np.all(other_gradient[ignored] == 0)


@pytest.mark.parametrize("settings", [LossSettings(), ALL_TERMS])
def test_a_batch_ignored_as_a_whole_costs_nothing(settings):
    logits, labels = example()
    labels[:] = 255
    loss = make_loss(settings)
    value, gradient = loss_and_gradient(loss, labels, logits, 60)
    assert value == 0
    assert np.all(gradient == 0)
    assert np.all(np.asarray(loss.weights({SEMANTIC_LOGITS: labels}, 60)) == 0)


@pytest.mark.parametrize("settings", [LossSettings(), ALL_TERMS])
@pytest.mark.parametrize("cuts", [(2,), (1, 2, 3), (1, 5)])
def test_the_parts_of_a_batch_add_up_to_the_whole(settings, cuts):
    logits, labels = example(count=6)
    labels[1] = 255  # a part may have nothing that counts
    labels[2, 3:] = 255
    loss = make_loss(settings)
    value, gradient = loss_and_gradient(loss, labels, logits, 60)
    parts = [np.split(labels, cuts), np.split(logits, cuts)]
    totals = sum(
        tf.reduce_sum(loss.weights({SEMANTIC_LOGITS: part}, 60), axis=0) for part in parts[0]
    )
    shares, gradients = [], []
    for part_labels, part_logits in zip(*parts, strict=True):
        watched = tf.constant(part_logits)
        with tf.GradientTape() as tape:
            tape.watch(watched)
            errors = loss.errors({SEMANTIC_LOGITS: part_labels}, {SEMANTIC_LOGITS: watched}, 60)
            share = loss_share(errors, totals)
        shares.append(float(share))
        gradients.append(tape.gradient(share, watched).numpy())
    assert sum(shares) == pytest.approx(value, rel=1e-5)
    np.testing.assert_allclose(np.concatenate(gradients), gradient, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("settings", [LossSettings(), LossSettings(dice_weight=0), ALL_TERMS])
def test_each_term_has_a_name_and_together_they_are_the_loss(settings):
    logits, labels = example()
    loss = make_loss(settings)
    targets = {SEMANTIC_LOGITS: labels}
    weights = loss.weights(targets, 60)
    terms = loss_terms(
        loss.errors(targets, {SEMANTIC_LOGITS: logits}, 60), tf.reduce_sum(weights, axis=0)
    )
    assert weights.shape == (3, len(loss.terms))
    assert terms.shape == (len(set(loss.terms)),)
    value, _ = loss_and_gradient(loss, labels, logits, 60)
    assert float(tf.reduce_sum(terms)) == pytest.approx(value, rel=1e-6)
    assert loss.terms[0] == settings.loss.replace("_", " ")


def test_each_patch_has_the_loss_that_it_would_have_alone():
    logits, labels = example(count=4)
    labels[2] = 255
    loss = make_loss(ALL_TERMS)
    targets = {SEMANTIC_LOGITS: labels}
    errors = loss.errors(targets, {SEMANTIC_LOGITS: logits}, 60)
    each = loss_of_each(errors, loss.weights(targets, 60)).numpy()
    for n in range(4):
        alone, _ = loss_and_gradient(loss, labels[n : n + 1], logits[n : n + 1], 60)
        assert each[n] == pytest.approx(alone, rel=1e-5)
    assert each[2] == 0


def test_logits_are_brought_to_the_size_of_the_labels():
    logits, labels = example(side=17)
    coarse = logits[:, ::4, ::4]
    places = np.linspace(0, 4, 17)
    below = np.minimum(places.astype(int), 3)
    part = (places - below)[:, None]
    tall = coarse[:, below] * (1 - part[..., None]) + coarse[:, below + 1] * part[..., None]
    full = tall[:, :, below] * (1 - part) + tall[:, :, below + 1] * part
    assert loss_of(coarse, labels) == pytest.approx(
        loss_of(full.astype(np.float32), labels), rel=1e-5
    )


@pytest.mark.parametrize("stride", [4, 16])
def test_labels_are_taken_at_the_places_of_the_logits_if_asked(stride):
    logits, labels = example(side=65)
    coarse = logits[:, ::stride, ::stride]
    config = {"decoder_output_stride": None} if stride == 16 else {}
    loss = make_loss(dataclasses.replace(ALL_TERMS, upsample_logits=False), **config)
    value, gradient = loss_and_gradient(loss, labels, coarse, 60)
    assert gradient.shape == coarse.shape
    full = make_loss(ALL_TERMS)
    expected, _ = loss_and_gradient(full, labels[:, ::stride, ::stride], coarse, 60)
    assert value == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_losses_are_float32_and_finite_whatever_the_precision_inside(dtype):
    logits, labels = example()
    logits[0] *= 3000  # far beyond what exp in float16 can take
    logits = tf.cast(logits, dtype)
    loss = make_loss(ALL_TERMS)
    value, gradient = loss_and_gradient(loss, labels, logits, 60)
    assert np.isfinite(value)
    assert np.isfinite(gradient.astype(np.float32)).all()
    exact, _ = loss_and_gradient(loss, labels, tf.cast(logits, "float32"), 60)
    assert value == exact


@pytest.mark.slow
def test_losses_work_in_a_graph_of_unknown_sizes():
    logits, labels = example()
    loss = make_loss(ALL_TERMS)

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, None, None), tf.uint8),
            tf.TensorSpec((None, None, None, 3), tf.float32),
            tf.TensorSpec((), tf.int64),
        ]
    )
    def value(labels, logits, step):
        totals = tf.reduce_sum(loss.weights({SEMANTIC_LOGITS: labels}, step), axis=0)
        errors = loss.errors({SEMANTIC_LOGITS: labels}, {SEMANTIC_LOGITS: logits}, step)
        return loss_share(errors, totals)

    expected, _ = loss_and_gradient(loss, labels, logits, 60)
    assert float(value(labels, logits, 60)) == pytest.approx(expected, rel=1e-6)


def test_weights_must_be_one_a_label():
    with pytest.raises(
        ConfigError, match="class_weights must be 3 numbers, the background's first"
    ):
        semantic_loss(TINY, LossSettings(class_weights=(1.0, 2.0)))
