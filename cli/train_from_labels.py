"""`deeplab train-from-labels`: patches of which the classes are known in, a model out."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from deeplab.config.from_labels_request import FromLabelsRequest, OwnRecipe, PatchLabels
from deeplab.config.gate_request import THRESHOLD
from deeplab.config.pseudo_mask_request import Background
from deeplab.native_log import remarks_left_out
from deeplab_cli import progress
from deeplab_cli.command import Command, CommandParser, names_of

DEFAULTS = FromLabelsRequest.__dataclass_fields__


def _add_arguments(parser: CommandParser) -> None:
    parser.add_argument(
        "source", metavar="PATCHES",
        help="folder of patches, or with train/, val/img, val/mask, test/img and test/mask, or a "
        "table (CSV)",
    )  # fmt: skip
    parser.add_argument(
        "output_model", type=Path, metavar="MODEL", help="the bundle (.zip) to write"
    )
    parser.add_argument(
        "--classes", type=names_of, required=True, metavar="A,B",
        help="in the order of the numbers that label a patch",
    )  # fmt: skip
    parser.add_argument(
        "--labels", choices=get_args(PatchLabels), default="names",
        help="what says the classes of a patch: numbers in its name, or a table "
        "(default: %(default)s)",
    )  # fmt: skip
    _add_stages(parser)
    for name, kind, metavar, help_text in (
        ("slide_mpp", float, "UM", "um per pixel of the patches, where they do not say it"),
        ("work_mpp", float, "UM", "um per pixel at which both networks work"),
        ("patch_size", int, "N", "side in pixels of what both networks learn from at once"),
        ("checkpoint_minutes", float, "N", "at most so much is lost when a run is killed"),
        ("seed", int, "N", "of everything that is drawn"),
        ("gpu", int, "N", "-1: the CPU"),
    ):
        parser.add_argument(
            f"--{name}", f"--{name.replace('_', '-')}", type=kind, metavar=metavar,
            default=DEFAULTS[name].default, help=f"{help_text} (default: %(default)s)",
        )  # fmt: skip
    for name, metavar, help_text in (
        ("true_masks", "FOLDER", "of true masks of the patches that are learnt from: the report "
         "then says what full supervision gives"),
        ("output_report", "PAGE", "about all stages to write (.html)"),
        ("work_folder", "FOLDER", "of the stages (default: beside the model)"),
    ):  # fmt: skip
        parser.add_argument(
            f"--{name}", f"--{name.replace('_', '-')}", type=Path, metavar=metavar, help=help_text
        )


def _add_stages(parser: CommandParser) -> None:
    parser.add_argument(
        "--classifier_model", "--classifier-model", type=Path, metavar="MODEL",
        help="a patch classifier of the same classes (.zip), which is then not trained",
    )  # fmt: skip
    parser.add_argument(
        "--classifier", type=names_of, default=(), metavar="A=B,C=D",
        help="settings of the training of the classifier, as of deeplab train",
    )  # fmt: skip
    parser.add_argument(
        "--recipe", choices=get_args(OwnRecipe), default="default",
        help="wsss trains the classifier as WSSS-Tissue did (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--segmenter", type=names_of, default=(), metavar="A=B,C=D",
        help="likewise of the network that segments",
    )  # fmt: skip
    parser.add_argument(
        "--background", choices=get_args(Background), default="auto",
        help="what is no class in pseudo masks, as of deeplab pseudo-masks (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--label_set_weights", "--label-set-weights", type=_numbers, metavar="A,B",
        default=DEFAULTS["label_set_weights"].default,
        help="what the masks of the last layer, of the one before it ... count for "
        "(default: 0.6,0.2,0.2)",
    )  # fmt: skip
    parser.add_argument(
        "--gate_threshold", "--gate-threshold", type=float, default=THRESHOLD, metavar="SCORE",
        help="that a class must exceed to be in a patch; 0: no gate (default: %(default)s)",
    )  # fmt: skip


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(map(float, names_of(text)))


def _request(asked: argparse.Namespace) -> FromLabelsRequest:
    return FromLabelsRequest(**vars(asked))


def _run(request: FromLabelsRequest) -> str:
    # Help and a wrong number are answered without TensorFlow.
    with remarks_left_out():
        from deeplab.training.from_labels import train_from_labels  # noqa: PLC0415
        from deeplab.training.train import train_once  # noqa: PLC0415

    with progress.shown() as report:
        return train_from_labels(request, report, train_once).summary()


COMMAND = Command(
    name="train-from-labels",
    help="Learns to segment from patches of which only the classes are known.",
    add_arguments=_add_arguments,
    request=_request,
    run=_run,
)
