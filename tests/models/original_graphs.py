"""The original networks once more, in plain TensorFlow operations on variables by their names.

Written from the facts of the original code, not from ours: nothing here is shared with `deeplab`. A
map is made of one image of the training crop's size, so that what is static there is static here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

Map = tf.Tensor
relu = tf.nn.relu


def hard_sigmoid(x: Map) -> Map:
    return tf.nn.relu6(x + 3) * 0.16667


def hard_swish(x: Map) -> Map:
    return x * tf.nn.relu6(x + np.float32(3)) * np.float32(1 / 6)


def shrunk(side: int, factor: float) -> int:
    """The side of a map at a fraction or a multiple of the scale, corners on corners."""
    return int((float(side) - 1) * factor + 1)


def resized(x: Map, *sides: int) -> Map:
    return tf.compat.v1.image.resize_bilinear(x, sides, align_corners=True)


def padded(x: Map, kernel: int) -> Map:
    pad = [(kernel - 1) // 2, kernel - 1 - (kernel - 1) // 2]
    return tf.pad(x, [[0, 0], pad, pad, [0, 0]])


@dataclass
class Original:
    """Variables, and which of them have been used."""

    variables: Mapping[str, np.ndarray]
    used: set[str] = field(default_factory=set)

    def variable(self, name: str) -> tf.Tensor:
        self.used.add(name)
        return tf.constant(self.variables[name])

    def norm(self, x: Map, scope: str, epsilon: float) -> Map:
        gamma, beta, mean, variance = (
            self.variable(f"{scope}/{name}")
            for name in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        return gamma * (x - mean) / tf.sqrt(variance + epsilon) + beta

    def conv(
        self,
        x: Map,
        scope: str,
        *,
        stride: int = 1,
        rate: int = 1,
        epsilon: float | None = None,
        then: Callable[[Map], Map] = tf.identity,
    ) -> Map:
        """TensorFlow's own padding; batch norm with an epsilon, else biases if there are any."""
        x = tf.nn.conv2d(x, self.variable(f"{scope}/weights"), stride, "SAME", dilations=rate)
        if epsilon is not None:
            x = self.norm(x, f"{scope}/BatchNorm", epsilon)
        elif f"{scope}/biases" in self.variables:
            x += self.variable(f"{scope}/biases")
        return then(x)

    def depthwise(
        self,
        x: Map,
        scope: str,
        *,
        epsilon: float,
        stride: int = 1,
        rate: int = 1,
        then: Callable[[Map], Map] = relu,
    ) -> Map:
        kernel = self.variable(f"{scope}/depthwise_weights")
        x = tf.nn.depthwise_conv2d(
            x, kernel, (1, stride, stride, 1), "SAME", dilations=(rate, rate)
        )
        return then(self.norm(x, f"{scope}/BatchNorm", epsilon))

    def separable(self, x: Map, scope: str, rate: int = 1) -> Map:
        """As in the ASPP and the decoder: batch norm and ReLU after both parts."""
        x = self.depthwise(x, f"{scope}_depthwise", epsilon=1e-5, rate=rate)
        return self.conv(x, f"{scope}_pointwise", epsilon=1e-5, then=relu)


# Expansion, channels, kernel, stride, activation, whether gated.
V3_SMALL = (
    (1, 16, 3, 2, relu, True),
    (72 / 16, 24, 3, 2, relu, False),
    (88 / 24, 24, 3, 1, relu, False),
    (4, 40, 5, 2, hard_swish, True),
    (6, 40, 5, 1, hard_swish, True),
    (6, 40, 5, 1, hard_swish, True),
    (3, 48, 5, 1, hard_swish, True),
    (3, 48, 5, 1, hard_swish, True),
    (144 / 48, 48, 5, 2, hard_swish, True),
    (288 / 48, 48, 5, 1, hard_swish, True),
    (288 / 48, 48, 5, 1, hard_swish, True),
)


def mobilenet_v3_small(graph: Original, x: Map, output_stride: int) -> tuple[Map, list[Map]]:
    """Features, and every block's map after its depthwise convolution."""
    scope, rate, widened = "MobilenetV3", 1, []
    x = graph.conv(x, f"{scope}/Conv", stride=2, epsilon=1e-3, then=hard_swish)
    reached = 2
    for number, (_, filters, _, stride, act, gated) in enumerate(V3_SMALL):
        block = f"{scope}/expanded_conv" + (f"_{number}" if number else "")
        given, at_rate = x, 1
        if reached == output_stride:
            at_rate, rate, stride = rate, rate * stride, 1
        reached *= stride
        if f"{block}/expand/weights" in graph.variables:
            x = graph.conv(x, f"{block}/expand", epsilon=1e-3, then=act)
        x = graph.depthwise(
            x, f"{block}/depthwise", epsilon=1e-3, stride=stride, rate=at_rate, then=act
        )
        widened.append(x)
        if gated:
            gate = tf.nn.avg_pool2d(x, x.shape[1:3], 1, "VALID")
            gate = graph.conv(gate, f"{block}/squeeze_excite/Conv", then=relu)
            x *= graph.conv(gate, f"{block}/squeeze_excite/Conv_1", then=hard_sigmoid)
        x = graph.conv(x, f"{block}/project", epsilon=1e-3)
        if stride == 1 and given.shape[-1] == filters:
            x += given
    return graph.conv(x, f"{scope}/Conv_1", epsilon=1e-3, then=hard_swish), widened


