"""Checkpoints of a training, on disk and as one archive on a server."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np

from deeplab.evaluation.semantic import Confusion
from deeplab.training.checkpoints import Checkpoint, Checkpoints
from deeplab.training.history import CheckNote, History, StepNote, history_to_json
from deeplab.training.remote_checkpoints import SETTINGS_NAME, unpack_checkpoint
from deeplab.training.run import check_facts
from tests.fuzz.harness import Target

SETTINGS = json.dumps({"seed": 0, "classes": ["tumor"]})


def write_seeds(folder: Path) -> list[Path]:
    """Write one checkpoint of two arrays and a history."""
    note = StepNote(step=7, loss=0.5, learning_rate=1e-3, waiting_share=0.1)
    check = CheckNote(step=7, tally=Confusion.of([[5, 1], [2, 9]]))
    facts = {
        "settings": SETTINGS,
        "slides": "digest",
        "history": history_to_json(History(steps=(note,), checks=(check,))),
        "recent": [0.5, 0.25],
        "hard": {"patches_a_block": 80, "noted": {"3": [[1.0, 2.0, 0.0, 5.0, 6.0]]}},
    }
    arrays = {
        "weights/a/kernel": np.arange(12, dtype=np.float32).reshape(3, 4),
        "step": np.asarray(7),
    }
    return [Checkpoints(folder, 60).save(Checkpoint(step=7, facts=facts, arrays=arrays))]


def parse(path: Path) -> object:
    """Find the newest of a folder, as a training that goes on does."""
    return Checkpoints(path.parent, 60).newest(lambda found: check_facts(found.facts, SETTINGS))


def write_archives(folder: Path) -> list[Path]:
    """Write the archive of such a checkpoint."""
    (folder / "work").mkdir()
    (inner,) = write_seeds(folder / "work")
    with zipfile.ZipFile(folder / "remote.zip", "w") as archive:
        archive.writestr(SETTINGS_NAME, SETTINGS)
        archive.write(inner, inner.name)
        archive.writestr("best.zip", b"model")
    return [folder / "remote.zip"]


def unpack(path: Path) -> object:
    """Fill an empty work folder, and go on from what is in it."""
    work = path.parent / "work"
    unpack_checkpoint(path, SETTINGS, work)
    found = Checkpoints(work, 60).newest(lambda found: check_facts(found.facts, SETTINGS))
    shutil.rmtree(work)
    return found


TARGET = Target(name="training_checkpoint", seeds=write_seeds, parse=parse)
ON_SERVER = Target(name="server_checkpoint", seeds=write_archives, parse=unpack)
