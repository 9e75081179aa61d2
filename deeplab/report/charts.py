"""How charts look, and their way to PNG."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font

INK, QUIET, GRID = "#1f2a33", "#6b7780", "#e3e7ea"
DPI = 144


FAMILY = "DejaVu Sans"  # comes with matplotlib
NO_GLYPH = "□"


@contextmanager
def chart_style() -> Iterator[None]:
    """Draw as matplotlib does by itself, whatever the user's matplotlibrc says, and no formulas.

    Names are drawn as they are written: `a$x_1$b` is no formula. To be put over every function that
    draws a chart.
    """
    with style.context(["default", {"text.parse_math": False, "font.family": FAMILY}]):
        yield


def plain(axes: Axes) -> None:
    """Axes with no more lines than are read."""
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(QUIET)
    axes.grid(axis="y", color=GRID)
    axes.set_axisbelow(True)
    axes.tick_params(colors=QUIET, length=0)


def short(name: str) -> str:
    """Return a name that fits beside a tick."""
    return drawable(name if len(name) <= 18 else name[:17] + "…")


def drawable(text: str) -> str:
    """Return a text in which □ stands for each letter that the font of the charts does not have."""
    return "".join(letter if ord(letter) in _letters() else NO_GLYPH for letter in text)


@cache
def _letters() -> frozenset[int]:
    """Return the code points that the font has."""
    return frozenset(get_font(findfont(FontProperties(family=FAMILY))).get_charmap())


def percent(share: float) -> str:
    """Two digits that say something: 0.4 %, 43 %, 100 %."""
    percent = 100 * share
    if 0 < percent < 0.1:
        return "<0.1 %"
    return f"{percent:.1f} %" if percent < 9.95 and percent else f"{percent:.0f} %"


def png(figure: Figure) -> bytes:
    """Return the picture of a figure, which belongs to nobody else."""
    FigureCanvasAgg(figure)  # a figure of our own: none of the state that pyplot keeps
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi="figure")
    return out.getvalue()
