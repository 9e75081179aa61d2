"""Of the layers of a slide those are true that people drew or marked, where corrections count."""

import pytest

from deeplab.errors import AnnotationError
from deeplab.exchange.labelling import Labelling
from deeplab.exchange.samples import find_samples
from tests.girder_for_tests import FOLDER, fake_girder

SLIDE = "0a" * 12
BY = {"by": "anna", "at": "2026-11-30T06:00:00+00:00"}
WITHIN = BY | {"within": "annotate next"}
NEXT = "annotate next"


def layer(name, size, **attributes):
    """A layer of one square, by whose size it is recognised."""
    square = {"type": "rectangle", "center": [50, 50, 0], "width": size, "height": size}
    return {"name": name, "attributes": attributes, "elements": [square]}


def by_task(name, size, run="r1", **attributes):
    return layer(name, size, cli="SegmentWSI", run=run, **attributes)


def read(layers, **rules):
    """The areas of the layers that are taken by name; None: the slide is left out at once."""
    item = {"_id": SLIDE, "name": "a.svs", "folderId": FOLDER, "size": 1}
    item |= {"largeImage": {"fileId": "0b" * 12}}
    # Another one, so that the folder is never without an annotated slide.
    other = item | {"_id": "0c" * 12, "name": "z.svs"}
    marked = [{"_id": "7b" * 12, "annotation": by_task("gland", 1, corrected=BY)}]
    stored = [{"_id": f"{n:024x}", "annotation": each} for n, each in enumerate(layers, 1)]
    routes = {
        "item": [item, other],
        "annotation": lambda query: stored if query["itemId"] == SLIDE else marked,
        f"annotation/item/{SLIDE}": stored,
    }
    with fake_girder(routes=routes) as girder:
        asked = Labelling(classes=("gland", "stroma"), **rules)
        found = find_samples(FOLDER, login=girder.login, corrected=asked)
        if found.left_out:
            (left,) = found.left_out
            assert (left.name, left.why) == ("a.svs", "has no layer that is marked as corrected")
            return None
        annotations = found.samples[0].load()
    return {
        name: [shape.polygon.area for shape in annotations.layer(name).shapes]
        for name in annotations.names
    }


def test_what_people_drew_or_marked_is_taken_and_no_other_layer_of_the_name():
    layers = [
        by_task("gland", 10, corrected=BY),
        by_task("gland", 20, run="r2"),
        by_task("Gland ", 30, run="of another model"),
        layer("stroma", 40),
        by_task("stroma", 50),
    ]
    assert read(layers) == {"gland": [100], "stroma": [1600]}


@pytest.mark.parametrize("layers", [[layer("gland", 10)], [by_task("gland", 10)]])
def test_a_slide_that_nobody_has_marked_is_left_out(layers):
    assert read(layers) is None


@pytest.mark.parametrize(
    ("layers", "rules", "named"),
    [
        ([by_task("stroma", 10)], {}, "stroma"),
        ([by_task("Stroma", 10, run="of another model")], {}, "stroma"),
        ([by_task("mesh", 10)], {"aliases": {"mesh": "stroma"}}, "stroma"),
        ([by_task(NEXT, 10), layer("stroma", 1)], {"exhaustive_layer": NEXT}, NEXT),
    ],
)
def test_a_class_that_only_a_task_outlined_is_not_known_to_be_finished(layers, rules, named):
    with pytest.raises(AnnotationError) as error:
        read([by_task("gland", 10, corrected=BY), *layers], **rules)
    assert error.value.problem == (
        f"has layers of a task that nobody has marked as corrected: {named}; mark them, or delete"
        " them"
    )


def test_what_is_no_class_or_only_a_remark_need_not_be_marked():
    layers = [
        by_task("gland", 10, corrected=BY),
        by_task("lumen", 20),
        layer("stroma", 30, cli="ExtractFeaturesFromAnnotations"),
        by_task(NEXT, 40, run="of a later look"),
    ]
    assert read(layers, exhaustive_layer=NEXT) == {"gland": [100]}


def test_within_regions_the_layers_that_were_checked_there_are_taken_with_the_regions():
    layers = [
        by_task("gland", 10, corrected=WITHIN),
        by_task("stroma", 20, corrected=WITHIN),
        by_task(NEXT, 60, corrected=WITHIN),
        by_task("stroma", 30, run="r2"),
    ]
    assert read(layers, exhaustive_layer=NEXT) == {"gland": [100], "stroma": [400], NEXT: [3600]}


def test_regions_that_are_gone_or_not_known_leave_a_slide_out():
    layers = [by_task("gland", 10, corrected=WITHIN), by_task("stroma", 20, corrected=WITHIN)]
    with pytest.raises(AnnotationError, match="within a layer annotate next that is not there any"):
        read(layers, exhaustive_layer=NEXT)
    layers.append(by_task(NEXT, 60, corrected=WITHIN))
    for rules in ({}, {"exhaustive_layer": "done"}):
        with pytest.raises(AnnotationError, match="next only; name it as exhaustive_layer"):
            read(layers, **rules)
