"""Slides and pictures of the usual makes, read to their last pixel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from deeplab.slides.slide import open_slide
from deeplab.slides.tissue import tissue_mask
from tests.fuzz.harness import Target
from tests.slides_for_tests import halved, tissue, write_svs, write_tiff

WIDTH, HEIGHT = 300, 270
APERIO_JPEG2000 = 33005
# Tags by which Hamamatsu's files are known: the format, magnification, and where it lies.
NDPI = [(65420, 4, 1, 1, True), (65421, 11, 1, 20.0, True)]
NDPI += [(tag, 9, 1, 0, True) for tag in (65422, 65423, 65424)]


def write_seeds(folder: Path) -> Sequence[Path]:
    """Write a slide of each make into `folder` and return the files."""
    rgb, _ = tissue(WIDTH, HEIGHT)
    paths = [
        write_svs(folder / "aperio.svs", rgb, levels=2, tile=128),
        *_tiffs(folder, rgb),
        *_microscopes(folder, rgb),
    ]
    for name in ("picture.png", "picture.jpg", "picture.bmp", "picture.jp2", "strips.tif"):
        Image.fromarray(rgb).save(folder / name)
        paths.append(folder / name)
    return paths


def _tiffs(folder: Path, rgb: np.ndarray) -> Sequence[Path]:
    for compression in ("lzw", "deflate", "zstd", "packbits", None):
        yield write_tiff(
            folder / f"{compression}.tif", rgb, levels=2, tile=128, compression=compression
        )
    yield write_tiff(folder / "grey.tif", rgb[..., 0], compression="jpeg")
    options: dict[str, Any] = {"photometric": "rgb", "metadata": None, "software": False}
    with tifffile.TiffWriter(folder / "jpeg2000.svs") as tiff:
        for each in (rgb, halved(rgb)):
            tiff.write(each, tile=(128, 128), compression=APERIO_JPEG2000, **options)
    yield folder / "jpeg2000.svs"
    with tifffile.TiffWriter(folder / "big.tif", bigtiff=True) as tiff:
        tiff.write(rgb, tile=(128, 128), compression="deflate", predictor=True, **options)
    yield folder / "big.tif"
    with tifffile.TiffWriter(folder / "row-strips.tif") as tiff:
        tiff.write(rgb.astype(np.uint16) * 257, rowsperstrip=1, compression="lzw", **options)
    yield folder / "row-strips.tif"


def _microscopes(folder: Path, rgb: np.ndarray) -> Sequence[Path]:
    with tifffile.TiffWriter(folder / "channels.ome.tif", ome=True) as tiff:
        metadata = {"axes": "CYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
        planes = np.ascontiguousarray(rgb.transpose(2, 0, 1))
        tiff.write(planes, tile=(128, 128), subifds=1, metadata=metadata)
        tiff.write(planes[:, ::2, ::2], tile=(128, 128), subfiletype=1)
    yield folder / "channels.ome.tif"
    with tifffile.TiffWriter(folder / "hamamatsu.ndpi", byteorder="<") as tiff:
        for power, each in ((20.0, rgb), (10.0, halved(rgb))):
            tags = [(t, d, n, power if t == 65421 else v, w) for t, d, n, v, w in NDPI]
            tags.append((271, 2, 10, "Hamamatsu", True))
            tiff.write(
                each,
                photometric="ycbcr",
                compression="jpeg",
                rowsperstrip=each.shape[0],
                metadata=None,
                software=False,
                extratags=tags,
            )
    yield folder / "hamamatsu.ndpi"


def read(path: Path) -> None:
    """Open a slide, find its tissue and read all of it at two scales."""
    with open_slide(path, mpp=0.5) as slide:
        tissue_mask(slide)
        for mpp_work in (0.5, 1.0):
            frame = slide.frame(mpp_work)
            slide.read(frame, frame.box)


TARGET = Target(name="slides", seeds=write_seeds, parse=read)
