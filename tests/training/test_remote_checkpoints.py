"""What was learnt outlives the job that learnt it."""

from __future__ import annotations

import io
import logging
import stat
import threading
import zipfile
from pathlib import Path

import pytest

from deeplab.bundles.archive import MAX_MEMBERS
from deeplab.config.train_request import TrainRequest
from deeplab.errors import AccessDeniedError, UnknownIdError, UnreachableError
from deeplab.training import remote_checkpoints
from deeplab.training.remote_checkpoints import (
    SETTINGS_NAME,
    STAGING,
    RemoteCheckpoints,
    checkpoints_on_server,
)
from tests.girder_for_tests import FOLDER, TOKEN, Shelf

SETTINGS = '{"seed": 1}'
LARGE = b"w" * 2**21


@pytest.fixture
def shelf(girder):
    return Shelf(girder)


def remote_of(session, folder, settings=SETTINGS):
    folder.mkdir(exist_ok=True)
    return RemoteCheckpoints(session, FOLDER, settings, folder)


def checkpoint(folder, step):
    """Files of a checkpoint as a trainer leaves them: weights, and a log that grows."""
    (folder / "state").mkdir(parents=True, exist_ok=True)
    weights, log = folder / "state" / f"ckpt-{step}.data", folder / "log.csv"
    weights.write_bytes(LARGE + b"%d" % step)
    log.write_text(f"up to {step}")
    return {path.relative_to(folder).as_posix(): path for path in (weights, log)}


