"""Charts and examples: pictures that show what they should, with any names."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from deeplab.config.classes import IGNORE, ClassList
from deeplab.errors import UnreadableSlideError
from deeplab.evaluation.charts import confusion_png
from deeplab.evaluation.semantic import Confusion
from deeplab.geometry.frames import Mpp
from deeplab.slides.array_slide import ArraySlide
from deeplab.training.history import History
from deeplab.training.reporting.charts import curves_png, examples_png
from deeplab.training.reporting.examples import (
    GAP,
    PANEL,
    UNTYPED,
    examples_of,
    outlined,
    three_panels,
)
from tests.data.annotated_slides import annotated
from tests.training.facts_for_tests import CLASSES, FACTS, example
from tests.training.validations_for_tests import SIDE, region, validation

GREEN, ORANGE = ((0, 158, 115), (230, 159, 0))


def opened(png):
    with Image.open(io.BytesIO(png)) as picture:
        return np.asarray(picture.convert("RGB"))


@pytest.mark.parametrize(
    "history",
    [FACTS.history, History(steps=FACTS.history.steps), History(steps=FACTS.history.steps[:1]),
     History(checks=FACTS.history.checks)],
)  # fmt: skip
def test_curves_are_drawn_of_any_history(history):
    picture = opened(curves_png(history, CLASSES, kept_step=66))
    assert picture.shape[1] > 1000
    assert picture.std() > 5


def test_the_curve_of_a_class_has_its_colour():
    picture = opened(curves_png(FACTS.history, CLASSES, kept_step=None))
    assert (picture == GREEN).all(axis=2).sum() > 100
    assert (picture == ORANGE).all(axis=2).sum() > 100


@pytest.mark.parametrize(("right", "sign"), [(99, 1), (1, -1)])
def test_the_dark_cells_of_a_matrix_are_those_of_most_pixels(right, sign):
    counts = np.full((3, 3), 0)
    counts[[0, 2], [0, 2]], counts[[0, 2], [2, 0]], counts[1, 1] = right, 100 - right, 100
    picture = opened(confusion_png(Confusion.of(counts), ClassList.named(["a", "b"])))
    dark_blue = (picture[..., 2] > 80) & (picture[..., 0] < 20)
    assert sign * np.corrcoef(np.nonzero(dark_blue))[0, 1] > 0.5


def test_a_matrix_of_many_classes_is_drawn():
    classes = ClassList.named([f"class number {i} with a long name" for i in range(20)])
    counts = np.random.default_rng(0).integers(0, 100, (21, 21))
    assert opened(confusion_png(Confusion.of(counts), classes)).shape[0] < 3000


def test_outlines_are_in_the_colours_of_the_classes_and_not_along_the_edge():
    labels = np.zeros((60, 60), np.uint8)
    labels[:, :30] = 1
    labels[40:50, 40:50] = 2
    grey = np.full((60, 60, 3), 128, np.uint8)
    picture = outlined(grey, {"labels": labels}, CLASSES)
    assert (picture[20, 28:31] == GREEN).all(axis=1).any()
    assert not (picture[20, :5] == GREEN).all(axis=1).any()
    assert (picture[39:42, 45] == ORANGE).all(axis=1).any()
    assert (picture[5, 55] == 128).all(), "the background is as it was"
    assert (grey == 128).all()


def test_what_nobody_judged_is_veiled():
    labels = np.full((20, 20), 255, np.uint8)
    picture = outlined(np.zeros((20, 20, 3), np.uint8), {"labels": labels}, CLASSES)
    assert (picture == 130).all()


def test_three_panels_stand_side_by_side_and_the_bar_has_its_length():
    grey = np.full((96, 96, 3), 128, np.uint8)
    empty, full = np.zeros((96, 96), np.uint8), np.ones((96, 96), np.uint8)
    panels = three_panels(
        grey, truth={"labels": empty}, prediction={"labels": full}, classes=CLASSES, bar_px=24
    )
    assert panels.shape == (PANEL, 3 * PANEL + 2 * GAP, 3)
    black = (panels[:, :PANEL] == 0).all(axis=2)
    assert abs(black.any(axis=0).sum() - 24 * PANEL / 96) <= 1
    middle = panels[:, PANEL + GAP : 2 * PANEL + GAP]
    assert (middle == 128).all()
    assert not (panels[PANEL // 2, -10] == 128).all()


def test_examples_show_the_regions_that_they_say():
    slide = replace(annotated([(1, 0, 0, 200)]), name="a")
    frame = slide.slide.frame(0.5)
    pieces = [region(i * 150, at=(i * SIDE, 0), frame=frame) for i in range(6)]
    shown = examples_of(validation(pieces), {"a": slide}, CLASSES, each=1)
    assert [each.kind for each in shown] == ["best", "typical", "worst"]
    assert [each.x_level0 // SIDE for each in shown] == [0, 2, 5]
    assert shown[2].error_share == pytest.approx(750 / SIDE**2)
    assert shown[2].commonest_error == ("tumour", CLASSES.names[1])
    assert shown[0].commonest_error is None
    assert shown[0].bar_um == 10, "at most a third of 32 um"
    assert (opened(examples_png(shown)).std(axis=(0, 1)) > 1).all()


def test_a_region_is_an_example_of_one_kind_only():
    slide = replace(annotated([(1, 0, 0, 200)]), name="a")
    shown = examples_of(
        validation([region(9, frame=slide.slide.frame(0.5))]), {"a": slide}, CLASSES, each=2
    )
    assert [each.kind for each in shown] == ["worst"]


def test_a_row_of_examples_is_as_high_as_their_number():
    one, two = (opened(examples_png([example()] * count)).shape[0] for count in (1, 2))
    assert two == pytest.approx(2 * one, rel=0.05)


def test_a_slide_that_cannot_be_read_any_more_is_no_example():
    class Broken(ArraySlide):
        def read(self, *_):
            raise UnreadableSlideError("a", "is cut short")

    slide = annotated([(1, 0, 0, 200)], name="a")
    broken = replace(slide, slide=Broken(np.zeros((9, 9, 3), np.uint8), Mpp.square(0.5)))
    found = validation([region(9, frame=slide.slide.frame(0.5))])
    assert examples_of(found, {"a": broken}, CLASSES, each=2) == []


def test_objects_are_outlined_one_by_one_and_those_of_no_type_in_grey():
    labels = np.zeros((60, 60), np.uint8)
    labels[10:50, 10:50] = 1
    instances = labels.astype(np.int32)
    instances[10:50, 30:50] = 2
    white = np.full((60, 60, 3), 255, np.uint8)
    one, two = (
        outlined(white, {"labels": labels, "instances": each}, CLASSES)
        for each in (labels, instances)
    )
    border = (slice(15, 45), slice(28, 32))
    assert (one[border] == two[border]).mean() < 0.5, "there is a line between the two"
    untyped = np.where(labels == 1, IGNORE, 0).astype(np.uint8)
    grey = outlined(white, {"labels": untyped, "instances": instances}, CLASSES)
    assert (grey[30, 20] == 255).all(), "what is known to be an object is not veiled"
    assert (grey == UNTYPED).all(axis=-1).any()
