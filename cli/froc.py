"""`deeplab froc`: detections of metastases in, FROC and the AUC of slides out."""

from __future__ import annotations

import argparse
from pathlib import Path

from deeplab.config.lymph_node_requests import DetectionRequest
from deeplab_cli.command import Command, CommandParser, names_of
from deeplab_cli.stage import add_measures


def _add_arguments(parser: CommandParser) -> None:
    parser.add_argument(
        "reference", type=Path, metavar="REFERENCE",
        help="folder of annotations or label masks, called as the slides",
    )  # fmt: skip
    parser.add_argument(
        "prediction", type=Path, metavar="DETECTIONS",
        help="folder with a file for every slide: a table (.csv) with the rows confidence, x, y in"
        " pixels of the full resolution, or layers: heatmaps of probability, or else shapes that"
        " have a confidence",
    )  # fmt: skip
    parser.add_argument(
        "--table", "--output_table", type=Path, metavar="CSV", help="to write: figures and curve"
    )
    parser.add_argument(
        "--normal", type=names_of, default=(), metavar="A,B",
        help="slides without metastasis and so without reference, by names or patterns: normal_*",
    )  # fmt: skip
    add_measures(parser)


def _request(asked: argparse.Namespace) -> DetectionRequest:
    return DetectionRequest(
        reference=asked.reference,
        prediction=asked.prediction,
        output_table=asked.table,
        slide=asked.slides,
        normal=asked.normal,
        classes=asked.classes,
        slide_mpp=asked.slide_mpp,
        merge_um=asked.merge_um,
    )


def _run(request: DetectionRequest) -> str:
    # Help and a wrong number are answered without NumPy.
    from deeplab.evaluation.detections import judge_detections  # noqa: PLC0415

    return judge_detections(request).summary()


COMMAND = Command(
    name="froc",
    help="Judges detections of metastases as CAMELYON16 did: FROC, and the AUC of slides.",
    add_arguments=_add_arguments,
    request=_request,
    run=_run,
)
