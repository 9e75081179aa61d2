"""Keras as this library needs it, whatever a user's environment and keras.json say."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from deeplab.errors import DeviceError

NEEDED = {
    "backend": "tensorflow",
    "image_data_format": "channels_last",
    "floatx": "float32",
    "epsilon": 1e-7,
}


def choose_keras() -> None:
    """Let Keras start on TensorFlow, with the settings that it has by itself.

    Another backend, order of axes or precision, of the variable KERAS_BACKEND or of
    `~/.keras/keras.json`, would change what a model predicts. The rooms that use Keras call this
    before they load it; it does not load it. It holds for this process and its children, and
    Keras writes nothing to the home folder.

    Raises:
        DeviceError: the program that uses this library has loaded Keras otherwise.
    """
    keras = sys.modules.get("keras")
    if keras is not None:
        _check({name: getattr(keras.config, name)() for name in NEEDED})
        return
    for name in [each for each in os.environ if each.startswith("KERAS_")]:
        del os.environ[name]
    os.environ["KERAS_BACKEND"] = str(NEEDED["backend"])
    # A folder that cannot be: nothing is read from it, and nothing written.
    os.environ["KERAS_HOME"] = str(Path(os.devnull, "keras"))


def _check(found: dict[str, object]) -> None:
    for name, needed in NEEDED.items():
        if found[name] != needed:
            raise DeviceError(
                f"Keras was loaded with {name} {found[name]}, but {needed} is needed; import"
                " deeplab.inference or deeplab.training before keras, or start a process for it"
            )
