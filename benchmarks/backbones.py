"""What each backbone costs in DeepLabV3+: numbers, multiply-adds and time, in one table, one run.

    python benchmarks/backbones.py [--rounds 5]

Networks have the head they are trained with here: 6, 12, 18 at output stride 16 with a decoder, or
the one they were published with. Multiply-adds are those of the convolutions for 512 x 512 pixels.
Times are taken in turns on all processors, a tile at a time, and the shortest of the rounds counts,
which other work on the machine disturbs least; "x" is that over mobilenet_v2's.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from deeplab.config.backbones import BACKBONES
from deeplab.config.deeplabv3plus import DeepLabV3PlusConfig
from deeplab.models.deeplabv3plus.network import build

SIDE = 512
REFERENCE = "mobilenet_v2"
# The head of MobileNetV3 and its kin as they were published, but for the window of its pooling.
LIGHT = {
    "output_stride": 32,
    "decoder_output_stride": 8,
    "atrous_rates": (),
    "image_pooling": "hard_gate",
    "aspp_merge": "concat",
    "aspp_filters": 128,
    "decoder_merge": "sum",
    "decoder_output": "logits",
    "decoder_filters": 2,
}
HEADS = {
    "mobilenet_v3_large_seg": LIGHT,
    "mobilenet_v3_small_seg": LIGHT,
    "nas_hnasnet": {"output_stride": 8},
    "preact_resnet50": {"output_stride": 8},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One network, ready to be timed."""

    name: str
    parameters: int
    multiply_adds: int
    output_stride: int
    run: Callable[[], object]


def main() -> None:
    """Build, count, time and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    candidates = [candidate(name) for name in BACKBONES]
    for one in candidates:  # tracing, and what the first step makes room for
        one.run()
    seconds = [{one.name: timed(one.run) for one in candidates} for _ in range(rounds)]
    print(f"{os.cpu_count()} processors, {rounds} rounds, TensorFlow {tf.__version__}, float32\n")
    print("| backbone | output stride | parameters | multiply-adds | ms | x | paper |")
    print("|---|---|---|---|---|---|---|")
    for one in candidates:
        best_ms, reference_ms = (
            1000 * min(turn[name] for turn in seconds) for name in (one.name, REFERENCE)
        )
        print(
            f"| {one.name} | {one.output_stride} | {one.parameters / 1e6:.1f} M "
            f"| {one.multiply_adds / 1e9:.1f} G | {best_ms:.0f} "
            f"| {best_ms / reference_ms:.1f} | {BACKBONES[one.name].paper} |"
        )


def candidate(name: str) -> Candidate:
    """The network of a backbone with its head, for two labels."""
    config = DeepLabV3PlusConfig(label_count=2, backbone=name, **HEADS.get(name, {}))
    network = build(config)
    compiled = tf.function(lambda rgb: network(rgb, training=False))
    rgb = tf.constant(np.random.default_rng(0).integers(0, 256, (1, SIDE, SIDE, 3), np.uint8))
    return Candidate(
        name=name,
        parameters=network.count_params(),
        multiply_adds=multiply_adds(network),
        output_stride=config.output_stride,
        run=lambda: compiled(rgb),
    )


def multiply_adds(network: keras.Model) -> int:
    """Those of the convolutions of a tile of SIDE x SIDE."""
    sized = keras.models.clone_model(
        network, input_tensors=keras.Input((SIDE, SIDE, 3), batch_size=1, dtype="uint8")
    )
    total = 0
    for layer in sized.layers:
        if isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D):
            _, height, width, channels = layer.output.shape
            # A depthwise kernel (h, w, c, 1) makes each output of h w numbers, another of h w c.
            depthwise = isinstance(layer, layers.DepthwiseConv2D)
            taps = int(np.prod(layer.kernel.shape[: 2 if depthwise else 3]))
            total += height * width * channels * taps
    return total


def timed(run: Callable[[], object]) -> float:
    """Seconds of one run."""
    started = time.perf_counter()
    np.asarray(next(iter(run().values())))
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
