"""Train the demonstration model: nuclei against background at about 0.5 um per pixel.

    python benchmarks/demonstration/nuclei.py DATA WORK --output deeplab/demonstration/nuclei.zip

DATA holds two folders, each with `images/` and `masks/` of the same file stems:

dsb2018_nuclei_instances_cc0    the stained brightfield images of the 2018 Data Science Bowl
                                (Caicedo et al. 2019, Nat Methods 16:1247; corrected masks, CC0),
                                nuclei as 16-bit instance numbers
brecahad_nuclei_ccby4           breast H&E (Aksac et al. 2019, BMC Res Notes 12:82; CC BY 4.0),
                                nuclei as discs, by far not all of them

None of them states its um per pixel. We assume for each image the scale at which its median nucleus
covers 45 um2 (a disc 7.6 um across, as in most H&E sections), between 0.14 and 0.6 um per pixel.

One fifth of the DSB images, drawn by a hash of their names, is held out; BreCaHAD, whose outlines
are no outlines, is only learnt from: the middle of a disc is nucleus, what is pale or pink is
background, all else is ignored. WORK receives the prepared images and the run's checkpoints; a run
that was stopped goes on when started again.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import hashlib
import logging
import math
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from deeplab.annotations.raster.rasterize import draw
from deeplab.bundles.load import load_bundle
from deeplab.bundles.save import save_bundle
from deeplab.config.progress import silent
from deeplab.config.requests import SegmentRequest
from deeplab.config.toml import read_settings
from deeplab.config.train_request import TrainRequest
from deeplab.evaluation.semantic import Confusion
from deeplab.geometry.frames import Mpp, WorkFrame
from deeplab.inference.segment import segment_slide
from deeplab.training.train import train

log = logging.getLogger("nuclei")

HERE = Path(__file__).parent
MEDIAN_NUCLEUS_UM2 = 45.0
LEAST_MPP, GREATEST_MPP = 0.14, 0.6
HELD_OUT = 0.2
DISC_CORE = 0.6  # share of a disc's radius that is nucleus for sure
PALE_RED = 175  # of 255; no nucleus of these images is paler in red
IGNORE = 255
NOTICE = (
    "A demonstration: trained for an hour on 89 small public images. It shows how the program "
    "works; it is not for diagnosis."
)


def main() -> None:
    """Prepare, train, evaluate, and write the bundle."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)

    listing = prepare(options.data, options.work)
    bundle = options.work / "trained.zip"
    fields = {field.name for field in dataclasses.fields(TrainRequest)}
    given = read_settings(HERE / "nuclei.toml", fields)
    settings = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
    train(TrainRequest(source=str(listing), output_model=bundle, **settings), silent)

    confusion = held_out(listing, bundle)
    metrics = {"held-out dice nuclei": confusion.dice[1], "held-out iou nuclei": confusion.iou[1]}
    log.info("%s", metrics)
    trained = load_bundle(bundle)
    card = dataclasses.replace(
        trained.card,
        demonstration=True,
        notice=NOTICE,
        trained_on=(
            "DSB2018 stained brightfield nuclei (CC0), four fifths of 81 images, and BreCaHAD "
            "breast H&E (CC BY 4.0), 8 images; um per pixel assumed from a median nucleus of 45 um2"
        ),
        metrics={name: round(float(value), 4) for name, value in metrics.items()},
    )
    save_bundle(trained.network, card, options.output)


def prepare(data: Path, work: Path) -> Path:
    """Write images, masks (1 nucleus, 255 ignored) and the list of them; returns the list."""
    work.mkdir(parents=True, exist_ok=True)
    rows = []
    for folder, convert in (
        ("dsb2018_nuclei_instances_cc0", outlines),
        ("brecahad_nuclei_ccby4", discs),
    ):
        for path in sorted((data / folder / "images").iterdir()):
            rgb = np.asarray(Image.open(path).convert("RGB"))
            mask = np.asarray(Image.open(data / folder / "masks" / f"{path.stem}.png"))
            labels, median_px = convert(rgb, mask)
            mpp = math.sqrt(MEDIAN_NUCLEUS_UM2 / median_px)
            Image.fromarray(rgb).save(work / f"{path.stem}.png")
            Image.fromarray(labels).save(work / f"{path.stem}.mask.png")
            held = convert is outlines and share_of(path.stem) < HELD_OUT
            rows.append(
                {
                    "slide": f"{path.stem}.png",
                    "annotation": f"{path.stem}.mask.png",
                    "mpp": f"{min(max(mpp, LEAST_MPP), GREATEST_MPP):.3f}",
                    "split": "validation" if held else "train",
                }
            )
    listing = work / "list.csv"
    with listing.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return listing


def share_of(name: str) -> float:
    """Return a number from 0 to 1 that depends on a name alone."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) / 2**32


def outlines(_rgb: np.ndarray, instances: np.ndarray) -> tuple[np.ndarray, float]:
    """Labels of instance numbers, and the median area of an instance, pixels."""
    areas = np.bincount(instances.ravel())[1:]
    return (instances > 0).astype(np.uint8), float(np.median(areas[areas > 0]))


def discs(rgb: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, float]:
    """Labels of nuclei marked by discs, and a disc's area, pixels."""
    inside = mask > 127
    depth = ndimage.distance_transform_edt(inside)
    radius = float(depth.max())
    # Eosin lets red light through, haematoxylin does not: what is not dark in red is no nucleus.
    red = ndimage.gaussian_filter(rgb[..., 0].astype(np.float32), 2)
    doubtful = ndimage.binary_fill_holes(red < PALE_RED)
    doubtful = ndimage.binary_dilation(doubtful, iterations=3)
    doubtful |= ndimage.binary_dilation(inside, iterations=6)
    labels = np.where(doubtful, IGNORE, 0).astype(np.uint8)
    labels[depth > radius * (1 - DISC_CORE)] = 1
    return labels, math.pi * radius**2


def held_out(listing: Path, bundle: Path) -> Confusion:
    """Agreement on the images held out, pixel by pixel at their own resolution."""
    confusion = Confusion(2)
    with listing.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "validation"]
    for row in rows:
        image, out = listing.parent / row["slide"], listing.parent / f"{row['slide']}.anot"
        found = segment_slide(
            SegmentRequest(
                slide=str(image),
                model=bundle,
                output_annotation=out,
                slide_mpp=float(row["mpp"]),
                tissue="off",
                min_area_um2=0,
                simplify_um=0,
            ),
            silent,
        )
        truth = np.asarray(Image.open(listing.parent / row["annotation"]))
        height, width = truth.shape
        frame = WorkFrame.over(width, height, Mpp.square(1.0), 1.0)
        confusion.add(truth, draw(found.annotations, {"nuclei": 1}, frame.box, frame))
    return confusion


if __name__ == "__main__":
    main()
