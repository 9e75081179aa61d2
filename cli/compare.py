"""`deeplab compare`: the tables of two evaluations in, whether the second model is better out."""

from __future__ import annotations

import argparse
from pathlib import Path

from deeplab.config.compare_request import CompareRequest
from deeplab_cli.command import Command, CommandParser


def _add_arguments(parser: CommandParser) -> None:
    parser.add_argument(
        "old", type=Path, metavar="OLD.csv", help="table that the evaluation of a model wrote"
    )
    parser.add_argument(
        "new", type=Path, metavar="NEW.csv", help="that of another one on the same slides"
    )
    parser.add_argument(
        "--table", "--output_table", type=Path, metavar="CSV",
        help="to write, a row a class and figure: both means, and their difference with interval",
    )  # fmt: skip


def _request(asked: argparse.Namespace) -> CompareRequest:
    return CompareRequest(old=asked.old, new=asked.new, output_table=asked.table)


def _run(request: CompareRequest) -> str:
    # Help and a wrong name are answered without NumPy.
    from deeplab.evaluation.model_comparison import compare  # noqa: PLC0415

    return compare(request).summary()


COMMAND = Command(
    name="compare",
    help="Tells whether a model is better than another one on the slides that both were tested on.",
    add_arguments=_add_arguments,
    request=_request,
    run=_run,
)
