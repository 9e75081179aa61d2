"""`deeplab patches`: annotated slides in, patches with labels out, for programs that want files."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from deeplab.config.patches_request import PatchesRequest, PatchFormat
from deeplab_cli.command import Command, CommandParser, names_of


def _add_arguments(parser: CommandParser) -> None:
    parser.add_argument(
        "source", metavar="SLIDES", help="folder of annotated slides, or a list, as for train"
    )
    parser.add_argument("output", type=Path, metavar="FOLDER", help="to make; it holds nothing yet")
    parser.add_argument(
        "--classes", type=names_of, required=True, metavar="A,B", help="layers, in label order"
    )
    parser.add_argument(
        "--aliases", type=names_of, default=(), metavar="A=B", help="other names of classes"
    )
    parser.add_argument(
        "--label_map", "--label-map", type=names_of, default=(), metavar="A:N",
        help="labels of layers, as _0:0,_2:1",
    )  # fmt: skip
    parser.add_argument(
        "--label_path", "--label-path", type=Path, metavar="FOLDER",
        help="of the annotations, where they do not lie beside the slides",
    )  # fmt: skip
    parser.add_argument(
        "--format", choices=get_args(PatchFormat), default="png",
        help="png: pictures, label masks and a list to train from; zarr: two arrays"
        " (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--patch_size", "--patch-size", "--img_size", type=int, default=1024, metavar="PIXELS",
        help="side of a patch and step of the grid (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--work_mpp", "--work-mpp", type=float, default=0.5, metavar="UM",
        help="um per pixel (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--resolution", type=float, default=0.0, metavar="UM",
        help="instead, um per pixel of which each slide has a level within 10 %%",
    )  # fmt: skip
    parser.add_argument(
        "--channels", type=names_of, default=(), metavar="A,B",
        help="of fluorescent slides: which are cut, as DAPI,CD3 or DAPI=Hoechst or 0 (default: the "
        "colours)",
    )  # fmt: skip
    parser.add_argument(
        "--intensity_window", "--intensity-window", type=names_of, default=(), metavar="LOW:HIGH",
        help="values of the channels that become 0 and 255, as DAPI=200:4000 (default: "
        "0.5%%:99.8%%)",
    )  # fmt: skip
    parser.add_argument(
        "--slide_mpp", "--slide-mpp", type=float, default=0.0, metavar="UM",
        help="um per pixel of slides that do not say it",
    )  # fmt: skip


def _request(asked: argparse.Namespace) -> PatchesRequest:
    return PatchesRequest(**vars(asked))


def _run(request: PatchesRequest) -> str:
    # Help and a wrong number are answered without NumPy.
    from deeplab.data.export_patches import export_patches  # noqa: PLC0415

    return export_patches(request).summary()


COMMAND = Command(
    name="patches",
    help="Cuts annotated slides into patches with labels, as PNG or Zarr; training needs none.",
    add_arguments=_add_arguments,
    request=_request,
    run=_run,
)
