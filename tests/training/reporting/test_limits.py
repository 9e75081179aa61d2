"""What limits the figures: each sentence where it is so, and not where it is not."""

from dataclasses import replace

import numpy as np
import pytest

from deeplab.config.classes import ClassList
from deeplab.training.reporting.facts import SlideFact, TrainingReportFacts
from deeplab.training.reporting.limits import limits
from tests.training.facts_for_tests import history
from tests.training.validations_for_tests import region, validation

CLASSES = ClassList.named(["tumour", "stroma"])


def slide(name, side, objects=(40, 40)):
    return SlideFact(
        name=name, patient=f"of {name}", side=side, mpp=0.5, objects=objects, area_mm2=(1.0, 1.0)
    )


def good(*, slides=12):
    """Facts without any limit: many slides, alike, with both classes, last model, all judged."""
    names = [f"v{number}" for number in range(slides)]
    pieces = [
        region(40, slide=name, at=at, truth_label=label, predicted=0)
        for name in names
        for label, at in ((1, (0, 0)), (2, (64, 0)))
    ]
    return TrainingReportFacts(
        model="m.zip",
        classes=CLASSES,
        work_mpp=0.5,
        slides=(slide("t", "train"), *(slide(name, "validation") for name in names)),
        background_assumed=False,
        history=history([3, 3]),
        planned_steps=100,
        kept="last",
        kept_step=100,
        validation=validation(pieces),
    )


def changed_slide(facts, **changes):
    first, *others = facts.validation.slides
    return replace(
        facts, validation=replace(facts.validation, slides=(replace(first, **changes), *others))
    )


def only(facts):
    (sentence,) = limits(facts)
    return sentence


def test_figures_without_a_limit_are_told_without_one():
    assert limits(good()) == []


def test_few_slides_and_how_far_the_figure_hangs_on_them():
    said = only(good(slides=4))
    assert "4 slides of 4 patients" in said
    assert "in 95 of 100 draws" in said


def test_slides_that_differ_are_named():
    facts = good()
    first = facts.validation.slides[0]
    bad = replace(first, tally=region(4000).tally)
    facts = replace(
        facts,
        validation=replace(facts.validation, slides=(bad, *facts.validation.slides[1:])),
    )
    assert "Slides differ" in only(facts)
    assert "on v0" in only(facts)


def test_a_class_that_is_on_no_held_out_slide():
    facts = good()
    pieces = [piece for piece in facts.validation.regions if piece.tally.true_pixels[1]]
    said = limits(replace(facts, validation=validation(pieces)))
    assert "stroma is on no held-out slide: how well it is found is not known." in said


def test_a_class_of_few_objects_to_judge_by_and_to_learn_from():
    few = tuple(
        replace(each, objects=(40, 1 if each.side == "validation" else 7)) for each in good().slides
    )
    said = limits(replace(good(), slides=few))
    assert said == [
        "Only 12 objects of stroma can be judged by.",
        "It learnt stroma from only 7 objects.",
    ]


def test_a_class_that_one_slide_decides_on():
    facts = good()
    counts = facts.validation.slides[0].tally.counts.copy()
    counts[2] *= 200
    counts[1] *= 200
    heavy = changed_slide(facts, tally=type(facts.validation.pooled).of(counts))
    assert any(
        "of the stroma that it was judged by is on one slide, v0" in s for s in limits(heavy)
    )


def test_a_choice_of_tiles_is_told_in_mm2():
    facts = changed_slide(good(), chosen_px=4_000_000, region_px=40_000_000)
    assert "1 large slide was judged on a random choice of tiles" in only(facts)
    assert "1 of 10 mm²" in only(facts)


def test_a_slide_that_turned_unreadable_is_named():
    facts = good()
    broken = replace(facts.validation, set_aside={"x.svs": "is cut short"})
    assert "x.svs could not be read any more" in only(replace(facts, validation=broken))
    assert "1 slide turned unreadable" in only(replace(facts, set_aside={"y.svs": "is gone"}))


def test_the_best_of_several_validations_is_a_little_too_good():
    assert "best of 2 validations on these very slides" in only(replace(good(), kept="best"))


@pytest.mark.parametrize(("scores", "rising"), [([1, 2, 3, 4, 5, 9], 1), ([9, 9, 9, 9, 9, 9], 0)])
def test_a_score_that_still_rises_asks_for_more_steps(scores, rising):
    facts = replace(good(), history=history(scores))
    assert sum("still rising" in said for said in limits(facts)) == rising


def test_assumed_background_and_an_early_end_are_told():
    assert "counts as background" in only(replace(good(), background_assumed=True))
    assert "ended after 100 of 5,000 steps" in only(replace(good(), planned_steps=5000))


def test_no_held_out_slide_is_the_gravest_limit():
    facts = replace(good(), validation=None)
    assert limits(facts)[0].startswith("No slide was held out.")
    assert np.isnan(validation([]).score)
