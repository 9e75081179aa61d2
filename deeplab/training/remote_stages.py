"""Finished stages of a command in a folder of a Girder server, which another job takes from there.

Beside the checkpoints of the stage that was begun: a job that goes on needs what went before it,
and to the bit, for each stage depends on the content of what it was made of.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deeplab.config.from_labels_request import FromLabelsRequest
from deeplab.errors import DeeplabError, ServerError
from deeplab.files import scratch_folder
from deeplab.interrupt import finishing
from deeplab.server.folder_files import (
    check_folder_writable,
    named_items,
    remove_item,
    upload_file,
)
from deeplab.server.session import ServerLogin, Session
from deeplab.training.remote_checkpoints import fetch_archive, pack

log = logging.getLogger(__name__)


@contextmanager
def stages_on_server(request: FromLabelsRequest) -> Iterator[RemoteStages | None]:
    """The stages of a command in the folder that its request names; None where it names none.

    Where the block ends well the model has been written, and they are removed.

    Raises:
        AccessDeniedError: the token may not write to the folder.
        ServerError: there is no such folder, or the server failed.
    """
    if not request.checkpoint_folder:
        yield None
        return
    with Session(ServerLogin(request.api_url, request.token)) as session:
        check_folder_writable(session, request.checkpoint_folder)
        stages = RemoteStages(session, request.checkpoint_folder)
        yield stages
        stages.remove()


class RemoteStages:
    """The stages of one command on a server.

    Args:
        session: of that server.
        folder_id: where they are.
    """

    def __init__(self, session: Session, folder_id: str) -> None:
        self._session, self._folder_id = session, folder_id
        self._there: set[str] = set()  # names of items

    def fetch(self, folder: Path, settings: str) -> None:
        """Fill the folder of a stage from the server, if it is there and the folder is empty.

        One that is damaged is passed over with a warning.

        Args:
            folder: of the stage, which is called after all that it was made of.
            settings: in which it must agree.

        Raises:
            AccessDeniedError, UnreachableError: the server does not give it now.
            ServerError: there is no such folder, or the server failed.
            OutputError: the folder cannot be written.
        """
        if folder.exists() and any(folder.iterdir()):
            return
        name = _name(folder, settings)
        for item in named_items(self._session, self._folder_id, name):
            if fetch_archive(self._session, item, settings, folder):
                self._there.add(name)
                return

    def keep(self, folder: Path, settings: str) -> None:
        """Put a finished stage on the server, unless it came from there; a failure is a warning.

        Args:
            folder: of it.
            settings: as `fetch` is told.
        """
        name = _name(folder, settings)
        if name in self._there:
            return
        try:
            # The checkpoints of a stage that is done are gone: it goes up before the process ends.
            with finishing(), scratch_folder() as scratch:
                archive = scratch / name
                pack(folder, settings, archive)
                new_id = upload_file(
                    self._session, self._folder_id, archive, name=name, after_piece=lambda: None
                )
            for item in named_items(self._session, self._folder_id, name):
                if item.id != new_id:
                    remove_item(self._session, item)
        except (DeeplabError, OSError) as error:
            log.warning("%s did not go up to the server, the work goes on: %s", folder.name, error)
        else:
            self._there.add(name)
            log.info("%s is on the server", folder.name)

    def remove(self) -> None:
        """Remove the command's stages from the server; a failure is a warning."""
        try:
            for name in sorted(self._there):
                for item in named_items(self._session, self._folder_id, name):
                    remove_item(self._session, item)
        except ServerError as error:
            log.warning("the stages on the server are still there: %s", error)


def _name(folder: Path, settings: str) -> str:
    key = hashlib.sha256(settings.encode()).hexdigest()[:16]
    return f"deeplab-stage-{folder.name}-{key}.zip"
