"""A slide together with what was drawn on it."""

import logging
import time

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from deeplab.config.classes import IGNORE
from deeplab.errors import AnnotationError, ConfigError
from deeplab.exchange.labelling import Labelling
from deeplab.geometry.frames import WorkBox
from tests.data.annotated_slides import OBJECT, TISSUE, annotated, labelled
from tests.pace import at_this_pace

GREY = np.full((96, 96, 3), TISSUE, np.uint8)


def test_pixels_and_labels_are_of_the_same_place():
    slide = annotated([(1, 100, 60, 40)], side=200)
    frame = slide.slide.frame(0.5)
    rgb, truth = slide.read(frame, WorkBox(90, 50, 60, 60))
    labels = truth["labels"]
    assert (labels == 1).sum() == 40 * 40
    assert (rgb[labels == 1] == OBJECT).all()
    assert (rgb[labels == 0] == TISSUE).all()


def test_beyond_the_slide_nothing_is_known():
    slide = annotated([(1, 0, 0, 10)], side=50)
    labels = slide.labels(slide.slide.frame(0.5), WorkBox(-20, 30, 30, 40))
    assert (labels[:, :20] == IGNORE).all()
    assert (labels[20:] == IGNORE).all()
    assert (labels[:20, 20:] == 0).all()


def test_a_slide_beside_the_box_is_ignored_whole():
    slide = annotated([(1, 0, 0, 10)], side=50)
    labels = slide.labels(slide.slide.frame(0.5), WorkBox(500, 500, 8, 8))
    assert (labels == IGNORE).all()


def test_truth_is_drawn_of_the_kinds_that_are_needed():
    slide = annotated([(1, 20, 20, 10), (2, 40, 20, 10), (1, 60, 20, 10), (IGNORE, 42, 20, 4)])
    frame = slide.slide.frame(0.5)
    box = WorkBox(-8, 15, 100, 20)
    rgb, truth = slide.read(frame, box, {"labels", "instances"})
    assert rgb.shape == (20, 100, 3)
    assert truth["instances"].dtype == np.int32
    # Numbered class by class; under what is ignored and beyond the slide there is none.
    assert np.unique(truth["instances"]).tolist() == [0, 1, 2, 3]
    columns = [28 + 5, 68 + 5, 48 + 1, 48 + 3, 2]
    assert truth["instances"][6, columns].tolist() == [1, 2, 3, 0, 0]
    _, labels = slide.read(frame, box)
    assert list(labels) == ["labels"]
    with pytest.raises(
        ConfigError, match="needs must be some of labels, instances, classes, but is 'pre"
    ):
        slide.truth(frame, box, {"labels", "presence"})


def test_the_extent_holds_all_shapes():
    slide = annotated([(1, 10, 20, 30), (2, 100, 90, 10)], side=200)
    extent = slide.extent()
    assert (extent.x0, extent.y0, extent.width, extent.height) == (10, 20, 100, 80)


