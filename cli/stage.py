"""`deeplab stage`: outlines of metastases in lymph nodes in, lesions and pN stages out."""

from __future__ import annotations

import argparse
from pathlib import Path

from deeplab.config.lymph_node_requests import MERGE_UM, METASTASES, StageRequest
from deeplab_cli.command import Command, CommandParser, names_of


def _add_arguments(parser: CommandParser) -> None:
    parser.add_argument(
        "prediction", type=Path, metavar="FOLDER",
        help="of annotations or label masks that are called as the slides, which are called as"
        " patient_017_node_4 is; or a table (.csv) of slides and categories",
    )  # fmt: skip
    parser.add_argument(
        "--lesions", "--output_lesions", type=Path, metavar="CSV",
        help="to write, a row a slide: category, largest diameter in mm, number of lesions",
    )  # fmt: skip
    parser.add_argument(
        "--stages", "--output_stages", type=Path, metavar="CSV",
        help="to write, a row a patient: pN0, pN0(i+), pN1mi, pN1 or pN2; of five slides each",
    )  # fmt: skip
    parser.add_argument(
        "--reference", type=Path, metavar="CSV",
        help="given stages (patient,stage): says their quadratic weighted kappa",
    )  # fmt: skip
    add_measures(parser)


def add_measures(parser: CommandParser) -> None:
    """Add what says which lesions there are and how large."""
    parser.add_argument(
        "--slides", "--slide", default="", metavar="FOLDER",
        help="of the slides, for their um per pixel where files of annotations do not state it",
    )  # fmt: skip
    parser.add_argument(
        "--classes", type=names_of, default=METASTASES, metavar="A,B",
        help=f"layers of metastases (default: {','.join(METASTASES)})",
    )  # fmt: skip
    parser.add_argument(
        "--slide_mpp", "--slide-mpp", type=float, default=0.0, metavar="UM",
        help="um per pixel, where neither says it or both say it wrong",
    )  # fmt: skip
    parser.add_argument(
        "--merge_um", "--merge-um", type=float, default=MERGE_UM, metavar="UM",
        help="outlines nearer than this are one metastasis (default: %(default)g)",
    )  # fmt: skip


def _request(asked: argparse.Namespace) -> StageRequest:
    return StageRequest(
        prediction=asked.prediction,
        output_lesions=asked.lesions,
        output_stages=asked.stages,
        reference=asked.reference,
        slide=asked.slides,
        classes=asked.classes,
        slide_mpp=asked.slide_mpp,
        merge_um=asked.merge_um,
    )


def _run(request: StageRequest) -> str:
    # Help and a wrong number are answered without NumPy.
    from deeplab.evaluation.stage import stage  # noqa: PLC0415

    return stage(request).summary()


COMMAND = Command(
    name="stage",
    help="Measures metastases on slides of lymph nodes and says the pN stage of each patient.",
    add_arguments=_add_arguments,
    request=_request,
    run=_run,
)
