"""Checkpoints of a training on disk: the last two, each whole or not there."""

from __future__ import annotations

import json
import logging
import os
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeplab.bundles.archive import damage_said, open_archive
from deeplab.bundles.npy import read_npy
from deeplab.errors import BundleError, DeeplabError
from deeplab.files import whole_file

log = logging.getLogger(__name__)

KEPT = 2
FACTS = "facts.json"
MAX_FACTS_BYTES = 2**30  # some hundred bytes a note, and the hardest places


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

    def newest(self, check: Callable[[Checkpoint], None] = lambda _: None) -> Checkpoint | None:
        """Return the newest one that is whole; None where there is none.

        Args:
            check: Raises a DeeplabError for one that cannot be gone on from.
        """
        for path in self._newest_first():
            try:
                found = read_checkpoint(path)
                check(found)
            except DeeplabError as error:
                log.warning("%s is damaged and passed over: %s", path, error)
            else:
                return found
        return None

    def remove(self) -> None:
        """Remove all."""
        for path in self._newest_first():
            path.unlink(missing_ok=True)

    def _newest_first(self) -> Iterator[Path]:
        return iter(sorted(self._folder.glob("checkpoint-*.zip"), reverse=True))


def read_checkpoint(path: Path) -> Checkpoint:
    """Read what `Checkpoints.save` wrote.

    Raises:
        BundleError: it is something else, or damaged.
    """
    with open_archive(path) as archive, damage_said(path):
        facts = json.loads(archive.read(FACTS, MAX_FACTS_BYTES))
        step = facts["step"]
        if type(step) is not int or step < 0:
            raise BundleError(path, f"has a {FACTS} without a number of steps")
        arrays = {
            name.removesuffix(".npy"): read_npy(archive.read(name, archive.sizes[name]))
            for name in archive.sizes
            if name != FACTS
        }
    return Checkpoint(step=step, facts=facts, arrays=arrays)
