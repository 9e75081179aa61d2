"""A slide together with what was drawn on it."""

import numpy as np
import pytest

from deeplab.config.classes import IGNORE
from deeplab.data.truth import classes_of
from deeplab.errors import TrainingError
from deeplab.geometry.frames import WorkBox
from tests.data.annotated_slides import OBJECT, TISSUE, annotated


def test_pixels_and_labels_are_of_the_same_place():
    slide = annotated([(1, 100, 60, 40)], side=200)
    frame = slide.slide.frame(0.5)
    rgb, labels = slide.read(frame, WorkBox(90, 50, 60, 60))
    assert (labels == 1).sum() == 40 * 40
    assert (rgb[labels == 1] == OBJECT).all()
    assert (rgb[labels == 0] == TISSUE).all()


def test_beyond_the_slide_nothing_is_known():
    slide = annotated([(1, 0, 0, 10)], side=50)
    _, labels = slide.read(slide.slide.frame(0.5), WorkBox(-20, 30, 30, 40))
    assert (labels[:, :20] == IGNORE).all()
    assert (labels[20:] == IGNORE).all()
    assert (labels[:20, 20:] == 0).all()


def test_a_slide_beside_the_box_is_ignored_whole():
    slide = annotated([(1, 0, 0, 10)], side=50)
    _, labels = slide.read(slide.slide.frame(0.5), WorkBox(500, 500, 8, 8))
    assert (labels == IGNORE).all()


def test_the_extent_holds_all_shapes():
    slide = annotated([(1, 10, 20, 30), (2, 100, 90, 10)], side=200)
    extent = slide.extent()
    assert (extent.x0, extent.y0, extent.width, extent.height) == (10, 20, 100, 80)


def test_a_tissue_point_lies_where_tissue_is():
    slide = annotated([(1, 10, 10, 10)], side=400)
    slide.tissue.mask[:] = False
    slide.tissue.mask[20:, 30:] = True
    random = np.random.default_rng(0)
    points = np.array([slide.tissue_point(random) for _ in range(50)])
    assert (points[:, 0] >= 30 * 8).all()
    assert (points[:, 1] >= 20 * 8).all()


def test_classes_take_the_colours_they_were_drawn_in():
    classes = classes_of(["class 2", "class 1"], [annotated([(1, 0, 0, 5), (2, 9, 9, 5)])])
    assert classes.names == ("class 2", "class 1")
    assert classes.of_label(1).colour == (0, 0, 0)


def test_a_misspelt_class_is_answered_with_the_near_one():
    with pytest.raises(
        TrainingError, match=r"shape of class 11; did you mean class 1\? \(there are"
    ):
        classes_of(["class 11"], [annotated([(1, 0, 0, 5), (2, 9, 9, 5)])])
