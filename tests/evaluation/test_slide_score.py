"""One slide judged: closed forms, the same whatever the blocks, cut to where is judged."""

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from deeplab.annotations.shapes import Mark
from deeplab.errors import AnnotationError, ConfigError, ScaleError, SlideError, SourceError
from deeplab.evaluation.boundary import BorderDistances
from deeplab.evaluation.cases import Reader
from deeplab.evaluation.distance_tally import border_figures
from deeplab.evaluation.slide_score import judge
from deeplab.geometry.frames import Mpp
from tests.evaluation.cases_for_tests import HALF, read, request, side, sized, square

places = st.tuples(st.integers(0, 60), st.integers(0, 40), st.integers(1, 30), st.integers(1, 25))
boxes = st.lists(places.map(lambda at: square(*at)), max_size=5)


def score(reference, prediction, **settings):
    return judge(read(reference, prediction, **settings), request(**settings)).score


def sizes(some):
    return sized(some, 100, 80)


def maps(case):
    """Both sides whole."""
    (block,) = case.field.blocks(0, 10_000)
    return block.truth, block.prediction, block.judged


def test_a_shifted_square_has_the_figures_that_geometry_gives():
    reference, prediction = side(a=[square(20, 20, 40)]), side(a=[square(30, 20, 40)])
    found = score(sizes(reference), sizes(prediction))
    assert found.confusion.dice[1] == 0.75  # 30 of 40 columns are shared
    assert found.confusion.iou[1] == pytest.approx(30 / 50)
    assert found.borders[0].hausdorff_um(100) == 5  # ten pixels of half a um
    assert found.mm2[1].sum() == pytest.approx(1600 * 0.25 / 1e6)
    assert found.objects[0].panoptic_quality == pytest.approx(0.6)
    assert found.objects[0].true_area == pytest.approx(400)  # um2


@settings(max_examples=25)
@given(boxes, boxes, boxes, st.sampled_from([7, 16, 33]))
def test_blocks_do_not_matter(true_a, true_b, predicted, block):
    reference = sizes(side(a=true_a, b=true_b))
    prediction = sizes(side(a=true_b[1:], b=predicted))
    asked = {"classes": ("a", "b"), "error_layers": "both", "border_um": 1.0}
    case = read(reference, prediction, **asked)
    whole, parts = (judge(case, request(**asked), block=each) for each in (10_000, block))
    assert (whole.score.confusion.counts == parts.score.confusion.counts).all()
    for one, other in zip(whole.score.borders, parts.score.borders, strict=True):
        assert (one.row(1.0) == other.row(1.0)).all()
        assert one.hausdorff_um() == pytest.approx(other.hausdorff_um(), nan_ok=True)
    assert whole.score.objects == parts.score.objects
    for one, other in zip(whole.layers, parts.layers, strict=True):
        areas = (shapely.union_all([s.polygon for s in each.shapes]) for each in (one, other))
        assert shapely.equals(*areas)
        assert (one.name, len(one.shapes)) == (other.name, len(other.shapes))


@settings(max_examples=25)
@given(boxes, boxes)
def test_borders_are_those_of_the_whole_masks(true, predicted):
    case = read(sizes(side(a=true)), sizes(side(a=predicted)), classes=("a",))
    found = judge(case, request(classes=("a",)), block=16).score
    truth, prediction, _ = maps(case)
    expected = BorderDistances.between(truth == 1, prediction == 1, HALF)
    figures = border_figures(found.borders[0].row(1.0))
    for one, other in zip(
        figures, (expected.precision(1.0), expected.recall(1.0), expected.f1(1.0)), strict=True
    ):
        assert one == pytest.approx(other, nan_ok=True)
    assert found.borders[0].hausdorff_um() == pytest.approx(expected.hausdorff_um(), nan_ok=True)


def test_a_later_class_lies_over_an_earlier_one():
    reference = sizes(side(a=[square(10, 10, 40)], b=[square(20, 20, 20)]))
    found = score(reference, reference, classes=("a", "b"))
    assert found.confusion.true_pixels.tolist() == [8000 - 1600, 1200, 400]
    turned = score(reference, reference, classes=("b", "a"))
    assert turned.confusion.true_pixels.tolist() == [8000 - 1600, 0, 1600]


def test_what_is_to_be_ignored_is_in_no_figure():
    reference = sizes(side(a=[square(10, 10, 20)], ignore=[square(40, 0, 60, 80)]))
    prediction = sizes(side(a=[square(10, 10, 20), square(60, 10, 20)]))
    found = score(reference, prediction)
    assert found.confusion.pixels == 40 * 80
    assert found.confusion.dice[1] == 1
    assert found.borders[0].hausdorff_um() == 0
    assert (found.objects[0].predicted_objects, found.objects[0].matched) == (1, 1)


