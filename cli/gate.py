"""`deeplab gate`: a model and a patch classifier in, a model of what patches may have out."""

from __future__ import annotations

import argparse
from pathlib import Path

from deeplab.config.gate_request import THRESHOLD, GateRequest
from deeplab.native_log import remarks_left_out
from deeplab_cli.binding import check_is_readable
from deeplab_cli.command import Command, CommandParser


def _add_arguments(parser: CommandParser) -> None:
    parser.add_argument(
        "model", type=Path, metavar="MODEL", help="a bundle (.zip) that gives every pixel a class"
    )
    parser.add_argument(
        "--classifier", type=Path, required=True, metavar="MODEL",
        help="a patch classifier (.zip) of the same classes and um per pixel",
    )  # fmt: skip
    parser.add_argument(
        "--threshold", type=float, default=THRESHOLD, metavar="SCORE",
        help="that a class must exceed to be in a patch (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--output", type=Path, required=True, metavar="PATH", help="the bundle (.zip) to write"
    )


def _request(asked: argparse.Namespace) -> GateRequest:
    for name in ("model", "classifier"):
        check_is_readable(name, str(getattr(asked, name)))
    return GateRequest(**vars(asked))


def _run(request: GateRequest) -> str:
    # Help and a wrong number are answered without TensorFlow.
    with remarks_left_out():
        from deeplab.bundles.gate import make_gate  # noqa: PLC0415

    return make_gate(request).summary()


COMMAND = Command(
    name="gate",
    help="Joins a model with a patch classifier: no pixel gets a class that its patch has not.",
    add_arguments=_add_arguments,
    request=_request,
    run=_run,
)
