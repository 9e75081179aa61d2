"""Layers against the same arithmetic written out in NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab.models.layers.activations import hard_gate, hard_swish
from deeplab.models.layers.convolution import Norm, conv, depthwise
from deeplab.models.layers.crop import Crop
from deeplab.models.layers.drop_path import DropPath
from deeplab.models.layers.resize import (
    Double,
    Resize,
    ResizeLike,
    enlarge_align_corners,
    resize_align_corners,
)
from deeplab.models.layers.window_mean import WindowMean, WindowPlaces
from tests.openvino_for_tests import openvino_predict


def bilinear(x: np.ndarray, height: int, width: int) -> np.ndarray:
    """Align-corners bilinear resizing, one pixel at a time."""
    out = np.zeros((len(x), height, width, x.shape[-1]))
    for row in range(height):
        for col in range(width):
            y = row * (x.shape[1] - 1) / max(height - 1, 1)
            z = col * (x.shape[2] - 1) / max(width - 1, 1)
            top, left = int(y), int(z)
            bottom, right = min(top + 1, x.shape[1] - 1), min(left + 1, x.shape[2] - 1)
            dy, dx = y - top, z - left
            out[:, row, col] = (1 - dy) * ((1 - dx) * x[:, top, left] + dx * x[:, top, right])
            out[:, row, col] += dy * ((1 - dx) * x[:, bottom, left] + dx * x[:, bottom, right])
    return out


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)


def test_resizing_doubles_between_the_corners_exactly():
    line = np.array([0.0, 4.0, 2.0], np.float32).reshape(1, 1, 3, 1)
    resized = resize_align_corners(line, 1, 5)
    np.testing.assert_array_equal(np.ravel(resized), [0, 2, 4, 3, 2])


@pytest.mark.parametrize("size", [(17, 33), (5, 9), (7, 4), (3, 3), (1, 1), (13, 1)])
def test_resizing_is_bilinear_with_aligned_corners(size: tuple[int, int]):
    x = noise(2, 5, 9, 3)
    np.testing.assert_allclose(resize_align_corners(x, *size), bilinear(x, *size), atol=1e-5)


def test_resizing_keeps_the_corner_pixels():
    x = noise(1, 5, 9, 3)
    resized = np.asarray(resize_align_corners(x, 31, 47))
    np.testing.assert_allclose(resized[:, ::30, ::46], x[:, ::4, ::8], atol=1e-6)


def test_resizing_one_pixel_repeats_it():
    x = noise(1, 1, 1, 2)
    np.testing.assert_array_equal(resize_align_corners(x, 3, 4), np.broadcast_to(x, (1, 3, 4, 2)))


def test_resizing_to_another_map_works_for_sizes_not_known_in_advance():
    x, like = keras.Input((None, None, 3)), keras.Input((None, None, 1))
    network = keras.Model([x, like], ResizeLike()([x, like]))
    assert network.output_shape == (None, None, None, 3)
    values = noise(2, 4, 6, 3)
    traced = tf.function(
        lambda a, b: network([a, b]),
        input_signature=[tf.TensorSpec((None, None, None, c)) for c in (3, 1)],
    )
    np.testing.assert_allclose(
        traced(values, noise(2, 7, 11, 1)), bilinear(values, 7, 11), atol=1e-5
    )


def test_resizing_by_a_factor_keeps_the_corners():
    x = noise(1, 5, 8, 2)
    np.testing.assert_allclose(Resize(up=2)(x), bilinear(x, 9, 15), atol=1e-5)
    np.testing.assert_allclose(Resize(down=2)(x), bilinear(x, 3, 4), atol=1e-5)
    np.testing.assert_allclose(Resize(down=2)(x[:, :, :5]), x[:, ::2, :5:2], atol=1e-6)
    free = keras.Input((None, 8, 2))
    assert Resize(up=2)(free).shape == (None, None, 15, 2)


def test_drop_path_keeps_samples_whole_or_not_at_all_and_their_mean():
    x = np.abs(noise(400, 2, 2, 3)) + 1
    layer = DropPath(0.8)
    np.testing.assert_array_equal(layer(x), x)
    shares = (np.asarray(layer(x, training=True)) / x).reshape(400, -1)
    np.testing.assert_allclose(shares, np.broadcast_to(shares[:, :1], shares.shape), rtol=1e-5)
    kept = shares[:, 0] > 0
    np.testing.assert_allclose(shares[kept], 1 / 0.8, rtol=1e-5)
    assert 0.7 < kept.mean() < 0.9


def mean_around(x: np.ndarray, cells: int) -> np.ndarray:
    """For each place, the mean over the window around it that stays inside."""

    def window(place: int, length: int) -> slice:
        start = max(min(place - cells // 2, length - cells), 0)
        return slice(start, start + min(cells, length))

    out = np.zeros_like(x)
    for row in range(x.shape[1]):
        for col in range(x.shape[2]):
            part = x[:, window(row, x.shape[1]), window(col, x.shape[2])]
            out[:, row, col] = part.mean(axis=(1, 2))
    return out


def pooled(
    x: np.ndarray, cells: int, span: int | None = None, strides: tuple[int, int] = (1, 1)
) -> np.ndarray:
    means = WindowMean(cells)(x)
    return np.asarray(WindowPlaces(cells, span=span or cells, strides=strides)([means, x]))


@pytest.mark.parametrize("size", [(5, 5), (9, 7), (5, 12), (3, 4), (1, 1), (4, 9)])
def test_each_place_gets_the_mean_of_the_window_around_it(size: tuple[int, int]):
    x = noise(2, *size, 3)
    np.testing.assert_allclose(pooled(x, 5), mean_around(x, 5), atol=1e-5)


@pytest.mark.parametrize("size", [(5, 5), (4, 3)])
def test_a_map_no_larger_than_the_window_has_one_and_its_mean_everywhere(size: tuple[int, int]):
    x = noise(1, *size, 2)
    mean = x.mean(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(WindowMean(5)(x), mean, atol=1e-6)
    np.testing.assert_allclose(pooled(x, 5), np.broadcast_to(mean, x.shape), atol=1e-6)


@pytest.mark.parametrize(("cells", "span"), [(5, 5), (3, 7)])
def test_pooled_means_inside_do_not_depend_on_the_size_of_the_map(cells: int, span: int):
    x = noise(1, 30, 30, 2)
    whole = pooled(x, cells, span, (2, 3))
    part = pooled(x[:, 8:22, 4:25], cells, span, (2, 3))
    np.testing.assert_allclose(part[:, 3:-3, 3:-3], whole[:, 11:19, 7:22], atol=1e-6)


@pytest.mark.parametrize("strides", [(1, 1), (4, 5), (2, 3), (9, 9)])
@pytest.mark.parametrize("size", [(13, 13), (13, 17)])
def test_a_crop_is_pooled_at_strides_and_resized_as_the_original_does(
    size: tuple[int, int], strides: tuple[int, int]
):
    x = noise(1, *size, 2)
    means = tf.nn.avg_pool2d(x, (6, 6), strides, "VALID").numpy()
    # Wider than the crop of 13: what is there does not change with what lies to the right.
    found = pooled(x, 6, 13, strides)[:, :, :7]
    if size == (13, 13):
        np.testing.assert_allclose(found, bilinear(means, 13, 13)[:, :, :7], atol=1e-5)
    else:
        np.testing.assert_allclose(found, pooled(x[:, :, :13], 6, 13, strides)[:, :, :7], atol=1e-5)


def test_means_of_halves_do_not_overflow():
    x = np.full((1, 40, 40, 1), 1000, np.float16)
    means = WindowMean(33, dtype="float16")(x)
    np.testing.assert_array_equal(means, np.full((1, 8, 8, 1), 1000, np.float16))


def test_windows_work_for_sizes_not_known_in_advance():
    x = keras.Input((None, None, 2))
    means = WindowMean(3)(x)
    network = keras.Model(x, WindowPlaces(3, span=5, strides=(1, 2))([means, x]))
    assert means.shape == network.output_shape == (None, None, None, 2)
    assert WindowMean(3).compute_output_shape((1, 8, 2, 4)) == (1, 6, 1, 4)
    values = noise(1, 7, 9, 2)
    traced = tf.function(network, input_signature=[tf.TensorSpec((None, None, None, 2))])
    np.testing.assert_allclose(traced(values), pooled(values, 3, 5, (1, 2)), atol=1e-6)


def test_activations_are_lines_that_end():
    x = np.array([-4, -3, -1, 0, 2, 3, 5], np.float32)
    gate = np.clip(x + 3, 0, 6)
    np.testing.assert_allclose(hard_gate(x), gate * 0.16667, rtol=1e-6)
    np.testing.assert_allclose(hard_swish(x), x * gate / 6, rtol=1e-6)


@pytest.mark.parametrize(
    "layer",
    [
        WindowMean(5),
        WindowPlaces(5, span=9, strides=(2, 3)),
        ResizeLike(),
        Resize(up=2),
        DropPath(0.8),
    ],
)
def test_layers_are_made_again_from_their_config(layer: keras.layers.Layer):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(again) is type(layer)
    assert again.get_config() == layer.get_config()


def one_layer(make: object, channels: int) -> keras.Model:
    x = keras.Input((None, None, channels))
    return keras.Model(x, make(x))


def convolved(x: np.ndarray, kernel: np.ndarray, stride: int, rate: int) -> np.ndarray:
    """Each channel alone, zero padding of `rate` pixels on all sides."""
    padded = np.pad(x, ((0, 0), (rate, rate), (rate, rate), (0, 0)))
    out = np.zeros_like(x)
    for row in range(3):
        for col in range(3):
            shifted = padded[:, row * rate :, col * rate :][:, : x.shape[1], : x.shape[2]]
            out += shifted * kernel[row, col, :, 0]
    return out[:, ::stride, ::stride]


@pytest.mark.parametrize("side", [9, 8])
@pytest.mark.parametrize(("stride", "rate"), [(1, 1), (2, 1), (1, 2)])
def test_convolutions_are_centred_on_their_pixels_at_any_stride_rate_and_size(
    side: int, stride: int, rate: int
):
    norm = Norm(epsilon=1e-3, decay=0.9)
    network = one_layer(lambda x: depthwise(x, name="d", norm=norm, stride=stride, rate=rate), 4)
    x = noise(1, side, side, 4)
    kernel = network.get_layer("d").get_weights()[0]
    expected = convolved(x, kernel, stride, rate) / np.sqrt(1 + 1e-3)
    np.testing.assert_allclose(network(x), expected, atol=1e-5)


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("side", [9, 8])
def test_padding_like_tensorflows_differs_at_even_sizes_only(side: int, kernel: int):
    norm = Norm(epsilon=1e-3, decay=0.9)
    same, symmetric = (
        one_layer(
            lambda x, how=how: depthwise(
                x, name="d", norm=norm, kernel=kernel, stride=2, padding=how
            ),
            2,
        )
        for how in ("same", "symmetric")
    )
    same.set_weights(symmetric.get_weights())
    x = noise(1, side, side, 2)
    kernels = same.get_layer("d").get_weights()[0]
    expected = tf.nn.depthwise_conv2d(x, kernels, (1, 2, 2, 1), "SAME") / np.sqrt(1 + 1e-3)
    np.testing.assert_allclose(same(x), expected, atol=1e-5)
    assert np.allclose(same(x), symmetric(x), atol=1e-5) == bool(side % 2)


def test_batch_norm_comes_before_the_activation_and_is_stored_under_its_layer():
    norm = Norm(epsilon=1e-5, decay=0.9)
    network = one_layer(lambda x: conv(x, 2, name="c", norm=norm, activation="relu"), 3)
    gamma, beta, mean, variance = (
        np.array(v, np.float32) for v in ([2, 3], [1, -1], [0.5, 0], [4, 9])
    )
    network.get_layer("c.norm").set_weights([gamma, beta, mean, variance])
    x = noise(1, 4, 4, 3)
    kernel = network.get_layer("c").get_weights()[0][0, 0]
    expected = np.maximum(gamma * (x @ kernel - mean) / np.sqrt(variance + 1e-5) + beta, 0)
    np.testing.assert_allclose(network(x), expected, atol=1e-5)


def test_doubling_is_that_of_keras_and_takes_sides_known_only_when_it_runs():
    rgb = keras.Input((None, None, 3))
    network = keras.Model(rgb, {"twice": Double()(rgb)})
    run = tf.function(network, input_signature=[tf.TensorSpec((None, None, None, 3))])
    keras_own = keras.layers.UpSampling2D(2, interpolation="bilinear")
    compiled = openvino_predict(network, 6)
    for shape in ((2, 5, 4, 3), (1, 1, 7, 3), (1, 6, 6, 3)):
        x = noise(*shape)
        np.testing.assert_allclose(run(x)["twice"], keras_own(x), atol=1e-6)
    np.testing.assert_allclose(compiled(x)["twice"], keras_own(x), atol=1e-6)


@pytest.mark.parametrize(
    ("height", "width", "factor"), [(5, 3, 4), (2, 6, 2), (1, 4, 3), (4, 1, 1)]
)
def test_enlarging_is_resizing_to_whole_factors(height, width, factor):
    x = noise(2, height, width, 3)
    wanted = resize_align_corners(x, (height - 1) * factor + 1, (width - 1) * factor + 1)
    enlarged = np.asarray(enlarge_align_corners(x, factor))
    np.testing.assert_allclose(enlarged, wanted, atol=1e-6)
    np.testing.assert_array_equal(enlarged[:, ::factor, ::factor], x)


def test_cropping_is_that_of_keras_and_takes_sides_known_only_when_it_runs():
    rgb = keras.Input((None, None, 3))
    network = keras.Model(rgb, {"cut": Crop(2)(rgb)})
    run = tf.function(network, input_signature=[tf.TensorSpec((None, None, None, 3))])
    keras_own = keras.layers.Cropping2D(2)
    for shape in ((2, 5, 9, 3), (1, 6, 6, 3)):
        x = noise(*shape)
        np.testing.assert_array_equal(run(x)["cut"], keras_own(x))
    np.testing.assert_array_equal(openvino_predict(network, 6)(x)["cut"], keras_own(x))
    assert Crop.from_config(Crop(2).get_config())(x).shape == (1, 2, 2, 3)
    assert Crop(2)(keras.Input((9, 7, 3))).shape == (None, 5, 3, 3)
