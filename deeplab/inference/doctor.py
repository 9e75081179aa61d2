"""Whether tasks can run here: each of what they need, looked at for itself."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import tensorflow as tf

from deeplab.bundles.read import read_card
from deeplab.config.doctor_request import DoctorRequest
from deeplab.cores import usable_cores
from deeplab.errors import DeeplabError
from deeplab.files import scratch_folder
from deeplab.geometry.frames import WorkBox
from deeplab.report.words import counted
from deeplab.server.annotations import annotation_heads
from deeplab.server.folder_files import MAY_WRITE
from deeplab.server.items import item_with
from deeplab.server.replies import Told
from deeplab.server.session import Patience, ServerLogin, Session
from deeplab.slides.slide import open_slide

HURRIED = Patience(total_s=10.0)  # a person waits
LEAST_FREE_BYTES = 5e9  # of work files: a slide without tiles of 40,000 x 40,000 pixels
LOOK_PX = 512  # side of what is read of a slide


class _AmissError(Exception):
    """What was looked at is not as tasks need it; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, whether it is as it must be, and what was found or is to be done."""

    what: str
    is_good: bool
    said: str

    def __str__(self) -> str:
        return f"{'ok ' if self.is_good else 'NO '} {self.what}: {self.said}"


def examine(request: DoctorRequest) -> Iterator[Finding]:
    """Yield what is found, one thing after the other; what one lacks does not hide the next."""
    yield _look("processor", partial(_find_processor, must_be_gpu=request.gpu))
    yield _look("room for work files", _find_room)
    if request.model is not None:
        yield _look("model", partial(_find_model, request.model))
    login = None
    if request.api_url:
        login = ServerLogin(request.api_url, request.token)
        yield _look("server", partial(_find_server, login))
        yield _look("token", partial(_find_user, login))
    if request.slide:
        yield _look("slide", partial(_find_slide, request.slide, login))
        if login is not None:
            yield _look("results", partial(_find_right, request.slide, login))


def _look(what: str, find: Callable[[], str]) -> Finding:
    try:
        return Finding(what, is_good=True, said=find())
    except (DeeplabError, _AmissError) as error:
        return Finding(what, is_good=False, said=str(error))


def _find_processor(*, must_be_gpu: bool) -> str:
    """Return what computes; a GPU is one only if it really does."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "unknown")
        try:
            with tf.device("/GPU:0"):
                product = tf.linalg.matmul(tf.ones((256, 256)), tf.ones((256, 256)))
            where = product.device
        except tf.errors.OpError as error:
            raise _AmissError(
                f"the GPU {name} does not compute ({error.message.splitlines()[0]});"
                " its driver may be too old for CUDA 12"
            ) from error
        if "GPU" not in where:
            raise _AmissError(f"the GPU {name} is there, and the CPU computes in its place")
        return f"{len(gpus)} GPU, the first is {name}"
    if must_be_gpu:
        raise _AmissError(
            "there is no GPU; build the image with DEVICE=gpu, and start the container with"
            " --gpus all, or the worker with the nvidia runtime"
        )
    return "CPU, " + counted(usable_cores(), "core")


def _find_room() -> str:
    place = os.environ.get("TMPDIR", "/tmp")  # noqa: S108  its default; the process has its own in it
    with scratch_folder() as folder:
        (folder / "a").write_bytes(b"1")
        free = shutil.disk_usage(folder).free
    if free < LEAST_FREE_BYTES:
        raise _AmissError(
            f"{place} has {free / 1e9:.1f} GB free, and large slides take"
            f" {LEAST_FREE_BYTES / 1e9:.0f}; let TMPDIR be a folder with more"
        )
    return f"{place} has {free / 1e9:,.0f} GB free"


def _find_model(path: Path) -> str:
    card = read_card(path)
    return f"{path.name} is a {card.family} of {', '.join(card.classes.names)}"


def _find_server(login: ServerLogin) -> str:
    begun = time.monotonic()
    with Session(login, patience=HURRIED) as session:
        told = Told.of(session.get_json("system/version", "its version"), "server", "its version")
    passed_ms = (time.monotonic() - begun) * 1e3
    return f"{login.host} answers in {passed_ms:.0f} ms, Girder {told.parts.get('release', '?')}"


def _find_user(login: ServerLogin) -> str:
    with Session(login, patience=HURRIED) as session:
        told = session.get_json("user/me", "the token's user")
    if told is None:
        raise _AmissError("it is nobody's, or has expired; log in and take a new one")
    return f"{Told.of(told, 'token', 'the user').string('login')}'s"


def _find_slide(slide: str, login: ServerLogin | None) -> str:
    """Read a part of its middle at its own scale."""
    begun = time.monotonic()
    with open_slide(slide, server=login) as opened:
        frame = opened.frame(opened.mpp.mean)
        box = frame.box
        width, height = min(box.width, LOOK_PX), min(box.height, LOOK_PX)
        x, y = box.x + (box.width - width) // 2, box.y + (box.height - height) // 2
        opened.read(frame, WorkBox(x, y, width, height))
        passed_s = time.monotonic() - begun
        return (
            f"{opened.name}, {opened.width_level0:,} x {opened.height_level0:,} pixels of"
            f" {opened.mpp.mean:.3g} um, by {opened.reader}, opened and read in {passed_s:.1f} s"
        )


def _find_right(slide: str, login: ServerLogin) -> str:
    """Return what is on a slide of a server, to which layers can be added."""
    with Session(login, patience=HURRIED) as session:
        item_id = item_with(session, slide).id
        count = len(annotation_heads(session, item_id))
        told = Told.of(session.get_json(f"item/{item_id}", "the slide"), "slide", "the slide")
    if told.count("_accessLevel", least=-1) < MAY_WRITE:
        raise _AmissError("the token may not write to the slide; its owner can allow it")
    return f"layers can be put on the slide, which has {count}"
