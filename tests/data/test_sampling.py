"""Where patches are cut."""

from collections import Counter

import numpy as np
import pytest

from deeplab.config.train_request import AugmentSettings, PatchSettings
from deeplab.data.augment import Augmentation
from deeplab.data.sampling import PatchSampler, Scales
from tests.data.annotated_slides import OBJECT, TISSUE, annotated

SIDE = 65


def sampler(slides, *, labels=2, scales=None, strength=0.0, hard=None, **settings):
    return PatchSampler(
        slides=slides,
        label_count=labels,
        side=SIDE,
        scales=scales or Scales(work_mpp=0.5),
        augmentation=Augmentation(AugmentSettings(augment=strength)),
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
        assert (a.labels == b.labels).all()
    other = sampler(slides, strength=1.0, seed=1).patch(0)
    assert (other.rgb != forwards[0].rgb).any()


def test_every_class_is_drawn_equally_often():
    # The ancestor rounded a uniform draw, which halves the first and the last class.
    slides = [annotated([(1, 50, 50, 30), (2, 300, 50, 30), (3, 50, 400, 30)])]
    draws = sampler(slides, labels=4)
    seen = Counter()
    for number in range(400):
        for label in np.unique(draws.patch(number).labels):
            seen[int(label)] += 1
    for label in (1, 2, 3):
        assert 70 <= seen[label] <= 130, seen  # 100 expected; 0 is in every patch


@pytest.mark.parametrize("downsample", [1.0, 2.0, 4.0, 3.0])
def test_what_was_drawn_lies_in_the_patch_at_every_scale(downsample):
    # The ancestor left the downsample out of the patch's place: objects lay in its corner.
    slides = [annotated([(1, 290, 310, 16)])]
    draws = sampler(slides, scales=Scales(work_mpp=0.5, downsamples=(downsample,)))
    centres = []
    for number in range(120):
        patch = draws.patch(number)
        rows, cols = np.nonzero(patch.labels == 1)
        if rows.size:
            centres.append((rows.mean(), cols.mean()))
            assert patch.rgb[int(rows.mean()), int(cols.mean()), 0] < (OBJECT + TISSUE) / 2
    assert len(centres) > 40
    middle = np.mean(centres, axis=0)
    assert middle == pytest.approx([SIDE / 2, SIDE / 2], abs=SIDE / 10)


def test_pixels_beyond_the_slide_are_ignored():
    slides = [annotated([(1, 0, 0, 20)], side=100)]
    patches = [sampler(slides).patch(n) for n in range(40)]
    beyond = [patch for patch in patches if (patch.labels == 255).any()]
    assert beyond
    for patch in beyond:
        assert (patch.rgb[patch.labels == 255] == 255).all()


def test_a_slide_smaller_than_the_patch_is_read_whole():
    patch = sampler([annotated([(1, 10, 10, 10)], side=40)]).patch(0)
    assert (patch.labels != 255).sum() == 40 * 40
    assert (patch.labels == 1).sum() == 100


def test_background_is_drawn_where_no_class_is():
    slides = [annotated([(1, 250, 250, 100)], side=1000)]
    empty = sum((sampler(slides).patch(n).labels == 0).all() for n in range(60))
    assert empty >= 10
