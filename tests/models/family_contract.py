"""What every family promises the engines, shown with a tiny network."""

from collections.abc import Callable, Mapping
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from deeplab.bundles.load import load_bundle
from deeplab.bundles.save import save_bundle
from deeplab.config.network import NetworkConfig
from deeplab.config.train_request import LossSettings
from deeplab.models.answers import ObjectAnswer
from deeplab.models.family import Family
from deeplab.models.loss import loss_share
from tests.bundles.tiny_models import noise_tile, tiny_card, tiny_network


def small_side(config: NetworkConfig) -> int:
    return config.tiling.round_up(64)


def check_network_takes_tiles_of_any_size(
    family: Family, config: NetworkConfig, channels: Mapping[str, int]
) -> None:
    network = family.build(config)
    assert network.input.dtype == "uint8"
    side, tiling = small_side(config), config.tiling

    def cells(length: int) -> int:
        return (length - tiling.extra - 2 * tiling.margin) // tiling.logit_stride + tiling.extra

    for height, width in ((side, side), (side + 32, side + 64)):
        maps = network(np.zeros((2, height, width, 3), np.uint8))
        assert {name: tuple(each.shape) for name, each in maps.items()} == {
            name: (2, cells(height), cells(width), count) for name, count in channels.items()
        }
        assert {each.dtype for each in maps.values()} == {tf.float32}


def check_gradient_steps_lower_the_loss(family: Family, config: NetworkConfig) -> None:
    keras.utils.set_random_seed(1)
    network = family.build(config)
    loss = family.loss(config, LossSettings())
    side = small_side(config)
    tiles = noise_tile(side, count=2) // 2
    tiles[:, :, 32:] += 127
    labels = np.zeros((2, side, side), np.uint8)
    labels[:, :, 32:] = 1
    encoded = [
        family.encode(config, {"labels": each, "instances": each.astype(np.int32)})
        for each in labels
    ]
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
    network, tile = tiny_network(config), config.tiling.round_up(128)
    save_bundle(network, tiny_card(config=config, tile=tile, halo=0), folder / "model.zip")
    again = load_bundle(folder / "model.zip")
    assert again.family is family
    tiles = noise_tile(small_side(config))
    for name, maps in network(tiles).items():
        np.testing.assert_array_equal(maps, again.network(tiles)[name])


def check_labels(family: Family, config: NetworkConfig) -> None:
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


def check_objects(family: Family, config: NetworkConfig) -> None:
    network = tiny_network(config)
    tiles = noise_tile(small_side(config), count=2)
    logits = network(tiles)
    maps = family.predictor(network)(tiles)
    np.testing.assert_allclose(maps["np"], tf.nn.softmax(logits["np"])[..., 1], atol=1e-6)
    np.testing.assert_array_equal(maps["hv"], logits["hv"])
    np.testing.assert_array_equal(maps["tp"], tf.argmax(logits["tp"], axis=-1))
    for index in range(len(tiles)):
        answer = family.decode(config, {name: each.numpy()[index] for name, each in maps.items()})
        assert isinstance(answer, ObjectAnswer)
        assert answer.instances.shape == tiles.shape[1:3]
        assert len(answer.labels) == len(answer.confidence) == answer.instances.max()


# By the kind of the family's answer.
PREDICTORS: dict[str, Callable[[Family, NetworkConfig], None]] = {
    "labels": check_labels,
    "objects": check_objects,
}
