"""Charts of how predictions and truth agree, as PNG."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from deeplab.config.classes import ClassList
from deeplab.evaluation.semantic import Confusion
from deeplab.report.charts import DPI, INK, QUIET, chart_style, percent, png, short

MOST_NUMBERS = 12  # labels; the cells of a larger matrix are too small for numbers


@chart_style()
def confusion_png(confusion: Confusion, classes: ClassList) -> bytes:
    """Return the confusion matrix as a PNG: shares of each true class, in colour and in numbers."""
    names = ["background", *classes.names]
    count = len(names)
    total = confusion.true_pixels[:, None]
    shares = np.divide(
        confusion.counts, total, out=np.full((count, count), np.nan), where=total > 0
    )
    side = 1.6 + 0.85 * min(count, MOST_NUMBERS)
    figure = Figure(figsize=(side + 1.4, side), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    axes.imshow(np.nan_to_num(shares), cmap="Blues", vmin=0, vmax=1)
    shortened = [short(name) for name in names]
    axes.set_xticks(range(count), shortened, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(count), shortened)
    axes.set_xlabel("predicted", color=QUIET)
    axes.set_ylabel("drawn", color=QUIET)
    axes.tick_params(length=0, colors=INK)
    axes.spines[:].set_visible(False)
    axes.set_xticks(np.arange(count + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(count + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=2)
    axes.tick_params(which="minor", length=0)
    if count <= MOST_NUMBERS:
        for (row, column), share in np.ndenumerate(shares):
            text = "–" if np.isnan(share) else percent(share)
            axes.text(
                column, row, text, ha="center", va="center", fontsize=10,
                color="white" if share > 0.55 else INK,
            )  # fmt: skip
    return png(figure)
