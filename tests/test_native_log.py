"""The log of a task is ours: what native libraries remark on themselves is left out."""

import subprocess
import sys

import pytest

TF_REMARKS = """\
WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1795889359.490897   14014 port.cc:153] oneDNN custom operations are on. You may see
I0000 00:00:1795889359.664283   14014 cpu_feature_guard.cc:227] This TensorFlow binary is optimized
To enable the following instructions: AVX2 AVX512F, in other operations, rebuild TensorFlow
E0000 00:00:1741000000.000000  9 cuda_fft.cc:467] Unable to register cuFFT factory: Attempting
W0000 00:00:1741000000.000000  9 computation_placer.cc:177] computation placer already registered.
2026-01-02 03:04:05.678901: I tensorflow/core/platform/cpu_feature_guard.cc:210] This binary
"""
ERRORS = """\
E0000 00:00:1741000000.000000  9 cuda_executor.cc:1228] failed call to cuInit: CUDA_ERROR_UNKNOWN
F0000 00:00:1741000000.000000  9 cpu_feature_guard.cc:112] The TensorFlow library was compiled to use
2026-01-02 03:04:05.678901: E tensorflow/core/framework/node.cc:1] out of memory
a line of another library
"""
# Native code speaks to the descriptor, and at its end aborts.
SPEAKING = """
import os, sys
from deeplab.native_log import remarks_left_out
with remarks_left_out():
    os.write(2, sys.argv[1].encode())
    if sys.argv[2] == "abort":
        os.abort()
os.write(2, b"after it: I0000 00:00:1.0 9 a.cc:1] as it is\\n")
"""


@pytest.mark.parametrize("end", ["return", "abort"])
def test_remarks_are_left_out_and_errors_arrive(end):
    done = subprocess.run(
        [sys.executable, "-c", SPEAKING, TF_REMARKS + ERRORS, end],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    after = "after it: I0000 00:00:1.0 9 a.cc:1] as it is\n"
    assert done.stderr == ERRORS + (after if end == "return" else "")
    assert (done.returncode == 0) == (end == "return")


def test_without_a_standard_error_all_goes_on():
    line = (
        f'{sys.executable} -c "{SPEAKING.splitlines()[2]}\nwith remarks_left_out(): print(1)" 2>&-'
    )
    assert (
        subprocess.run(["/bin/sh", "-c", line], capture_output=True, check=False).stdout == b"1\n"
    )


@pytest.mark.slow
def test_tensorflow_is_loaded_in_silence():
    script = (
        "from deeplab.native_log import remarks_left_out\nwith remarks_left_out(): import keras"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
