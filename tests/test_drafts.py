"""What is unfinished goes with its process, or with the next one."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deeplab import drafts
from deeplab.drafts import MARK
from deeplab.errors import OutputError
from deeplab.files import all_or_none, scratch_folder, whole_file

# A process that is killed in the midst of two results, one of them written through a second draft.
KILLED = """
import os, signal, sys
from pathlib import Path
from deeplab.files import all_or_none, scratch_folder, whole_file
folder = Path(sys.argv[1])
def write(path):
    with whole_file(path) as inner:
        inner.write_text("whole")
with scratch_folder(folder), all_or_none({folder / "a.txt": write, folder / "b.txt": write}):
    (folder / "ready").touch()
    if sys.argv[2] == "wait":
        sys.stdin.read()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def _new_process(monkeypatch):
    """Each test is the first that works in its folder."""
    monkeypatch.setattr(drafts, "_swept", set())


def killed(folder):
    words = [sys.executable, "-c", KILLED, str(folder), "at once"]
    assert subprocess.run(words, check=False).returncode == -signal.SIGKILL
    (folder / "ready").unlink()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_a_killed_process_left_is_named_and_removed_by_the_next(tmp_path):
    killed(tmp_path)
    assert len(names(tmp_path)) == 3
    assert all(MARK in name for name in names(tmp_path))
    with whole_file(tmp_path / "c.txt") as draft:
        draft.write_text("c")
    assert names(tmp_path) == ["c.txt"]


def test_what_a_living_process_has_begun_stays(tmp_path):
    words = [sys.executable, "-c", KILLED, str(tmp_path), "wait"]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as process:
        while not (tmp_path / "ready").exists():
            assert process.poll() is None
        begun = names(tmp_path)
        with whole_file(tmp_path / "c.txt") as draft, scratch_folder(tmp_path):
            draft.write_text("c")
        assert names(tmp_path) == sorted([*begun, "c.txt"])
        process.communicate()


def test_files_and_folders_of_the_user_are_not_touched(tmp_path):
    killed(tmp_path)
    (tmp_path / ".a.unfinished.txt").write_text("mine")
    (tmp_path / "deeplab-training").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "deeplab-training")
    with whole_file(tmp_path / "c.txt"), scratch_folder(tmp_path):
        pass
    assert names(tmp_path) == [".a.unfinished.txt", "c.txt", "deeplab-training", "link"]


def test_several_results_take_their_places_together_or_not_at_all(tmp_path):
    paths = [tmp_path / name for name in ("a", "b", "c")]
    paths[0].write_text("old")
    writers = {path: lambda draft: draft.write_text("new") for path in paths}

    def put():
        with all_or_none(writers):
            paths[2].mkdir()  # somebody makes a folder there meanwhile

    with pytest.raises(OutputError, match="Is a directory"):
        put()
    assert names(tmp_path) == ["a", "c"]
    assert paths[0].read_text() == "old"


def test_a_result_that_cannot_be_written_is_called_by_its_own_name(tmp_path):
    def write(draft):
        with whole_file(draft):
            raise OSError(28, os.strerror(28))

    def put():
        with all_or_none({tmp_path / "a.txt": write}):
            pytest.fail("it was written")

    with pytest.raises(OutputError) as raised:
        put()
    assert str(raised.value) == f"cannot write {tmp_path / 'a.txt'}: No space left on device"
    assert names(tmp_path) == []


def test_a_folder_goes_though_a_thread_still_writes_into_it(tmp_path):
    with scratch_folder(tmp_path) as folder:
        file = (folder / "open").open("w")
        drafts.end(folder)
        file.write("more")
        file.close()
        with pytest.raises(FileNotFoundError):
            Path(folder / "another").touch()
    assert names(tmp_path) == []
