"""What rematerialisation saves a training, and what it costs: one table, one run.

    python benchmarks/training_memory.py [--steps 4] [--most_gb 20]

Each training is `deeplab train` on a painted slide, in a process of its own, one after the other,
with one patch a step, without an average of weights. Memory is the most that the process held, all
that it needs for reading and for TensorFlow included; speed is that of the middle step. A process
that asks for more than it may have is ended, which the table says.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import subprocess
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from patch_reading import paint
from timed_process import DEEPLAB as OURS

D0 = ("--network", "efficientdet_seg", "--network_options", "size=d0")
DEEPLAB = ("--network", "deeplabv3plus", "--backbone", "mobilenet_v2")
TRAININGS = (
    ("EfficientDet D0", D0, 1024),
    ("EfficientDet D0", D0, 2048),
    ("DeepLabV3+ mobilenet_v2", DEEPLAB, 1025),
    ("DeepLabV3+ mobilenet_v2", DEEPLAB, 2049),
)
FIGURES = re.compile(r"learnt from (\S+) patches a second, in at most (\S+) GB of main memory")


@dataclass(frozen=True, slots=True)
class Cost:
    """What a training took: GB of memory, and the patches a second that it learnt from."""

    peak_gb: float
    patches_per_s: float


def main() -> None:
    """Train, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--most_gb", type=float, default=20.0, help="memory of a training")
    options = parser.parse_args()
    print(f"{os.cpu_count()} processors, float32, 1 patch a step, {options.steps} steps\n")
    print("| network | patch, px | GB | with | patches a second | with |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        slides = Path(name) / "slides"
        slides.mkdir()
        paint(slides)
        for words, network, side in TRAININGS:
            costs = [
                train(slides, (*network, "--patch_size", str(side), *more), options)
                for more in ((), ("--rematerialisation", "true"))
            ]
            memory = [f"{c.peak_gb:.1f}" if c else f"> {options.most_gb:g}" for c in costs]
            speed = [f"{c.patches_per_s:.3g}" if c else "" for c in costs]
            print(f"| {words} | {side:,} | {' | '.join([*memory, *speed])} |", flush=True)


def train(slides: Path, settings: tuple[str, ...], options: argparse.Namespace) -> Cost | None:
    """Return what a training took; None: more memory than it may have.

    Raises:
        RuntimeError: it failed without having asked for as much.
    """
    most = int(options.most_gb * 1e9)
    with tempfile.TemporaryDirectory() as folder:
        command = [*OURS, "train", str(slides), f"{folder}/m.zip"]
        command += ["--classes", "gland", "--batch_size", "1", "--steps", str(options.steps)]
        command += ["--validation_fraction", "0", "--ema_decay", "0", *settings]
        ended = subprocess.run(
            command,
            check=False,
            stderr=subprocess.STDOUT,
            stdout=subprocess.PIPE,
            text=True,
            # What it may hold of its own; what files of libraries take is beside that.
            preexec_fn=partial(resource.setrlimit, resource.RLIMIT_DATA, (most, most)),
        )
    if found := FIGURES.search(ended.stdout):
        return Cost(peak_gb=float(found[2]), patches_per_s=float(found[1]))
    if re.search(
        r"OOM|ResourceExhausted|bad_alloc|[Oo]ut of memory|allocate|allocating", ended.stdout
    ):
        return None
    raise RuntimeError(ended.stdout[-2000:])


if __name__ == "__main__":
    main()
