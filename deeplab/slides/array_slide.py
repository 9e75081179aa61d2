"""A slide made of an array: for tests, examples and small images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from deeplab.errors import ConfigError
from deeplab.geometry.frames import Mpp
from deeplab.slides.pyramid import PyramidShape, PyramidSlide, Rgb, Tile


class ArraySlide(PyramidSlide):
    """`rgb`, uint8 (height_level0, width_level0, 3), as a slide of `mpp` um per pixel."""

    def __init__(self, rgb: NDArray[np.uint8], mpp: Mpp, name: str = "array") -> None:
        if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or not rgb.size:
            raise ConfigError("rgb", f"{rgb.dtype} {rgb.shape}", "uint8 (height, width, 3)")
        super().__init__(_OneTile(rgb), name=name, mpp=mpp)


class _OneTile:
    """An array as a pyramid of one level with one tile."""

    description = "array"
    kind = ""

    def __init__(self, rgb: Rgb) -> None:
        self._rgb = rgb
        height, width = rgb.shape[:2]
        self.shape = PyramidShape(
            width_level0=width,
            height_level0=height,
            tile_width=width,
            tile_height=height,
            levels=1,
            usable=(0,),
        )

    def read(self, tiles: Sequence[Tile]) -> list[Rgb]:
        """Return the array, once for each tile asked for."""
        return [self._rgb for _ in tiles]

    def close(self) -> None:
        """Nothing is held."""
