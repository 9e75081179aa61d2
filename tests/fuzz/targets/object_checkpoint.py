"""Checkpoints of objects that TensorFlow 2 writes, as those of SURF's EfficientDet."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deeplab.bundles.importers.efficientdet import VALUE, infer_efficientdet, object_values
from deeplab.bundles.importers.tf1_checkpoint import open_checkpoint
from deeplab.bundles.read import is_bundle
from deeplab.config.efficientdet_seg import EfficientDetSegConfig
from deeplab.models.registry import family_of
from tests.bundles.tf1_for_tests import write_checkpoint
from tests.fuzz.harness import Target

NAME = "12_ckpt"
CONFIG = EfficientDetSegConfig(
    label_count=2, fpn_filters=4, fpn_cells=1, min_level=3, crop_size=128
)


def write_seeds(folder: Path) -> list[Path]:
    """Write a checkpoint with what an optimiser keeps."""
    inside = folder / "objects"
    inside.mkdir()
    values = dict(object_values(CONFIG, family_of(CONFIG).build(CONFIG)))
    state = {f"{key}{VALUE}": np.zeros_like(value) for key, value in values.items()}
    write_checkpoint(inside / NAME, state | {f"save_counter{VALUE}": np.int64(3)})
    return [inside]


def parse(path: Path) -> object:
    """Work out the knobs of the network, then read every value."""
    is_bundle(path)
    with open_checkpoint(path / NAME) as variables:
        config = infer_efficientdet(variables, None)
        return config, [variables.tensor(name).sum() for name in variables.shapes]


TARGET = Target(name="object_checkpoint", seeds=write_seeds, parse=parse)
