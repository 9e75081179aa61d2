"""How charts look, and their way to PNG."""

from __future__ import annotations

import io

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

INK, QUIET, GRID = "#1f2a33", "#6b7780", "#e3e7ea"
DPI = 144


def plain(axes: Axes) -> None:
    """Axes with no more lines than are read."""
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(QUIET)
    axes.grid(axis="y", color=GRID)
    axes.set_axisbelow(True)
    axes.tick_params(colors=QUIET, length=0)


def short(name: str) -> str:
    """A name that fits beside a tick."""
    return name if len(name) <= 18 else name[:17] + "…"


def percent(share: float) -> str:
    """Two digits that say something: 0.4 %, 43 %, 100 %."""
    percent = 100 * share
    if 0 < percent < 0.1:
        return "<0.1 %"
    return f"{percent:.1f} %" if percent < 9.95 and percent else f"{percent:.0f} %"


def png(figure: Figure) -> bytes:
    """The picture of a figure, which belongs to nobody else."""
    FigureCanvasAgg(figure)  # a figure of our own: none of the state that pyplot keeps
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi="figure")
    return out.getvalue()
