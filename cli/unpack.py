"""`deeplab unpack`: a public data set of nuclei in, a folder to train from out."""

from __future__ import annotations

import argparse
from pathlib import Path

from deeplab.config.unpack_request import PUBLIC_UM, UnpackRequest
from deeplab_cli.command import Command, CommandParser, names_of


def _add_arguments(parser: CommandParser) -> None:
    parser.add_argument(
        "source", type=Path, metavar="DATASET", help="folder of PanNuke, CoNIC, CoNSeP or MoNuSeg"
    )
    parser.add_argument("output", type=Path, metavar="FOLDER", help="to make; it holds nothing yet")
    parser.add_argument(
        "--slide_mpp", "--slide-mpp", type=float, default=PUBLIC_UM, metavar="UM",
        help="um per pixel, which the files do not state (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--classes", type=names_of, default=(), metavar="A,B", help="names of its types in order"
    )
    parser.add_argument(
        "--validation", type=names_of, default=(), metavar="PART",
        help="folds or parts to hold out (default: the last fold, or what is called test)",
    )  # fmt: skip


def _request(asked: argparse.Namespace) -> UnpackRequest:
    return UnpackRequest(
        source=asked.source,
        output=asked.output,
        slide_mpp=asked.slide_mpp,
        classes=asked.classes,
        validation=asked.validation,
    )


def _run(request: UnpackRequest) -> str:
    # Help and a wrong number are answered without NumPy.
    from deeplab.exchange.unpack_dataset import unpack_dataset  # noqa: PLC0415

    return unpack_dataset(request).summary()


COMMAND = Command(
    name="unpack",
    help="Unpacks PanNuke, CoNIC, CoNSeP or MoNuSeg to pictures, annotations and a list of both.",
    add_arguments=_add_arguments,
    request=_request,
    run=_run,
)
