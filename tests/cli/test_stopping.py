"""A process that is told to stop ends at once, with one line, and leaves nothing unfinished."""

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.pace import at_this_pace

# An engine that tells when it has begun, and then does what its test says.
ENGINE = """
import os, signal, sys, tempfile, threading, time, types
from pathlib import Path
from deeplab.files import all_or_none, scratch_folder, whole_file
from deeplab.interrupt import finishing, stop_if_asked
from deeplab_cli.main import main
from deeplab_cli.stopping import as_process
stub = types.ModuleType("deeplab.inference.segment_each")
def ready():
    print("ready", flush=True)
def segment_each(request, progress, **_):
    path = request.output_annotation
{work}
    return "done"
stub.segment_each = segment_each
sys.modules[stub.__name__] = stub
as_process(main)
"""
HALF_WRITTEN = """
    tempfile.mkstemp()  # as a library may
    with scratch_folder(), whole_file(path) as draft:
        draft.write_text("half")
        ready()
        time.sleep(60)
"""
# The signal arrives in a callback of native code, which makes another exception of any.
IN_A_CALLBACK = """
    import ctypes
    Compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    def compare(a, b):
        try:
            time.sleep(0.01)
        except BaseException as error:
            raise RuntimeError("native code failed") from error
        return 0
    numbers = (ctypes.c_int * 5000)()
    ready()
    ctypes.CDLL(None).qsort(numbers, 5000, 4, Compare(compare))
"""
IN_NATIVE_CODE = """
    import hashlib
    ready()
    hashlib.pbkdf2_hmac("sha256", b"", b"", 1_000_000_000)  # minutes; without Python's lock
"""
FAILING = """
    signal.signal(signal.SIGUSR1, lambda *_: None)
    ready()
    signal.pause()  # until the signal has come
    raise RuntimeError("its child was told to stop, too")
"""
FINISHING = """
    with all_or_none({path: lambda draft: draft.write_text("whole")}):
        ready()
        time.sleep(1)  # the layers go to the server
    time.sleep(60)
"""
HANGING = """
    with finishing("layers on the server"):
        ready()
        time.sleep(60)
"""
SAVING = """
    with finishing():
        ready()
        while True:
            time.sleep(0.05)
            stop_if_asked()
"""
FORKING = """
    child = os.fork()
    if child == 0:
        time.sleep(60)
    os.kill(child, signal.SIGTERM)
    _, status = os.waitpid(child, 0)
    if os.waitstatus_to_exitcode(status) == -signal.SIGTERM:
        ready()
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def obeyed_signals() -> Iterator[None]:
    """A job in the background, or under nohup, hands down signals that it ignores."""
    defaults = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGHUP: signal.SIG_DFL,
    }
    before = {number: signal.signal(number, handler) for number, handler in defaults.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    (tmp_path / "slide.svs").touch()
    (tmp_path / "model.zip").touch()
    (tmp_path / "tmp").mkdir()
    return ["segment", "slide.svs", "--model", "model.zip", "--annotation", "out.json"]


def started(work: str, words: list[str], folder: Path, **options) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", ENGINE.replace("{work}", work), *words],
        cwd=folder, text=True, stdout=subprocess.PIPE, env=os.environ | {"TMPDIR": str(folder / "tmp")},
        **{"stderr": subprocess.PIPE} | options,
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if line == "ready\n":
            return process
    pytest.fail(f"it did not begin: {process.communicate()}")


def left(folder: Path) -> list[str]:
    return sorted(
        path.name
        for path in folder.rglob("*")
        if path.name not in ("tmp", "slide.svs", "model.zip")
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize(
    "work", [HALF_WRITTEN, IN_A_CALLBACK, IN_NATIVE_CODE], ids=["half", "callback", "native"]
)
def test_a_signal_ends_it_at_once_and_leaves_nothing(tmp_path, words, number, work):
    with started(work, words, tmp_path) as process:
        time.sleep(0.1)
        began = time.monotonic()
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 128 + number, err
    assert err == "cancelled; nothing was written\n"
    assert time.monotonic() - began < at_this_pace(2)
    assert left(tmp_path) == []


def test_what_fails_for_the_signal_is_no_other_failure(tmp_path, words):
    with started(FAILING, words, tmp_path) as process:
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (143, "cancelled; nothing was written\n")


def test_results_that_take_their_places_are_finished_and_named(tmp_path, words):
    with started(FINISHING, words, tmp_path) as process:
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 143
    assert err == f"cancelled; written before: {tmp_path / 'out.json'}\n"
    assert (tmp_path / "out.json").read_text() == "whole"
    assert left(tmp_path) == ["out.json"]


def test_a_second_signal_waits_for_nothing_and_says_so(tmp_path, words):
    with started(HANGING, words, tmp_path) as process:
        process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 143
    assert err == "cancelled; nothing was written; layers on the server may be there in part\n"


def test_a_computation_ends_itself_between_two_steps(tmp_path, words):
    with started(SAVING, words, tmp_path) as process:
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (143, "cancelled; nothing was written\n")


def test_a_child_is_ended_by_a_signal_as_any_other_process(tmp_path, words):
    with started(FORKING, words, tmp_path) as process:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert process.returncode == 143


def test_a_task_outlives_its_terminal_where_that_is_asked_for(tmp_path, words):
    with started(HALF_WRITTEN, words, tmp_path, preexec_fn=ignore_hang_up) as process:
        process.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert process.returncode == 143


def ignore_hang_up():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def test_a_reader_that_reads_no_more_does_not_keep_it(tmp_path, words):
    end, full = os.pipe()
    os.set_blocking(full, False)
    with suppress(BlockingIOError):
        while os.write(full, b" " * 4096):
            pass
    os.set_blocking(full, True)
    with started(HALF_WRITTEN, words, tmp_path, stderr=full) as process:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert process.returncode == 143
    assert left(tmp_path) == []
    os.close(full)
    os.close(end)


def test_the_cursor_of_a_terminal_is_shown_again(tmp_path, words):
    ours, theirs = pty.openpty()
    with started(HALF_WRITTEN, words, tmp_path, stderr=theirs) as process:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert os.read(ours, 1000).decode() == "\x1b[?25h\r\ncancelled; nothing was written\r\n"
    os.close(ours)
    os.close(theirs)


@pytest.mark.parametrize(
    "command",
    [
        "-m deeplab_cli.entry --version",
        "-m deeplab_cli.entry segment --version",
        "-m deeplab_cli.entry export --help",
        "cli/SegmentWSI/SegmentWSI.py --xml",
    ],
)
def test_a_process_that_ends_well_leaves_no_temporary_files(tmp_path, words, command):
    done = subprocess.run(
        [sys.executable, *command.split()], cwd=Path(__file__).parents[2], check=False,
        env=os.environ | {"TMPDIR": str(tmp_path / "tmp")}, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0
    assert left(tmp_path) == []
