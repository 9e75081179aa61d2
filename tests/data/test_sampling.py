"""Where patches are cut."""

import logging
from dataclasses import replace

import numpy as np
import pytest

from deeplab.config.train_request import AugmentSettings, PatchSettings
from deeplab.data.augment import Augmentation
from deeplab.data.mining import BLOCK_STEPS, HardPlaces
from deeplab.data.sampling import PatchForm, PatchSampler, Scales
from deeplab.errors import (
    AccessDeniedError,
    ServerError,
    TrainingError,
    UnreachableError,
    UnreadableSlideError,
)
from deeplab.exchange.labelling import Labelling
from deeplab.geometry.frames import WorkBox
from deeplab.slides.slide import open_slide
from tests.data.annotated_slides import annotated, labelled
from tests.slides_for_tests import tissue, write_tiff

SIDE = 65
RULES = Labelling(classes=("class 1",))


def sampler(
    slides, *, labels=2, scales=None, strength=0.0, scale=-1.0, flip=True, hard=None, **settings
):
    augment = AugmentSettings(augment=strength, augment_scale=scale, augment_flip=flip)
    return PatchSampler(
        slides=slides,
        label_count=labels,
        form=PatchForm(side=SIDE),
        scales=scales or Scales(work_mpp=0.5),
        augmentation=Augmentation(augment),
        settings=PatchSettings(**{"include_background_prob": 0.0} | settings),
        hard=hard,
    )


def test_a_patch_is_a_function_of_its_number_and_the_seed():
    slides = [annotated([(1, 100, 100, 40)]), annotated([(1, 300, 200, 30)])]
    one, again = sampler(slides, strength=1.0), sampler(slides, strength=1.0)
    forwards = [one.patch(n) for n in range(6)]
    backwards = [again.patch(n) for n in reversed(range(6))][::-1]
    for a, b in zip(forwards, backwards, strict=True):
        assert (a.rgb == b.rgb).all()
        assert (a.targets["labels"] == b.targets["labels"]).all()
    other = sampler(slides, strength=1.0, seed=1).patch(0)
    assert (other.rgb != forwards[0].rgb).any()


def test_pixels_beyond_the_slide_are_ignored():
    slides = [annotated([(1, 0, 0, 20)], side=100)]
    patches = [sampler(slides).patch(n) for n in range(40)]
    beyond = [patch for patch in patches if (patch.targets["labels"] == 255).any()]
    assert beyond
    for patch in beyond:
        assert (patch.rgb[patch.targets["labels"] == 255] == 255).all()


def test_background_is_drawn_where_no_class_is():
    slides = [annotated([(1, 250, 250, 100)], side=1000)]
    empty = sum((sampler(slides).patch(n).targets["labels"] == 0).all() for n in range(60))
    assert empty >= 10


@pytest.mark.parametrize("mpp", [0.5, 0.7, 1.0])
def test_a_patch_that_is_not_augmented_is_what_a_segmentation_would_read(mpp):
    slide = annotated([(1, 100, 100, 40), (1, 300, 310, 90)])
    draws = sampler([slide], scales=Scales(work_mpp=mpp), flip=False)
    frame = slide.slide.frame(mpp)
    for number in range(10):
        patch = draws.patch(number)
        x, y = (round(v / frame.scale_x - SIDE / 2) for v in patch.place[1:])
        rgb, truth = slide.read(frame, WorkBox(x, y, SIDE, SIDE))
        assert (patch.rgb == rgb).all()
        assert (patch.targets["labels"] == truth["labels"]).all()


def test_scale_augmentation_varies_about_the_scale_asked_for():
    slide = annotated([(1, 270, 270, 60)], mpp=0.25)
    draws = sampler([slide], scales=Scales(work_mpp=0.5), class_shares=(0, 1), scale=1.0)
    sides = []
    for number in range(150):
        labels = draws.patch(number).targets["labels"] == 1
        if labels.any() and not (labels[[0, -1]].any() or labels[:, [0, -1]].any()):
            sides.append(np.sqrt(labels.sum()))
    assert len(sides) > 60
    assert 30 * 0.72 < min(sides) < 30 * 0.85
    assert 30 * 1.2 < max(sides) < 30 * 1.38
    assert np.exp(np.mean(np.log(sides))) == pytest.approx(30, rel=0.06)


class Watched:
    """The tiles of a slide, and the levels they were asked of."""

    def __init__(self, tiles):
        self._tiles, self.shape, self.levels = tiles, tiles.shape, []

    def read(self, tiles):
        self.levels += [self.shape.levels - 1 - tile.level for tile in tiles]
        return self._tiles.read(tiles)


