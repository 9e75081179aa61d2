"""Charts of measured objects as PNG: how values are spread, by groups, and against each other."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from matplotlib import figure as plots
from matplotlib.axes import Axes
from matplotlib.ticker import LogFormatter, MaxNLocator
from numpy.typing import NDArray

from deeplab.config.classes import Rgb, hex_colour
from deeplab.features.figures import ReportedFeature
from deeplab.report.charts import DPI, INK, QUIET, chart_style, plain, png, short

Floats = NDArray[np.float64]

ACROSS = 3  # charts in a row
BINS = 30
TAIL = 0.99  # a histogram ends here, so that one giant does not press all others into a bar
SKEWED = 15  # times the median: farther tails are drawn on a scale of factors of ten
ALIKE = 0.01  # values that differ by less are one bar
MOST_POINTS = 5000  # of a scatter plot, drawn at even steps


@chart_style()
def histograms_png(values: Mapping[ReportedFeature, Floats], colour: Rgb) -> bytes:
    """Return how the values of each figure are spread, with a line at the median."""
    rows = math.ceil(len(values) / ACROSS)
    figure = plots.Figure(figsize=(9, 2.5 * rows), dpi=DPI, layout="constrained")
    all_axes = figure.subplots(rows, ACROSS, squeeze=False).ravel()
    for axes in all_axes[len(values) :]:
        axes.set_axis_off()
    for axes, (each, numbers) in zip(all_axes, values.items(), strict=False):
        _histogram(axes, numbers, hex_colour(colour))
        axes.set_title(each.label, fontsize=9, color=INK, loc="left")
    return png(figure)


def _histogram(axes: Axes, values: Floats, colour: str) -> None:
    if values.min() > 0 and np.quantile(values, TAIL) > SKEWED * np.median(values):
        edges = np.geomspace(values.min(), values.max(), BINS + 1)
        axes.hist(values, bins=edges.tolist(), color=colour, edgecolor="white", linewidth=0.4)
        _by_factors(axes)
    else:
        _even_bars(axes, values, colour)
        axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.axvline(float(np.median(values)), color=INK, linewidth=1.4, linestyle=(0, (3, 2)))
    plain(axes)
    axes.tick_params(labelsize=8, which="both")
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))


def _by_factors(axes: Axes) -> None:
    """A scale of factors of ten, its numbers written without formulas."""
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(LogFormatter())
    axes.xaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1.5, 0.5)))


def _even_bars(axes: Axes, values: Floats, colour: str) -> None:
    low, high = float(values.min()), float(np.quantile(values, TAIL))
    least = ALIKE * max(abs(low), abs(high), 1.0)
    if high - low < least:
        low, high = low - least, high + least
    shown = np.minimum(values, high)
    axes.hist(shown, bins=BINS, range=(low, high), color=colour, edgecolor="white", linewidth=0.4)


@chart_style()
def boxes_png(groups: Mapping[str, Mapping[ReportedFeature, Floats]], colour: Rgb) -> bytes:
    """Medians, quartiles and ranges of figures, a box for each group."""
    names = list(dict.fromkeys(figure for group in groups.values() for figure in group))
    height = 1.0 + 0.32 * len(groups)
    figure = plots.Figure(figsize=(9, height), dpi=DPI, layout="constrained")
    all_axes = figure.subplots(1, len(names), squeeze=False, sharey=True).ravel()
    labels = [f"{short(name)} ({_count(group)})" for name, group in groups.items()]
    for axes, each in zip(all_axes, names, strict=True):
        numbers = [group.get(each, np.zeros(0)) for group in groups.values()]
        parts = axes.boxplot(
            numbers,
            orientation="horizontal",
            showfliers=False,
            patch_artist=True,
            widths=0.6,
            manage_ticks=False,
        )
        for box in parts["boxes"]:
            box.set(facecolor=hex_colour(colour), alpha=0.55, edgecolor=INK)
        for line in parts["medians"]:
            line.set(color=INK, linewidth=1.6)
        axes.set_title(each.label, fontsize=9, color=INK, loc="left")
        plain(axes)
        axes.grid(axis="x", color="#e3e7ea")
        axes.tick_params(labelsize=8)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.ticklabel_format(axis="x", useOffset=False)
    first = all_axes[0]  # the others share its ticks
    first.set_yticks(range(1, len(labels) + 1), labels, fontsize=8.5, color=INK)
    first.invert_yaxis()
    return png(figure)


def _count(group: Mapping[ReportedFeature, Floats]) -> str:
    return f"{max((len(values) for values in group.values()), default=0):,}"


@chart_style()
def scatter_png(
    x: ReportedFeature, y: ReportedFeature, classes: Mapping[str, tuple[Floats, Rgb]]
) -> bytes:
    """Two figures of each object against each other, (n, 2) for each class."""
    figure = plots.Figure(figsize=(9, 3.6), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    dots = []
    for points, colour in classes.values():
        some = points[:: math.ceil(len(points) / MOST_POINTS)]
        dots.append(axes.scatter(
            some[:, 0], some[:, 1], s=9, alpha=0.55, color=hex_colour(colour), linewidths=0,
        ))  # fmt: skip
    _by_factors(axes)
    points = np.concatenate([points for points, _ in classes.values()])
    low, high = points.min(axis=0), points.max(axis=0)
    if high[0] < low[0] * (1 + ALIKE):  # matplotlib divides by a width that is next to nothing
        axes.set_xlim(low[0] / 2, high[0] * 2)
    if high[1] - low[1] < ALIKE:
        axes.set_ylim(low[1] - 0.5, high[1] + 0.5)
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.set_xlabel(x.label, color=QUIET)
    axes.set_ylabel(y.label, color=QUIET)
    plain(axes)
    legend = axes.legend(
        dots, [str(number) for number in range(len(dots))],
        loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9, labelcolor=INK,
    )  # fmt: skip
    for text, name in zip(legend.get_texts(), classes, strict=True):
        text.set_text(short(name))  # as a label, what begins with `_` would not be shown
    return png(figure)
