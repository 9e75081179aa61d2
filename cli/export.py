"""`deeplab export`: a model in, a SavedModel, ONNX file, state dict or checkpoint out."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from deeplab.config.export_request import ExportFormat, ExportRequest
from deeplab.native_log import remarks_left_out
from deeplab_cli.binding import check_is_readable
from deeplab_cli.command import Command, CommandParser


def _add_arguments(parser: CommandParser) -> None:
    parser.add_argument("model", type=Path, metavar="MODEL", help="bundle (.zip)")
    parser.add_argument(
        "--format", choices=get_args(ExportFormat), required=True, help="what to write"
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="PATH",
        help="folder of a SavedModel or a checkpoint, which must not exist, or file of ONNX or of "
        "PyTorch (.pth)",
    )  # fmt: skip


def _request(asked: argparse.Namespace) -> ExportRequest:
    check_is_readable("model", str(asked.model))
    return ExportRequest(model=asked.model, format=asked.format, output=asked.output)


def _run(request: ExportRequest) -> str:
    # Help and a wrong number are answered without TensorFlow.
    with remarks_left_out():
        from deeplab.bundles.export import export_model  # noqa: PLC0415

    return export_model(request).summary()


COMMAND = Command(
    name="export",
    help="Writes a model's network as SavedModel, ONNX, state dict of PyTorch, or checkpoint.",
    add_arguments=_add_arguments,
    request=_request,
    run=_run,
)
