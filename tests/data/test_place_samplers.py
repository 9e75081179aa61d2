"""SURF's two ways of drawing places keep what they promise, on slides painted in code."""

from collections import Counter

import numpy as np
import pytest
import shapely

from deeplab.config.train_request import AugmentSettings, PatchSettings
from deeplab.data.augment import Augmentation
from deeplab.data.levels import level_near
from deeplab.data.place_samplers import in_rounds, place_samplers
from deeplab.data.sampling import PatchForm, PatchSampler, Scales
from deeplab.errors import ConfigError, ScaleError, UnreadableSlideError
from deeplab.exchange.labelling import Labelling
from deeplab.geometry.frames import Mpp
from deeplab.slides.array_slide import ArraySlide
from deeplab.slides.slide import open_slide
from tests.data.annotated_slides import labelled
from tests.slides_for_tests import GLASS, PINK, write_tiff

RULES = Labelling(classes=("tumour",))
SIDE = 1024
TISSUE = (256, 256, 768, 768)


def painted(shapes, *, rules=RULES, name="slide", mpp=4.0):
    """Pink tissue amid glass, with noise in it so that no patch of tissue is even."""
    rgb = np.full((SIDE, SIDE, 3), GLASS, np.uint8)
    left, top, right, bottom = TISSUE
    grain = np.random.default_rng(0).integers(-40, 1, (bottom - top, right - left, 1))
    rgb[top:bottom, left:right] = np.clip(np.array(PINK) + grain, 0, 255)
    slide = ArraySlide(rgb, Mpp.square(mpp), name)
    return labelled(rgb, shapes, rules, mpp=mpp, name=name, slide=slide,
                    tissue=np.ones((slide.frame(4.0).height, slide.frame(4.0).width), bool))  # fmt: skip


def places(slides, count, *, labels=2, **settings):
    asked = PatchSettings(**settings)
    drawn = place_samplers(slides, labels, asked)(range(len(slides)))
    return [drawn.place(n, np.random.default_rng([asked.seed, n])) for n in range(count)]


def boxes(*corners):
    return [shapely.box(x, y, x + side, y + side) for x, y, side in corners]


def test_everything_has_its_turn_once_a_round_and_rounds_differ():
    turns = [in_rounds((3, 1), n, 7) for n in range(70)]
    rounds = [tuple(turns[n : n + 7]) for n in range(0, 70, 7)]
    assert all(sorted(each) == list(range(7)) for each in rounds)
    assert len(set(rounds)) > 5


