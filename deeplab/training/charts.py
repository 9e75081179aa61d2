"""Charts of a training as PNG: its curves, its confusion, its examples."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from deeplab.config.classes import ClassList, hex_colour
from deeplab.evaluation.semantic import Confusion
from deeplab.training.examples import Example
from deeplab.training.history import History

INK, QUIET, GRID = "#1f2a33", "#6b7780", "#e3e7ea"
LOSS, RATE, SCORE, KEPT = "#9aa7b1", "#0072b2", "#1f2a33", "#d55e00"
DPI = 144
MOST_NUMBERS = 12  # labels; the cells of a larger matrix are too small for numbers
SMOOTHING = 30  # the loss is averaged over this part of its course to both sides


def curves_png(history: History, classes: ClassList, *, kept_step: int | None) -> bytes:
    """Loss and learning rate over the steps; below what held-out slides said of each class."""
    rows = 2 if history.checks else 1
    figure = Figure(figsize=(9, 3.1 * rows), dpi=DPI, layout="constrained")
    axes = figure.subplots(rows, 1, squeeze=False, sharex=True)[:, 0]
    _loss(axes[0], history)
    if history.checks:
        _scores(axes[1], history, classes, kept_step)
    axes[-1].set_xlabel("step", color=QUIET)
    return _png(figure)


def confusion_png(confusion: Confusion, classes: ClassList) -> bytes:
    """Where the pixels of each true class went: shares of a row, in colour and in numbers."""
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
    short = [_short(name) for name in names]
    axes.set_xticks(range(count), short, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(count), short)
    for tick in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        tick.set_parse_math(False)
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
            text = "–" if np.isnan(share) else _percent(share)
            axes.text(
                column, row, text, ha="center", va="center", fontsize=10,
                color="white" if share > 0.55 else INK,
            )  # fmt: skip
    return _png(figure)


def examples_png(examples: Sequence[Example]) -> bytes:
    """Each example in a row, under the names of the panels."""
    rows = max(1, len(examples))
    figure = Figure(figsize=(9.6, 3.35 * rows), dpi=DPI, layout="constrained")
    all_axes = figure.subplots(rows, 1, squeeze=False)[:, 0]
    for axes in all_axes:
        axes.set_axis_off()
    for axes, example in zip(all_axes, examples, strict=False):
        axes.imshow(example.panels)
        axes.set_title(
            f"{example.kind}: {example.slide}, {_percent(example.error_share)} of its pixels wrong"
            f" (as scanned, as drawn, as predicted; bar {example.bar_um:g} µm)",
            fontsize=9, color=INK, loc="left", parse_math=False,
        )  # fmt: skip
    return _png(figure)


def _loss(axes: Axes, history: History) -> None:
    steps = [note.step for note in history.steps]
    losses = np.array([note.loss for note in history.steps])
    axes.plot(steps, losses, color=LOSS, linewidth=1, alpha=0.7)
    axes.plot(steps, _smooth(losses), color=INK, linewidth=1.8, label="loss")
    axes.set_ylabel("loss", color=INK)
    _plain(axes)
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
    rate.ticklabel_format(axis="y", style="sci", scilimits=(0, 0), useMathText=True)
    rate.tick_params(colors=RATE, length=0)
    rate.set_ylim(bottom=0)
    rate.spines[:].set_visible(False)


def _scores(axes: Axes, history: History, classes: ClassList, kept_step: int | None) -> None:
    steps = [note.step for note in history.checks]
    dice = np.array([note.confusion.dice for note in history.checks])
    marker = "o" if len(steps) < 40 else None
    for label, each in enumerate(classes, start=1):
        axes.plot(
            steps, dice[:, label], color=hex_colour(each.colour), linewidth=1.6, marker=marker,
            markersize=3.5, label=f"Dice {_short(each.name)}",
        )  # fmt: skip
    axes.plot(
        steps, [note.score for note in history.checks], color=SCORE, linewidth=2.4, marker=marker,
        markersize=4.5, label="mean IoU",
    )  # fmt: skip
    if kept_step is not None:
        axes.axvline(kept_step, color=KEPT, linewidth=1.2, linestyle=(0, (2, 2)), label="kept")
    axes.set_ylim(0, 1)
    axes.set_ylabel("held-out slides", color=INK)
    _plain(axes)
    legend = axes.legend(
        loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9, labelcolor=INK
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(QUIET)
    axes.grid(axis="y", color=GRID)
    axes.set_axisbelow(True)
    axes.tick_params(colors=QUIET, length=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means over the neighbours on both sides; at the ends over those that are there."""
    reach = len(values) // SMOOTHING
    window = np.ones(2 * reach + 1)
    if reach == 0:
        return values
    sums, counts = (np.convolve(each, window) for each in (values, np.ones_like(values)))
    return np.asarray((sums / counts)[reach:-reach], np.float64)


def _short(name: str) -> str:
    return name if len(name) <= 18 else name[:17] + "…"


def _percent(share: float) -> str:
    """Two digits that say something: 0.4 %, 43 %, 100 %."""
    percent = 100 * share
    if 0 < percent < 0.1:
        return "<0.1 %"
    return f"{percent:.1f} %" if percent < 9.95 and percent else f"{percent:.0f} %"


def _png(figure: Figure) -> bytes:
    FigureCanvasAgg(figure)  # a figure of our own: none of the state that pyplot keeps
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi="figure")
    return out.getvalue()
