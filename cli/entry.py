"""The process of the command `deeplab`: it can be stopped before what it needs is loaded."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from deeplab_cli.stopping import as_process, obey_signals


def entry() -> NoReturn:
    """Be the process of the command."""
    _start_in_utf8()
    obey_signals()
    from deeplab_cli.main import main  # noqa: PLC0415  takes some tenths of a second

    as_process(main)


def _start_in_utf8() -> None:
    """Start again in Python's UTF-8 mode where names of files are in another encoding.

    Else no file can be called after a slide `Größe.svs` where the locale is one of ASCII.
    """
    if sys.getfilesystemencoding() != "utf-8" and os.environ.get("PYTHONUTF8") != "1":
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606  the same again


if __name__ == "__main__":
    entry()
