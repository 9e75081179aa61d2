"""What every family promises the engines, shown with a tiny network."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from deeplab.bundles.load import load_bundle
from deeplab.bundles.save import save_bundle
from deeplab.config.classes import ClassList
from deeplab.config.network import NetworkConfig
from deeplab.config.train_request import LossSettings
from deeplab.inference.tensorflow_runtime import tensorflow_predict
from deeplab.models.answers import ObjectAnswer
from deeplab.models.family import Family, Targets
from deeplab.models.loss import loss_share
from deeplab.models.outputs import LABELS, PROBABILITIES, PredictedMap
from tests.bundles.tiny_models import noise_tile, tiny_card, tiny_network
from tests.models.hovernet_for_tests import found_again, touching_ellipses
from tests.openvino_for_tests import openvino_predict


def small_side(config: NetworkConfig) -> int:
    return config.tiling.only or config.tiling.round_up(64)


def check_network_takes_tiles_of_any_size(
    family: Family, config: NetworkConfig, channels: Mapping[str, int]
) -> None:
    network = family.build(config)
    assert network.input.dtype == "uint8"
    side, tiling = small_side(config), config.tiling

    def cells(length: int) -> int:
        return (length - tiling.extra - 2 * tiling.margin) // tiling.logit_stride + tiling.extra

    for height, width in ((side, side), (side + tiling.whole(32), side + tiling.whole(64))):
        maps = network(np.zeros((2, height, width, 3), np.uint8))
        assert {name: tuple(each.shape) for name, each in maps.items()} == {
            name: (2, cells(height), cells(width), count) for name, count in channels.items()
        }
        assert {each.dtype for each in maps.values()} == {tf.float32}


def check_network_takes_patches(
    family: Family, config: NetworkConfig, channels: Mapping[str, int]
) -> None:
    network = family.build(config)
    assert network.input.dtype == "uint8"
    side = config.tiling.only
    maps = network(np.zeros((2, side, side, 3), np.uint8))
    assert {name: tuple(each.shape) for name, each in maps.items()} == {
        name: (2, count) for name, count in channels.items()
    }
    assert {each.dtype for each in maps.values()} == {tf.float32}


# By the kind of the family's answer.
TAKES: dict[str, Callable[[Family, NetworkConfig, Mapping[str, int]], None]] = {
    "labels": check_network_takes_tiles_of_any_size,
    "objects": check_network_takes_tiles_of_any_size,
    "patch": check_network_takes_patches,
}


def check_gradient_steps_lower_the_loss(
    family: Family, config: NetworkConfig, precision: str
) -> None:
    keras.utils.set_random_seed(1)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        network = family.build(config)
    finally:
        keras.config.set_dtype_policy(before)
    assert {variable.dtype for variable in network.trainable_variables} == {"float32"}
    loss = family.loss(config, LossSettings())
    side = small_side(config)
    tiles = noise_tile(side, count=2) // 2
    tiles[:, :, 32:] += 127
    labels = np.zeros((2, side, side), np.uint8)
    labels[:, :, 32:] = 1
    labels[1] = config.class_count  # patches of another class, too
    kinds = {"instances": np.int32, "classes": np.uint32}
    encoded = [
        family.encode(
            config, {"labels": each, **{kind: each.astype(of) for kind, of in kinds.items()}}
        )
        for each in labels
    ]
    targets = {name: np.stack([each[name] for each in encoded]) for name in encoded[0]}
    totals = tf.reduce_sum(loss.weights(targets, 0), axis=0)
    optimizer = keras.optimizers.Adam(1e-2)

    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            maps = network(tiles, training=True)
            assert {each.dtype for each in maps.values()} == {tf.float32}
            value = loss_share(loss.errors(targets, maps, 0), totals)
        optimizer.apply(
            tape.gradient(value, network.trainable_variables), network.trainable_variables
        )
        return value

    values = [float(step()) for _ in range(7)]
    assert values[-1] < 0.95 * values[0]


def check_a_saved_network_gives_equal_maps(
    family: Family, config: NetworkConfig, folder: Path
) -> None:
    network, tile = tiny_network(config), config.tiling.only or config.tiling.round_up(128)
    classes = ClassList.named([f"class {n}" for n in range(1, config.class_count + 1)])
    card = tiny_card(config=config, classes=classes, tile=tile, halo=0)
    save_bundle(network, card, folder / "model.zip")
    again = load_bundle(folder / "model.zip")
    assert again.family is family
    tiles = noise_tile(small_side(config))
    for name, maps in network(tiles).items():
        np.testing.assert_array_equal(maps, again.network(tiles)[name])


def check_a_companion_leaves_the_network_as_it_is(family: Family, config: NetworkConfig) -> None:
    settings = LossSettings(companion="autoencoder")
    network = family.build(config)
    before = {variable.path: variable.numpy() for variable in network.variables}
    companion = family.companion(config, settings, network)
    assert companion.model.non_trainable_variables == []
    assert not {v.path for v in companion.model.variables} & before.keys()
    side = config.crop_size
    tiles = noise_tile(side, count=2)
    maps = network(tiles)
    further = companion.model({name: maps[name] for name in companion.model.input})
    assert not further.keys() & maps.keys()
    labels = np.random.default_rng(0).integers(0, 2, (2, side, side)).astype(np.uint8)
    encoded = [family.encode(config, {"labels": each}) for each in labels]
    targets = {name: np.stack([each[name] for each in encoded]) for name in encoded[0]}
    errors = companion.loss.errors(targets, maps | further, 0)
    weights = companion.loss.weights(targets, 0)
    assert errors.shape == weights.shape == (2, len(companion.loss.terms))
    assert np.all(np.isfinite(errors))
    assert {variable.path for variable in network.variables} == before.keys()
    for variable in network.variables:
        np.testing.assert_array_equal(variable, before[variable.path])


def check_labels(family: Family, config: NetworkConfig) -> None:
    network = tiny_network(config)
    tiling = config.tiling
    for tile in (tiling.round_up(65), tiling.round_up(81)):
        tiles = noise_tile(tile, count=2)
        maps = family.predictor(network, tile=tile, maps=("labels", "confidence", "probabilities"))(
            tiles
        )
        cells = (tile - tiling.extra) // config.logit_stride + tiling.extra
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


def check_the_middle_is_that_of_the_whole(family: Family, config: NetworkConfig) -> None:
    """A decoder that runs on the middle of a tile only, and farther by what it looks at."""
    network, tiling = tiny_network(config), config.tiling
    of_objects = family.answer == "objects"
    halo = tiling.whole(tiling.decoder_reach) + tiling.multiple
    maps: tuple[PredictedMap, ...] = () if of_objects else (LABELS, PROBABILITIES)
    labels, values = ("tp", ("np", "hv")) if of_objects else (LABELS, (PROBABILITIES,))
    side, trim = tiling.round_up(2 * halo + 65), tiling.trimmed(halo)
    assert trim == tiling.multiple
    tiles = noise_tile(side)
    graph = family.tile_graph(config, network, maps=maps)

    def part(values: NDArray[Any], cut: int) -> NDArray[Any]:
        return values[:, cut:-cut, cut:-cut]

    for predict_with in (tensorflow_predict, partial(openvino_predict, side=side)):
        whole = predict_with(graph)(tiles)
        middle = predict_with(graph, trim=trim)(tiles)
        assert middle[labels].shape == (1, side - 2 * trim, side - 2 * trim)
        found = part(middle[labels], halo - trim)
        assert np.mean(found == part(whole[labels], halo)) > 0.999
        assert len(np.unique(found)) > 1
        for name in values:
            np.testing.assert_allclose(
                part(middle[name], (halo - trim) // tiling.logit_stride),
                part(whole[name], halo // tiling.logit_stride),
                atol=1e-4,
            )
    wanted = family.predictor(network, maps=maps)(tiles)
    # One is compiled and the other not: of equals rounding decides.
    assert np.mean(tensorflow_predict(graph)(tiles)[labels] == wanted[labels]) > 0.9999


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
def check_scores(family: Family, config: NetworkConfig) -> None:
    network = tiny_network(config)
    tiles = noise_tile(small_side(config), count=2)
    logits = network(tiles)["classes"].numpy()
    maps = family.predictor(network)(tiles)
    answers = [family.decode(config, {"classes": each}) for each in maps["classes"].numpy()]
    found = np.stack([answer.scores for answer in answers])
    wanted = tf.nn.softmax(logits) if answers[0].exclusive else tf.nn.sigmoid(logits)
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert answers[0].exclusive == (config.problem == "multi_class")


PREDICTORS: dict[str, Callable[[Family, NetworkConfig], None]] = {
    "labels": check_labels,
    "objects": check_objects,
    "patch": check_scores,
}

# What a network would give whose maps are its targets.
Perfect = Callable[[Targets], dict[str, NDArray[Any]]]
FIELD = 512  # px, of many nuclei
LEAST_IOU, LEAST_SHARE = 0.9, 0.995  # of the objects that two cuts of one field must share
BACK_SHARE = 0.99  # of the objects that perfect maps must give back


def check_perfect_maps_give_the_objects_back(
    family: Family, config: NetworkConfig, perfect: Perfect
) -> None:
    instances, types = _field(config)
    answer = family.decode(config, perfect(family.encode(config, _truth(instances, types))))
    inner = _inner(instances, config)
    iou = found_again(inner, answer.instances)
    # What the border cuts to a sliver may be too small to be one.
    whole = np.setdiff1d(np.unique(inner), [0, *_on_border(inner)])
    assert len(whole) > 100
    assert np.mean(iou[whole - 1] > LEAST_IOU) >= BACK_SHARE
    for number in np.arange(1, len(answer.labels) + 1):
        of = inner[answer.instances == number]
        assert answer.labels[number - 1] == types[np.bincount(of).argmax()]


def check_objects_do_not_depend_on_tiles(
    family: Family, config: NetworkConfig, perfect: Perfect, uneven: Callable[..., Any]
) -> None:
    """Decode a field of uneven maps at once and in tiles: each keeps what is centred in its middle."""
    instances, types = _field(config)
    maps = uneven(perfect(family.encode(config, _truth(instances, types))))
    whole = family.decode(config, maps).instances
    halo = config.tiling.halo - config.tiling.margin  # of what is answered
    for stride, offset in ((96, 0), (96, 37), (160, 11)):
        tiled = np.zeros_like(whole)
        for top in range(-offset, len(whole), stride):
            for left in range(-offset, len(whole), stride):
                rows, columns = (slice(max(0, at - halo), at + stride + halo) for at in (top, left))
                part = {name: values[rows, columns] for name, values in maps.items()}
                found = family.decode(config, part).instances
                for number in range(1, found.max(initial=0) + 1):
                    ys, xs = np.nonzero(found == number)
                    y, x = ys + rows.start, xs + columns.start
                    if 0 <= y.mean() - top < stride and 0 <= x.mean() - left < stride:
                        tiled[y, x] = tiled.max() + 1
        assert np.mean(found_again(whole, tiled) >= LEAST_IOU) >= LEAST_SHARE
        assert abs(tiled.max() - whole.max()) <= 0.005 * whole.max()


def _field(config: NetworkConfig) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Nuclei that touch, (side, side) numbered from 1, and the class of each, (k + 1,)."""
    side = config.tiling.round_up(FIELD + 2 * config.tiling.margin)
    instances = touching_ellipses(5, side, radius=(6, 12), crowd=0.6)
    types = np.random.default_rng(5).integers(1, config.class_count + 1, instances.max() + 1)
    return instances, types.astype(np.uint8) * (np.arange(len(types)) > 0)


def _truth(instances: NDArray[np.int32], types: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    return {"instances": instances, "labels": types[instances]}


def _inner(instances: NDArray[np.int32], config: NetworkConfig) -> NDArray[np.int32]:
    margin = config.tiling.margin
    return instances[margin : len(instances) - margin, margin : len(instances) - margin]


def _on_border(instances: NDArray[np.int32]) -> NDArray[np.int32]:
    edges = [instances[0], instances[-1], instances[:, 0], instances[:, -1]]
    return np.unique(np.concatenate(edges))
