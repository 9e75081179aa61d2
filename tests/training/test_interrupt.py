"""Signals that come during a step are answered after it."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from deeplab.training.interrupt import signals_wait

TWICE = """
import os, signal
from deeplab.training.interrupt import signals_wait
with signals_wait():
    os.kill(os.getpid(), signal.SIGTERM)
    print("still here", flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    print("not any more", flush=True)
"""


class ToldToStopError(Exception):
    """What the handler of these tests raises."""


@pytest.fixture
def handler():
    def stop(number, frame):
        raise ToldToStopError(number)

    before = {n: signal.signal(n, stop) for n in (signal.SIGTERM, signal.SIGINT)}
    yield stop
    for number, kept in before.items():
        signal.signal(number, kept)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_waits_for_the_end_of_the_block(handler, number):
    done = []

    def step():
        with signals_wait():
            os.kill(os.getpid(), number)
            done.append("the rest of the step")

    with pytest.raises(ToldToStopError):
        step()
    assert done
    assert signal.getsignal(number) is handler


def test_without_a_signal_all_is_as_before(handler):
    with signals_wait():
        assert signal.getsignal(signal.SIGTERM) is not handler
    assert signal.getsignal(signal.SIGTERM) is handler


def test_a_second_signal_ends_the_process_at_once():
    found = subprocess.run(
        [sys.executable, "-c", TWICE], capture_output=True, text=True, check=False
    )
    assert found.returncode == -signal.SIGTERM
    assert found.stdout == "still here\n"


def test_another_thread_is_let_through():
    done = []

    def work():
        with signals_wait():
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done
