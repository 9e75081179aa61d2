"""Each slide of many by whichever process of a Ray cluster is free.

A result is written whole or not at all, so a slide whose worker is lost and that is segmented again
has one set of results, whichever worker wrote them.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from deeplab.config.progress import Progress, silent
from deeplab.config.requests import RAY_HERE, RAY_HOST, SegmentRequest
from deeplab.cores import THREADS, usable_cores
from deeplab.errors import DeeplabError, DeviceError
from deeplab.inference.predictors import Predictors
from deeplab.inference.segment import segment_slide
from deeplab.report.words import counted

log = logging.getLogger(__name__)

TRIES = 3  # of a slide whose workers are lost
TENSORFLOW_THREADS = "TF_NUM_INTRAOP_THREADS"
CONNECT_S = 10.0


class SlideEnd(NamedTuple):
    """How the segmentation of a slide ended: what was found, or a sentence on why it was not."""

    name: str
    found: str = ""
    problem: str = ""


def segment_on_ray(
    requests: Mapping[str, SegmentRequest], progress: Progress
) -> Iterator[SlideEnd]:
    """Segment slides on the cluster that their requests name, and yield how each ended, as it ends.

    Its machines have this program, and see slides, model and places of results by the same paths.

    Args:
        requests: what is asked of each slide, by what messages call it.
        progress: is told of all slides together.

    Raises:
        DeviceError: Ray is not installed here, or no such cluster answers.
    """
    first = next(iter(requests.values()))
    with _connected(first.ray) as ray:
        segment = _remote(ray, first)
        waiting = {segment.remote(_anywhere(one)): name for name, one in requests.items()}
        progress("segment", 0, len(requests))
        while waiting:
            ended, _ = ray.wait(list(waiting))
            for task in ended:
                yield _end_of(ray, task, waiting.pop(task))
                progress("segment", len(requests) - len(waiting), len(requests))


@contextmanager
def _connected(address: str) -> Iterator[ModuleType]:
    """Give the package `ray`, connected until the block is left; it tells its makers nothing."""
    if find_spec("ray") is None:
        raise DeviceError("Ray is not installed here; install histomics-deeplab[ray]")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray  # noqa: PLC0415  an optional package, and not before the lines above

    local: dict[str, Any] = (
        {"num_cpus": usable_cores(), "include_dashboard": False} if address == RAY_HERE else {}
    )
    try:
        if RAY_HOST.fullmatch(address):
            # Ray itself asks for minutes.
            host, _, port = address.rpartition(":")
            socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S).close()
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **local)
    except (OSError, RuntimeError, ValueError) as error:
        raise DeviceError(f"no Ray cluster answers at {address}") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _remote(ray: ModuleType, request: SegmentRequest) -> Any:  # noqa: ANN401  it has no types
    """Return what segments a slide on a machine of the cluster, with the cores that it is given."""
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    machines = [each for each in machines if each.get("CPU", 0) >= 1]  # a head may have none
    cores = request.ray_cores or int(min((each["CPU"] for each in machines), default=1))
    if not any(each["CPU"] >= cores for each in machines):
        raise DeviceError(f"no machine of the Ray cluster has {counted(cores, 'core')}")
    with_gpu = request.gpu >= 0 and any(each.get("GPU", 0) >= 1 for each in machines)
    log.info(
        "%s of a Ray cluster, %s a slide",
        counted(len(machines), "machine"),
        counted(cores, "core"),
    )
    return ray.remote(_segment).options(
        num_cpus=cores,
        num_gpus=int(with_gpu),
        max_retries=TRIES - 1,
        runtime_env={"env_vars": dict.fromkeys((THREADS, TENSORFLOW_THREADS), str(cores))},
    )


def _anywhere(request: SegmentRequest) -> SegmentRequest:
    """Return the request for a process that has another working folder and its own first GPU."""
    paths: dict[str, Any] = {
        field.name: value.absolute()
        for field in fields(request)
        if isinstance(value := getattr(request, field.name), Path)
    }
    slide = str(Path(request.slide).absolute())
    return replace(request, slide=slide, gpu=min(request.gpu, 0), **paths)


@cache
def _predictors() -> Predictors:
    return Predictors()  # a process keeps its model for the next slide


def _segment(request: SegmentRequest) -> tuple[str, str]:
    """Segment a slide; returns what was found and why it was not, one of which is empty."""
    try:
        return segment_slide(request, silent, _predictors()).summary(), ""
    except DeeplabError as error:
        # As text: an error that came with its cause might not be read where that is not installed.
        return "", str(error)


def _end_of(ray: ModuleType, task: object, name: str) -> SlideEnd:
    try:
        return SlideEnd(name, *ray.get(task))
    except ray.exceptions.RayTaskError:
        raise  # a defect, as anywhere else
    except ray.exceptions.RayError as error:
        log.warning("%s: %s", name, error)
        return SlideEnd(name, problem=f"{name}: its worker was lost {TRIES} times; out of memory?")
