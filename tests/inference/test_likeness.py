"""A slide beside those that a model learnt from: what is unlike, in a sentence."""

import logging
from dataclasses import replace

import numpy as np
import pytest

from deeplab.bundles.card import Card
from deeplab.bundles.learnt_appearance import LearntAppearance
from deeplab.data.stains import restain
from deeplab.geometry.frames import Mpp
from deeplab.inference.likeness import ADVICE, WORDS, Likeness
from deeplab.slides.appearance import FEATURES, map_stain, measure_appearance
from deeplab.slides.array_slide import ArraySlide
from deeplab.slides.tissue import read_thumbnail
from tests.flows.models_for_tests import CLASSES, CONFIG
from tests.slides_for_tests import tissue

BARE = Card(config=CONFIG, classes=CLASSES, work_mpp=0.5, tile=257, halo=48)


def stained(*amounts, seed=0):
    rgb = tissue(300, 200, seed=seed)[0]
    return restain(rgb, amounts=np.array(amounts, float), grounds=np.zeros(3))


def slide_of(rgb, mpp=16.0):
    return ArraySlide(rgb, Mpp.square(mpp), "a.svs")


@pytest.fixture(scope="module")
def card():
    """Of a model that learnt from four slides of one stain."""
    slides = (slide_of(tissue(300, 200, seed=seed)[0]) for seed in range(4))
    learnt = LearntAppearance.of(measure_appearance(map_stain(read_thumbnail(s))) for s in slides)
    return replace(BARE, training=learnt.facts())


def likeness_of(rgb, card, mpp=16.0):
    slide = slide_of(rgb, mpp)
    return Likeness.of(slide, read_thumbnail(slide), card)


def test_each_feature_has_its_words():
    assert WORDS.keys() == set(FEATURES)


@pytest.mark.parametrize("seed", [5, 6, 7])
def test_nothing_is_said_of_a_slide_of_the_same_stain(card, seed, caplog):
    like = likeness_of(stained(1, 1, 1, seed=seed), card)
    assert (like.unlike, like.remark) == ("", "")
    assert not caplog.records


@pytest.mark.parametrize(
    ("amounts", "words"),
    [
        ((0.3, 0.3, 0.3), "paler"),
        ((3, 3, 3), "darker"),
        ((3, 0.3, 1), "bluer"),
        ((0.5, 3, 1), "redder and more purple"),
    ],
)
def test_another_stain_is_said_in_a_sentence_and_warned_of(card, amounts, words, caplog):
    like = likeness_of(stained(*amounts), card)
    assert like.unlike == (
        f"the stain of this slide is {words} than that of any slide that the model was trained on: "
        f"{ADVICE}"
    )
    assert like.remark.startswith("The stain of")
    assert like.remark.endswith("trust them.")
    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (logging.WARNING, f"a.svs: {like.unlike}")


def test_a_slide_on_which_no_stain_is_seen_is_said_and_a_patch_of_glass_is_not(card):
    dark = np.zeros((60, 60, 3), np.uint8)
    dark[20:40, 20:40, 2] = 200
    said = f"no stained tissue can be told from glass on this slide: {ADVICE}"
    assert likeness_of(dark, card).unlike == said
    assert likeness_of(np.full((200, 200, 3), 243, np.uint8), card, mpp=0.5).unlike == ""


def test_nothing_is_said_where_nothing_is_known(card):
    rgb = stained(0.2, 0.2, 0.2)
    assert likeness_of(rgb, BARE) == Likeness()
    assert Likeness.of(slide_of(rgb), None, card) == Likeness()
