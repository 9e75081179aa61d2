"""Does a training step keep pace with a plain PyTorch loop of equal cost? One table, one run.

    python benchmarks/training_step.py --torch PYTHON [--backbone mobilenet_v2] [--steps 12]

Ours is `deeplab train` on a painted slide, input, augmentation and loss included, without an
average of weights. The loop trains segmentation_models_pytorch's DeepLabV3+ of the same backbone on
one batch of noise that stays in memory: cross entropy, SGD with momentum. --torch is the Python of
an environment that has it. Both in float32 and in bfloat16 (the loop by autocast), with patches and
batches of one size, each in a process of its own on all processors. Speed is that of the middle
step, memory the most that the process held.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from pathlib import Path

from patch_reading import paint
from slide import THEIR_NAMES
from timed_process import DEEPLAB
from training_memory import FIGURES, Cost

LOOP = """
import json, resource, statistics, sys, time
import torch
import segmentation_models_pytorch as smp
backbone, side, batch, steps, halves = sys.argv[1], *map(int, sys.argv[2:5]), sys.argv[5] == "bf16"
network = smp.DeepLabV3Plus(backbone, encoder_weights=None, classes=2).train()
moved = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9)
pixels, labels = torch.rand(batch, 3, side, side), torch.randint(0, 2, (batch, side, side))
taken = []
for _ in range(steps):
    began = time.monotonic()
    moved.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=halves):
        loss = torch.nn.functional.cross_entropy(network(pixels).float(), labels)
    loss.backward()
    moved.step()
    taken.append(time.monotonic() - began)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
print(json.dumps([peak, batch / statistics.median(taken)]))
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch", type=Path, required=True, help="Python that has the loop's")
    parser.add_argument("--backbone", choices=THEIR_NAMES, default="mobilenet_v2")
    parser.add_argument("--side", type=int, default=512, help="of a patch, px")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=12)
    options = parser.parse_args()
    rows: dict[str, Cost] = {}
    with tempfile.TemporaryDirectory() as name:
        slides = Path(name) / "slides"
        slides.mkdir()
        paint(slides)
        for called, precision, given in (
            ("float32", "float32", "f32"),
            ("bfloat16", "mixed_bfloat16", "bf16"),
        ):
            rows[f"PyTorch, {called}"] = train_theirs(options, given)
            rows[f"`deeplab train`, {called}"] = train_ours(slides, options, precision)
    print(
        f"{options.backbone}, {options.batch} of {options.side} px, {os.cpu_count()} processors\n"
    )
    print("| program | patches a second | GB | speed x PyTorch's |\n|---|---|---|---|")
    theirs = 1.0
    for what, cost in rows.items():
        theirs = cost.patches_per_s if what.startswith("PyTorch") else theirs
        ratio = cost.patches_per_s / theirs
        print(f"| {what} | {cost.patches_per_s:.2f} | {cost.peak_gb:.1f} | {ratio:.2f} |")


def train_theirs(options: argparse.Namespace, given: str) -> Cost:
    """Return what the loop took."""
    sizes = [str(each) for each in (options.side, options.batch, options.steps)]
    words = [THEIR_NAMES[options.backbone], *sizes, given]
    ended = subprocess.run(
        [str(options.torch), "-c", LOOP, *words], check=True, stdout=subprocess.PIPE, text=True
    )
    return Cost(*json.loads(ended.stdout))


def train_ours(slides: Path, options: argparse.Namespace, precision: str) -> Cost:
    """Return what our training took."""
    with tempfile.TemporaryDirectory() as folder:
        command = [*DEEPLAB, "train", str(slides), f"{folder}/m.zip", "--classes", "gland"]
        command += ["--network", "deeplabv3plus", "--backbone", options.backbone, "--gpu", "-1"]
        command += ["--patch_size", str(options.side + 1), "--batch_size", str(options.batch)]
        command += ["--steps", str(options.steps), "--precision", precision]
        command += ["--validation_fraction", "0", "--ema_decay", "0"]
        ended = subprocess.run(
            command, check=True, stderr=subprocess.STDOUT, stdout=subprocess.PIPE, text=True
        )
    found = FIGURES.search(ended.stdout)
    if found is None:
        raise RuntimeError(f"the training did not say its speed:\n{ended.stdout[-2000:]}")
    return Cost(peak_gb=float(found[2]), patches_per_s=float(found[1]))


if __name__ == "__main__":
    main()
