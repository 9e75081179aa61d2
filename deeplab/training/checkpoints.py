"""Checkpoints of a training on disk: the last two, each whole or not there."""

from __future__ import annotations

import json
import logging
import os
import time
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeplab.files import whole_file

log = logging.getLogger(__name__)

KEPT = 2
FACTS = "facts.json"
_DAMAGED = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """All that is needed to go on.

    Attributes:
        step: steps taken.
        facts: what is not an array, for JSON.
        arrays: the state of the trainer.
    """

    step: int
    facts: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]


class Checkpoints:
    """The checkpoints in a folder.

    Args:
        folder: that is there and can be written.
        every_s: how often one is due.
    """

    def __init__(self, folder: Path, every_s: float) -> None:
        self._folder, self._every_s = folder, every_s
        self._saved_s = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether the last one is so old that another should be saved."""
        return time.monotonic() - self._saved_s >= self._every_s

    def save(self, checkpoint: Checkpoint) -> Path:
        """Write a checkpoint, then remove those that are no longer kept.

        Raises:
            OutputError: it cannot be written; those before are as they were.
        """
        path = self._folder / f"checkpoint-{checkpoint.step:09d}.zip"
        with whole_file(path) as temporary, temporary.open("wb") as file:
            with zipfile.ZipFile(file, "w") as archive:
                archive.writestr(FACTS, json.dumps({**checkpoint.facts, "step": checkpoint.step}))
                for name, array in checkpoint.arrays.items():
                    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                        np.lib.format.write_array(member, array, allow_pickle=False)
            # A machine that loses its power must not be left with a name and no content.
            file.flush()
            os.fsync(file.fileno())
        # A process that is killed leaves what it was writing.
        for old in [*list(self._newest_first())[KEPT:], *self._folder.glob(".checkpoint-*.zip")]:
            old.unlink(missing_ok=True)
        self._saved_s = time.monotonic()
        return path

    def newest(self) -> Checkpoint | None:
        """The newest one that is whole; None where there is none."""
        for path in self._newest_first():
            try:
                return _read(path)
            except _DAMAGED as error:
                log.warning("%s is damaged and passed over: %s", path, error)
        return None

    def remove(self) -> None:
        """Remove all."""
        for path in self._newest_first():
            path.unlink(missing_ok=True)

    def _newest_first(self) -> Iterator[Path]:
        return iter(sorted(self._folder.glob("checkpoint-*.zip"), reverse=True))


def _read(path: Path) -> Checkpoint:
    with zipfile.ZipFile(path) as archive:
        facts = json.loads(archive.read(FACTS))
        arrays = {}
        for name in archive.namelist():
            if name != FACTS:
                with archive.open(name) as member:
                    array = np.lib.format.read_array(member, allow_pickle=False)
                arrays[name.removesuffix(".npy")] = array
    return Checkpoint(step=int(facts["step"]), facts=facts, arrays=arrays)
