"""A tiny network, what it is to learn, and a trainer of it."""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from deeplab.config.deeplabv3plus import DeepLabV3PlusConfig
from deeplab.config.efficientdet_seg import EfficientDetSegConfig
from deeplab.config.train_request import TrainRequest
from deeplab.data.batches import Batch
from deeplab.models.layers.dropout_attention import ProgressiveDropoutAttention
from deeplab.models.outputs import SEMANTIC_LOGITS
from deeplab.models.registry import family_of
from deeplab.training.distribution import Replicas
from deeplab.training.loop import Trainer
from deeplab.training.optimizer import freeze_batch_norm

SIDE, BATCH = 33, 4
CONFIG = DeepLabV3PlusConfig(label_count=2, crop_size=SIDE)  # of loss and companion only
LAST_LAYERS = ("logits",)
LARGE_SIDE = 512  # of patches of the whole D0
D0 = EfficientDetSegConfig(label_count=2, crop_size=LARGE_SIDE)


def network(dropout=0.0, attention=None):
    """A few layers of all kinds; a whole DeepLab takes ten seconds to trace."""
    rgb = keras.Input((None, None, 3), dtype="uint8", name="rgb")
    x = layers.Rescaling(1 / 127.5, offset=-1.0)(rgb)
    x = layers.Conv2D(6, 3, strides=2, padding="same", use_bias=False, name="first")(x)
    x = layers.BatchNormalization(momentum=0.9, name="first.norm")(x)
    x = layers.ReLU()(x)
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="depthwise")(x)
    x = layers.BatchNormalization(momentum=0.9, name="depthwise.norm")(x)
    x = layers.ReLU()(x)
    x = layers.Dropout(dropout)(x) if dropout else x
    logits = layers.Conv2D(2, 1, name="logits")
    if attention:
        x = ProgressiveDropoutAttention(**attention, name="attention")(x, logits(x))
    x = logits(x)
    x = layers.Activation("linear", dtype="float32", name=SEMANTIC_LOGITS)(x)
    return keras.Model(rgb, {SEMANTIC_LOGITS: x})


def batch(seed, size=BATCH, side=SIDE):
    """Bright squares on dark noise, a little different in every patch."""
    random = np.random.default_rng(seed)
    labels = np.zeros((size, side, side), np.uint8)
    width = side // 2
    for patch in labels:
        row, col = random.integers(2, side - width - 3, 2)
        patch[row : row + width, col : col + width] = 1
    noise = random.integers(0, 60, (size, side, side, 3))
    return Batch(
        (noise + 150 * labels[..., None]).astype(np.uint8),
        {SEMANTIC_LOGITS: labels},
        np.arange(size) + seed * size,
        random.uniform(0, 100, (size, 3)),
    )


def request(**settings):
    values = {"steps": 20, "slow_start_step": 2, "learning_rate": 3e-3, "batch_size": BATCH}
    return TrainRequest(
        source="unused", output_model=Path("unused.zip"), classes=("square",), **values | settings
    )


def trainer(*, replicas=None, dropout=0.0, attention=None, config=None, **settings):
    """A trainer of a network, the tiny or that of a config, with the same weights every time."""

    def made():
        return family_of(config).build(config) if config else network(dropout, attention)

    replicas = replicas or Replicas(tf.distribute.get_strategy())
    asked = request(**settings)
    keras.utils.set_random_seed(1)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(asked.precision)
    try:
        with replicas.scope():
            learns = made()
            averaged = made() if asked.ema_decay else None
            companion = None
            if asked.companion != "none":
                companion = family_of(CONFIG).companion(CONFIG, asked, learns)
    finally:
        keras.config.set_dtype_policy(before)
    if not asked.batch_norm:
        for each in (learns, averaged):
            if each:
                freeze_batch_norm(each)
    return Trainer(
        network=learns,
        averaged=averaged,
        loss=family_of(CONFIG).loss(CONFIG, asked),
        companion=companion,
        settings=asked,
        class_layers=LAST_LAYERS,
        replicas=replicas,
        reduce_precision=asked.reduce_precision,
        batch_size=asked.batch_size,
        seed=asked.seed,
    )


def learn(of, batches):
    """Take all steps; what is known of each."""
    done = [told for some in batches for told in of.step(some)]
    return [*done, *of.finish()]
