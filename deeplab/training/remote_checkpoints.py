"""Checkpoints of a run in a folder of a Girder server: sent beside the steps, fetched to go on.

A Girder job works in a folder that goes with it. What it has learnt outlives it on the server, as
one archive in an item whose name says which settings made it and how many steps it has.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import tempfile
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deeplab.bundles.archive import MAX_BYTES, open_archive
from deeplab.bundles.read import MAX_TEXT_BYTES
from deeplab.config.from_labels_request import FromLabelsRequest
from deeplab.config.train_request import TrainRequest
from deeplab.errors import (
    AccessDeniedError,
    BundleError,
    DeeplabError,
    OutputError,
    ServerError,
    UnreachableError,
)
from deeplab.files import scratch_folder
from deeplab.server.folder_files import (
    check_folder_writable,
    download_item,
    named_items,
    remove_item,
    upload_file,
)
from deeplab.server.items import Item
from deeplab.server.session import ServerLogin, Session

log = logging.getLogger(__name__)

SETTINGS_NAME = "request.json"
STAGING = ".going-up"  # in the work folder
MOST_MEMBERS = 2**20  # of an archive: a mask for each patch and layer is in some
SMALL_BYTES = 2**20  # a file that may still grow, as a log, is copied and not linked
# A job that is cancelled has so long for its last checkpoint, unless its server is less patient.
LAST_UPLOAD_S = 120.0


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """Files of one checkpoint, set aside so that the next one does not replace them."""

    step: int
    folder: Path


class _GivenUpError(Exception):
    """The upload is not wanted any more."""


@contextmanager
def checkpoints_on_server(
    request: TrainRequest | FromLabelsRequest, settings: str, work_folder: Path
) -> Iterator[RemoteCheckpoints | None]:
    """The checkpoints of a run in the folder that its request names; None where it names none.

    An empty work folder is filled from there first. Where the block ends well the model has been
    written, and they are removed; else the last one sent is waited for.

    Raises:
        AccessDeniedError: the token may not write to the folder.
        ServerError: there is no such folder, or the server failed.
        OutputError: what is there cannot be written to the work folder.
    """
    if not request.checkpoint_folder:
        yield None
        return
    login = ServerLogin(request.api_url, request.token)
    with Session(login) as session:
        remote = RemoteCheckpoints(session, request.checkpoint_folder, settings, work_folder)
        try:
            remote.fetch()
            yield remote
            remote.remove()
        except BaseException:
            remote.wait(LAST_UPLOAD_S)
            raise
        finally:
            remote.close()


class RemoteCheckpoints:
    """The checkpoints of one run on a server.

    Args:
        session: of that server.
        folder_id: where they are.
        settings: in which a run must agree to go on from them.
        work_folder: of the run.
    """

    def __init__(self, session: Session, folder_id: str, settings: str, work_folder: Path) -> None:
        self._session, self._folder_id = session, folder_id
        self._settings, self._work_folder = settings, work_folder
        key = hashlib.sha256(settings.encode()).hexdigest()[:16]
        self.prefix = f"deeplab-checkpoint-{key}-"
        self._changed = threading.Condition()
        self._next: _Snapshot | None = None
        self._is_busy = False
        self._given_up = threading.Event()
        self._carrier: threading.Thread | None = None

    def fetch(self) -> bool:
        """Fill an empty work folder from the newest checkpoint; whether there was one.

        A checkpoint that is damaged is passed over with a warning.

        Raises:
            AccessDeniedError: the token may not write to the folder.
            ServerError: there is no such folder, or the server failed.
            OutputError: the work folder cannot be written.
        """
        check_folder_writable(self._session, self._folder_id)
        if self._work_folder.exists() and any(self._work_folder.iterdir()):
            return False
        items = reversed(named_items(self._session, self._folder_id, self.prefix))
        return any(
            fetch_archive(self._session, item, self._settings, self._work_folder) for item in items
        )

    def send(self, step: int, files: Mapping[str, Path]) -> None:
        """Send a checkpoint up in the background; one that still waits is dropped for it.

        Args:
            step: steps done.
            files: by their names relative to the work folder; they may be replaced afterwards, but
                not be written to, unless they are small.
        """
        snapshot = self._set_aside(step, files)
        if snapshot is None:
            return
        with self._changed:
            dropped, self._next = self._next, snapshot
            if self._carrier is None or not self._carrier.is_alive():
                # A daemon: a process that must end does not wait for a dead server.
                self._carrier = threading.Thread(target=self._carry, daemon=True)
                self._carrier.start()
            self._changed.notify_all()
        if dropped:
            shutil.rmtree(dropped.folder, ignore_errors=True)

    def wait(self, timeout_s: float) -> bool:
        """Wait until everything sent has gone up or failed; whether it came to that in time."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self._next is None and not self._is_busy, timeout_s
            )

    def remove(self) -> None:
        """Remove the run's checkpoints from the server; a failure is a warning."""
        with self._changed:
            self._next = None
            self._given_up.set()
        self.wait(LAST_UPLOAD_S)
        try:
            for item in named_items(self._session, self._folder_id, self.prefix):
                remove_item(self._session, item)
        except ServerError as error:
            log.warning("the checkpoints on the server are still there: %s", error)

    def close(self) -> None:
        """Give up what has not gone up."""
        with self._changed:
            self._next = None
            self._given_up.set()
            self._changed.notify_all()
        shutil.rmtree(self._work_folder / STAGING, ignore_errors=True)

    def _set_aside(self, step: int, files: Mapping[str, Path]) -> _Snapshot | None:
        size_bytes = sum(path.stat().st_size for path in files.values())
        if size_bytes > MAX_BYTES:
            log.warning("a checkpoint of %d bytes is too large to go up to the server", size_bytes)
            return None
        try:
            staging = self._work_folder / STAGING
            staging.mkdir(exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix=f"{step}-", dir=staging))
            for name, path in files.items():
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                _link(path, target)
        except OSError as error:
            log.warning("the checkpoint of step %d does not go up to the server: %s", step, error)
            return None
        return _Snapshot(step, folder)

    def _carry(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._next or self._given_up.is_set())
                snapshot, self._next = self._next, None
                if snapshot is None:
                    return
                self._is_busy = True
            try:
                self._upload(snapshot)
            except _GivenUpError:
                return
            except (DeeplabError, OSError) as error:
                log.warning(
                    "the checkpoint of step %d did not go up to the server, training goes on: %s",
                    snapshot.step,
                    error,
                )
            finally:
                shutil.rmtree(snapshot.folder, ignore_errors=True)
                with self._changed:
                    self._is_busy = False
                    self._changed.notify_all()

    def _upload(self, snapshot: _Snapshot) -> None:
        """The new archive first, then the older ones go: there is a whole one at any time."""
        archive = snapshot.folder / "checkpoint.zip"
        pack(snapshot.folder, self._settings, archive)
        new_id = upload_file(
            self._session,
            self._folder_id,
            archive,
            name=f"{self.prefix}{snapshot.step:09d}.zip",
            after_piece=self._stop_if_given_up,
        )
        for item in named_items(self._session, self._folder_id, self.prefix):
            if item.id != new_id:
                remove_item(self._session, item)
        log.info("the checkpoint of step %d is on the server", snapshot.step)

    def _stop_if_given_up(self) -> None:
        if self._given_up.is_set():
            raise _GivenUpError


