"""Which tiles a network accepts, and what part of one it answers for."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from deeplab.errors import ConfigError

USUAL_SIDE = 1024  # work pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiling:
    """The sides of tiles that a network accepts, in work pixels, and what it makes of one.

    Attributes:
        multiple: A side is a multiple of this, plus `extra`.
        extra: 1 where corners of the coarsest map lie on corners of the tile.
        reach: How far from a pixel the network looks for its answer there.
        logit_stride: Work pixels from one logit to the next.
        margin: Read on every side of a tile and not answered, by convolutions without padding.
        only: The one side that is accepted, 0 for any of the rule.
        usual: About the side that suits a network whose maps are large; 0: as the halo does.
        decoder_reach: How far the network's decoder looks, work pixels, if it can be run on the
            middle of a tile only; 0: it cannot.
    """

    multiple: int
    extra: int
    reach: int
    logit_stride: int
    margin: int = 0
    only: int = 0
    usual: int = 0
    decoder_reach: int = 0

    def __post_init__(self) -> None:
        for name in ("multiple", "logit_stride"):
            if getattr(self, name) < 1:
                raise ConfigError(name, getattr(self, name), "at least 1")
        for name in ("extra", "reach", "margin", "only", "decoder_reach"):
            if getattr(self, name) < 0:
                raise ConfigError(name, getattr(self, name), "at least 0")
        if self.extra >= self.multiple:
            raise ConfigError("extra", self.extra, f"below {self.multiple}")
        if self.usual:
            self.check(tile=self.round_up(self.usual), halo=self.halo, called="usual")
        if self.only and not self._is_whole(self.only):
            must = f"of {self.extra} beside multiples of {self.multiple} and beyond the margin"
            raise ConfigError("only", self.only, must)

    @property
    def rule(self) -> str:
        """The sides that are accepted, in words."""
        if self.only:
            return str(self.only)
        plus = f" plus {self.extra}" if self.extra else ""
        least = f", at least {self.least}" if self.margin else ""
        return f"a multiple of {self.multiple}{plus}{least}"

    @property
    def least(self) -> int:
        """The least side of which something is answered."""
        return self.round_up(2 * self.margin + 1)

    @property
    def halo(self) -> int:
        """What is cut off on every side so that no answer depends on the tile."""
        return self.whole(max(self.reach, self.margin))

    def trimmed(self, halo: int) -> int:
        """Return how much of a halo need not be answered on every side of a tile, work pixels.

        The decoder then runs on what is kept and as far around that as it looks, in whole cells.
        """
        if not self.decoder_reach:
            return self.margin
        return max(self.margin, halo - self.whole(self.decoder_reach))

    def accepts(self, side: int) -> bool:
        """Tell whether the network takes tiles of this side."""
        return side == self.only if self.only else self._is_whole(side)

    def round_up(self, side: int) -> int:
        """Return the least side by the rule that is no smaller, of one multiple at least."""
        return max(1, math.ceil((side - self.extra) / self.multiple)) * self.multiple + self.extra

    def whole(self, pixels: int) -> int:
        """Return the least multiple that is no shorter: what a halo must be."""
        return math.ceil(pixels / self.multiple) * self.multiple

    def times(self, cells: int) -> Tiling:
        """Return the tiling of so many times the multiple, for tiles that are resized, too."""
        return replace(self, multiple=self.multiple * cells)

    def step(self, tile: int, halo: int) -> int:
        """Return the distance from one tile to the next: what is kept of each, whole multiples."""
        return tile - self.extra - 2 * halo

    def check(self, *, tile: int, halo: int, called: str = "tile") -> None:
        """Raise ConfigError unless tiles of a side, with a halo cut off, can cover an area.

        `called` is what the sentence calls the side: its name where the user has given it.
        """
        if not self.accepts(tile):
            raise ConfigError(called, tile, self.rule)
        if halo < self.margin or halo % self.multiple:
            least = f", at least {self.whole(self.margin)}" if self.margin else ""
            raise ConfigError("halo", halo, f"a multiple of {self.multiple}{least}")
        if self.step(tile, halo) < self.multiple:
            if self.only:
                most = (self.only - self.extra - self.multiple) // (2 * self.multiple)
                raise ConfigError("halo", halo, f"at most {most * self.multiple}")
            least_tile = 2 * halo + self.multiple + self.extra
            raise ConfigError(called, tile, f"at least {least_tile} with a halo of {halo}")

    def side_with(self, halo: int, *, most: int) -> int:
        """Return a usual side, no longer than `most`, with a halo of so many pixels.

        Of longer halos the tile has three times each: then 44 % of what is read is kept. A network
        may say what is usual for it.
        """
        if self.only:
            return self.only
        longest = (most - self.extra) // self.multiple * self.multiple + self.extra
        return min(self.round_up(self.usual or max(USUAL_SIDE, 6 * halo)), longest)

    def _is_whole(self, side: int) -> bool:
        return side >= self.least and side % self.multiple == self.extra
