"""Slides of many files, and TIFFs of pixels and codecs that are rarely met."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tifffile

from tests.containers_for_tests import write_dicom, write_zarr
from tests.fuzz.harness import Target
from tests.fuzz.targets.slides import read
from tests.slides_for_tests import tissue

WIDTH, HEIGHT = 300, 270
CODECS = ("webp", "jpegxl", "jpegxr", "lerc", "png", "jpeg2000", "lzma", "zstd")


def write_seeds(folder: Path) -> Sequence[Path]:
    """Write a slide of each make into `folder` and return the files and folders."""
    rgb, _ = tissue(WIDTH, HEIGHT)
    paths = [
        write_zarr(folder / "two.zarr", rgb),
        write_zarr(folder / "three.zarr", rgb.astype(np.uint16) * 257, version=3),
        write_dicom(folder / "dicom", rgb)[0].parent,
        write_dicom(folder / "single", rgb, levels=1)[0],
    ]
    write_zarr(folder / "packed", rgb)
    paths.append(Path(shutil.make_archive(str(folder / "packed.zarr"), "zip", folder / "packed")))
    options = {"photometric": "rgb", "metadata": None, "software": False}
    for codec in CODECS:
        paths.append(folder / f"{codec}.tif")
        tifffile.imwrite(paths[-1], rgb, tile=(128, 128), compression=codec, **options)
    kinds = {
        "apart": (rgb.transpose(2, 0, 1).copy(), {"planarconfig": "separate"}),
        "fractions": ((rgb / 255).astype(np.float32), {"compression": "deflate", "predictor": 3}),
        "inks": (np.dstack([255 - rgb, 0 * rgb[..., :1]]), {"photometric": "separated"}),
        "bits": (rgb[..., 0] > 128, {"photometric": "miniswhite"}),
    }
    for name, (pixels, kind) in kinds.items():
        paths.append(folder / f"{name}.tif")
        tifffile.imwrite(paths[-1], pixels, rowsperstrip=64, **{**options, **kind})
    return paths


TARGET = Target(name="containers", seeds=write_seeds, parse=read)
