"""What tiles of a slide gave, kept in files until the slide is done: a killed run goes on there."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from deeplab.config.requests import SegmentRequest
from deeplab.errors import OutputError
from deeplab.files import file_digest, real_place, reason_of, whole_file
from deeplab.geometry.frames import WorkFrame
from deeplab.geometry.grid import TilePlan, TileSlot
from deeplab.models.answers import Answer, AnswerKind, LabelAnswer, ObjectAnswer
from deeplab.slides.slide import Slide

log = logging.getLogger(__name__)

KINDS: Mapping[AnswerKind, type[LabelAnswer | ObjectAnswer]] = {
    "labels": LabelAnswer,
    "objects": ObjectAnswer,
}


class KeptAnswers:
    """The answers of a slide's tiles, a file each, in a folder of their own.

    Args:
        folder: of those of all slides.
        key: what the answers depend on; those of another key are not seen.
        kind: of the answers.

    Raises:
        OutputError: the folder cannot be made.
    """

    def __init__(self, folder: Path, key: Mapping[str, object], kind: AnswerKind) -> None:
        text = json.dumps(key, sort_keys=True)
        self._folder = folder / hashlib.sha256(text.encode()).hexdigest()[:32]
        self._kind = KINDS[kind]
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(self._folder, reason_of(error)) from error
        self._there = {path.name for path in self._folder.glob("*.npz")}
        if self._there:
            log.info("going on after %d tiles that a run before has left", len(self._there))

    def __contains__(self, slot: TileSlot) -> bool:
        return _name(slot) in self._there

    def load(self, slot: TileSlot) -> Answer:
        """Return what a tile gave.

        Raises:
            OutputError: its file is damaged.
        """
        path = self._folder / _name(slot)
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                return self._kind(**{name: stored[name] for name in stored.files})
        except (OSError, EOFError, ValueError, TypeError, zipfile.BadZipFile) as error:
            raise OutputError(path, f"it is damaged; remove it ({error})") from error

    def keep(self, slot: TileSlot, answer: Answer) -> None:
        """Keep what a tile gave.

        Raises:
            OutputError: it cannot be written, as where the disk is full.
        """
        values = {each.name: getattr(answer, each.name) for each in fields(answer)}
        arrays = {name: value for name, value in values.items() if value is not None}
        path = self._folder / _name(slot)
        try:
            with whole_file(path) as draft, draft.open("wb") as file:
                np.savez_compressed(file, **arrays)
        except OSError as error:
            raise OutputError(path, reason_of(error)) from error

    def remove(self) -> None:
        """Forget all of them, as the slide is done."""
        shutil.rmtree(self._folder, ignore_errors=True)


def key_of(
    request: SegmentRequest, slide: Slide, frame: WorkFrame, plan: TilePlan, runtime: str
) -> dict[str, Any]:
    """Return what the answers of a slide's tiles depend on, beside the place of the tile.

    Args:
        request: of the segmentation, whose slide is a file or a folder.
        slide: opened.
        frame: of the tiles.
        plan: of the tiles.
        runtime: that computes.
    """
    place = real_place(Path(request.slide))
    state = place.stat()
    return {
        "slide": [str(place), state.st_size, state.st_mtime_ns],
        "model": file_digest(request.model),
        "mpp": [slide.mpp.x, slide.mpp.y, frame.work_mpp],
        "seen": [each.to_json() for each in slide.seen],
        "tile": [plan.tile, plan.halo, plan.trim],
        "views": repr(request.views),
        "heatmap": request.save_heatmap,
        "runtime": runtime,
    }


def _name(slot: TileSlot) -> str:
    read, write = slot.read, slot.write
    return f"{read.x},{read.y},{write.x},{write.y},{write.width},{write.height}.npz"
