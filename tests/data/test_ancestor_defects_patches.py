"""What was wrong with the patches of the ancestor, DeepLab-WSI, is right here."""

from collections import Counter

import numpy as np
import pytest
from scipy import stats

from deeplab.config.train_request import AugmentSettings, PatchSettings
from deeplab.data.augment import Augmentation
from deeplab.data.sampling import PatchForm, PatchSampler, Scales
from deeplab.exchange.labelling import Labelling
from tests.data.annotated_slides import OBJECT, TISSUE, annotated, labelled

SIDE = 97
DARK = (OBJECT + TISSUE) / 2


def patches(slides, count, *, labels=2, scales=None, augment=0.0, flip=True, **settings):
    own = {} if not augment else dict.fromkeys(("augment_rotation", "augment_scale"), augment)
    sampler = PatchSampler(
        slides=slides,
        label_count=labels,
        form=PatchForm(side=SIDE),
        scales=scales or Scales(work_mpp=0.5),
        augmentation=Augmentation(
            AugmentSettings(augment=0, augment_elastic=augment, augment_flip=flip, **own)
        ),
        settings=PatchSettings(**settings),
    )
    return [sampler.patch(number) for number in range(count)]


def test_defect_1_augmented_patches_keep_their_labels():
    slides = [annotated([(1, 200, 200, 70), (1, 330, 260, 50)])]
    agreements, shares = [], []
    for patch in patches(slides, 60, augment=1.0, class_shares=(0, 1)):
        dark, judged = patch.rgb[..., 0] < DARK, patch.targets["labels"] != 255
        agreements.append(np.mean((patch.targets["labels"] == 1)[judged] == dark[judged]))
        shares.append(np.mean(patch.targets["labels"] == 1))
    assert min(agreements) > 0.98
    assert min(shares) > 0.02, "a patch drawn for an object shows none of it"


def test_defect_2_the_first_and_the_last_class_are_drawn_as_often_as_the_others():
    # Tissue is far from the objects, so that a patch tells what it was drawn for.
    boxes = [(label, 30 + 150 * (label - 1), 30, 40) for label in (1, 2, 3)]
    tissue = np.zeros((75, 75), np.bool_)
    tissue[50:] = True
    grey = np.full((600, 600, 3), TISSUE, np.uint8)
    painted = annotated(boxes)
    shapes = {f"class {label}": list(painted.shapes_of(label)) for label in (1, 2, 3)}
    slide = labelled(grey, shapes, Labelling(classes=tuple(shapes)), tissue=tissue)
    made = patches([slide], 600, labels=4, include_background_prob=0.0)
    seen = Counter(
        int(np.where(p.targets["labels"] == 255, 0, p.targets["labels"]).max()) for p in made
    )
    counts = [seen[label] for label in range(4)]
    assert stats.chisquare(counts).pvalue > 0.001, counts
    # The same number of draws would have shown the ancestor's fault.
    assert stats.chisquare([100, 200, 200, 100]).pvalue < 1e-6


@pytest.mark.parametrize("downsample", [1.0, 2.0, 3.0, 4.0])
@pytest.mark.parametrize("augment", [0.0, 1.0])
def test_defect_3_what_was_drawn_is_in_the_middle_at_every_scale(downsample, augment):
    slides = [annotated([(1, 500, 520, 24)], side=1100)]
    scales = Scales(work_mpp=0.5, downsamples=(downsample,))
    made = patches(slides, 80, scales=scales, augment=augment, class_shares=(0, 1))
    middles = []
    for patch in made:
        rows, cols = np.nonzero(patch.targets["labels"] == 1)
        assert rows.size, "the object that was drawn is not in the patch"
        middles.append((rows.mean(), cols.mean()))
    assert np.mean(middles, axis=0) == pytest.approx([SIDE / 2, SIDE / 2], abs=SIDE / 10)


def test_defect_6_patches_reach_the_slides_outermost_pixels():
    across, down = np.arange(250), np.arange(230)
    rgb = np.zeros((230, 250, 3), np.uint8)
    rgb[..., 0], rgb[..., 1] = across, down[:, None]
    slide = labelled(rgb, {}, Labelling(classes=("a",)))
    shown = np.zeros((230, 250), np.bool_)
    for patch in patches([slide], 150):
        there = patch.targets["labels"] != 255
        shown[patch.rgb[..., 1][there], patch.rgb[..., 0][there]] = True
    assert shown.all()


@pytest.mark.parametrize("augment", [0.0, 1.0])
def test_defect_6_a_slide_smaller_than_a_patch_is_shown_whole(augment):
    for patch in patches([annotated([(1, 10, 10, 10)], side=40)], 12, augment=augment):
        judged = patch.targets["labels"] != 255
        scale = np.sqrt(judged.sum() / 40**2)
        assert 0.7 < scale < 1.4 if augment else scale == 1
        assert (patch.targets["labels"] == 1).sum() == pytest.approx(100 * scale**2, rel=0.5)
        assert (patch.rgb[~judged] > TISSUE - 60).mean() > 0.9


@pytest.mark.parametrize("augment", [0.0, 1.0])
def test_defect_12_slides_of_20x_and_40x_show_the_same_object_in_the_same_size(augment):
    twenty = annotated([(1, 250, 250, 36)], mpp=0.5)
    forty = annotated([(1, 500, 500, 72)], mpp=0.25, side=1200)
    sizes = {0: [], 1: []}
    for patch in patches([twenty, forty], 240, augment=augment, class_shares=(0, 1)):
        found = patch.targets["labels"] == 1
        if not (found[[0, -1]].any() or found[:, [0, -1]].any()):
            sizes[patch.place.slide].append(np.sqrt(found.sum()))
            assert np.sqrt((patch.rgb[..., 0] < DARK).sum()) == pytest.approx(
                sizes[patch.place.slide][-1], abs=1
            )
    assert min(map(len, sizes.values())) > 40
    means = [np.exp(np.mean(np.log(sizes[n]))) for n in (0, 1)]
    assert means == pytest.approx([36, 36], rel=0.06 if augment else 1e-9)
