"""Slides and pictures of the usual makes, read to their last pixel."""

from __future__ import annotations

import io
import struct
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
MAKER = 271
SIGNED = (65422, 65423, 65424)  # where a slide lies, and how deep


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
    levels = [(20.0, rgb), (10.0, halved(rgb))]
    (folder / "hamamatsu.ndpi").write_bytes(_ndpi(levels))
    yield folder / "hamamatsu.ndpi"


def _ndpi(levels: Sequence[tuple[float, np.ndarray]]) -> bytes:
    """A file of Hamamatsu: a JPEG for each level, and offsets of directories in 8 bytes."""
    raw, link = bytearray(b"II*\0" + bytes(8)), 4
    for power, rgb in levels:
        packed = io.BytesIO()
        Image.fromarray(rgb).save(packed, "JPEG", restart_marker_rows=1)
        jpeg, height, width = packed.getvalue(), *rgb.shape[:2]
        strip, maker = len(raw), len(raw) + len(jpeg)
        raw += jpeg + b"Hamamatsu\0"
        tags = {256: width, 257: height, 258: 8, 259: 7, 262: 6, 271: maker, 273: strip, 277: 3}
        tags |= {278: height, 279: len(jpeg), 65420: 1, 65421: power, 65422: 0, 65423: 0, 65424: 0}
        raw[link : link + 8] = struct.pack("<Q", len(raw))
        raw += struct.pack("<H", len(tags))
        for code, value in tags.items():
            kind, count = (2, 10) if code == MAKER else (9 if code in SIGNED else 4, 1)
            layout, kind = ("<HHIf", 11) if isinstance(value, float) else ("<HHII", kind)
            raw += struct.pack(layout, code, kind, count, value)
        link = len(raw)
        raw += bytes(8 + 4 * len(tags))
    return bytes(raw)


def read(path: Path) -> None:
    """Open a slide, find its tissue and read all of it at two scales."""
    with open_slide(path, mpp=0.5) as slide:
        tissue_mask(slide)
        for work_mpp in (0.5, 1.0):
            frame = slide.frame(work_mpp)
            slide.read(frame, frame.box)


TARGET = Target(name="slides", seeds=write_seeds, parse=read)