def test_regions_bound_what_is_judged_and_an_object_is_in_by_its_middle():
    reference = sizes(side(a=[square(10, 10, 20), square(44, 10, 20)], done=[square(0, 0, 50, 80)]))
    prediction = sizes(side(a=[square(10, 10, 20), square(80, 60, 10)]))
    found = score(reference, prediction, region_layer="done")
    assert found.classes == ("a",)
    assert found.confusion.pixels == 50 * 80
    assert found.confusion.counts[1].tolist() == [6 * 20, 400]  # of the second, six columns
    assert (found.objects[0].true_objects, found.objects[0].predicted_objects) == (1, 1)
    corners = ((0.0, 0.0), (30.0, 0.0), (30.0, 80.0), (0.0, 80.0))
    both = score(reference, prediction, region_layer="done", regions=(corners,))
    assert both.confusion.pixels == 30 * 80
    assert both.confusion.dice[1] == 1


def test_where_a_mask_is_cut_by_a_region_it_has_a_border():
    mask = sizes(side(a=[square(0, 0, 60, 80)], done=[square(0, 0, 30, 80)]))
    found = score(mask, sizes(side(a=[square(0, 0, 60, 80)])), region_layer="done")
    assert found.borders[0].from_truth.total == 2 * (30 + 80) - 4


def test_each_empty_case_is_as_the_page_of_metrics_says():
    nothing, some = sizes(side(a=[])), sizes(side(a=[square(10, 10, 20)]))
    missed, invented, silent = (
        score(one, other) for one, other in ((some, nothing), (nothing, some), (nothing, nothing))
    )
    for found, dice, far in ((missed, 0, math.inf), (invented, 0, math.inf)):
        assert found.confusion.dice[1] == dice
        assert found.borders[0].hausdorff_um() == far
        assert border_figures(found.borders[0].row(1.0))[2] == 0
        assert found.objects[0].panoptic_quality == 0
    assert math.isnan(silent.confusion.dice[1])
    assert math.isnan(silent.borders[0].hausdorff_um())
    assert math.isnan(silent.objects[0].panoptic_quality)
    assert silent.confusion.accuracy == 1


def test_objects_beyond_the_slide_are_in_no_figure():
    reference = sizes(side(a=[square(10, 10, 20), square(300, 10, 20), square(-30, 10, 20)]))
    found = score(reference, sizes(side(a=[square(10, 10, 20)])))
    assert (found.objects[0].true_objects, found.objects[0].f1) == (1, 1)


def test_points_are_counted_as_left_out():
    drawn = side(a=[square(10, 10, 20)])
    marks = (Mark(shapely.Point(5, 5)), Mark(shapely.Point(6, 5)))
    marked = replace(drawn, layers=(replace(drawn.layers[0], marks=marks),))
    assert score(marked, drawn).remarks == ("2 points and lines have no area and were left out",)


def test_errors_are_shown_where_they_are_but_not_slivers():
    reference = sizes(side(a=[square(10, 10, 40)]))
    prediction = sizes(
        side(a=[square(11, 10, 40), square(70, 30, 12)])
    )  # and one pixel to the right
    layers = judge(read(reference, prediction), request(error_width_um=2.0)).layers
    assert [layer.name for layer in layers] == ["false a"]
    (shape,) = layers[0].shapes
    assert shape.polygon.symmetric_difference(square(70, 30, 12)).area < 12  # corners are cut off
    assert shape.properties["area_um2"] == pytest.approx(36, rel=0.1)
    every = judge(read(reference, prediction), request(error_width_um=0.0)).layers
    assert [(each.name, len(each.shapes)) for each in every] == [("missed a", 1), ("false a", 2)]
    assert every[0].colour != every[1].colour


def test_objects_without_a_partner_are_shown_whole():
    reference = sizes(side(a=[square(10, 10, 20), square(50, 50, 10)]))
    prediction = sizes(side(a=[square(12, 10, 20), square(80, 5, 10)]))
    layers = judge(read(reference, prediction), request(error_layers="objects")).layers
    assert {each.name: [s.polygon for s in each.shapes] for each in layers} == {
        "missed a objects": [square(50, 50, 10)],
        "false a objects": [square(80, 5, 10)],
    }


def test_centroids_are_paired_in_um_where_asked_for():
    reference, prediction = side(a=[square(10, 10, 6)]), side(a=[square(15, 10, 6)])
    assert score(reference, prediction).centroids is None
    for radius_um, matched in ((2.6, 1), (2.4, 0)):
        found = score(reference, prediction, centroid_um=radius_um)
        assert found.centroids[0].matched == matched


