"""Files that have arrived, and noting in the metadata of their items what they are."""

from __future__ import annotations

import logging
from collections.abc import Callable

from girder import events
from girder.models.item import Item

from girder_deeplab.cards import Document

# A child of Girder's own logger: on Girder 3 that is the one with handlers.
logger = logging.getLogger("girder.deeplab")


def when_uploaded(
    may_be: Callable[[Document], bool], note: Callable[[Document, Document], None], called: str
) -> Callable[[events.Event], None]:
    """Return what Girder is to call when a file has arrived.

    Args:
        may_be: tells of a file by its name whether it may be what is noted; of others, which are
            most, nothing is asked of the database.
        note: takes the item and the file.
        called: what is noted, in the log.
    """

    def handler(event: events.Event) -> None:
        file = event.info["file"]
        if not file.get("itemId") or not may_be(file):
            return
        item = Item().load(file["itemId"], force=True)
        if item is None:
            return
        try:
            note(item, file)
        except Exception:
            # Whatever is wrong with a file or its place: the upload has been made.
            logger.exception("%s was not registered as %s.", item["name"], called)

    return handler


def forget(item: Document, key: str) -> None:
    """Remove an entry of the metadata of an item, where it has it."""
    if key in item.get("meta", {}):
        Item().deleteMetadata(item, [key])
