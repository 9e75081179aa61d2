"""`deeplab pseudo-masks`: images and a patch classifier in, a mask of each image and layer out."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from deeplab.config.classify_request import AS_THE_MODEL
from deeplab.config.pseudo_mask_request import (
    Activation,
    Background,
    PresenceSource,
    PseudoMaskRequest,
)
from deeplab_cli.command import Command, CommandParser, names_of


def _add_arguments(parser: CommandParser) -> None:
    parser.add_argument(
        "source", type=Path, metavar="IMAGES",
        help="folder of images, or the table or list that --labels wants",
    )  # fmt: skip
    parser.add_argument(
        "--model", type=Path, required=True, metavar="MODEL", help="a patch classifier (.zip)"
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="FOLDER",
        help="in which PM_<layer>/<image>.png are written",
    )  # fmt: skip
    parser.add_argument(
        "--labels", choices=get_args(PresenceSource), default="names",
        help="what says which classes an image has: numbers in its name, a table, its folder, or "
        "the model's scores (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--threshold", type=float, default=AS_THE_MODEL, metavar="SCORE",
        help="of scores: from which on a patch has a class (default: the model's own)",
    )  # fmt: skip
    parser.add_argument(
        "--layers", type=names_of, default=(), metavar="A,B",
        help="layers to draw, as b4_5,b5_2,bn7 (default: all that the model's card names, or that "
        "are usual for its encoder)",
    )  # fmt: skip
    parser.add_argument(
        "--activation", choices=get_args(Activation), default="grad_cam",
        help="cam is of the last layer only (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--background", choices=get_args(Background), default="auto",
        help="what is no class: what is brighter than 200, what is no tissue, or nothing; auto: "
        "bright for a model of colours, tissue for one of channels (default: %(default)s)",
    )  # fmt: skip
    for name, help_text in (
        ("slide", "of the images, where they do not say it"),
        ("work", "at which the network works (default: its training's)"),
    ):
        parser.add_argument(
            f"--{name}_mpp", f"--{name}-mpp", type=float, default=0.0, metavar="UM",
            help=f"um per pixel {help_text}",
        )  # fmt: skip
    parser.add_argument(
        "--channels", type=names_of, default=(), metavar="A=B",
        help="of a model of channels: what the images call them, as DAPI=Hoechst or DAPI=2",
    )  # fmt: skip
    parser.add_argument(
        "--intensity_window", "--intensity-window", type=names_of, default=(), metavar="LOW:HIGH",
        help="values of the channels that become 0 and 255, as DAPI=200:4000 or 0.5%%:99.8%%",
    )  # fmt: skip
    parser.add_argument(
        "--stride", type=int, default=0, metavar="N",
        help="work pixels from one patch of an image to the next (default: the side of a patch)",
    )  # fmt: skip
    parser.add_argument("--batch_size", "--batch-size", type=int, default=8, metavar="N")
    parser.add_argument(
        "--gpu", type=int, default=0, metavar="N", help="-1: the CPU (default: %(default)s)"
    )


def _request(asked: argparse.Namespace) -> PseudoMaskRequest:
    return PseudoMaskRequest(**vars(asked))


def _run(request: PseudoMaskRequest) -> str:
    # Help and a wrong number are answered without NumPy.
    from deeplab.inference.pseudo_masks import make_pseudo_masks  # noqa: PLC0415

    return make_pseudo_masks(request).summary()


COMMAND = Command(
    name="pseudo-masks",
    help="Draws of images that are labelled as a whole which class each pixel speaks most for.",
    add_arguments=_add_arguments,
    request=_request,
    run=_run,
)