def test_non_square_pixels_are_judged_in_um():
    mpp = Mpp(0.5, 1.0)
    reference, prediction = (sizes(side(mpp, a=[square(20, y, 40, 20)])) for y in (20, 25))
    found = score(reference, prediction, work_mpp=0.5)
    assert found.borders[0].hausdorff_um(100) == pytest.approx(5)
    assert found.objects[0].true_area == pytest.approx(400)
    assert found.confusion.dice[1] == pytest.approx(0.75)


def test_classes_are_those_of_all_layers_under_any_writing_of_their_names():
    reader = Reader(request(aliases=("Vessel=artery",)), None)
    first = read(side(Tumour=[], Vessel=[]), side(**{"tumour ": []}), reader)
    second = read(side(background=[], tumour=[]), side(nerve=[]), reader)
    assert first.classes == ("Tumour", "artery")
    assert second.classes == ("Tumour", "artery", "nerve")
    assert list(reader.of_prediction) == ["Tumour", "nerve"]


def test_layers_that_were_not_asked_for_are_named_and_a_class_that_is_nowhere_is_refused():
    reader = Reader(request(classes=("tumour", "tumor")), None)
    read(side(tumour=[], notes=[]), side(tumour=[]), reader)
    assert list(reader.unused) == ["notes"]
    with pytest.raises(ConfigError, match="there are: tumour, notes"):
        reader.check_classes()


@pytest.mark.parametrize(
    ("reference", "prediction", "settings", "error", "sentence"),
    [
        (side(None), side(None), {}, ScaleError, "nor does what is drawn; give slide_mpp"),
        (
            side(),
            side(Mpp.square(0.25)),
            {},
            ScaleError,
            "0.5 um per pixel by its reference and 0.25",
        ),
        (
            sized(side(), 9, 9),
            sized(side(), 9, 8),
            {},
            AnnotationError,
            "reference 9 x 9, prediction 9 x 8",
        ),
        (side(a=[square(10**8, 10**8, 9)]), side(), {"work_mpp": 0.5}, SlideError, "drawn far off"),
        (
            side(a=[square(1, 1, 9)]),
            side(),
            {"region_layer": "done"},
            SourceError,
            "no shape in the layer 'done'",
        ),
        (
            sized(side(), 9, 9),
            side(),
            {"regions": (((20.0, 20.0), (30.0, 20.0), (30.0, 30.0)),)},
            SlideError,
            "has no region to judge in",
        ),
    ],
)
def test_what_cannot_be_judged_is_one_clear_sentence(
    reference, prediction, settings, error, sentence
):
    with pytest.raises(error, match=sentence):
        read(reference, prediction, **settings)


def test_a_scale_that_is_given_goes_before_those_that_are_stated():
    case = read(side(), side(Mpp.square(0.25)), slide_mpp=0.3, work_mpp=0.6)
    assert (case.mpp, case.field.frame.scale_x) == (Mpp.square(0.3), 2)


def test_scores_of_slides_with_other_classes_are_filled_up():
    found = score(sizes(side(a=[square(10, 10, 20)])), sizes(side(a=[])), centroid_um=3)
    more = found.among(("a", "b"))
    assert more.confusion.counts.shape == (3, 3)
    assert more.confusion.pixels == found.confusion.pixels
    assert [len(each) for each in (more.borders, more.objects, more.centroids)] == [2, 2, 2]
    assert found.among(("a",)) is found


def test_every_pixel_belongs_to_one_block():
    case = read(sizes(side(a=[square(1, 1, 5)])), sizes(side()), classes=("a",))
    seen = np.zeros((80, 100), int)
    for block in case.field.blocks(3, 17):
        seen[block.core.within(case.field.area)] += 1
        assert block.truth.shape == (block.core.height + 6, block.core.width + 6)
    assert (seen == 1).all()
    assert case.field.block_count(17) == len(list(product(range(6), range(5))))


def test_objects_are_matched_whatever_their_class_and_types_counted_where_asked_for():
    reference = side(a=[square(10, 10, 8), square(40, 10, 8)], b=[square(70, 10, 8)])
    prediction = side(a=[square(10, 10, 8)], b=[square(40, 10, 8), square(70, 40, 8)])
    assert score(reference, prediction).nuclei is None
    found = score(reference, prediction, classes=("a", "b"), centroid_um=2).nuclei
    assert (found.agreement.matched, found.agreement.panoptic_quality) == (2, 2 / 3)
    assert found.types.counts.tolist() == [[0, 0, 1], [0, 1, 1], [1, 0, 0]]
    assert found.widened(3).types.counts.shape == (4, 4)
