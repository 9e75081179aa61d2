"""`deeplab ensemble`: models in, one model out that averages their probabilities."""

from __future__ import annotations

import argparse
from pathlib import Path

from deeplab.config.ensemble_request import EnsembleRequest
from deeplab.native_log import remarks_left_out
from deeplab_cli.binding import check_is_readable
from deeplab_cli.command import Command, CommandParser


def _add_arguments(parser: CommandParser) -> None:
    parser.add_argument(
        "models", type=Path, nargs="+", metavar="MODEL",
        help="bundles (.zip) of the same classes and um per pixel, two or more",
    )  # fmt: skip
    parser.add_argument(
        "--output", type=Path, required=True, metavar="PATH", help="the bundle (.zip) to write"
    )


def _request(asked: argparse.Namespace) -> EnsembleRequest:
    for model in asked.models:
        check_is_readable("models", str(model))
    return EnsembleRequest(models=tuple(asked.models), output=asked.output)


def _run(request: EnsembleRequest) -> str:
    # Help and a wrong number are answered without TensorFlow.
    with remarks_left_out():
        from deeplab.bundles.ensemble import make_ensemble  # noqa: PLC0415

    return make_ensemble(request).summary()


COMMAND = Command(
    name="ensemble",
    help="Joins models to one that averages their probabilities, of pixels or of patches.",
    add_arguments=_add_arguments,
    request=_request,
    run=_run,
)
