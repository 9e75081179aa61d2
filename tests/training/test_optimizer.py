"""One step of a weight, against TensorFlow 1 and Keras."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab.config.train_request import DescentSettings
from deeplab.training.optimizer import UpdateContext, freeze_batch_norm, rule_of, weight_groups
from tests.training.tiny_training import network

RATES = (1e-2, 3e-2, 2e-2, 5e-3)  # it moves: that is where momenta differ
DECAY = 0.1


def gradients():
    return np.random.default_rng(0).normal(0, 1, (len(RATES), 5)).astype(np.float32)


def steps_of(rule, weight, factor=1.0, decay=DECAY):
    slots = [tf.zeros_like(weight) for _ in rule.slots]
    for number, (gradient, rate) in enumerate(zip(gradients(), RATES, strict=True), start=1):
        turn = UpdateContext(tf.constant(rate * factor), decay, tf.constant(float(number)))
        weight, slots = rule.step(weight, tf.constant(gradient), slots, turn)
    return weight.numpy()


@pytest.mark.parametrize("factor", [1.0, 20.0])
def test_momentum_is_that_of_tensorflow_1_with_a_penalty_and_factors_on_gradients(factor):
    weight = np.linspace(-1, 1, 5).astype(np.float32)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        variable = tf.compat.v1.get_variable("w", initializer=weight, use_resource=False)
        rate, fed = (tf.compat.v1.placeholder(tf.float32) for _ in range(2))
        # As slim: the penalty is in the loss, so the factor takes it, too.
        whole = factor * (fed + DECAY * variable)
        optimizer = tf.compat.v1.train.MomentumOptimizer(rate, 0.9)
        step = optimizer.apply_gradients([(whole, variable)])
        session.run(tf.compat.v1.global_variables_initializer())
        for gradient, now in zip(gradients(), RATES, strict=True):
            session.run(step, {rate: now, fed: gradient})
        expected = session.run(variable)
    rule = rule_of(DescentSettings(optimizer="momentum", momentum=0.9))
    found = steps_of(rule, tf.constant(weight), factor)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_adamw_is_that_of_keras():
    weight = np.linspace(-1, 1, 5).astype(np.float32)
    variable = keras.Variable(weight)
    optimizer = keras.optimizers.AdamW(weight_decay=DECAY)
    for gradient, rate in zip(gradients(), RATES, strict=True):
        optimizer.learning_rate = rate
        optimizer.apply([tf.constant(gradient)], [variable])
    found = steps_of(rule_of(DescentSettings()), tf.constant(weight))
    np.testing.assert_allclose(found, variable.numpy(), rtol=1e-5, atol=1e-6)


def test_biases_and_last_layers_are_faster_and_decay_takes_full_kernels_only():
    settings = DescentSettings(
        weight_decay=DECAY, bias_gradient_multiplier=2, last_layer_gradient_multiplier=10
    )
    learns = network()
    found = weight_groups(learns, settings, ("logits",))
    assert {group.frozen_steps for group in found} == {0}
    by_path = {
        variable.path: (group.rate, group.decay)
        for variable, group in zip(learns.trainable_variables, found, strict=True)
    }
    assert by_path == {
        "first/kernel": (1, DECAY),
        "first.norm/gamma": (1, 0),
        "first.norm/beta": (1, 0),
        "depthwise/kernel": (1, 0),
        "depthwise.norm/gamma": (1, 0),
        "depthwise.norm/beta": (1, 0),
        "logits/kernel": (10, DECAY),
        "logits/bias": (20, 0),
    }


def test_frozen_normalisation_has_nothing_to_train():
    learns = network()
    freeze_batch_norm(learns)
    assert not [v.path for v in learns.trainable_variables if v.path.endswith(("gamma", "beta"))]
