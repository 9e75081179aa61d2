"""Label images of pixelmaps on a Girder server, brought here when they are asked for."""

from __future__ import annotations

import logging
from pathlib import Path

from deeplab.config.checks import is_girder_id
from deeplab.errors import AccessDeniedError, UnknownIdError
from deeplab.server.folder_files import download_item
from deeplab.server.items import get_item
from deeplab.server.session import Session

log = logging.getLogger(__name__)

MAX_BYTES = 1 << 34


class LabelImages:
    """Finds label images for `Reading`.

    Args:
        session: of the server that the annotations are from.
        folder: for the files; it must outlive the reading.
    """

    def __init__(self, session: Session, folder: Path) -> None:
        self._session, self._folder = session, folder

    def __call__(self, girder_id: str) -> Path | None:
        """The file of an item; None where it is gone or not for this user's eyes.

        Raises:
            ServerError: the item has not one file, or too large a one, or the server failed.
            OSError: the file cannot be written.
        """
        if not is_girder_id(girder_id):
            return None
        path = self._folder / f"{girder_id}.labels"
        if not path.exists():
            try:
                item = get_item(self._session, girder_id)
                download_item(self._session, item, path, limit_bytes=MAX_BYTES)
            except (AccessDeniedError, UnknownIdError) as error:
                log.warning("label image %s: %s", girder_id, error)
                return None
        return path