PNASNET = (
    ["5s", "3m", "7s", "3m", "5s", "3s", "3s", "3m", "3s", "1i"],
    (1, 1, 0, 0, 0, 0, 4, 0, 1, 0),
    (1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2),
)
HNASNET = (
    ["5a", "3s", "3s", "3a", "3s", "3s", "5s", "5s", "5s", "5a"],
    (1, 0, 1, 0, 3, 1, 4, 2, 3, 5),
    (0, 0, 0, 1, 2, 1, 2, 2, 3, 3, 2, 1),
)


def nas(
    graph: Original, x: Map, scope: str, plan: tuple[list[str], tuple[int, ...], tuple[int, ...]]
) -> tuple[Map, list[Map]]:
    """Features, and the maps of the stem and of every cell."""
    operations, sources, levels = plan

    def norm(x: Map, name: str) -> Map:
        return graph.norm(x, name, 1e-3)

    def stem(x: Map, number: int, stride: int) -> Map:
        kernel = graph.variable(f"{scope}/conv{number}/weights")
        return norm(tf.nn.conv2d(padded(x, 3), kernel, stride, "VALID"), f"{scope}/conv{number}_bn")

    maps = [stem(relu(stem(x, 0, 2)), 1, 1)]
    maps.append(stem(relu(maps[-1]), 2, 2))
    x, last_level = maps[-1], 0
    for number, level in enumerate(levels):
        cell = f"{scope}/cell_{number}"
        if level < last_level:
            x = resized(x, *(shrunk(side, 2) for side in x.shape[1:3]))
        before = maps[-2]
        if before.shape[2] != x.shape[2]:
            before = resized(before, *x.shape[1:3])
        before = norm(graph.conv(relu(before), f"{cell}/prev_1x1"), f"{cell}/prev_bn")
        states = [norm(graph.conv(relu(x), f"{cell}/1x1"), f"{cell}/beginning_bn"), before]
        done = []
        for place, (operation, source) in enumerate(zip(operations, sources, strict=True)):
            side = f"{cell}/comb_iter_{place // 2}/{('left', 'right')[place % 2]}"
            stride = 2 if level > last_level and source < 2 else 1
            done.append(operated(graph, states[source], side, operation, stride))
            if place % 2:
                states.append(done[-2] + done[-1])
        x = tf.concat(states[2:], 3)
        maps.append(x)
        last_level = level
    return relu(x), maps[1:]


def operated(graph: Original, x: Map, scope: str, operation: str, stride: int) -> Map:
    size, kind = int(operation[0]), operation[1]
    shape = f"{size}x{size}"
    if kind == "m":
        return tf.nn.max_pool2d(x, size, stride, "SAME")
    if kind == "i":
        if stride == 1:
            return x
        x = graph.conv(relu(x), f"{scope}/1x1", stride=stride)
        return graph.norm(x, f"{scope}/bn_1", 1e-3)
    if kind == "a":
        x = relu(x)
        if stride == 2:
            x = resized(x, *(shrunk(side, 0.5) for side in x.shape[1:3]))
        x = graph.conv(x, f"{scope}/atrous_{shape}", rate=3 - stride)
        return graph.norm(x, f"{scope}/bn_atr_{shape}", 1e-3)
    for part in (1, 2):
        name = f"{scope}/separable_{shape}_{part}"
        kernels = [graph.variable(f"{name}/{which}wise_weights") for which in ("depth", "point")]
        x = tf.nn.separable_conv2d(padded(relu(x), size), *kernels, (1, stride, stride, 1), "VALID")
        x = graph.norm(x, f"{scope}/bn_sep_{shape}_{part}", 1e-3)
        stride = 1
    return x


def image_level(
    graph: Original,
    x: Map,
    *,
    sides: tuple[int, int],
    output_stride: int,
    strides: tuple[int, int] = (1, 1),
    **after: object,
) -> Map:
    """Means over windows, convolved, at the size of the crop's features; sides: window, crop."""
    window, crop = (shrunk(side, 1 / output_stride) for side in sides)
    x = tf.nn.avg_pool2d(x, window, strides, "VALID")
    return resized(graph.conv(x, "image_pooling", **after), crop, crop)


def usual_head(
    graph: Original, x: Map, tap: Map, *, crop: int, output_stride: int, rates: tuple[int, ...]
) -> Map:
    pooled = image_level(
        graph, x, sides=(crop, crop), output_stride=output_stride, epsilon=1e-5, then=relu
    )
    branches = [pooled, graph.conv(x, "aspp0", epsilon=1e-5, then=relu)]
    for number, rate in enumerate(rates, start=1):
        branches.append(graph.separable(x, f"aspp{number}", rate))
    x = graph.conv(tf.concat(branches, 3), "concat_projection", epsilon=1e-5, then=relu)
    low = graph.conv(tap, "decoder/feature_projection0", epsilon=1e-5, then=relu)
    side = shrunk(crop, 1 / 4)
    x = tf.concat([resized(x, side, side), resized(low, side, side)], 3)
    for number in (0, 1):
        x = graph.separable(x, f"decoder/decoder_conv{number}")
    return graph.conv(x, "logits/semantic")


def light_head(
    graph: Original,
    x: Map,
    tap: Map,
    *,
    sides: tuple[int, int],
    output_stride: int,
    strides: tuple[int, int],
) -> Map:
    """The head that MobileNetV3 is given: gated features, and a decoder that ends in logits."""
    gate = image_level(
        graph, x, sides=sides, output_stride=output_stride, strides=strides, then=hard_sigmoid
    )
    x = graph.conv(x, "aspp0", epsilon=1e-5, then=relu) * gate
    side = shrunk(sides[1], 1 / 8)
    low = graph.conv(tap, "decoder/feature_projection0")
    return graph.conv(resized(x, side, side), "decoder/decoder_conv0") + resized(low, side, side)
