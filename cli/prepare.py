"""`deeplab prepare`: models in, converted for this machine and kept for every later run."""

from __future__ import annotations

import argparse
from pathlib import Path

from deeplab.config.prepare_request import PrepareRequest
from deeplab_cli.command import Command, CommandParser


def _add_arguments(parser: CommandParser) -> None:
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL", help="a bundle")
    parser.add_argument(
        "--heatmaps", action="store_true",
        help="for segmentations that write heatmaps of probabilities, too",
    )  # fmt: skip


def _request(asked: argparse.Namespace) -> PrepareRequest:
    return PrepareRequest(models=tuple(asked.models), heatmaps=asked.heatmaps)


def _run(request: PrepareRequest) -> str:
    # Help is answered without NumPy.
    from deeplab.inference.prepare import prepare_models  # noqa: PLC0415

    return prepare_models(request).summary()


COMMAND = Command(
    name="prepare",
    help="Converts models for the CPU of this machine and keeps the result for all later runs.",
    add_arguments=_add_arguments,
    request=_request,
    run=_run,
)
