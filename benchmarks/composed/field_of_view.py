"""Does a larger field of view help? Two networks, patches of 1,024 and of 256 px, the same time.

    python benchmarks/composed/field_of_view.py DATA WORK --composer PROGRAM [--minutes 30]

DATA has `images/` and `masks/` (255: metastasis) of tiles of lymph nodes (CAMELYON, CC0). Of them,
by name, the last fifth is for the test and the fifth before it for validation; PROGRAM, which
tumour.py describes, composes a slide of each side, and of the rest one to learn from. A training is
one command, of as many steps as take so many minutes of processor time on this machine: two short
ones before say how much a step takes, whatever else the machine does. The batch is as large as has
the pixels of one large patch. The test slide is segmented and evaluated whole, and so is that of
validation, which chooses nothing.
"""

from __future__ import annotations

import argparse
import csv
import math
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tumour import cpu_seconds, link_tiles

MEMORY = re.compile(r"in at most (\S+) GB of main memory")
CLASS = "metastasis"
SEEDS = {"train": 0, "validation": 1, "test": 2}
WORK_MPP = 1.0
COMMON = (
    *("--classes", CLASS, "--work_mpp", str(WORK_MPP), "--gpu", "-1", "--keep", "last"),
    *("--ema_decay", "0.99", "--augment", "0.7", "--seed", "1", "--learning_rate", "1e-3"),
)
DEEPLAB = (
    *("--network", "deeplabv3plus", "--backbone", "mobilenet_v2"),
    *("--aspp_filters", "128", "--decoder_filters", "128"),
)
D0 = ("--network", "efficientdet_seg", "--network_options", "size=d0")
# Of a training of so many steps, one of so many takes that much less.
PROBE_STEPS = (4, 20)


@dataclass(frozen=True, slots=True)
class Arm:
    """A training: a network, the side and number of its patches, and of the tiles it answers.

    EfficientDet looks far around each pixel, so of large tiles more is kept: those here take 6 GB.
    """

    name: str
    network: tuple[str, ...]
    side: int
    batch: int
    tile: int = 0  # as the model suggests

    @property
    def words(self) -> tuple[str, ...]:
        """Its settings."""
        return (*self.network, "--patch_size", str(self.side), "--batch_size", str(self.batch))


ARMS = (
    Arm("DeepLabV3+ mobilenet_v2", DEEPLAB, 1025, 1),
    Arm("DeepLabV3+ mobilenet_v2", DEEPLAB, 257, 16),
    Arm("EfficientDet D0", D0, 1024, 1, tile=6400),
    Arm("EfficientDet D0", D0, 256, 16, tile=5632),
)


def main() -> None:
    """Compose, train, evaluate."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--composer", type=Path, required=True)
    parser.add_argument("--size", type=int, default=24_576, help="side of each slide, px")
    parser.add_argument("--minutes", type=float, default=30.0, help="of a processor, a training")
    options = parser.parse_args()
    slides = {side: compose(options, side) for side in SEEDS}
    print(
        "| network | patch, px | a step | steps | CPU minutes | GB | mean IoU | IoU | validation |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for arm in ARMS:
        folder = options.work / f"{arm.network[1]}-{arm.side}"
        folder.mkdir(exist_ok=True)
        steps = math.ceil(options.minutes / minutes_a_step(slides["train"], folder, arm))
        model = folder / "model.zip"
        gigabytes, minutes = train(slides["train"], model, arm, steps)
        test = judge(slides["test"], model, arm.tile)
        validation = judge(slides["validation"], model, arm.tile)
        print(
            f"| {arm.name} | {arm.side:,} | {arm.batch} | {steps:,} | {minutes:.0f} "
            f"| {gigabytes:.1f} | {test['mean_iou']:.3f} | {test['iou']:.3f} "
            f"| {validation['mean_iou']:.3f} |",
            flush=True,
        )


def compose(options: argparse.Namespace, side: str) -> Path:
    """Return the folder of the slide of one side, with its mask beside it."""
    tiles = sorted((options.data / "images").iterdir())
    fifth = math.ceil(len(tiles) / 5)
    chosen = {"train": tiles[: -2 * fifth], "validation": tiles[-2 * fifth : -fifth]}
    folder = options.work / side
    pairs = link_tiles(chosen.get(side, tiles[-fifth:]), options.work / "tiles" / side)
    folder.mkdir(exist_ok=True)
    slide = folder / f"{side}.svs"
    if not slide.exists():
        words = [sys.executable, str(options.composer), str(slide), "--size", str(options.size)]
        words += ["--seed", str(SEEDS[side])]
        words += ["--pairs", f"{pairs}:1:{CLASS}"]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        slide.with_suffix(".xml").unlink()  # the mask is exact
    return folder


def minutes_a_step(slides: Path, folder: Path, arm: Arm) -> float:
    """Return the CPU minutes that a step takes, start-up apart."""
    few, many = (
        train(slides, folder / f"probe{steps}.zip", arm, steps)[1] for steps in PROBE_STEPS
    )
    return (many - few) / (PROBE_STEPS[1] - PROBE_STEPS[0])


def train(slides: Path, model: Path, arm: Arm, steps: int) -> tuple[float, float]:
    """Train, and return the most memory in GB, and CPU minutes."""
    words = ["train", str(slides), str(model), *COMMON, *arm.words, "--steps", str(steps)]
    words += ["--validation_fraction", "0", "--slow_start_step", str(min(100, steps // 2))]
    before = cpu_seconds()
    said = deeplab(*words)
    found = MEMORY.search(said)
    if found is None:
        sys.exit(said[-2000:])
    return float(found[1]), (cpu_seconds() - before) / 60


def judge(slides: Path, model: Path, tile: int) -> dict[str, float]:
    """Return the figures of a model on a whole slide."""
    name = slides.name
    predicted = model.parent / f"{name}.mask.tiff"
    table = model.parent / f"{name}.csv"
    # As the network gives it: nothing dropped, nothing straightened, all of the slide.
    deeplab(
        *("segment", str(slides / f"{name}.svs"), "--model", str(model)),
        *("--output_mask", str(predicted), "--tissue", "off", "--min_area_um2", "0"),
        *("--tile_size", str(tile)),
    )
    deeplab(
        *("evaluate", str(slides / f"{name}.mask.tif"), str(predicted), "--classes", CLASS),
        *("--slide", str(slides / f"{name}.svs"), "--table", str(table)),
    )
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    known = (row for row in rows if row["level"] == "pooled" and row["value"])
    return {row["metric"]: float(row["value"]) for row in known if row["class"] in ("", CLASS)}


def deeplab(*words: str) -> str:
    """Run a command and return what it says; leave the benchmark with that if it fails."""
    ended = subprocess.run(
        [sys.executable, "-m", "deeplab_cli.entry", *words],
        check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    if ended.returncode:
        sys.exit(ended.stdout[-2000:])
    return ended.stdout


if __name__ == "__main__":
    main()