@pytest.mark.parametrize(("mpp", "halvings"), [(0.5, {0}), (1.0, {1}), (2.0, {2}), (3.9, {2})])
@pytest.mark.parametrize("strength", [0.0, 0.4])
def test_pixels_come_from_the_level_that_fits(tmp_path, mpp, halvings, strength):
    rgb, _ = tissue(512, 512)
    with open_slide(write_tiff(tmp_path / "a.tiff", rgb, tile=128, levels=3)) as slide:
        annotated_slide = labelled(rgb, {}, RULES, slide=slide)
        slide._cache._reader = watched = Watched(slide._reader)
        slide._cache.clear()
        draws = sampler([annotated_slide], scales=Scales(work_mpp=mpp), strength=strength)
        for number in range(8):
            draws.patch(number)
        # A patch drawn a little finer than a level may be read one level finer.
        finer = {max(0, level - 1) for level in halvings} if strength else set()
        assert halvings <= set(watched.levels) | finer
        assert set(watched.levels) <= halvings | finer


class Failing:
    """A slide that fails from a number of reads on."""

    def __init__(self, slide, error, after=0):
        self._slide, self._error, self.left = slide, error, after

    def __getattr__(self, name):
        return getattr(self._slide, name)

    def read(self, frame, box):
        self.left -= 1
        if self.left < 0:
            raise self._error
        return self._slide.read(frame, box)


CUT_SHORT = UnreadableSlideError("b", "is cut short")
REFUSED = ServerError("GET item", "the server does not answer")


def three(error, after=0):
    a, b, c = (annotated([(1, 100 * n, 200, 60)], name="abc"[n - 1]) for n in (1, 2, 3))
    return [a, replace(b, slide=Failing(b.slide, error, after)), c]


@pytest.mark.parametrize("error", [CUT_SHORT, REFUSED])
def test_a_slide_that_turns_unreadable_is_set_aside_and_named_once(error, caplog):
    draws = sampler(three(error, after=3), strength=0.3)
    with caplog.at_level(logging.WARNING):
        patches = [draws.patch(n) for n in range(60)]
    assert draws.set_aside == ["b"]
    warnings = [record.getMessage() for record in caplog.records]
    assert warnings == [f"b is set aside, the training goes on without it: {error}"]
    assert {patch.place.slide for patch in patches[30:]} == {0, 2}


@pytest.mark.parametrize("kind", [AccessDeniedError, UnreachableError])
def test_a_server_that_gives_nothing_any_more_ends_it_and_costs_no_slide(kind):
    error = kind("tile 0/0/0", "the server refuses it")
    draws = sampler(three(error), strength=0.3)
    with pytest.raises(kind, match="refuses it"):
        list(map(draws.patch, range(60)))
    assert draws.set_aside == []


def test_the_patches_of_other_slides_are_not_changed_by_one_that_is_set_aside():
    whole, hurt = sampler(three(CUT_SHORT, after=10**6)), sampler(three(CUT_SHORT))
    again = sampler(three(CUT_SHORT))
    substitutes = 0
    for number in range(40):
        patch, expected = hurt.patch(number), whole.patch(number)
        if expected.place.slide != 1:
            assert (patch.rgb == expected.rgb).all()
            assert patch.place == expected.place
        else:
            substitutes += 1
            assert (patch.rgb == again.patch(number).rgb).all(), "the substitute is not random"
    assert substitutes > 5


def test_a_class_that_is_lost_with_its_slide_is_not_drawn_any_more():
    only = annotated([(2, 100, 200, 60)], name="b")
    slides = [annotated([(1, 90, 90, 60)]), replace(only, slide=Failing(only.slide, CUT_SHORT))]
    draws = sampler(slides, labels=3, class_shares=(0, 1, 3))
    assert all(draws.patch(n).place.slide == 0 for n in range(20))


def test_when_no_slide_is_left_the_training_ends_with_a_sentence():
    slides = [replace(s, slide=Failing(s.slide, CUT_SHORT)) for s in three(CUT_SHORT)]
    draws = sampler(slides)
    with pytest.raises(TrainingError, match="no slide can be read any longer; the last one: b is"):
        draws.patch(0)


def test_the_share_of_hard_places_is_drawn_where_the_network_was_wrong():
    hard = HardPlaces(1)
    hard.note([0], [[0, 450.0, 440.0]], [2.0])
    draws = sampler([annotated([(1, 100, 100, 40)])], hard=hard, hard_mining=0.4)
    later = range(2 * BLOCK_STEPS, 2 * BLOCK_STEPS + 300)

    def near(number):
        _, x0, y0 = draws.patch(number).place
        return max(abs(x0 - 450), abs(y0 - 440)) <= SIDE / 2

    assert not any(near(n) and n < BLOCK_STEPS for n in range(3))
    assert np.mean([near(n) for n in later]) == pytest.approx(0.4, abs=0.1)
