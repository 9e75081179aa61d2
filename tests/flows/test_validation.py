"""A validation looks at a slide as a segmentation does."""

from dataclasses import replace

import numpy as np
import pytest
import shapely
import tifffile

from deeplab.bundles.load import load_bundle
from deeplab.bundles.read import read_card
from deeplab.config.progress import silent
from deeplab.config.requests import SegmentRequest
from deeplab.config.train_request import TrainRequest
from deeplab.errors import UnreadableSlideError
from deeplab.geometry.frames import Mpp
from deeplab.inference.segment import segment_slide
from deeplab.slides.array_slide import ArraySlide
from deeplab.slides.tissue import TissueMask
from deeplab.training.held_out import HeldOut
from deeplab.training.reporting.tensorboard import EventLog
from deeplab.training.validation.validate import Validator
from tests.data.annotated_slides import annotated
from tests.flows.models_for_tests import balanced_model
from tests.slides_for_tests import tissue, write_tiff

pytestmark = pytest.mark.slow

SIDE = 600
DRAWN = shapely.box(180, 150, 420, 390)


@pytest.fixture(scope="module")
def rgb():
    return tissue(SIDE, SIDE)[0]


@pytest.fixture(scope="module")
def model(rgb, tmp_path_factory):
    return balanced_model(tmp_path_factory.mktemp("model") / "m.zip", rgb[:257, :257])


def judged_by_hand(rgb, name="painted"):
    """A slide with one tumour that was drawn, and a part of it that is to be ignored."""
    drawn = annotated([(1, 180, 150, 240), (255, 200, 170, 30)], side=SIDE, name=name)
    return replace(drawn, slide=ArraySlide(rgb, Mpp.square(0.5), name))


def validator(model, slides):
    bundle = load_bundle(model)
    return Validator(
        network=bundle.network, card=read_card(model), slides=slides, most_px=10**9, seed=0
    )


@pytest.fixture(scope="module")
def found(rgb, model):
    return validator(model, [judged_by_hand(rgb)])(7)


def test_the_labels_are_those_of_a_segmentation_pixel_for_pixel(found, rgb, model, tmp_path):
    slide = write_tiff(tmp_path / "painted.tiff", rgb, compression="deflate")
    margin = read_card(model).config.crop_size
    left, top, right, bottom = DRAWN.buffer(margin, join_style="mitre").bounds
    request = SegmentRequest(
        slide=str(slide),
        model=model,
        output_mask=tmp_path / "mask.tiff",
        regions=(((left, top), (right, top), (right, bottom), (left, bottom)),),
        runtime="tensorflow",
        tissue="off",
    )
    segment_slide(request, silent)
    expected = tifffile.imread(request.output_mask)
    labels = np.full_like(expected, 99)
    for region in found.regions:
        part = (slice(region.box.y, region.box.bottom), slice(region.box.x, region.box.right))
        labels[part] = region.prediction["labels"]
    inside = np.zeros_like(expected, bool)
    inside[int(top) : int(bottom), int(left) : int(right)] = True
    np.testing.assert_array_equal(labels[inside], expected[inside])
    assert (labels[~inside] == 99).all()
    assert {0, 1, 2} <= set(np.unique(labels[inside]))


def test_the_figures_are_those_of_the_labels_and_what_is_to_be_ignored_is_not_in_them(found):
    truth = np.zeros((SIDE, SIDE), np.uint8)
    truth[150:390, 180:420] = 1
    ignored = np.zeros_like(truth, bool)
    ignored[170:200, 200:230] = True
    counts = np.zeros((3, 3), int)
    for region in found.regions:
        part = (slice(region.box.y, region.box.bottom), slice(region.box.x, region.box.right))
        for a in range(3):
            for b in range(3):
                hit = (truth[part] == a) & (region.prediction["labels"] == b) & ~ignored[part]
                counts[a, b] += hit.sum()
    assert found.pooled.counts.tolist() == counts.tolist()
    (slide,) = found.slides
    assert slide.tally.counts.tolist() == counts.tolist()
    assert slide.chosen_px == counts.sum() + ignored.sum()
    assert (found.step, slide.work_mpp) == (7, 0.5)


def test_a_second_look_follows_the_weights(rgb, model):
    bundle = load_bundle(model)
    look = Validator(
        network=bundle.network,
        card=read_card(model),
        slides=[judged_by_hand(rgb)],
        most_px=10**9,
        seed=0,
    )
    before = look(1)
    logits = bundle.network.get_layer("logits")
    kernel, bias = logits.get_weights()
    logits.set_weights([np.zeros_like(kernel), np.eye(3)[2] + 0 * bias])
    after = look(2)
    assert before.pooled.counts[:, 2].sum() < before.pooled.pixels
    assert after.pooled.counts[:, 2].sum() == after.pooled.pixels


def test_a_slide_that_turns_unreadable_is_set_aside_and_the_others_are_judged(rgb, model):
    class Broken(ArraySlide):
        def read(self, *_):
            raise UnreadableSlideError(self.name, "is cut short")

    broken = replace(judged_by_hand(rgb, "broken"), slide=Broken(rgb, Mpp.square(0.5), "broken"))
    look = validator(model, [broken, judged_by_hand(rgb)])
    for step in (1, 2):
        result = look(step)
        assert [slide.slide for slide in result.slides] == ["painted"]
        assert "cut short" in result.set_aside["broken"]


def test_glass_is_background_as_it_is_for_a_segmentation(rgb, model):
    slide = judged_by_hand(np.full_like(rgb, 243))
    frame = slide.slide.frame(4.0)
    glass = TissueMask(np.zeros((frame.height, frame.width), np.bool_), frame)
    bare = replace(slide, tissue=glass)
    result = validator(model, [bare])(1)
    # Only the tile with the outline is judged: the tumour that a segmentation would not see.
    assert result.pooled.counts[:, 1:].sum() == 0
    assert result.pooled.counts[1, 0] == 240 * 240 - 30 * 30


def test_the_best_look_is_remembered_and_one_of_an_earlier_run_is_taken_again(rgb, model, tmp_path):
    bundle = load_bundle(model)
    card = read_card(model)
    request = TrainRequest(source="s", classes=card.classes.names, output_model=model)
    held_out = HeldOut(
        request=request,
        slides=[judged_by_hand(rgb)],
        card=card,
        model=lambda: bundle.network,
        events=EventLog(tmp_path, card.classes),
    )
    confusion = held_out(3)
    assert held_out.of_step(3, model).pooled.counts.tolist() == confusion.counts.tolist()
    again = held_out.of_step(2, model)
    assert again.step == 2
    assert again.pooled.counts.tolist() == confusion.counts.tolist()
    assert list(tmp_path.glob("events*")), "examples were shown"
