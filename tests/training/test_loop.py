"""Steps, checkpoints and what stops a training."""

from pathlib import Path

import keras
import numpy as np
import pytest

from deeplab.config.models import DeepLabV3PlusConfig
from deeplab.config.train_request import TrainRequest
from deeplab.data.batches import Batch
from deeplab.errors import TrainingError
from deeplab.models.registry import family_of
from deeplab.training.loop import Trainer, freeze_batch_norm, make_optimizer

CONFIG = DeepLabV3PlusConfig(
    label_count=2,
    depth_multiplier=0.25,
    atrous_rates=(1,),
    crop_size=33,
    aspp_filters=8,
    decoder_filters=8,
    dropout=0.0,
)


def batch(seed):
    random = np.random.default_rng(seed)
    labels = np.zeros((4, 33, 33), np.uint8)
    labels[:, 8:24, 8:24] = 1
    noise = random.integers(0, 60, (4, 33, 33, 3))
    rgb = (noise + 150 * labels[..., None]).astype(np.uint8)
    return Batch(rgb, labels, np.arange(4), np.zeros((4, 3)))


def trainer(folder, **settings):
    keras.utils.set_random_seed(1)
    request = TrainRequest(
        source="unused",
        output_model=Path("unused.zip"),
        classes=("square",),
        steps=20,
        slow_start_step=2,
        **{"learning_rate": 3e-3, **settings},
    )
    family = family_of(CONFIG)
    network = family.build(CONFIG)
    return Trainer(
        network=network,
        optimizer=make_optimizer(request, network),
        losses=family.losses(CONFIG, request),
        folder=folder,
        after_save=nothing,
    )


def nothing(*_):
    """After each step."""


def weights(of):
    return [v.numpy() for v in of.network.variables]


@pytest.mark.slow
def test_training_lowers_the_loss(tmp_path):
    run, losses = trainer(tmp_path, learning_rate=2e-2), []
    run.fit([batch(n) for n in range(20)], lambda _, loss: losses.append(loss))
    assert np.mean(losses[-3:]) < 0.8 * np.mean(losses[:3])
    assert run.steps_done == 20


@pytest.mark.slow
def test_a_run_taken_up_again_gives_the_same_weights_as_an_unbroken_one(tmp_path):
    unbroken = trainer(tmp_path)
    unbroken.fit([batch(n) for n in range(3)], nothing)
    unbroken.save()
    unbroken.fit([batch(n) for n in range(3, 6)], nothing)

    resumed = trainer(tmp_path)
    assert resumed.restore() == 3
    resumed.fit([batch(n) for n in range(3, 6)], nothing)

    for a, b in zip(weights(unbroken), weights(resumed), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_folder_without_checkpoint_starts_at_step_0(tmp_path):
    assert trainer(tmp_path).restore() == 0


@pytest.mark.slow
def test_a_loss_that_is_no_number_stops_the_training_and_says_what_to_do(tmp_path):
    run = trainer(tmp_path)
    run.network.get_layer("logits").bias.assign([np.nan, 0.0])
    with pytest.raises(TrainingError, match=r"the loss is nan at step 0; lower the learning rate"):
        run.fit([batch(0)], nothing)


def test_frozen_normalisation_has_nothing_to_train():
    network = family_of(CONFIG).build(CONFIG)
    freeze_batch_norm(network)
    assert not [v.path for v in network.trainable_variables if v.path.endswith(("gamma", "beta"))]


def test_weight_decay_takes_kernels_only(tmp_path):
    run = trainer(tmp_path, weight_decay=0.1)
    decayed = [
        v.path for v in run.network.trainable_variables if run.optimizer._use_weight_decay(v)
    ]
    assert decayed
    assert all(path.endswith("kernel") for path in decayed)
