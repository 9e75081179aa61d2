"""Settings of a task in a TOML file."""

from __future__ import annotations

from pathlib import Path

from deeplab.config.toml import read_settings
from deeplab.config.train_request import TrainRequest
from deeplab_cli.binding import bind, texts_of
from deeplab_cli.forms import read_spec
from deeplab_cli.TrainNetwork.TrainNetwork import ALIASES
from tests.fuzz.harness import Target

SPEC = read_spec("TrainNetwork")
SETTINGS = """\
# a training
classes = ["tumor", "stroma"]
output_model = "m.zip"
inputFolder = "."
aliases = ["Tumor=tumor"]
colours = ["#ff0000", "rgb(0, 255, 0)"]
atrous_rates = [6, 12, 18]
class_weights = [1.0, 2.5, 1e-3]
batch_size = 0x10
steps = 20_000
work_mpp = 0.5
learning_rate = 1e-3
augment_flip = true
workers = ["a:1", "b:2"]
"""


def write_seeds(folder: Path) -> list[Path]:
    """Write a file with a setting of each kind."""
    (folder / "settings.toml").write_text(SETTINGS)
    return [folder / "settings.toml"]


def parse(path: Path) -> object:
    """Make the request that the file describes."""
    names = {parameter.name for parameter in SPEC.parameters} | set(ALIASES.fields.values())
    settings = read_settings(path, names)
    return bind(SPEC, TrainRequest, ALIASES.fields, texts_of(SPEC, ALIASES.fields, settings))


TARGET = Target(name="toml", seeds=write_seeds, parse=parse)