def _link(path: Path, target: Path) -> None:
    if path.stat().st_size > SMALL_BYTES:
        try:
            os.link(path, target)
        except OSError:  # a file system without links
            pass
        else:
            return
    shutil.copyfile(path, target)


def fetch_archive(session: Session, item: Item, settings: str, folder: Path) -> bool:
    """Fill a folder, which is empty or not there, from an archive on a server; False: it cannot be.

    Why not is a warning.

    Raises:
        AccessDeniedError, UnreachableError: the server does not give it now.
        OutputError: the folder cannot be written.
    """
    with scratch_folder() as scratch:
        path = scratch / "archive.zip"
        try:
            download_item(session, item, path, limit_bytes=MAX_BYTES)
            unpack_checkpoint(path, settings, folder)
        except (AccessDeniedError, UnreachableError):
            raise  # it may be sound: to begin anew would lose what has been learnt
        except (BundleError, ServerError) as error:
            log.warning("%s cannot be gone on from: %s", item.name, error)
            return False
        except OSError as error:
            raise OutputError(folder, error.strerror or str(error)) from error
    log.info("going on from %s of the server", item.name)
    return True


def pack(folder: Path, settings: str, path: Path) -> None:
    """Everything in a folder, and the settings; stored, because weights hardly compress.

    Raises:
        OSError: it cannot be read or written.
    """
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(SETTINGS_NAME, settings)
        for file in files:
            name = file.relative_to(folder).as_posix()
            if name != SETTINGS_NAME:
                archive.write(file, name)


def unpack_checkpoint(path: Path, settings: str, folder: Path) -> None:
    """The files of an archive become `folder`, which is empty or not there: all or none.

    Raises:
        BundleError: it is no archive of a checkpoint with these settings, or not safe to unpack.
        OSError: the folder cannot be written.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(folder.parent) as scratch:
        whole = scratch / "whole"
        with open_archive(path, most_members=MOST_MEMBERS) as archive:
            if SETTINGS_NAME not in archive.sizes:
                raise BundleError(path, "is no checkpoint of a training")
            if archive.read(SETTINGS_NAME, MAX_TEXT_BYTES) != settings.encode():
                raise BundleError(path, "is a checkpoint of a training with other settings")
            for name in archive.sizes:
                (whole / name).parent.mkdir(parents=True, exist_ok=True)
                archive.copy(name, whole / name)
        if folder.exists():
            folder.rmdir()
        whole.replace(folder)
