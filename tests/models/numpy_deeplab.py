"""DeepLabV3+ as TensorFlow 1 computed it, in formulas of NumPy: what our networks are held against.

Written from the papers and from facts about the original's graph, not from our networks, and in
float64. The formulas draw each variable when they first come to it, from its name, so that running
them also makes the checkpoint that our importer must take whole.
"""

import zlib
from dataclasses import dataclass

import numpy as np

Map = np.ndarray  # (h, w, c), float64


@dataclass(frozen=True)
class Facts:
    """What a network of the same variables could get wrong."""

    backbone_epsilon: float = 1e-3
    head_epsilon: float = 1e-5
    rates: tuple[int, ...] = (1, 2, 3)
    pooling_first: bool = True
    aspp_first: bool = True
    align_corners: bool = True
    explicit_padding: bool = True
    same_padding: bool = True
    input_scale: float = 2 / 255


class Formulas:
    """Layers on maps; `variables` holds every variable they came to, by its TensorFlow 1 name."""

    def __init__(self, facts: Facts = Facts()) -> None:
        self.facts = facts
        self.variables: dict[str, np.ndarray] = {}

    def drawn(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        if name not in self.variables:
            noise = np.random.default_rng(zlib.crc32(name.encode())).normal(size=shape)
            kind = name.rpartition("/")[2]
            # Small variances, so that an epsilon is seen.
            fan_in = np.prod(shape[:2] if kind == "depthwise_weights" else shape[:-1])
            value = {
                "gamma": 1 + 0.1 * noise,
                "moving_variance": 0.01 * (0.5 + np.abs(noise)),
                "moving_mean": 0.02 * noise,
                "beta": 0.1 * noise,
                "biases": 0.1 * noise,
            }.get(kind, 0.1 * np.sqrt(2 / fan_in) * noise)
            self.variables[name] = value.astype(np.float32)
        return self.variables[name].astype(np.float64)

    def norm(self, x: Map, scope: str, epsilon: float) -> Map:
        gamma, beta, mean, variance = (
            self.drawn(f"{scope}/BatchNorm/{kind}", x.shape[-1:])
            for kind in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        return (x - mean) / np.sqrt(variance + epsilon) * gamma + beta

    def conv(self, x: Map, filters: int, scope: str, *, size=1, stride=1, rate=1, pad="same"):
        kernel = self.drawn(f"{scope}/weights", (size, size, x.shape[-1], filters))
        return self._slid(x, kernel, stride, rate, pad, lambda part, tap: part @ tap)

    def depthwise(self, x: Map, scope: str, *, stride=1, rate=1, pad="same") -> Map:
        kernel = self.drawn(f"{scope}/depthwise_weights", (3, 3, x.shape[-1], 1))
        return self._slid(x, kernel[..., 0], stride, rate, pad, lambda part, tap: part * tap)

    def _slid(self, x: Map, kernel: np.ndarray, stride: int, rate: int, pad: str, product) -> Map:
        reach = (kernel.shape[0] - 1) * rate
        rows, columns = (
            self._padding(side, reach, stride, pad) for side in x.shape[:2]
        )  # before, behind, out
        x = np.pad(x, (rows[:2], columns[:2], (0, 0)))
        return sum(
            product(
                x[i * rate :: stride, j * rate :: stride][: rows[2], : columns[2]], kernel[i, j]
            )
            for i in range(kernel.shape[0])
            for j in range(kernel.shape[1])
        )

    def _padding(self, side: int, reach: int, stride: int, pad: str) -> tuple[int, int, int]:
        out = -(-side // stride)
        total = max((out - 1) * stride + reach + 1 - side, 0)
        before = total // 2  # SAME: what is odd goes behind
        explicit = self.facts.explicit_padding if pad == "explicit" else not self.facts.same_padding
        if explicit and stride > 1:
            before, total = reach // 2, reach
            out = (side + total - reach - 1) // stride + 1
        return before, total - before, out

    def resized(self, x: Map, height: int, width: int) -> Map:
        for axis, length in enumerate((height, width)):
            old = x.shape[axis]
            if self.facts.align_corners:
                place = np.arange(length) * (old - 1) / max(length - 1, 1)
            else:
                place = np.clip((np.arange(length) + 0.5) * old / length - 0.5, 0, old - 1)
            low = np.floor(place).astype(int)
            high = np.minimum(low + 1, old - 1)
            share = np.expand_dims(place - low, tuple({0, 1, 2} - {axis}))
            x = np.take(x, low, axis) * (1 - share) + np.take(x, high, axis) * share
        return x


def relu(x: Map) -> Map:
    return np.maximum(x, 0)


def relu6(x: Map) -> Map:
    return np.clip(x, 0, 6)


def whole(channels: float) -> int:
    """To a multiple of 8, not below nine tenths."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 * (rounded < 0.9 * channels)


def mobilenet_v2(f: Formulas, x: Map, width: float) -> tuple[Map, Map]:
    """Features at stride 16, and the low-level map at stride 4: the tap is a depthwise output."""
    epsilon = f.facts.backbone_epsilon
    top = "MobilenetV2"
    x = f.conv(x, whole(32 * width), f"{top}/Conv", size=3, stride=2)
    x = relu6(f.norm(x, f"{top}/Conv", epsilon))
    stages = [(16, 1, 1), (24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1)]
    strides = [
        (filters, stride if first == 0 else 1)
        for filters, repeats, stride in stages
        for first in range(repeats)
    ]
    reached, rate, tap = 2, 1, x
    for number, (filters, stride) in enumerate(strides):
        scope = f"{top}/expanded_conv" + (f"_{number}" if number else "")
        at_end = reached == 16
        step, used = (1, rate) if at_end else (stride, 1)
        reached, rate = (reached, rate * stride) if at_end else (reached * stride, rate)
        y = x
        if number:
            y = f.conv(x, 6 * x.shape[-1], f"{scope}/expand")
            y = relu6(f.norm(y, f"{scope}/expand", epsilon))
        y = f.depthwise(y, f"{scope}/depthwise", stride=step, rate=used)
        y = relu6(f.norm(y, f"{scope}/depthwise", epsilon))
        tap = y if number == 2 else tap
        y = f.conv(y, whole(filters * width), f"{scope}/project")
        y = f.norm(y, f"{scope}/project", epsilon)
        x = x + y if step == 1 and x.shape[-1] == y.shape[-1] else y
    return x, tap


def xception_41(f: Formulas, x: Map) -> tuple[Map, Map]:
    """Features at stride 16, and the low-level map at stride 4."""
    epsilon = f.facts.backbone_epsilon
    taps = []

    def separable(x: Map, filters: int, scope: str, *, inside: bool, stride: int, rate: int) -> Map:
        x = x if inside else relu(x)
        x = f.depthwise(x, f"{scope}_depthwise", stride=stride, rate=rate, pad="explicit")
        x = f.norm(x, f"{scope}_depthwise", epsilon)
        x = relu(x) if inside else x
        x = f.norm(f.conv(x, filters, f"{scope}_pointwise"), f"{scope}_pointwise", epsilon)
        if scope.endswith("entry_flow/block2/unit_1/xception_module/separable_conv2"):
            taps.append(x)
        return relu(x) if inside else x

    def module(x: Map, depths: tuple[int, ...], scope: str, skip: str, stride=1, rate=1) -> Map:
        scope = f"xception_41/{scope}/xception_module"
        y = x
        for number, filters in enumerate(depths, start=1):
            step = stride if number == 3 else 1
            inside = skip == "none"
            name = f"{scope}/separable_conv{number}"
            y = separable(y, filters, name, inside=inside, stride=step, rate=rate)
        if skip == "conv":
            short = f.conv(x, depths[-1], f"{scope}/shortcut", stride=stride)
            return y + f.norm(short, f"{scope}/shortcut", epsilon)
        return x + y if skip == "sum" else y

    for name, filters, stride in (("conv1_1", 32, 2), ("conv1_2", 64, 1)):
        scope = f"xception_41/entry_flow/{name}"
        x = f.conv(x, filters, scope, size=3, stride=stride, pad="explicit")
        x = relu(f.norm(x, scope, epsilon))
    for block, filters in enumerate((128, 256, 728), start=1):
        x = module(x, (filters,) * 3, f"entry_flow/block{block}/unit_1", "conv", stride=2)
    for unit in range(1, 9):
        x = module(x, (728,) * 3, f"middle_flow/block1/unit_{unit}", "sum")
    # The stride of this block is taken back at output stride 16, so that the next has rate 2.
    x = module(x, (728, 1024, 1024), "exit_flow/block1/unit_1", "conv")
    x = module(x, (1536, 1536, 2048), "exit_flow/block2/unit_1", "none", rate=2)
    return x, taps[0]


def head(f: Formulas, x: Map, tap: Map, filters: int, labels: int) -> Map:
    """ASPP with image pooling over the whole crop, decoder and logits at stride 4."""
    epsilon = f.facts.head_epsilon

    def point(x: Map, filters: int, scope: str) -> Map:
        return relu(f.norm(f.conv(x, filters, scope), scope, epsilon))

    def separable(x: Map, filters: int, scope: str, rate: int = 1) -> Map:
        x = f.depthwise(x, f"{scope}_depthwise", rate=rate)
        return point(relu(f.norm(x, f"{scope}_depthwise", epsilon)), filters, f"{scope}_pointwise")

    pooled = point(x.mean(axis=(0, 1), keepdims=True), filters, "image_pooling")
    pooled = np.broadcast_to(pooled, (*x.shape[:2], filters))
    branches = [point(x, filters, "aspp0")]
    for number, rate in enumerate(f.facts.rates, start=1):
        branches.append(separable(x, filters, f"aspp{number}", rate))
    branches = [pooled, *branches] if f.facts.pooling_first else [*branches, pooled]
    x = point(np.concatenate(branches, axis=-1), filters, "concat_projection")
    x = f.resized(x, *tap.shape[:2])
    low = point(tap, 4, "decoder/feature_projection0")
    x = np.concatenate([x, low] if f.facts.aspp_first else [low, x], axis=-1)
    for number in (0, 1):
        x = separable(x, filters, f"decoder/decoder_conv{number}")
    return f.conv(x, labels, "logits/semantic") + f.drawn("logits/semantic/biases", (labels,))


def logits_of(f: Formulas, backbone: str, rgb: np.ndarray) -> Map:
    """Logits (h / 4, w / 4, 3) of uint8 (h, w, 3)."""
    x = rgb * f.facts.input_scale - 1
    x, tap = mobilenet_v2(f, x, 0.25) if backbone == "mobilenet_v2" else xception_41(f, x)
    return head(f, x, tap, filters=8, labels=3)
