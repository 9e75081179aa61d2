"""How often and how a tile is looked at: at several scales, mirrored or not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from deeplab.errors import ConfigError

# Scales are quarters: then a tile that is a few cells longer than a multiple of the coarsest map's
# has corners of cells on its corners at every scale.
QUARTERS = 4
LEAST, MOST = 0.5, 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One look at a tile.

    Attributes:
        quarters: the scale it is resized by, in quarters: 4 for as it is.
        mirrored: left to right.
    """

    quarters: int = QUARTERS
    mirrored: bool = False


AS_IT_IS = (View(),)


def views_of(scales: Sequence[float], *, mirrored: Sequence[bool]) -> tuple[View, ...]:
    """Return a view at each scale, in each way.

    Raises:
        ConfigError: a scale is not a quarter from 0.5 to 2, or is there twice, or there is none.
    """
    must = f"different multiples of {1 / QUARTERS} from {LEAST} to {MOST:g}"
    if not scales or len(set(scales)) != len(scales):
        raise ConfigError("eval_scales", tuple(scales), must)
    for scale in scales:
        if not (LEAST <= scale <= MOST and float(scale * QUARTERS).is_integer()):
            raise ConfigError("eval_scales", tuple(scales), must)
    return tuple(
        View(quarters=int(scale * QUARTERS), mirrored=way) for scale in scales for way in mirrored
    )


def cell_multiple(views: Sequence[View]) -> int:
    """Return how many coarsest cells make the smallest tile that is whole at every scale."""
    return math.lcm(*(QUARTERS // math.gcd(QUARTERS, view.quarters) for view in views))


def reach_factor(views: Sequence[View]) -> float:
    """Return how many times farther than at scale 1 the farthest looking view sees on the slide."""
    return max(1.0, *(QUARTERS / view.quarters for view in views))