def archive(settings=SETTINGS, **members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        made.writestr(SETTINGS_NAME, settings)
        for name, content in members.items():
            made.writestr(name, content)
    return buffer.getvalue()


def linking():
    """An archive whose log is a link to a file of the machine."""
    buffer = io.BytesIO(archive())
    with zipfile.ZipFile(buffer, "a") as made:
        link = zipfile.ZipInfo("log.csv")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        made.writestr(link, "/etc/passwd")
    return buffer.getvalue()


def test_a_checkpoint_that_went_up_fills_an_empty_work_folder(shelf, session, tmp_path):
    remote = remote_of(session, tmp_path / "one")
    remote.send(40, checkpoint(tmp_path / "one", 40))
    assert remote.wait(10)
    other = remote_of(session, tmp_path / "two")
    assert other.fetch()
    found = {p.relative_to(tmp_path / "two").as_posix(): p for p in (tmp_path / "two").rglob("*")}
    assert found["state/ckpt-40.data"].read_bytes() == LARGE + b"40"
    assert found["log.csv"].read_text() == "up to 40"
    assert found[SETTINGS_NAME].read_text() == SETTINGS


@pytest.mark.parametrize("fault", [401, "drop"])
def test_a_checkpoint_that_the_server_does_not_give_now_is_not_begun_anew_without(
    girder, shelf, session, tmp_path, fault
):
    remote = remote_of(session, tmp_path / "one")
    remote.send(40, checkpoint(tmp_path / "one", 40))
    assert remote.wait(10)
    girder.faults = [None, None, None, *[fault] * 1000]  # after the folder, its items, the files
    with pytest.raises((AccessDeniedError, UnreachableError)):
        remote_of(session, tmp_path / "two").fetch()
    assert not any((tmp_path / "two").iterdir())


def test_a_new_checkpoint_takes_the_place_of_the_old_one_only_when_it_is_whole(
    girder, shelf, session, tmp_path, caplog
):
    remote = remote_of(session, tmp_path / "w")
    remote.send(5, checkpoint(tmp_path / "w", 5))
    assert remote.wait(10)
    girder.faults = [500] * 1000
    with caplog.at_level(logging.WARNING):
        remote.send(9, checkpoint(tmp_path / "w", 9))
        assert remote.wait(20)
    assert shelf.names() == [f"{remote.prefix}000000005.zip"]
    assert "step 9 did not go up to the server, training goes on" in caplog.text
    assert TOKEN not in caplog.text
    girder.faults = []
    remote.send(12, checkpoint(tmp_path / "w", 12))
    assert remote.wait(10)
    assert shelf.names() == [f"{remote.prefix}000000012.zip"]


def test_steps_do_not_wait_for_an_upload_and_see_what_it_sees(girder, shelf, session, tmp_path):
    begin, let_go = shelf.girder.routes["file"], threading.Event()

    def slow(query):
        assert let_go.wait(20)
        return begin.reply(query, b"")

    girder.routes["file"] = slow
    folder = tmp_path / "w"
    remote = remote_of(session, folder)
    for step in (1, 2, 3):
        files = checkpoint(folder, step)
        remote.send(step, files)
        assert not remote.wait(0.2)
        for path in files.values():  # as a later checkpoint does
            path.unlink()
    let_go.set()
    assert remote.wait(20)
    assert shelf.names() == [f"{remote.prefix}000000003.zip"], "only the newest of those that wait"
    ((_, content),) = shelf.items.values()
    with zipfile.ZipFile(io.BytesIO(content)) as sent:
        assert sent.read("state/ckpt-3.data") == LARGE + b"3"
        assert sent.read("log.csv") == b"up to 3"


def test_trainings_with_other_settings_do_not_meet(shelf, session, tmp_path):
    first = remote_of(session, tmp_path / "a")
    first.send(5, checkpoint(tmp_path / "a", 5))
    assert first.wait(10)
    other = remote_of(session, tmp_path / "b", '{"seed": 2}')
    assert not other.fetch()
    other.send(7, checkpoint(tmp_path / "b", 7))
    assert other.wait(10)
    assert len(shelf.names()) == 2
    other.remove()
    assert shelf.names() == [f"{first.prefix}000000005.zip"]


def test_a_work_folder_that_holds_something_is_left_alone(shelf, session, tmp_path):
    remote = remote_of(session, tmp_path / "w")
    shelf.put(f"{remote.prefix}000000005.zip", archive(**{"log.csv": "theirs"}))
    (tmp_path / "w" / "log.csv").write_text("mine")
    assert not remote.fetch()
    assert (tmp_path / "w" / "log.csv").read_text() == "mine"


@pytest.mark.parametrize(
    "bad",
    [
        b"no zip at all",
        archive(**{"log.csv": "x"})[:-30],
        archive(settings='{"seed": 9}'),
        archive(**{"../outside": "x"}),
        archive(**{"/outside": "x"}),
        linking(),
    ],
    ids=["no zip", "cut short", "other settings", "parent", "absolute", "link"],
)
def test_an_archive_that_is_not_as_it_must_be_is_passed_over(shelf, session, tmp_path, caplog, bad):
    remote = remote_of(session, tmp_path / "w")
    shelf.put(f"{remote.prefix}000000003.zip", archive(**{"log.csv": "good"}))
    shelf.put(f"{remote.prefix}000000009.zip", bad)
    assert remote.fetch()
    assert "000000009.zip cannot be gone on from" in caplog.text
    assert {path.name for path in (tmp_path / "w").iterdir()} == {"log.csv", SETTINGS_NAME}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["w"]


def test_there_may_be_as_many_files_as_patches_have_masks(shelf, session, tmp_path):
    remote = remote_of(session, tmp_path / "w")
    masks = {f"PM_features/{number}.png": "mask" for number in range(MAX_MEMBERS + 1)}
    shelf.put(f"{remote.prefix}000000003.zip", archive(**masks))
    assert remote.fetch()
    assert len(list((tmp_path / "w" / "PM_features").iterdir())) == len(masks)


def request_for(girder, tmp_path):
    return TrainRequest(
        source=FOLDER,
        classes=("a",),
        output_model=tmp_path / "m.zip",
        checkpoint_folder=FOLDER,
        api_url=girder.url,
        token=TOKEN,
    )


def test_after_a_good_end_nothing_is_left(girder, shelf, tmp_path):
    work = tmp_path / "w"
    with checkpoints_on_server(request_for(girder, tmp_path), SETTINGS, work) as remote:
        remote.send(4, checkpoint(work, 4))
        assert remote.wait(10)
        assert len(shelf.names()) == 1
    assert shelf.names() == []
    assert not (work / STAGING).exists()


def test_a_run_that_is_stopped_waits_for_its_last_checkpoint(girder, shelf, tmp_path):
    work = tmp_path / "w"

    def stopped_run():
        with checkpoints_on_server(request_for(girder, tmp_path), SETTINGS, work) as remote:
            remote.send(4, checkpoint(work, 4))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped_run()
    assert len(shelf.names()) == 1
    assert not (work / STAGING).exists()


def test_a_folder_that_is_not_there_or_not_writable_is_said_before_the_work(girder, tmp_path):
    request, work = request_for(girder, tmp_path), tmp_path / "w"
    with (
        pytest.raises(UnknownIdError, match="^folder 6a"),
        checkpoints_on_server(request, SETTINGS, work),
    ):
        pytest.fail("the work began")
    Shelf(girder, access=0)
    with (
        pytest.raises(AccessDeniedError, match="write access"),
        checkpoints_on_server(request, SETTINGS, work),
    ):
        pytest.fail("the work began")


def test_without_a_folder_there_is_nothing_remote(tmp_path):
    request = TrainRequest(source="slides", classes=("a",), output_model=tmp_path / "m.zip")
    with checkpoints_on_server(request, SETTINGS, Path("w")) as remote:
        assert remote is None


def test_a_checkpoint_that_is_too_large_stays_here(shelf, session, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(remote_checkpoints, "MAX_BYTES", 1000)
    remote = remote_of(session, tmp_path / "w")
    remote.send(4, checkpoint(tmp_path / "w", 4))
    assert remote.wait(1)
    assert "too large to go up" in caplog.text
    assert shelf.names() == []
