"""Which runtime computes depends on the model and the machine, not on the slide."""

import logging
from importlib.resources import files

import numpy as np
import pytest

from deeplab.bundles.load import load_bundle
from deeplab.config.channels import named_channels
from deeplab.config.views import views_of
from deeplab.inference import runtime
from deeplab.inference.runtime import make_predictor
from deeplab.inference.trial import trial_tiles
from deeplab.models.outputs import LABELS
from tests.slides_for_tests import tissue

SIDE = 161


def made(bundle, **options):
    return make_predictor(
        bundle,
        tile=257,
        maps=(LABELS,),
        trial_side=SIDE,
        views=views_of((1.0,), mirrored=(False,)),
        **{"runtime": "openvino"} | options,
    )


@pytest.fixture(scope="module")
def nuclei():
    return load_bundle(files("deeplab") / "demonstration/nuclei.zip")


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
def test_the_labels_of_what_is_chosen_agree_with_tensorflows(nuclei, caplog):
    caplog.set_level(logging.INFO, runtime.__name__)
    chosen, alone = made(nuclei), made(nuclei, runtime="tensorflow")
    assert "of labels as TensorFlow's" in caplog.text
    rgb = tissue(257, 257, seed=3)[0][None]
    agreement = np.mean(chosen.predict(rgb)[LABELS] == alone.predict(rgb)[LABELS])
    assert agreement >= 0.998
    assert made(nuclei).runtime == chosen.runtime


@pytest.mark.slow
def test_a_trial_on_which_next_to_nothing_is_found_leaves_float32(nuclei, monkeypatch):
    glass = np.full((1, SIDE, SIDE, 3), 245, np.uint8)
    monkeypatch.setattr(runtime, "trial_tiles", lambda _side, _channels: glass)
    assert made(nuclei).runtime == "OpenVINO f32"


@pytest.mark.parametrize("count", [1, 3, 5])
def test_a_trial_of_channels_shows_nuclei_bright_on_dark(count):
    tiles = trial_tiles(SIDE, named_channels(tuple("abcde"[:count])))
    assert (tiles.shape[1:], tiles.dtype) == ((SIDE, SIDE, count), np.uint8)
    assert np.median(tiles) < 60 < 120 < tiles.max()
