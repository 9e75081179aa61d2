"""The process of the command `deeplab`: it can be stopped before what it needs is loaded."""

from __future__ import annotations

from typing import NoReturn

from deeplab_cli.stopping import as_process, obey_signals


def entry() -> NoReturn:
    """Be the process of the command."""
    obey_signals()
    from deeplab_cli.main import main  # noqa: PLC0415  takes some tenths of a second

    as_process(main)


if __name__ == "__main__":
    entry()
