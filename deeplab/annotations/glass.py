"""Where the pixels of a slide lie on its glass, from whose middle some programs count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deeplab.geometry.frames import Mpp

NM_PER_UM = 1000.0

Places = NDArray[np.float64]  # (places, 2) as x, y


@dataclass(frozen=True, slots=True, kw_only=True)
class Glass:
    """The pixels of a slide on its glass.

    Attributes:
        mpp: um per level-0 pixel.
        offset_nm: x and y of the middle of the pixels, from the middle of the glass.
        width_level0: of the slide.
        height_level0: of the slide.
    """

    mpp: Mpp
    offset_nm: tuple[float, float]
    width_level0: int
    height_level0: int

    def pixels(self, places_nm: Places) -> Places:
        """Return the level-0 pixels (places, 2) of places (places, 2) on the glass."""
        scale = NM_PER_UM * np.array([self.mpp.x, self.mpp.y])
        middle = np.array([self.width_level0, self.height_level0]) / 2
        pixels: Places = (places_nm - np.array(self.offset_nm)) / scale + middle
        return pixels


FindGlass = Callable[[], Glass | None]  # asks a server; None: it does not know
