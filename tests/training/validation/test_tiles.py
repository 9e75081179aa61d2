"""What of a held-out slide is judged."""

from dataclasses import replace

import numpy as np
import pytest
import shapely

from deeplab.annotations.raster.rasterize import ShapeIndex
from deeplab.annotations.shapes import Annotations, Layer, Shape
from deeplab.bundles.card import Card
from deeplab.config.classes import ClassList
from deeplab.config.deeplabv3plus import DeepLabV3PlusConfig
from deeplab.exchange.labelling import Labelling
from deeplab.geometry.frames import WorkBox
from deeplab.training.validation.tiles import LEAST_PX, judged_px, judged_slide
from tests.data.annotated_slides import annotated, labelled

CARD = Card(
    config=DeepLabV3PlusConfig(label_count=3, crop_size=65),
    classes=ClassList.named(["class 1", "class 2"]),
    work_mpp=0.5,
    tile=161,
    halo=48,
)


def covered(judged):
    """How often each work pixel of the slide is judged."""
    times = np.zeros((judged.frame.height, judged.frame.width), int)
    for slot, _ in judged.slots:
        times[slot.write.within(judged.frame.box)] += 1
    return times


def test_all_that_was_annotated_and_a_patch_around_it_is_judged_once():
    judged = judged_slide(annotated([(1, 200, 260, 80)]), CARD, most_px=10**9, seed=0)
    times = covered(judged)
    assert (times[260 - 65 : 340 + 65, 200 - 65 : 280 + 65] == 1).all()
    assert times.sum() == (80 + 130) ** 2 == judged.chosen_px == judged.region_px


def test_of_a_large_slide_the_same_draw_is_taken_every_time():
    boxes = [(1, x, y, 20) for x in (10, 500) for y in (10, 500)]
    slide = annotated(boxes)
    first, again, other = (
        judged_slide(slide, CARD, most_px=60_000, seed=seed) for seed in (0, 0, 1)
    )
    assert first.slots == again.slots
    assert first.slots != other.slots
    assert 40_000 < first.chosen_px <= 60_000
    assert first.region_px > 250_000
    assert (covered(first) <= 1).all()


@pytest.mark.parametrize("seed", range(5))
def test_a_rare_class_is_in_the_draw_however_small_it_is(seed):
    slide = annotated([(1, 10, 10, 20), (1, 560, 560, 20), (2, 300, 300, 8)])
    judged = judged_slide(slide, CARD, most_px=1, seed=seed)
    there = [slide.labels(judged.frame, slot.write) for slot, _ in judged.slots]
    assert {1, 2} <= set(np.unique(np.concatenate([labels.ravel() for labels in there])))
    assert len(judged.slots) <= 3


def test_tiles_of_which_nobody_judged_anything_are_left_out():
    slide = annotated([(1, 10, 10, 20), (255, 40, 0, 560)])
    judged = judged_slide(slide, CARD, most_px=10**9, seed=0)
    for slot, _ in judged.slots:
        assert (slide.labels(judged.frame, slot.write) != 255).any()
    assert judged.chosen_px < judged.frame.width * judged.frame.height / 2


def test_of_a_slide_with_finished_regions_these_are_judged():
    rules = Labelling(classes=("class 1", "class 2"), exhaustive_layer="done")
    shapes = {
        "class 1": [shapely.box(20, 20, 40, 40)],
        "done": [shapely.box(0, 0, 100, 100), shapely.box(450, 450, 550, 600)],
    }
    slide = labelled(np.full((600, 600, 3), 180, np.uint8), shapes, rules)
    judged = judged_slide(slide, CARD, most_px=10**9, seed=0)
    times = covered(judged)
    truth = slide.labels(judged.frame, judged.frame.box)
    assert (times[truth != 255] == 1).all()
    assert times.mean() < 0.5, "tiles without a finished region are left out"


def test_an_annotation_beside_the_slide_leaves_nothing_to_judge():
    beside = shapely.box(5000, 5000, 5020, 5020)
    annotations = Annotations((Layer("class 1", (0, 0, 0), (Shape(beside),)),))
    moved = replace(
        annotated([(1, 200, 200, 20)]),
        shapes={1: (beside,)},
        index=ShapeIndex(annotations, {"class 1": 1}),
    )
    assert judged_slide(moved, CARD, most_px=10**9, seed=0).slots == ()


def test_a_validation_takes_a_tenth_of_the_time_between_two():
    card = Card(
        config=DeepLabV3PlusConfig(label_count=3, crop_size=513),
        classes=CARD.classes,
        work_mpp=0.5,
        tile=1729,
        halo=288,
    )
    pixels = judged_px(card, every_steps=500, batch_size=4, slides=3)
    read = 3 * pixels * (1729 / 1152) ** 2
    # A pixel that is learnt from costs twice one that is only answered.
    assert read == pytest.approx(0.1 * 2 * 500 * 4 * 513**2, rel=1e-3)
    assert judged_px(card, every_steps=1, batch_size=1, slides=1) == LEAST_PX


def test_the_grid_is_that_of_a_segmentation_of_the_same_part():
    judged = judged_slide(annotated([(1, 200, 260, 80)]), CARD, most_px=10**9, seed=0)
    slot = judged.slots[0][0]
    assert slot.read == WorkBox(128 - 48, 192 - 48, 161, 161)
