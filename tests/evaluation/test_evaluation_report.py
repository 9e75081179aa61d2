"""The page says what limits its figures, escapes what it is given and needs nothing else."""

import re
from dataclasses import replace

import pytest

from deeplab.evaluation.compared import Compared, limits
from deeplab.evaluation.figures import Figures
from deeplab.evaluation.report import report
from deeplab.evaluation.slide_score import judge
from tests.evaluation.cases_for_tests import read, request, side, sized, square

SPOTS = [square(10 * x, 10 * y, 5) for x in range(10) for y in range(8)]


def figures(*slides, classes=("a",)):
    """Of slides (name, reference by class, prediction by class)."""
    asked = {"classes": classes}
    scores = []
    for name, true, predicted in slides:
        sides = (sized(side(**some), 120, 90) for some in (true, predicted))
        found = judge(read(*sides, **asked), request(**asked)).score
        scores.append(replace(found, name=name, remarks=()))
    return Figures(scores=tuple(scores), border_um=2.0)


def compared(**facts):
    both = {"of_reference": ("a",), "of_prediction": ("a",)}
    return Compared(request=request(region_layer="done"), **(both | facts))


@pytest.fixture(scope="module")
def many():
    """Twelve slides with eighty objects each: nothing limits the figures."""
    return figures(*((f"s{n}", {"a": SPOTS}, {"a": SPOTS[n:]}) for n in range(12)))


def test_where_nothing_limits_the_figures_nothing_is_said(many):
    assert limits(many, compared()) == []
    assert "What limits these figures" not in report(many, compared())


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        (
            {"of_prediction": ("A1",)},
            "Only the reference has layers of a, the prediction has none.",
        ),
        (
            {"of_reference": ("tumour",), "of_prediction": ("tumor",)},
            "Is it called tumor there? Then say so: --aliases",
        ),
        ({"unused": ("notes", "old")}, "are in no figure: notes and old"),
        ({"model": "a.zip, b.zip"}, "predictions of different models: a.zip, b.zip"),
        ({"left_out": {"x": "has no prediction"}}, "1 slide could not be compared"),
    ],
)
def test_what_was_compared_limits_the_figures(many, facts, sentence):
    assert any(sentence in said for said in limits(many, compared(**facts)))


def test_what_was_counted_limits_the_figures():
    few = figures(("one", {"a": SPOTS}, {"a": SPOTS}), ("two", {"a": SPOTS[:2]}, {"a": []}))
    said = limits(few, compared())
    assert "The figures rest on 2 slides." in said[0]
    assert "98% of the a that was drawn is on one slide, one." in said
    single = figures(("one", {"a": SPOTS[:3]}, {"a": SPOTS}))
    said = limits(single, replace(compared(), request=request()))
    assert "there are no intervals" in said[0]
    assert "Only 3 objects of a can be judged by." in said
    assert "All of the slide was judged" in said[-1]
    none = figures(("one", {"a": []}, {"a": SPOTS}))
    assert any(
        each.startswith("No a is drawn where it was judged") for each in limits(none, compared())
    )


def test_the_worst_slide_comes_first_and_the_mean_last(many):
    page = report(many, compared())
    rows = re.findall(r"<tr><td>(s\d+)</td>", page.split("Slide by slide")[1])
    assert rows == [f"s{n}" for n in reversed(range(12))]
    assert page.index(f">{rows[-1]}</td>") < page.index("mean over slides")


def test_of_many_classes_only_the_dice_of_each_is_shown_slide_by_slide():
    for names, shown in (("abc", True), ("abcd", False)):
        slides = [(n, {c: [square(20, 20, 9)] for c in names}, {}) for n in ("one", "two")]
        page = report(figures(*slides, classes=tuple(names)), compared())
        part = page.split("Slide by slide")[1]
        assert "Dice c" in part
        assert ("object F1 c" in part) is shown


def test_nothing_is_loaded_and_names_are_shown_as_they_are():
    name = "<img src=http://x>"
    page = report(
        figures(("a&b", {name: SPOTS}, {name: SPOTS}), classes=(name,)),
        compared(model="<b>", left_out={"<i>": "is no slide"}),
    )
    assert not re.search(r"<(script|link|iframe|b>&|i>)|src=.http", page)
    assert "&lt;img src=http://x&gt;" in page
    assert "a&amp;b" in page
