"""No chart reads a name as a formula, warns of a letter, or looks as a user's settings say."""

import io
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.mathtext import MathTextParser
from PIL import Image

from deeplab.config.classes import ClassList
from deeplab.evaluation.charts import confusion_png
from deeplab.evaluation.semantic import Confusion
from deeplab.features.charts import boxes_png, histograms_png, scatter_png
from deeplab.features.figures import FIGURES
from deeplab.report.charts import drawable, short
from deeplab.training.history import CheckNote, History, StepNote
from deeplab.training.reporting.charts import curves_png, examples_png
from tests.training.facts_for_tests import example

AREA, ROUND = FIGURES[0], FIGURES[3]
RED = (200, 10, 20)
NAMES = ["a$x_1$b", "$\\frac{$", "a^b_c\\d$", "_nuclei", "漢字 🔬", "e\u0301 \u200d", "50 % {0}"]


def confusion(count):
    return Confusion.of(np.arange(count**2).reshape(count, count))


def charts_of(names):
    """Every chart there is, with these names; values over decades, for scales of factors."""
    classes, values = ClassList.named(names), np.geomspace(1e-3, 1e6, 200)
    history = History(
        steps=tuple(
            StepNote(step=n, loss=1 / n, learning_rate=1e-5 * n, waiting_share=0.0)
            for n in range(1, 9)
        ),
        checks=(CheckNote(step=4, tally=confusion(len(names) + 1)),),
    )
    points = np.column_stack([values, values])
    yield curves_png(history, classes, kept_step=4)
    yield examples_png([replace(example(), slide=name) for name in names])
    yield confusion_png(confusion(len(names) + 1), classes)
    yield histograms_png({AREA: values}, RED)
    yield boxes_png({name: {AREA: values, ROUND: values} for name in names}, RED)
    yield scatter_png(AREA, ROUND, dict.fromkeys(names, (points, RED)))


def pixels(png):
    with Image.open(io.BytesIO(png)) as picture:
        return np.asarray(picture.convert("RGB"))


def test_no_chart_reads_a_formula_and_none_warns(monkeypatch):
    read = []
    monkeypatch.setattr(MathTextParser, "parse", lambda _self, text, *_, **__: read.append(text))
    assert len(list(charts_of(NAMES))) == 6  # a warning would be an error here
    assert read == []


def test_charts_look_the_same_whatever_the_user_has_set():
    by_itself = list(charts_of(["a", "b"]))
    theirs = {"font.size": 30, "text.usetex": True, "axes.facecolor": "black", "lines.linewidth": 9}
    with mpl.rc_context(theirs):
        assert list(charts_of(["a", "b"])) == by_itself
        assert mpl.rcParams["font.size"] == 30


def test_a_class_whose_name_begins_with_a_dash_below_is_in_the_legend():
    points = {"x": np.ones((2, 2)), "_": np.ones((2, 2))}
    wide = np.column_stack([np.geomspace(1, 9, 50)] * 2)
    for name in points:
        shown = pixels(scatter_png(AREA, ROUND, {name: (wide, RED)}))
        right = shown[:, -shown.shape[1] // 20 :]
        assert (right.min(axis=2) < 150).any(), name


@pytest.mark.parametrize(
    ("name", "drawn"),
    [("漢字 µm", "□□ µm"), ("a$x_1$b", "a$x_1$b"), ("x" * 19, "x" * 17 + "…"), ("🔬", "□")],
)
def test_letters_that_the_font_does_not_have_are_boxes(name, drawn):
    assert short(name) == drawn
    assert drawable("Größe – Δ") == "Größe – Δ"
