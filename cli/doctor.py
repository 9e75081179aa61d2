"""`deeplab doctor`: whether tasks can run on this machine, and with this server."""

from __future__ import annotations

import argparse
from pathlib import Path

from deeplab.config.doctor_request import DoctorRequest
from deeplab.errors import MachineError
from deeplab_cli.command import Command, CommandParser
from deeplab_cli.task import harmless


def _add_arguments(parser: CommandParser) -> None:
    parser.add_argument(
        "--slide", "--inputImageFile", default="", help="path of a slide, or its id in Girder"
    )
    parser.add_argument("--model", "--inputModelFile", type=Path, help="a model, .zip")
    parser.add_argument("--gpu", action="store_true", help="a GPU must be there and compute")
    parser.add_argument(
        "--api-url", "--girderApiUrl", default="", help="of a Girder server: https://host/api/v1"
    )
    parser.add_argument("--token", "--girderToken", default="", help="for that server")


def _request(asked: argparse.Namespace) -> DoctorRequest:
    return DoctorRequest(
        slide=asked.slide,
        model=asked.model,
        gpu=asked.gpu,
        api_url=asked.api_url,
        token=asked.token,
    )


def _run(request: DoctorRequest) -> str:
    # Help and a wrong address are answered without TensorFlow.
    from deeplab.inference.doctor import examine  # noqa: PLC0415

    amiss = []
    for finding in examine(request):
        print(harmless(str(finding)), flush=True)  # some take a while
        if not finding.is_good:
            amiss.append(finding.what)
    if amiss:
        raise MachineError(f"tasks cannot run as wanted; see above: {', '.join(amiss)}")
    return "tasks can run here"


COMMAND = Command(
    name="doctor",
    help="Looks whether tasks can run here, with a model, a server and a slide if they are given.",
    add_arguments=_add_arguments,
    request=_request,
    run=_run,
)
