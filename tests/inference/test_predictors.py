"""The network is loaded once, beside other work where that takes little, and what failed anew."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from deeplab.config.requests import SegmentRequest
from deeplab.errors import DeviceError
from deeplab.geometry.frames import WorkBox
from deeplab.geometry.grid import TilePlan
from deeplab.inference import predictors as predictors_module
from deeplab.inference.predictor import Predictor
from deeplab.inference.predictors import Predictors
from tests.bundles.tiny_models import tiny_card

CARD = tiny_card()
REQUEST = SegmentRequest(
    slide="slide.tiff", model=Path("m.zip"), output_annotation=Path("found.anot")
)
PLAN = TilePlan(area=WorkBox(0, 0, 500, 500), tile=129, halo=16, tiling=CARD.config.tiling)


@pytest.fixture(params=[True, False], ids=["kept", "not kept"])
def fast(request, monkeypatch):
    monkeypatch.setattr(predictors_module, "starts_fast", lambda *_, **__: request.param)
    return request.param


@pytest.fixture
def started(monkeypatch):
    """The sides of tiles that were loaded for, with the name of the thread."""
    made = []

    def start(spec, card, *, tile, trim, gpu, runtime, memory):
        assert not memory.parts or memory.parts[0] < tile
        made.append((tile, threading.current_thread().name.partition("_")[0]))
        if tile == 257:
            raise DeviceError("there is no room")
        return Predictor(f"fake {len(made)}", dict, dict, "labels")

    monkeypatch.setattr(predictors_module, "start_predictor", start)
    return made


def test_what_is_begun_is_what_is_returned(fast, started):
    predictors = Predictors()
    for _ in range(3):
        predictors.begin(REQUEST, CARD, PLAN)
        assert predictors.of(REQUEST, CARD, PLAN).runtime == "fake 1"
    assert started == [(129, "load" if fast else "MainThread")]


def test_another_plan_is_loaded_anew_even_if_nobody_asked_for_the_one_before(fast, started):
    predictors = Predictors()
    predictors.begin(REQUEST, CARD, PLAN)
    other = replace(PLAN, tile=193)
    predictors.begin(REQUEST, CARD, other)
    assert predictors.of(REQUEST, CARD, other) is predictors.of(REQUEST, CARD, other)
    assert [tile for tile, _ in started] == ([129, 193] if fast else [193])
    predictors.of(REQUEST, CARD, PLAN)
    assert started[-1] == (129, "MainThread")


def test_what_failed_is_told_to_who_asks_and_tried_again_by_the_next(fast, started):
    predictors = Predictors()
    too_large = replace(PLAN, tile=257)
    predictors.begin(REQUEST, CARD, too_large)  # says nothing
    for times in (1, 2):
        with pytest.raises(DeviceError, match="no room"):
            predictors.of(REQUEST, CARD, too_large)
        assert len(started) == times
    assert predictors.of(REQUEST, CARD, PLAN).runtime == "fake 3"
