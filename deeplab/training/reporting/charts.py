"""Charts of a training as PNG: its curves and its examples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from deeplab.config.classes import ClassList, hex_colour
from deeplab.report.charts import (
    DPI,
    INK,
    QUIET,
    chart_style,
    drawable,
    plain,
    png,
    short,
)
from deeplab.training.history import History
from deeplab.training.reporting.error_words import ERROR_WORDS
from deeplab.training.reporting.examples import Example

LOSS, RATE, SCORE, KEPT = "#9aa7b1", "#0072b2", "#1f2a33", "#d55e00"
SMOOTHING = 30  # the loss is averaged over this part of its course to both sides


@chart_style()
def curves_png(history: History, classes: ClassList, *, kept_step: int | None) -> bytes:
    """Loss and learning rate over the steps; below what held-out slides said of each class."""
    rows = 2 if history.checks else 1
    figure = Figure(figsize=(9, 3.1 * rows), dpi=DPI, layout="constrained")
    axes = figure.subplots(rows, 1, squeeze=False, sharex=True)[:, 0]
    _loss(axes[0], history)
    if history.checks:
        _scores(axes[1], history, classes, kept_step)
    axes[-1].set_xlabel("step", color=QUIET)
    return png(figure)


@chart_style()
def examples_png(examples: Sequence[Example]) -> bytes:
    """Return each example in a row, under the names of the panels."""
    rows = max(1, len(examples))
    figure = Figure(figsize=(9.6, 3.35 * rows), dpi=DPI, layout="constrained")
    all_axes = figure.subplots(rows, 1, squeeze=False)[:, 0]
    for axes in all_axes:
        axes.set_axis_off()
    for axes, example in zip(all_axes, examples, strict=False):
        axes.imshow(example.panels)
        wrong = ERROR_WORDS[example.judged].title(example.error_share)
        axes.set_title(
            f"{example.kind}: {drawable(example.slide)}, {wrong}"
            f" (as scanned, as drawn, as predicted; bar {example.bar_um:g} µm)",
            fontsize=9, color=INK, loc="left",
        )  # fmt: skip
    return png(figure)


def _loss(axes: Axes, history: History) -> None:
    steps = [note.step for note in history.steps]
    losses = np.array([note.loss for note in history.steps])
    axes.plot(steps, losses, color=LOSS, linewidth=1, alpha=0.7)
    axes.plot(steps, _smooth(losses), color=INK, linewidth=1.8, label="loss")
    axes.set_ylabel("loss", color=INK)
    plain(axes)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if losses.size:
        # A first loss far above the others must not press them to the floor.
        top = float(np.quantile(losses, 0.98)) * 1.15
        axes.set_ylim(0, top if top > 0 else 1)
    rate = axes.twinx()
    rate.plot(
        steps, [note.learning_rate for note in history.steps], color=RATE, linewidth=1.2,
        linestyle=(0, (4, 3)),
    )  # fmt: skip
    rate.set_ylabel("learning rate (dashed)", color=RATE)
    rate.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    rate.tick_params(colors=RATE, length=0)
    rate.set_ylim(bottom=0)
    rate.spines[:].set_visible(False)


def _scores(axes: Axes, history: History, classes: ClassList, kept_step: int | None) -> None:
    steps = [note.step for note in history.checks]
    by_class = np.array([note.tally.class_scores for note in history.checks])
    first = history.checks[0].tally
    marker = "o" if len(steps) < 40 else None
    for place, each in enumerate(classes):
        axes.plot(
            steps, by_class[:, place], color=hex_colour(each.colour), linewidth=1.6, marker=marker,
            markersize=3.5, label=f"{first.class_score_name} {short(each.name)}",
        )  # fmt: skip
    axes.plot(
        steps, [note.score for note in history.checks], color=SCORE, linewidth=2.4, marker=marker,
        markersize=4.5, label=first.score_name,
    )  # fmt: skip
    if kept_step is not None:
        axes.axvline(kept_step, color=KEPT, linewidth=1.2, linestyle=(0, (2, 2)), label="kept")
    axes.set_ylim(0, 1)
    axes.set_ylabel("held-out slides", color=INK)
    plain(axes)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(
        loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9, labelcolor=INK
    )


def _smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means over the neighbours on both sides; at the ends over those that are there."""
    reach = len(values) // SMOOTHING
    window = np.ones(2 * reach + 1)
    if reach == 0:
        return values
    sums, counts = (np.convolve(each, window) for each in (values, np.ones_like(values)))
    return np.asarray((sums / counts)[reach:-reach], np.float64)