@pytest.mark.parametrize("ratio", [0.0, 0.25, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("batch_size", [1, 4, 10])
def test_surf_draws_the_share_of_tumour_that_is_asked_for(ratio, batch_size):
    slides = [painted({"tumour": boxes((400, 400, 160))})]
    drawn = places(
        slides, 1000, data_sampler="surf", bb_downsample=3, batch_tumor_ratio=ratio,
        batch_size=batch_size,
    )  # fmt: skip
    edge = shapely.box(400, 400, 560, 560).exterior
    near = [edge.distance(shapely.Point(p.x0, p.y0)) <= 8 * 2**0.5 for p in drawn]
    assert np.mean(near) == pytest.approx(ratio, abs=1e-3)
    if ratio * batch_size == round(ratio * batch_size):  # then each batch has it
        assert set(np.reshape(near, (-1, batch_size)).sum(axis=1)) == {round(ratio * batch_size)}


def test_surf_gives_slides_and_contours_their_turns_and_contour_points_a_chance_each():
    tumours = [(304, 304, 200), (600, 600, 40), (304, 648, 5)]  # the last is one pixel of level 3
    slides = [painted({"tumour": boxes(*tumours)}), painted({"tumour": boxes((400, 400, 80))})]
    count = 1200
    drawn = places(slides, count, data_sampler="surf", bb_downsample=3, batch_tumor_ratio=1.0)
    by_slide = Counter(p.slide for p in drawn)
    assert by_slide == {0: count / 2, 1: count / 2}
    on = Counter(
        n
        for p in drawn
        for n, (x, y, side) in enumerate(tumours)
        if p.slide == 0
        and shapely.box(x, y, x + side, y + side).distance(shapely.Point(p.x0, p.y0)) < 9
    )
    assert on == dict.fromkeys(range(3), count / 2 / 3)
    xs = [p.x0 for p in drawn if p.slide == 1]
    assert np.mean(np.array(xs) < 440) == pytest.approx(0.5, abs=3 * 0.5 / np.sqrt(count / 2))


def test_surf_honours_holes_and_draws_on_their_borders():
    ring = shapely.box(300, 300, 700, 700) - shapely.box(400, 400, 600, 600)
    drawn = places([painted({"tumour": [ring]})], 400, data_sampler="surf", bb_downsample=3,
                   batch_tumor_ratio=1.0)  # fmt: skip
    inner = shapely.box(400, 400, 600, 600).exterior
    on_hole = [inner.distance(shapely.Point(p.x0, p.y0)) < 17 for p in drawn]
    assert np.mean(on_hole) == pytest.approx(0.5, abs=0.01)  # two contours take turns


def test_surf_draws_the_rest_on_the_border_of_tissue():
    drawn = places([painted({"tumour": boxes((400, 400, 160))})], 300, data_sampler="surf",
                   bb_downsample=3, batch_tumor_ratio=0.0)  # fmt: skip
    edge = shapely.box(*TISSUE).exterior
    assert max(edge.distance(shapely.Point(p.x0, p.y0)) for p in drawn) < 24


def test_surf_without_any_class_needs_a_share_of_0():
    with pytest.raises(ConfigError, match="batch_tumor_ratio must be 0 where no class is drawn"):
        places([painted({})], 1, data_sampler="surf", bb_downsample=3)


@pytest.mark.parametrize("seed", [0, 1])
def test_radboud_gives_labels_and_annotations_their_turns_whatever_their_area(seed):
    rules = Labelling(
        classes=("tumour", "stroma"),
        aliases={"_0": "background", "_2": "tumour"},
        background_layer="background",
    )
    tumours, stroma = boxes((300, 300, 200), (600, 600, 10)), boxes((300, 600, 50))
    normal = boxes((520, 300, 100), (650, 300, 20), (300, 520, 30))
    slides = [
        painted({"_2": tumours, "_0": normal}, rules=rules),
        painted({"_2": boxes((400, 400, 80)), "stroma": stroma}, rules=rules, name="other"),
    ]
    count = 1800
    drawn = places(slides, count, labels=3, data_sampler="radboud", seed=seed)
    on = Counter()
    for place in drawn:
        for label in range(3):
            for n, polygon in enumerate(slides[place.slide].shapes_of(label)):
                if polygon.contains(shapely.Point(place.x0, place.y0)):
                    on[place.slide, label, n] += 1
    assert sum(on.values()) == count
    labels = Counter()
    for (_, label, _), times in on.items():
        labels[label] += times
    assert labels == dict.fromkeys(range(3), count / 3)
    assert all(on[0, 0, n] == count / 9 for n in range(3))
    assert on[0, 1, 0] == on[0, 1, 1] == on[1, 1, 0] == count / 9
    xs = [
        p.x0
        for p in drawn
        if p.slide == 0 and slides[0].shapes_of(1)[0].contains(shapely.Point(p.x0, p.y0))
    ]
    assert np.mean(np.array(xs) < 400) == pytest.approx(0.5, abs=3 * 0.5 / np.sqrt(len(xs)))


def test_radboud_needs_something_drawn():
    with pytest.raises(ConfigError, match="data_sampler must be classes where nothing is drawn"):
        places([painted({})], 1, data_sampler="radboud")


def sampler(slides, *, side=64, **settings):
    return PatchSampler(
        slides=slides,
        label_count=2,
        form=PatchForm(side=side),
        scales=Scales(work_mpp=4.0),
        augmentation=Augmentation(AugmentSettings(augment=0.0, augment_flip=False)),
        settings=PatchSettings(**settings),
    )


@pytest.mark.parametrize("name", ["surf", "radboud"])
def test_the_place_is_the_middle_of_the_patch_and_patches_depend_on_seed_and_number(name):
    slides = [painted({"tumour": boxes((400, 400, 160))})]
    settings = (
        {"data_sampler": name, "least_colour_spread": 0.0}
        if name == "surf"
        else {"data_sampler": name}
    )
    settings |= {"bb_downsample": 3} if name == "surf" else {}
    one, again = sampler(slides, **settings), sampler(slides, **settings)
    places = place_samplers(slides, 2, PatchSettings(**settings))(range(1))
    for number in (5, 0, 17):
        patch = one.patch(number)
        assert np.array_equal(patch.rgb, again.patch(number).rgb)
        random = np.random.default_rng([0, number, 0])
        random.random()  # whether a hard place is wanted
        place = places.place(number, random)
        assert patch.place.x0 == pytest.approx(place.x0, abs=1)
        assert patch.place.y0 == pytest.approx(place.y0, abs=1)
    labels = [sampler(slides, **settings).patch(n).targets["labels"] for n in range(8)]
    assert any(each.any() for each in labels)


def test_a_patch_of_too_little_spread_is_drawn_again():
    """Half of the tissue's border is gone from the pixels when they are read."""
    shares = {}
    for least in (0.0, 15.0):
        slide = painted({"tumour": boxes((400, 400, 160))})
        drawn = sampler([slide], data_sampler="surf", bb_downsample=3, batch_tumor_ratio=0.0,
                        least_colour_spread=least, side=16)  # fmt: skip
        slide.slide._reader._rgb[:512] = GLASS
        patches = [drawn.patch(n) for n in range(150)]
        shares[least] = np.mean([p.rgb.std(axis=(0, 1)).mean() < 15 for p in patches])
    assert shares[0.0] > 0.3
    assert shares[15.0] < 0.05


def test_a_failed_read_is_no_patch_of_noise_but_one_of_another_slide(monkeypatch):
    slides = [painted({"tumour": boxes((400, 400, 160))}, name=name) for name in ("a", "b")]

    def fail(*_):
        raise UnreadableSlideError("a", "cannot be read")

    monkeypatch.setattr(slides[0].slide, "read", fail)
    drawn = sampler(slides, data_sampler="radboud")
    assert {drawn.patch(n).place.slide for n in range(6)} == {1}
    assert drawn.set_aside == ["a"]


def test_a_resolution_means_the_level_within_a_tenth(tmp_path):
    path = write_tiff(
        tmp_path / "a.tif", np.full((600, 600, 3), PINK, np.uint8), mpp=0.48, levels=2
    )
    with open_slide(path) as slide:
        assert level_near(slide, 0.5) == pytest.approx(0.48)
        assert level_near(slide, 1.0) == pytest.approx(0.96)
        with pytest.raises(ScaleError, match=r"no level within a tenth of 0.7 um per pixel \(its"):
            level_near(slide, 0.7)
        with pytest.raises(ScaleError):
            level_near(slide, 2.0)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"data_sampler": "surf", "class_shares": (1.0, 2.0)}, "class_shares must be left away"),
        ({"data_sampler": "radboud", "bb_downsample": 5}, "bb_downsample must be left away where"),
        ({"batch_tumor_ratio": 0.3}, "where data_sampler is classes, not surf"),
        ({"data_sampler": "other"}, "data_sampler must be one of classes, surf, radboud"),
        ({"resolution": 0.5, "wsi_downsample": (2.0,)}, "resolution must be left away where wsi"),
    ],
)
def test_settings_that_would_not_be_looked_at_are_refused(settings, said):
    with pytest.raises(ConfigError, match=said):
        PatchSettings(**settings)
