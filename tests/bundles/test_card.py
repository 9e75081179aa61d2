import dataclasses
import json

import pytest

from deeplab.bundles.card import Card, card_from_json, card_to_json
from deeplab.errors import BundleError, ConfigError
from tests.bundles.tiny_models import TINY, tiny_card


@pytest.mark.parametrize(
    "card", [tiny_card(), tiny_card(work_mpp=None, mpp_range=None, training={}, metrics={})]
)
def test_text_and_back_is_the_same_card(card: Card):
    assert card_from_json(card_to_json(card), "m.zip") == card


def test_the_first_bundles_word_for_the_um_per_pixel_is_read():
    first = card_to_json(tiny_card()).replace('"work_mpp"', '"mpp_work"')
    assert card_from_json(first, "m.zip") == tiny_card()


def test_every_field_of_the_card_is_in_its_text():
    value = json.loads(card_to_json(tiny_card()))
    assert {field.name for field in dataclasses.fields(Card)} <= set(value)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"format": "x"}, "card.json that is not of the format histomics-deeplab"),
        ({"format_version": 2}, "is of format version 2, but this program reads version 1"),
        ({"family": "unet9"}, "family must be one of deeplabv3plus"),
        ({"config": []}, "config must be a dict"),
        ({"classes": [{"name": "a", "colour": "red"}] * 2}, "colour must be #rrggbb"),
        ({"classes": [{"name": "a", "colour": "#ff0000"}]}, "classes must be 2 names"),
        ({"classes": [{"name": "a"}]}, "class must be a name and a colour"),
        ({"work_mpp": "0.5"}, "work_mpp must be a number"),
        ({"work_mpp": 2}, "work_mpp must be from 0.4 to 0.6"),
        ({"mpp_range": [1]}, "mpp_range must be two numbers"),
        ({"mpp_range": [0.6, 0.4]}, "mpp_range must be two rising"),
        ({"tile": 512}, "tile must be a multiple of 16 plus 1, but is 512"),
        ({"tile": True}, "tile must be a int"),
        ({"halo": 8}, "halo must be a multiple of 16"),
        ({"metrics": {"dice": "good"}}, "dice must be a number"),
        ({"training": {"steps": [1]}}, "training must be names with one value each"),
        ({"wings": 2}, "entry must be one that a card can have, but is 'wings'"),
    ],
)
def test_a_card_that_cannot_be_is_refused_in_words(changes: dict[str, object], sentence: str):
    value = {**json.loads(card_to_json(tiny_card())), **changes}
    with pytest.raises(BundleError, match=f"model m.zip .*{sentence}"):
        card_from_json(json.dumps(value), "m.zip")


def knobs(**changes: object) -> dict[str, object]:
    return {"config": {**json.loads(card_to_json(tiny_card()))["config"], **changes}}


HUGE = 10**999


@pytest.mark.parametrize(
    "changes",
    [
        {"tile": 10_001},
        {"tile": HUGE},
        {"tile": -HUGE},
        {"halo": HUGE},
        {"work_mpp": HUGE},
        {"work_mpp": -0.5},
        {"mpp_range": [HUGE, HUGE]},
        {"metrics": {"dice": HUGE}},
        {"classes": [{"name": "a", "colour": "#ff0000"}] * 20_000},
        {"classes": [{"name": "a" * 1001, "colour": "#ff0000"}] * 2},
        {"notice": "a" * 200_000},
        {"family": ["deeplabv3plus"]},
        *(
            knobs(**{name: value})
            for name in ("aspp_filters", "decoder_filters", "label_count", "crop_size")
            for value in (HUGE, 0, -1, 8.0, True, "8", [8], None)
        ),
        *(knobs(output_stride=value) for value in (16.0, True, HUGE, None, [16])),
        *(knobs(decoder_output_stride=value) for value in (4.0, 3, HUGE, [4])),
        *(knobs(atrous_rates=value) for value in (6, "6", {"6": 1}, {}, [6.0], [HUGE], [[6]], [0])),
        *(knobs(multi_grid=value) for value in ("", {}, [HUGE], 1)),
        *(knobs(pooling_strides=value) for value in ([1], {}, [0, 0], [HUGE, 1], "11")),
        *(knobs(depth_multiplier=value) for value in (HUGE, "1", None, [1], 0)),
        *(knobs(dropout=value) for value in (HUGE, "1", None, -1)),
    ],
    ids=lambda changes: str(changes)[:60],
)
def test_absurd_values_are_refused_in_a_short_sentence(changes: dict[str, object]):
    value = {**json.loads(card_to_json(tiny_card())), **changes}
    with pytest.raises(BundleError) as caught:
        card_from_json(json.dumps(value), "m.zip")
    assert len(str(caught.value)) < 1500


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity", "1e999", '"\\ud800"', "9" * 5000])
@pytest.mark.parametrize("entry", ["training", "metrics", "versions"])
def test_what_could_not_be_written_again_is_no_card(word: str, entry: str):
    text = card_to_json(tiny_card(**{entry: {"x": 123456}}))
    with pytest.raises(BundleError, match=r"has a card\.json that is not JSON"):
        card_from_json(text.replace('"123456"', "123456").replace("123456", word), "m.zip")


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, b"\xff"])
def test_text_that_is_no_card_is_refused(text: str | bytes):
    with pytest.raises(BundleError, match="has a card.json that is not"):
        card_from_json(text, "m.zip")


@pytest.mark.parametrize("name", ["family", "config", "classes", "work_mpp"])
def test_a_card_without_what_it_needs_is_refused(name: str):
    value = json.loads(card_to_json(tiny_card()))
    del value[name]
    with pytest.raises(BundleError, match=f"one with {name}"):
        card_from_json(json.dumps(value), "m.zip")


def test_a_card_accepts_the_scales_it_states_and_two_percent_of_rounding():
    card = tiny_card()
    assert [card.accepts_mpp(mpp) for mpp in (0.35, 0.4, 0.5, 0.605, 0.65)] == [
        False, True, True, True, False,
    ]  # fmt: skip
    only = tiny_card(mpp_range=None)
    assert [only.accepts_mpp(mpp) for mpp in (0.48, 0.5, 0.505)] == [False, True, True]
    assert tiny_card(work_mpp=None, mpp_range=None).accepts_mpp(8)


def test_a_card_made_in_code_is_checked_as_well():
    with pytest.raises(
        ConfigError, match="tile must be at least 145 with a halo of 64, but is 129"
    ):
        tiny_card(halo=64)


def test_tiles_and_halo_fit_the_cells_of_a_coarse_map():
    coarse = dataclasses.replace(TINY, output_stride=32)
    assert tiny_card(config=coarse, halo=32).halo == 32
    with pytest.raises(ConfigError, match="tile must be a multiple of 32 plus 1, but is 145"):
        tiny_card(config=coarse, tile=145)
    with pytest.raises(ConfigError, match="halo must be a multiple of 32"):
        tiny_card(config=coarse, halo=16)
