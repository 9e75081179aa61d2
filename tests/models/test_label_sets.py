"""The loss of several label sets is the weighted sum of those of each, and of one what it was."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from deeplab.config.train_request import LossSettings
from deeplab.models.dense.losses import semantic_loss
from deeplab.models.dense.targets import encode
from deeplab.models.outputs import SEMANTIC_LOGITS
from tests.bundles.tiny_models import TINY
from tests.models.test_losses import example, loss_of

TINY_3 = dataclasses.replace(TINY, label_count=3)
SETS = ("fine=0.6", "middle=0.2", "coarse=0.2")


def loss_of_sets(logits, truth, **settings):
    loss = semantic_loss(TINY_3, LossSettings(**settings))
    targets = encode(None, truth)
    weights, errors = loss.weights(targets, 0), loss.errors(targets, {SEMANTIC_LOGITS: logits}, 0)
    assert weights.shape == errors.shape == (len(logits), len(loss.terms))
    totals = tf.reduce_sum(weights, axis=0)
    return float(tf.reduce_sum(tf.math.divide_no_nan(tf.reduce_sum(errors, axis=0), totals)))


@pytest.mark.parametrize("more", [{}, {"lovasz_weight": 0.4, "class_weights": (1, 2, 3)}])
def test_it_is_the_sum_of_the_losses_of_each_times_its_weight(more):
    logits, fine = example()
    middle, coarse = example(seed=1)[1], example(seed=2)[1]
    truth = {"labels": fine, "labels/middle": middle, "labels/coarse": coarse}
    alone = [loss_of(logits, labels, **more) for labels in (fine, middle, coarse)]
    wanted = float(np.dot([0.6, 0.2, 0.2], alone))
    assert loss_of_sets(logits, truth, label_sets=SETS, **more) == pytest.approx(wanted, rel=1e-5)


def test_one_set_of_weight_1_is_the_loss_of_before_to_the_bit():
    logits, labels = example()
    assert loss_of_sets(logits, {"labels": labels}, label_sets=("only=1",)) == loss_of(
        logits, labels
    )


def test_its_words_say_what_each_counts_for():
    loss = semantic_loss(TINY_3, LossSettings(label_sets=SETS))
    assert loss.describe().endswith("of several label sets: 0.6 × fine, 0.2 × middle, 0.2 × coarse")
    assert loss.terms[:2] == ("cross entropy of fine", "Dice of fine")
    assert len(loss.terms) == 6
