"""Where pseudo masks lie: a folder for each layer, PM_b4_5, and beside them what they mean."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from deeplab.errors import SourceError

FOLDER = "PM_{}"  # of the masks of a layer
RECORD = "pseudo-masks.json"  # the original writes none


def drawn_layers(folder: Path, images: int) -> tuple[str, ...]:
    """Return the layers of which so many images have masks, from the first on; none: they have not.

    A drawing that was stopped leaves no record, one of which images failed says that these are
    fewer.

    Raises:
        SourceError: the record is no such file.
    """
    record = folder / RECORD
    if not record.is_file():
        return ()
    try:
        told = json.loads(record.read_text(encoding="utf-8"))
        return tuple(map(str, told["layers"])) if told["images"] == images else ()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{record} does not say what was drawn; remove {folder}") from error


def check_masked_classes(folder: Path, classes: Sequence[str]) -> None:
    """Refuse pseudo masks whose record says that they are of other classes, or in another order.

    Args:
        folder: that has the folders of the layers.
        classes: that the values 0, 1, ... are taken for.

    Raises:
        SourceError: they are, or the record is no such file.
    """
    record = folder / RECORD
    if not record.is_file():
        return
    try:
        values = json.loads(record.read_text(encoding="utf-8"))["values"]
        masked = tuple(str(values[str(at)]) for at in range(len(values)))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{record} does not say what the values of the masks mean") from error
    if masked != tuple(classes):
        raise SourceError(
            f"the pseudo masks in {folder} are of {', '.join(masked)}, and {', '.join(classes)} is "
            "to be learnt; give both stages the same classes in the same order"
        )
