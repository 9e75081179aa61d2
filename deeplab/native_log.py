"""What native libraries say while they are loaded, without their remarks on themselves."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

# TensorFlow's libraries speak while they are loaded, before any of its settings is read; each says
# that it does so, then what it is built for, and that another one has registered the same before.
# As a pattern of `re`, matched at the start of a line.
REMARKS = (
    r"WARNING: All log messages before absl::InitializeLog\(\) is called"
    r"|[IW]\d{4,8} [\d:. ]+ \d+ \S+:\d+\]"
    r"|\d{4}-\d\d-\d\d [\d:.]+: [IW] \S+:\d+\]"
    r"|To enable the following instructions:"
    r"|E\d{4,8} [\d:. ]+ \d+ cuda_(fft|dnn|blas)\.cc:\d+\] Unable to register"
)
# A process of its own, for what is said last before an abort must arrive, too. It reads bytes as
# they come and holds a line back no longer than until it is whole.
_FILTER = """
import re, sys
remark = re.compile(sys.argv[1].encode())
for line in iter(sys.stdin.buffer.readline, b""):
    if not remark.match(line):
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
"""
_STANDARD_ERROR = 2


@contextmanager
def remarks_left_out() -> Iterator[None]:
    """Standard error without TensorFlow's remarks on itself, to be entered where it is loaded.

    Only what native code writes goes through the filter, and errors go on. Where TensorFlow is
    loaded already there is nothing to be done.
    """
    if "tensorflow" in sys.modules:
        yield
        return
    try:
        kept = os.dup(_STANDARD_ERROR)
    except OSError:  # nobody reads it
        yield
        return
    hears, tells = os.pipe()
    filter_ = subprocess.Popen(  # noqa: S603  our own words
        [sys.executable, "-I", "-S", "-c", _FILTER, REMARKS],
        stdin=hears,
        stdout=kept,
        start_new_session=True,  # Ctrl-C at a terminal is for us
    )
    os.close(hears)
    os.dup2(tells, _STANDARD_ERROR)
    os.close(tells)
    try:
        yield
    finally:
        os.dup2(kept, _STANDARD_ERROR)
        os.close(kept)
        with suppress(subprocess.TimeoutExpired):  # what was started meanwhile may still hold it
            filter_.wait(2)
