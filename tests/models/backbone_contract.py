"""What every row of the backbone table promises, at any output stride it is built with."""

import keras
import numpy as np
import tensorflow as tf

from deeplab.config.backbones import BACKBONES
from deeplab.models.backbones.pyramid import BackboneOptions, Pyramid
from deeplab.models.backbones.table import BUILD

SIDE = 33  # pixels: 16 k + 1


def build(
    name: str, output_stride: int, multi_grid: tuple[int, ...] = ()
) -> tuple[keras.Model, Pyramid]:
    tiles = keras.Input((None, None, 3))
    pyramid = BUILD[name](
        tiles,
        BackboneOptions(
            output_stride=output_stride,
            depth_multiplier=1.0,
            channel_multiple=8,
            multi_grid=multi_grid,
            crop_size=SIDE,
            drop_path_keep_prob=1.0,
            decay=0.9,
        ),
    )
    return keras.Model(tiles, [pyramid.features, *pyramid.taps.values()]), pyramid


def check_maps_have_their_strides_and_channels(name: str, output_stride: int) -> None:
    row = BACKBONES[name]
    network, pyramid = build(name, output_stride)
    features, *taps = network(np.zeros((1, SIDE, SIDE + 32, 3), np.float32))
    cells = (SIDE - 1) // output_stride + 1
    assert features.shape == (1, cells, cells + 32 // output_stride, row.channels[output_stride])
    promised = {at: count for at, count in row.taps.items() if at <= max(8, output_stride)}
    assert list(pyramid.taps) == list(promised)
    for (stride, channels), tap in zip(promised.items(), taps, strict=True):
        side = (SIDE - 1) // stride + 1
        assert tap.shape == (1, side, side + 32 // stride, channels)


def check_every_weight_learns_and_has_a_name_of_its_own(name: str, output_stride: int) -> None:
    network, _ = build(name, output_stride)
    tiles = np.random.default_rng(0).normal(0, 1, (2, SIDE, SIDE, 3)).astype(np.float32)
    with tf.GradientTape() as tape:
        loss = sum(tf.reduce_mean(maps**2) for maps in network(tiles, training=True))
    gradients = tape.gradient(loss, network.trainable_variables)
    assert all(gradient is not None for gradient in gradients)
    paths = [variable.path for variable in network.weights]
    assert len(set(paths)) == len(paths)
    assert all(path.startswith("backbone.") for path in paths)


def check_it_runs_in_half_precision(name: str, output_stride: int, policy: str) -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        network, _ = build(name, output_stride)
    finally:
        keras.config.set_dtype_policy(before)
    tiles = np.random.default_rng(0).normal(0, 1, (1, SIDE, SIDE, 3)).astype(np.float32)
    half = policy.removeprefix("mixed_")
    # As in training: the batch norms of an untrained network do not yet hold its values down.
    for maps in network(tiles, training=True):
        assert maps.dtype == half
        assert np.isfinite(np.asarray(maps, np.float32)).all()
    assert {weight.dtype for weight in network.weights} == {"float32"}


def check_a_multi_grid_multiplies_the_rates_of_the_last_block(name: str, rates: int) -> None:
    grid = (3, 5, 7)[:rates]
    used = [
        {layer.dilation_rate[0] for layer in network.layers if hasattr(layer, "dilation_rate")}
        for network, _ in (build(name, 16), build(name, 16, grid))
    ]
    # At output stride 16 the last block stands where the stride would have doubled once more.
    assert used == [{1, 2}, {1, *(2 * step for step in grid)}]
