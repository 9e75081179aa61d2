"""The levels of a slide by their um per pixel, for patches that are read off one as it is."""

from __future__ import annotations

from deeplab.errors import ScaleError
from deeplab.slides.slide import Slide

TOLERANCE = 0.1  # of the resolution asked for, by which a level may differ


def level_near(slide: Slide, resolution: float) -> float:
    """Return the um per pixel of the finest level that is within a tenth of a resolution.

    Raises:
        ScaleError: the slide has no such level.
    """
    near = (mpp for mpp in slide.level_mpps if abs(mpp - resolution) <= TOLERANCE * resolution)
    found = next(near, None)
    if found is None:
        told = ", ".join(f"{mpp:.4g}" for mpp in slide.level_mpps)
        raise ScaleError(
            slide.name,
            f"has no level within a tenth of {resolution:g} um per pixel (its levels have {told});"
            " give one of these as resolution, or any as work_mpp, to which patches are scaled",
        )
    return found
