"""Annotations of an item as they are on the server at the moment of the call."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from deeplab.annotations.formats.format import Reading
from deeplab.annotations.formats.girder_json import read_girder_json
from deeplab.errors import AnnotationError
from deeplab.exchange.label_images import LabelImages
from deeplab.files import scratch_folder
from deeplab.server.annotations import download_annotations
from deeplab.server.session import Session

T = TypeVar("T")

MAX_BYTES = 8 * 2**30  # of the annotations of an item, as JSON


def read_live(
    session: Session,
    item_id: str,
    name: str,
    read: Callable[[Path, Reading], T] = read_girder_json,  # type: ignore[assignment]
    *,
    spill: Path | None = None,
) -> T:
    """Return what `read` makes of the annotations of an item, Annotations by default.

    They go through a file: as parsed JSON a million outlines would take gigabytes.

    Args:
        session: of the server.
        item_id: of the slide.
        name: what sentences call the slide.
        read: reads the file, a list as HistomicsUI keeps it, which is gone afterwards.
        spill: a folder to keep shapes in instead of memory; it must outlive what is returned.

    Raises:
        AnnotationError: they cannot be read.
        ServerError: the server refused or failed, or has too much.
    """
    with scratch_folder() as folder:
        path = folder / "live.json"
        download_annotations(session, item_id, path, limit_bytes=MAX_BYTES)
        reading = Reading(spill=spill, label_image=LabelImages(session, folder))
        try:
            return read(path, reading)
        except AnnotationError as error:
            raise AnnotationError(name, error.problem) from error
