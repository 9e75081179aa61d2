"""Channels as people ask for them: names, what slides call them, windows."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deeplab.config.channels import (
    RGB,
    USUAL_WINDOW,
    Channels,
    Window,
    asked_channels,
    learnt_channels,
)
from deeplab.config.classes import ClassList
from deeplab.config.families import config_from_json, config_to_json, network_config
from deeplab.config.network_settings import NetworkSettings
from deeplab.config.train_request import TrainRequest
from deeplab.errors import ConfigError

numbers = st.floats(-1e6, 1e6).map(lambda number: float(f"{number:.6g}"))


@given(st.tuples(numbers, numbers).filter(lambda pair: pair[0] < pair[1]))
def test_a_window_is_read_as_it_is_written(pair):
    assert Window.parse(str(Window(*pair))) == Window(*pair)


@given(st.lists(st.integers(0, 100), min_size=2, max_size=2, unique=True).map(sorted))
def test_so_is_one_of_percentiles(pair):
    window = Window(*map(float, pair), percentiles=True)
    assert Window.parse(str(window)) == window


@pytest.mark.parametrize(
    "text", ["", "5", "4000:200", "5:5", "0%:4000", "-1%:50%", "1%:101%", "a:b", "nan:5", "1:inf"]
)
def test_what_is_no_window_is_refused_with_the_way_to_write_one(text):
    with pytest.raises(ConfigError, match=r"low:high as values \(200:4000\) or as percentiles"):
        Window.parse(text)


def test_channels_are_learnt_by_name_and_may_be_called_otherwise_on_slides():
    asked = learnt_channels(
        ["DAPI=Hoechst", "CD3", "DAPI=Hoechst 33342"], ["200:4000", "CD3=1%:99%"]
    )
    assert asked.channels.names == ("DAPI", "CD3")
    assert asked.names_of("DAPI") == ("Hoechst", "Hoechst 33342", "DAPI")
    assert asked.names_of("CD3") == ("CD3",)
    assert [str(window) for window in asked.channels.windows] == ["200:4000", "1%:99%"]
    assert asked.channels.outside == 0


def test_without_channels_colours_are_learnt():
    assert learnt_channels([], []) is None
    assert RGB.are_colours
    assert not learnt_channels(["DAPI"], []).channels.are_colours


@pytest.mark.parametrize(
    ("channels", "windows", "told"),
    [
        (["DAPI", "DAPI"], [], "different names"),
        (["DAPI", "DAPI=Hoechst"], [], "different names"),
        (["DAPI="], [], "a name, or name=what slides call it"),
        (["=1"], [], "a name, or name=what slides call it"),
        ([], ["0:5"], "left away where no channels are given"),
        (["DAPI"], ["CD3=0:5"], "for a channel of DAPI"),
        (["DAPI"], ["0:5", "0:6"], "once"),
        ([str(number) for number in range(33)], [], "1 to 32 names"),
    ],
)
def test_what_cannot_be_learnt_is_refused(channels, windows, told):
    with pytest.raises(ConfigError, match=told):
        NetworkSettings(channels=tuple(channels), intensity_window=tuple(windows))


TWO = Channels(("DAPI", "CD3"), 0, (USUAL_WINDOW, Window(0, 900)))


def test_a_model_finds_its_channels_under_its_own_names_and_windows():
    asked = asked_channels(TWO, [], [])
    assert asked.channels == TWO
    assert asked.names_of("CD3") == ("CD3",)


def test_channels_of_a_slide_may_be_mapped_by_name_or_in_order():
    assert asked_channels(TWO, ["CD3=Opal 520"], []).names_of("CD3") == ("Opal 520", "CD3")
    by_order = asked_channels(TWO, ["4", "2"], [])
    assert (by_order.names_of("DAPI"), by_order.names_of("CD3")) == (("4", "DAPI"), ("2", "CD3"))
    the_models_own = asked_channels(TWO, ["CD3", "DAPI"], [])
    assert the_models_own.names_of("DAPI") == ("DAPI",)
    assert [str(w) for w in asked_channels(TWO, [], ["CD3=5:6"]).channels.windows] == [
        str(USUAL_WINDOW),
        "5:6",
    ]


@pytest.mark.parametrize(
    ("known", "channels", "windows", "told"),
    [
        (RGB, ["DAPI"], [], "left away: the model sees the colours of a slide"),
        (RGB, [], ["0:5"], "left away: the model sees the colours of a slide"),
        (TWO, ["CD8=1"], [], "a channel that the model sees: DAPI, CD3"),
        (TWO, ["7"], [], "a channel that the model sees: DAPI, CD3"),
    ],
)
def test_what_a_model_does_not_see_is_refused(known, channels, windows, told):
    with pytest.raises(ConfigError, match=told):
        asked_channels(known, channels, windows)


@pytest.mark.parametrize("network", ["deeplabv3plus", "hovernet", "unet", "unetplusplus"])
def test_every_family_keeps_its_channels_in_its_card(network):
    settings = NetworkSettings(
        network=network, channels=("DAPI", "CD3=2"), intensity_window=("CD3=0:900",)
    )
    config = network_config(settings, ClassList.named(("nucleus",)))
    assert config.channels == TWO
    assert config_from_json(network, config_to_json(config)) == config


@pytest.mark.parametrize("network", ["deeplabv3plus", "hovernet", "unet", "unetplusplus"])
def test_cards_of_colours_say_nothing_of_channels(network):
    config = network_config(NetworkSettings(network=network), ClassList.named(("nucleus",)))
    assert "channels" not in config_to_json(config)
    assert config_from_json(network, config_to_json(config)).channels == RGB


@pytest.mark.parametrize(
    "value",
    [["DAPI"], {"names": "DAPI"}, {"names": [1], "windows": []}, {"names": [], "windows": []}],
)
def test_a_card_with_other_channels_is_refused(value):
    with pytest.raises(ConfigError, match="channels must be"):
        config_from_json("deeplabv3plus", {"label_count": 2, "channels": value})


@pytest.mark.parametrize("kind", ["stain", "hue", "saturation", "jpeg"])
def test_changes_of_colours_are_refused_for_channels(kind):
    with pytest.raises(ConfigError, match=f"augment_{kind} must be left away, or 0, where"):
        TrainRequest(
            source="slides", output_model=Path("m.zip"), classes=("nucleus",), channels=("DAPI",),
            **{f"augment_{kind}": 0.5},
        )  # fmt: skip
