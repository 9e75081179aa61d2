"""Which runtime computes depends on the model and the machine, not on the slide."""

import logging
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from deeplab.bundles.read import read_card
from deeplab.config.channels import named_channels
from deeplab.config.views import views_of
from deeplab.inference import runtime, tensorflow_runtime
from deeplab.inference.conversions import CACHE_VARIABLE
from deeplab.inference.predictor import GraphSpec
from deeplab.inference.runtime import start_predictor
from deeplab.inference.trial import trial_tiles
from deeplab.models.outputs import LABELS
from tests.slides_for_tests import tissue

SIDE = 161
NUCLEI = Path(str(files("deeplab") / "demonstration/nuclei.zip"))


def started(model=NUCLEI, **options):
    views = views_of((1.0,), mirrored=(False,))
    spec = GraphSpec(model=model, maps=(LABELS,), views=views, trial_side=SIDE)
    given = {"tile": 257, "gpu": -1, "runtime": "openvino"} | options
    return start_predictor(spec, read_card(model), **given)


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    """A cache in which nothing is kept yet."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_trial_is_the_same_every_time_and_holds_light_and_dark_tissue():
    tiles = trial_tiles(SIDE)
    assert tiles.shape == (8, SIDE, SIDE, 3)
    assert tiles.dtype == np.uint8
    assert (tiles == trial_tiles(SIDE)).all()
    assert len({tile.tobytes() for tile in tiles}) == 8
    assert trial_tiles(513).shape == (1, 513, 513, 3)
    left, right = tiles[:, :, : SIDE // 4], tiles[:, :, -SIDE // 4 :]
    assert np.quantile(right, 0.02) + 60 < np.quantile(left, 0.02)
    assert tiles[..., 1].mean() < tiles[..., 0].mean()  # pink, as H&E is


@pytest.mark.slow
def test_the_labels_of_what_is_chosen_agree_with_tensorflows(empty_cache, caplog):
    caplog.set_level(logging.INFO, runtime.__name__)
    chosen, alone = started(), started(runtime="tensorflow")
    assert "of labels as TensorFlow's" in caplog.text
    rgb = tissue(257, 257, seed=3)[0][None]
    agreement = np.mean(chosen.predict(rgb)[LABELS] == alone.predict(rgb)[LABELS])
    assert agreement >= 0.998
    assert started().runtime == chosen.runtime


@pytest.mark.slow
def test_a_trial_on_which_next_to_nothing_is_found_leaves_float32(empty_cache, monkeypatch):
    glass = np.full((1, SIDE, SIDE, 3), 245, np.uint8)
    monkeypatch.setattr(tensorflow_runtime, "trial_tiles", lambda _side, _channels: glass)
    assert started().runtime == "OpenVINO f32"


@pytest.mark.parametrize("count", [1, 3, 5])
def test_a_trial_of_channels_shows_nuclei_bright_on_dark(count):
    tiles = trial_tiles(SIDE, named_channels(tuple("abcde"[:count])))
    assert (tiles.shape[1:], tiles.dtype) == ((SIDE, SIDE, count), np.uint8)
    assert np.median(tiles) < 60 < 120 < tiles.max()
