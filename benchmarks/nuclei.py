"""How fast are nuclei found, by us and by TIAToolbox with the same network? One table, one run.

    python benchmarks/nuclei.py --sample SLIDE [--tiatoolbox PYTHON] [--side 1164] [--large 24576]

With --tiatoolbox, the Python of an environment that has it, HoVer-Net of the published size and
with the same weights (`hovernet_weights.py` makes them in some minutes) finds nuclei on a small
slide by both; by us twice, as the first run of a model converts it and tries it out, which takes as
long on a slide of any size. Then the demonstration models of DeepLabV3+ and of HoVer-Net are run on
a large one, both at 0.4 um per pixel. Slides are composed of the sample slide, repeated and
mirrored, and state 0.25 um per pixel. Each is segmented by a process of its own on all processors,
start, reading and writing included; peak memory is what the system says of it (ru_maxrss).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from slide_size import compose
from timed_process import DEEPLAB, run_timed

from deeplab.inference.trial import trial_tiles

MODELS = Path(__file__).parents[1] / "deeplab/demonstration"
MPP = 0.25  # um per pixel that the slides state
TYPES = 5
WEIGHTS = Path(__file__).with_name("hovernet_weights.py")
PICTURES = (480, 512, 544, 576)  # sides of the pictures of nuclei to learn from, beside the slide
SEGMENT = """
import sys, torch
from tiatoolbox.models.architecture.hovernet import HoVerNet
from tiatoolbox.models.engine.io_config import IOInstanceSegmentorConfig
from tiatoolbox.models.engine.nucleus_instance_segmentor import NucleusInstanceSegmentor
network = HoVerNet(num_types=int(sys.argv[2]), mode="original")
network.load_state_dict(torch.load(sys.argv[1])["desc"])
at = {"units": "mpp", "resolution": 0.25}
config = IOInstanceSegmentorConfig(
    input_resolutions=[at], output_resolutions=[at, at, at], save_resolution=at, margin=128,
    tile_shape=[1024, 1024], patch_input_shape=[270, 270], patch_output_shape=[80, 80],
    stride_shape=[80, 80],
)
NucleusInstanceSegmentor(network, batch_size=8, device="cpu", verbose=False).run(
    [sys.argv[3]], patch_mode=False, ioconfig=config, save_dir=sys.argv[4],
    output_type="annotationstore", overwrite=True,
)
"""


@dataclass(frozen=True, slots=True)
class Run:
    """One process's way through a slide."""

    what: str
    megapixels: float
    seconds: float
    peak_mb: float

    @property
    def speed(self) -> float:
        """Megapixels a second."""
        return self.megapixels / self.seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=Path, required=True, help="slide to compose others of")
    parser.add_argument("--tiatoolbox", type=Path, help="Python that has it")
    parser.add_argument("--weights", type=Path, help="of HoVer-Net; made there (.tar) if absent")
    parser.add_argument("--side", type=int, default=1164, help="of the small slide, px")
    parser.add_argument("--large", type=int, default=24576, help="side of the large slide, px")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DEEPLAB_CACHE"] = str(Path(folder, "cache"))  # every model is new
        pairs = [] if options.tiatoolbox is None else [_published(options, Path(folder))]
        if options.large:
            pairs.append(_light(options, Path(folder)))
    print("| program and model | Mpx | s | Mpx/s | peak MB | speed x the first of its slide |")
    print("|---|---|---|---|---|---|")
    for pair in pairs:
        for run in pair:
            print(
                f"| {run.what} | {run.megapixels:.1f} | {run.seconds:.0f} | {run.speed:.4f} "
                f"| {run.peak_mb:.0f} | {run.speed / pair[0].speed:.2f} |"
            )


def _published(options: argparse.Namespace, folder: Path) -> list[Run]:
    """The published network by TIAToolbox and by us."""
    slide = compose(options.sample, options.side, folder / "small.tiff", MPP)
    weights, model = options.weights or folder / "hovernet.tar", folder / "hovernet.zip"
    theirs = [str(options.tiatoolbox), "-c"]
    # A type more, since theirs counts the background.
    labels = str(TYPES + 1)
    if not weights.exists():
        pictures = folder / "pictures.npz"
        tiles = (trial_tiles(side)[0] for side in PICTURES)
        np.savez(pictures, tifffile.imread(slide), *tiles)
        made = [str(options.tiatoolbox), str(WEIGHTS), str(weights), labels, str(pictures)]
        subprocess.run(made, check=True, capture_output=True)
    words = ["import-checkpoint", str(weights), "--output", str(model)]
    subprocess.run([*DEEPLAB, *words], check=True, capture_output=True)
    there = [str(weights), labels, str(slide), str(folder / "theirs")]
    area = options.side**2 / 1e6
    return [
        _timed("TIAToolbox, HoVer-Net", area, [*theirs, SEGMENT, *there]),
        _timed("deeplab, HoVer-Net, new", area, _segment(slide, model, folder)),
        _timed("deeplab, HoVer-Net, again", area, _segment(slide, model, folder)),
    ]


def _light(options: argparse.Namespace, folder: Path) -> list[Run]:
    """The demonstration models, of labels and of single nuclei."""
    slide = compose(options.sample, options.large, folder / "large.tiff", MPP)
    area = options.large**2 / 1e6
    return [
        _timed("deeplab, DeepLabV3+", area, _segment(slide, MODELS / "nuclei.zip", folder)),
        _timed(
            "deeplab, light HoVer-Net",
            area,
            _segment(slide, MODELS / "nuclei_instances.zip", folder),
        ),
    ]


def _segment(slide: Path, model: Path, folder: Path) -> list[str]:
    written = folder / f"{slide.stem}-{model.stem}.anot"
    words = ["segment", str(slide), "--model", str(model), "--annotation", str(written)]
    return [*DEEPLAB, *words]


def _timed(what: str, megapixels: float, command: Sequence[str]) -> Run:
    taken = run_timed(command, what)
    return Run(what, megapixels, taken.seconds, taken.peak_mb)


if __name__ == "__main__":
    main()
