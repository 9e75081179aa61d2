"""Nothing that a task runs, nor what that starts, asks anybody anything."""

import os
import subprocess
import sys

import pytest

from tests.small_runs import make_inputs, small_runs

pytestmark = pytest.mark.slow

# In a network without a way out (loopback is down, too) the kernel counts what had none: every
# connection and every question for a name, of Python and of native code, of the process and its
# children. What is told last is that count.
COUNTED = """
import pathlib, subprocess, sys
done = subprocess.run(sys.argv[1:])
names, values = (
    line.split()
    for line in pathlib.Path("/proc/net/snmp").read_text().splitlines()
    if line.startswith("Ip:")
)
told = dict(zip(names, values))
print("calls:", int(told["OutNoRoutes"]) + int(told["OutRequests"]))
sys.exit(done.returncode)
"""
# OpenVINO loaded by somebody else, with its telemetry, before the engine loads it.
LOADED_BEFORE = """
import os
os.environ["CI"] = "true"  # that import is not ours, and is not to call either
import openvino
from openvino.tools.ovc.telemetry_utils import init_ovc_telemetry
print(type(init_ovc_telemetry()).__module__)
from deeplab.inference.openvino_runtime import load_openvino
load_openvino()
print(type(init_ovc_telemetry()).__module__)
"""
ASKING = "import socket\ntry: socket.getaddrinfo('example.org', 443)\nexcept OSError: pass"


def alone():
    """The words that start a command in a network of its own."""
    words = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "-r", "--net"]
    if subprocess.run([*words, "true"], check=False, capture_output=True).returncode:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("networks cannot be made here")
    return words


def counted(*words, home):
    """A command without `CI` in its environment; its calls are the last word of what it prints."""
    given = {name: value for name, value in os.environ.items() if name != "CI"}
    return subprocess.run(
        [*alone(), sys.executable, "-c", COUNTED, sys.executable, *words],
        capture_output=True,
        text=True,
        check=False,
        env=given | {"HOME": str(home)},
        timeout=600,
    )


def calls_of(done):
    assert done.returncode == 0, done.stderr
    return int(done.stdout.rpartition("calls: ")[2])


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    make_inputs(folder)
    return folder


def test_a_call_would_be_seen(tmp_path):
    assert calls_of(counted("-c", ASKING, home=tmp_path))
    assert not calls_of(counted("-c", "import tensorflow", home=tmp_path))


@pytest.mark.parametrize("name", ["segment", "train", "convert", "features", "evaluate"])
def test_no_task_calls_anybody_nor_writes_an_id(inputs, tmp_path, name):
    out, home = tmp_path / "out", tmp_path / "home"
    home.mkdir()
    run = small_runs(inputs, out)[name]
    done = counted("-m", "deeplab_cli.entry", *run.words, home=home)
    assert calls_of(done) == 0
    # The log is ours alone: nothing of what native libraries say while they are loaded.
    lines = [line for line in done.stderr.splitlines() if not line.startswith("INFO: ")]
    assert [line for line in lines if not line.startswith("WARNING: ") or "absl" in line] == []
    assert run.outputs <= {path.name for path in out.iterdir()}
    known = (".cache/matplotlib", ".config/matplotlib", ".keras/keras.json")
    told = [str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()]
    assert [path for path in told if not path.startswith(known)] == []


def test_openvino_that_was_loaded_before_calls_no_more(tmp_path):
    done = counted("-c", LOADED_BEFORE, home=tmp_path)
    assert calls_of(done) == 0
    before, after, _ = done.stdout.splitlines()
    assert (before, after) == ("openvino_telemetry.main", "openvino.tools.ovc.telemetry_stub")
