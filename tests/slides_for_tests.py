"""Slides painted in code, and the files that carry them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy import ndimage

Rgb = NDArray[np.uint8]

GLASS = (243, 242, 244)
PINK = (214, 150, 190)
PURPLE = (110, 70, 150)
RAMP = 0.9  # steps of colour per pixel; not whole, so that rounding falls either way


def ramp(width: int, height: int) -> Rgb:
    """Red is 0.9 x and green 0.9 y of a pixel's centre, blue is 128; up to 280 pixels.

    Noise of one step stands in for the fractions that bytes have not, so that means are exact.
    """
    dither = np.random.default_rng(1).random((2, height, width))
    rgb = np.full((height, width, 3), 128, np.uint8)
    rgb[..., 0] = RAMP * (np.arange(width) + 0.5) + dither[0]
    rgb[..., 1] = RAMP * (np.arange(height)[:, None] + 0.5) + dither[1]
    return rgb


def noise(width: int, height: int, *, seed: int = 0) -> Rgb:
    """No two places alike: a shift by one pixel shows everywhere."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def tissue(width: int, height: int, *, seed: int = 0) -> tuple[Rgb, NDArray[np.bool_]]:
    """Pink tissue with purple nuclei on glass, and where the tissue is."""
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.standard_normal((height, width)), min(width, height) / 10)
    there = field > np.quantile(field, 0.6)
    grain = ndimage.gaussian_filter(rng.standard_normal((height, width)), 3)
    nuclei = there & (grain > np.quantile(grain, 0.85))
    rgb = np.empty((height, width, 3), np.float64)
    rgb[:], rgb[there], rgb[nuclei] = GLASS, PINK, PURPLE
    rgb += rng.normal(0, 3, rgb.shape)
    return np.clip(rgb, 0, 255).astype(np.uint8), there


def halved(rgb: Rgb) -> Rgb:
    """Each 2 x 2 pixels as one; a last odd row or column is left out, as scanners do."""
    height, width = rgb.shape[0] // 2 * 2, rgb.shape[1] // 2 * 2
    four = rgb[:height, :width].reshape(height // 2, 2, width // 2, 2, -1)
    return np.rint(four.mean(axis=(1, 3))).astype(np.uint8)


def write_tiff(
    path: Path,
    rgb: NDArray,
    *,
    mpp: float | None = 0.5,
    tile: int = 256,
    levels: int = 1,
    compression: str | None = "jpeg",
    quality: int = 90,
    description: str | None = None,
) -> Path:
    """A tiled, pyramidal TIFF of `rgb`; each level is half of the one before."""
    options: dict = {"metadata": None, "software": False, "tile": (tile, tile)}
    options["photometric"] = "rgb" if rgb.ndim == 3 else "minisblack"
    if rgb.ndim == 3 and rgb.shape[2] == 4:
        options["extrasamples"] = ["unassalpha"]
    if compression == "jpeg":
        options["compression"] = "jpeg"
        options["compressionargs"] = {"level": quality}
    elif compression:
        options["compression"] = compression
    with tifffile.TiffWriter(path) as tiff:
        for level in range(levels):
            if mpp is not None:
                per_cm = 1e4 / (mpp * 2**level)
                options |= {"resolution": (per_cm, per_cm), "resolutionunit": 3}
            first = level == 0
            tiff.write(
                rgb,
                subfiletype=int(not first),
                description=description if first else None,
                **options,
            )
            if level + 1 < levels:
                rgb = halved(rgb)
    return path


def write_svs(
    path: Path, rgb: Rgb, *, mpp: float | None = 0.5, tile: int = 256, levels: int = 1
) -> Path:
    """A file that OpenSlide and large_image take for one of an Aperio scanner."""
    height, width = rgb.shape[:2]
    scale = f"|AppMag = 20|MPP = {mpp}" if mpp is not None else "|AppMag = 20"
    description = (
        f"Aperio Image Library v12.0.15 \r\n{width}x{height} [0,0 {width}x{height}] "
        f"({tile}x{tile}) JPEG/RGB Q=90{scale}"
    )
    return write_tiff(path, rgb, mpp=None, tile=tile, levels=levels, description=description)