def point_label(slide, shapes, rules, x, y):
    """The label of a level-0 point, by the rules said in words; None on an edge."""
    point = shapely.Point(x, y)
    on = []
    for name, polygons in shapes.items():
        for polygon in polygons:
            if polygon.boundary.distance(point) < 1e-9:
                return None
            if polygon.contains(point):
                on.append(rules.meaning(name))
    if rules.ignore_class in on:
        return IGNORE
    drawn = [label for label, name in enumerate(rules.classes, start=1) if name in on]
    if drawn:
        return drawn[-1]
    if rules.exhaustive_layer:
        return 0 if rules.exhaustive_layer in on else IGNORE
    cell = slide.tissue.mask[int(y // 8), int(x // 8)]
    return IGNORE if cell and rules.unannotated == "ignore" else 0


TRIANGLE = st.lists(
    st.tuples(st.integers(-20, 110), st.integers(-20, 110)), min_size=3, max_size=3, unique=True
)
LAYER = st.sampled_from(["a", "A ", "b", "other b", "ignore", "finished", "nobody asked"])


@settings(max_examples=60)
@given(
    st.lists(st.tuples(LAYER, TRIANGLE), min_size=1, max_size=8),
    st.sampled_from(["background", "ignore"]),
    st.sampled_from(["", "finished"]),
    st.sampled_from([0.5, 1.0, 0.85]),
    st.tuples(st.integers(-10, 60), st.integers(-10, 60)),
)
def test_labels_are_those_of_a_painter_who_asks_the_rules_at_every_pixel(
    drawn, unannotated, exhaustive, work_mpp, corner
):
    shapes = {"a": [shapely.box(40, 40, 44, 44)]}
    for name, points in drawn:
        polygon = shapely.Polygon(points)
        if polygon.is_valid and polygon.area:
            shapes.setdefault(name, []).append(polygon)
    rules = Labelling(
        classes=("a", "b"),
        aliases={"other b": "b"},
        exhaustive_layer=exhaustive,
        unannotated=unannotated,
    )
    tissue = np.indices((12, 12)).sum(axis=0) % 3 > 0
    slide = labelled(GREY, shapes, rules, tissue=tissue)
    frame = slide.slide.frame(work_mpp)
    box = WorkBox(*corner, 30, 20)
    labels = slide.labels(frame, box)
    for row in range(box.height):
        for col in range(box.width):
            x, y = box.x + col + 0.5, box.y + row + 0.5
            if not (0 <= x < frame.width and 0 <= y < frame.height):
                assert labels[row, col] == IGNORE
                continue
            x0, y0 = min(x * frame.scale_x, 95.99), min(y * frame.scale_y, 95.99)
            wanted = point_label(slide, shapes, rules, x0, y0)
            if (x * frame.scale_x, y * frame.scale_y) == (x0, y0) and wanted is not None:
                assert labels[row, col] == wanted


def test_an_object_of_no_known_class_is_an_object_and_an_ignored_one_is_none():
    shapes = {
        "a": [shapely.box(0, 0, 10, 10)],
        "cells": [shapely.box(5, 0, 15, 10), shapely.box(30, 0, 40, 10)],
        "ignore": [shapely.box(38, 0, 60, 10)],
    }
    rules = Labelling(classes=("a", "b"), untyped_layer="cells")
    slide = labelled(GREY, shapes, rules, mpp=0.5)
    frame = slide.slide.frame(0.5)
    labels, numbers = (each(frame, frame.box)[5] for each in (slide.labels, slide.instances))
    assert [len(set(numbers[part])) for part in (np.s_[:10], np.s_[10:15], np.s_[30:38])] == [1] * 3
    assert len({numbers[0], numbers[10], numbers[30]} - {0}) == 3
    assert set(labels[:10]) == {1}
    assert set(labels[10:15]) == set(labels[30:38]) == {IGNORE}
    assert set(zip(labels[38:60], numbers[38:60], strict=True)) == {(IGNORE, 0)}
    assert {layer.name: layer.meaning for layer in slide.layers}["cells"] == "cells"


def test_shapes_beyond_the_slide_are_left_out_and_counted(caplog):
    shapes = {"a": [shapely.box(5, 5, 9, 9), shapely.box(200, 5, 220, 9)]}
    with caplog.at_level(logging.WARNING):
        slide = labelled(GREY, shapes, Labelling(classes=("a",)))
    assert len(slide.shapes_of(1)) == slide.layers[0].objects == 1
    assert "slide: 1 of 'a' lie beyond the slide" in caplog.text


def test_annotations_of_another_slide_are_refused():
    with pytest.raises(AnnotationError, match="all that was drawn lies beyond the slide"):
        labelled(GREY, {"a": [shapely.box(500, 5, 520, 9)]}, Labelling(classes=("a",)))


def test_what_was_drawn_is_counted_in_um2_as_its_author_called_it():
    shapes = {"A": [shapely.box(0, 0, 10, 10), shapely.box(20, 20, 30, 40)], "x": []}
    upper, other = labelled(GREY, shapes, Labelling(classes=("a",)), mpp=0.5).layers
    assert (upper.name, upper.meaning, upper.objects) == ("A", "a", 2)
    assert upper.area_um2 == pytest.approx(300 * 0.25)
    assert (other.meaning, other.objects, other.area_um2) == ("", 0, 0.0)


@pytest.mark.slow
def test_a_hundred_thousand_shapes_cost_a_patch_no_more_than_those_it_shows():
    corners = np.random.default_rng(0).integers(0, 2900, (100_000, 2))
    shapes = {"a": list(shapely.box(*corners.T, *(corners + 3).T))}
    rgb = np.full((3000, 3000, 3), TISSUE, np.uint8)
    slide = labelled(rgb, shapes, Labelling(classes=("a",)))
    frame = slide.slide.frame(0.5)
    begun = time.process_time()
    for number in range(200):
        assert slide.shapes_of(1) is slide.shapes_of(1)
        slide.extent()
        slide.labels(frame, WorkBox(13 * number, 1000, 65, 65))
    assert time.process_time() - begun < at_this_pace(2)
