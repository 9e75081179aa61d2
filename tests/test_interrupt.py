"""A process that is told to stop: what must be whole is finished first."""

import _thread
import os
import signal
import subprocess
import sys
import threading

import pytest

from deeplab import interrupt
from deeplab.interrupt import Stopped, ask_to_stop, finishing, stop_if_asked, unbroken

TWICE = """
import os, signal
from deeplab.interrupt import unbroken
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
with unbroken():
    os.kill(os.getpid(), signal.SIGINT)
    print("still here", flush=True)
    os.kill(os.getpid(), signal.SIGINT)
    print("not any more", flush=True)
"""


@pytest.fixture
def process(monkeypatch):
    """A process that was not told to stop, and is not any more afterwards."""
    monkeypatch.setattr(interrupt, "_is_asked", False)
    monkeypatch.setattr(interrupt, "_is_stopping", False)


def test_nothing_stops_where_nobody_asks(process):
    stop_if_asked()
    with finishing():
        stop_if_asked()


def test_what_is_being_finished_is_waited_for(process):
    done, may_end = [], threading.Event()

    def work():
        with finishing("layers on the server"):
            may_end.wait()
            done.append("the last layer")

    thread = threading.Thread(target=work)
    thread.start()
    assert ask_to_stop(0.05) == ["layers on the server"]
    assert not done
    may_end.set()
    assert ask_to_stop(60) == []
    assert done
    thread.join()


def test_a_computation_that_stops_by_itself_has_time_for_that(process):
    assert ask_to_stop(60) == []
    with pytest.raises(Stopped):
        stop_if_asked()
    # It now unwinds, and saves; the process is not ended under it.
    waiting = threading.Thread(target=ask_to_stop, args=(60,), daemon=True)
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive()


def test_stopping_passes_what_catches_errors():
    assert not issubclass(Stopped, Exception)


def test_ctrl_c_waits_for_the_end_of_the_block():
    done = []
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it

    def step():
        with unbroken():
            os.kill(os.getpid(), signal.SIGINT)
            done.append("the rest of the step")

    try:
        with pytest.raises(KeyboardInterrupt):
            step()
        assert done
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_second_ctrl_c_is_not_held_back():
    found = subprocess.run(
        [sys.executable, "-c", TWICE], capture_output=True, text=True, check=False
    )
    assert found.returncode == -signal.SIGINT
    assert found.stdout == "still here\n"


def test_another_thread_and_another_handler_are_let_through():
    done = []

    def work():
        with unbroken():
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    before = signal.signal(signal.SIGINT, lambda *_: done.append("handled"))
    try:
        with unbroken():
            _thread.interrupt_main()
            assert done == [True, "handled"]
    finally:
        signal.signal(signal.SIGINT, before)
