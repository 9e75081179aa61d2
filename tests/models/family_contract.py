"""What every family promises the engines, shown with a tiny network."""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from deeplab.bundles.load import load_bundle
from deeplab.bundles.save import save_bundle
from deeplab.config.network import NetworkConfig
from deeplab.config.train_request import LossSettings
from deeplab.models.family import Family
from deeplab.models.loss import loss_share
from tests.bundles.tiny_models import noise_tile, tiny_card, tiny_network


def check_network_takes_tiles_of_any_size(family: Family, config: NetworkConfig) -> None:
    network = family.build(config)
    assert network.input.dtype == "uint8"
    for height, width in ((65, 65), (97, 129)):
        for maps in network(np.zeros((2, height, width, 3), np.uint8)).values():
            stride = config.logit_stride
            assert maps.shape == (
                2,
                (height - 1) // stride + 1,
                (width - 1) // stride + 1,
                config.label_count,
            )
            assert maps.dtype == tf.float32


def check_gradient_steps_lower_the_loss(family: Family, config: NetworkConfig) -> None:
    keras.utils.set_random_seed(1)
    network = family.build(config)
    loss = family.loss(config, LossSettings())
    tiles = noise_tile(65, count=2) // 2
    tiles[:, :, 32:] += 127
    labels = np.zeros((2, 65, 65), np.uint8)
    labels[:, :, 32:] = 1
    encoded = [family.encode(config, {"labels": each}) for each in labels]
    targets = {name: np.stack([each[name] for each in encoded]) for name in encoded[0]}
    totals = tf.reduce_sum(loss.weights(targets, 0), axis=0)
    optimizer = keras.optimizers.Adam(1e-2)

    @tf.function
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            maps = network(tiles, training=True)
            value = loss_share(loss.errors(targets, maps, 0), totals)
        optimizer.apply(
            tape.gradient(value, network.trainable_variables), network.trainable_variables
        )
        return value

    values = [float(step()) for _ in range(8)]
    assert values[-1] < 0.95 * values[0]


def check_a_saved_network_gives_equal_maps(
    family: Family, config: NetworkConfig, folder: Path
) -> None:
    network = tiny_network(config)
    save_bundle(network, tiny_card(config=config, halo=0), folder / "model.zip")
    again = load_bundle(folder / "model.zip")
    assert again.family is family
    tiles = noise_tile(65)
    for name, maps in network(tiles).items():
        np.testing.assert_array_equal(maps, again.network(tiles)[name])


def check_predictor_says_what_the_maps_say(family: Family, config: NetworkConfig) -> None:
    network = tiny_network(config)
    for tile in (65, 81):
        tiles = noise_tile(tile, count=2)
        maps = family.predictor(network, tile=tile, maps=("labels", "confidence", "probabilities"))(
            tiles
        )
        cells = (tile - 1) // config.logit_stride + 1
        assert maps["labels"].shape == (2, tile, tile)
        assert maps["labels"].dtype == tf.uint8
        assert maps["confidence"].shape == (2, cells, cells)
        probabilities = maps["probabilities"].numpy()
        np.testing.assert_allclose(probabilities.sum(axis=-1), 1, atol=1e-5)
        np.testing.assert_array_equal(maps["confidence"], probabilities.max(axis=-1))
        # On the logits' grid nothing is between pixels: there the labels are the likeliest.
        step = config.logit_stride
        grid = maps["labels"].numpy()[:, ::step, ::step]
        assert np.mean(grid == probabilities.argmax(axis=-1)) > 0.999
        assert len(np.unique(grid)) > 1
