"""A user's settings of Keras change nothing: not in the command, not in the library."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from deeplab.errors import DeviceError
from deeplab.keras_start import NEEDED, choose_keras

THEIRS = {"backend": "torch", "floatx": "float64", "epsilon": 0.5,
          "image_data_format": "channels_first"}  # fmt: skip
SHOW = """
import {room}
import keras, os
print([keras.config.backend(), keras.config.image_data_format(), keras.config.floatx(),
       keras.config.epsilon(), keras.config.dtype_policy().name, os.environ["KERAS_BACKEND"]])
"""
FIRST_ROOMS = ["deeplab.inference.segment", "deeplab.training.train", "deeplab.bundles.load",
               "deeplab.models.family"]  # fmt: skip


@pytest.fixture
def home(tmp_path):
    (tmp_path / ".keras").mkdir()
    (tmp_path / ".keras" / "keras.json").write_text(json.dumps(THEIRS))
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("room", FIRST_ROOMS)
def test_keras_starts_as_it_is_needed_whichever_room_comes_first(home, room):
    theirs = {"HOME": str(home), "KERAS_BACKEND": "jax", "KERAS_MAX_EPOCHS": "many",
              "KERAS_NNX_ENABLED": "true", "TF_CPP_MIN_LOG_LEVEL": "3"}  # fmt: skip
    answer = subprocess.run(
        [sys.executable, "-c", SHOW.format(room=room)],
        env=os.environ | theirs, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines()[-1] == str([*NEEDED.values(), "float32", "tensorflow"])
    assert [path.name for path in (home / ".keras").iterdir()] == ["keras.json"]


def test_a_keras_that_a_program_loaded_otherwise_is_refused(monkeypatch):
    def loaded(**settings):
        config = SimpleNamespace(**{k: lambda v=v: v for k, v in (NEEDED | settings).items()})
        monkeypatch.setitem(sys.modules, "keras", SimpleNamespace(config=config))

    loaded()
    choose_keras()
    for name, value in THEIRS.items():
        loaded(**{name: value})
        with pytest.raises(DeviceError, match=f"^Keras was loaded with {name} {value}, but"):
            choose_keras()
