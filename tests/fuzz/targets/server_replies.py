"""What a Girder server answers, to each flow that asks one.

An input is only the seed of what goes wrong: its bytes choose which replies of an in-process
server are changed and how. The name of its file is the flow.
"""

from __future__ import annotations

import gzip
import io
import json
import random
import tempfile
from collections.abc import Callable
from contextlib import closing
from functools import cache
from pathlib import Path

import numpy as np
import shapely
from PIL import Image

from deeplab.annotations.shapes import Annotations, Layer, Shape
from deeplab.config.evaluate_request import EvaluateRequest
from deeplab.config.export_annotations_request import ExportAnnotationsRequest
from deeplab.config.features_request import FeaturesRequest
from deeplab.config.ingest_request import IngestRequest
from deeplab.config.progress import silent
from deeplab.config.train_request import TrainRequest
from deeplab.data.opening import open_slides
from deeplab.evaluation.evaluate import evaluate
from deeplab.exchange.export import export_annotations
from deeplab.exchange.ingest import ingest
from deeplab.exchange.layers import post_layers
from deeplab.features.extract import extract_features
from deeplab.server import annotations, client, session, transport
from deeplab.server.session import Patience
from deeplab.slides.slide import open_slide
from deeplab.slides.tissue import tissue_mask
from deeplab.training.remote_checkpoints import checkpoints_on_server
from tests.fuzz.harness import Target
from tests.fuzz.mutations import mutate
from tests.girder_for_tests import FOLDER, ITEM, TOKEN, FakeGirder, Raw, fake_girder, raw
from tests.girder_scene import SHELF, furnish, scene

QUICK = Patience(first_wait_s=0.001, longest_wait_s=0.002, total_s=0.05)
MANY = 30  # requests, of which a flow makes about as many


def write_seeds(folder: Path) -> list[Path]:
    """Write a file for each flow."""
    for name in FLOWS:
        (folder / name).write_bytes(name.encode() * 20)
    return [folder / name for name in FLOWS]


def parse(path: Path) -> object:
    """Run the flow against a server some of whose replies are changed."""
    rng = random.Random(path.read_bytes())
    with fake_girder() as girder, tempfile.TemporaryDirectory() as folder:
        furnish(girder)
        girder.change = _Changes(rng)
        return FLOWS[path.name](girder, Path(folder))


class _Changes:
    """Changes one reply, or now and then many."""

    def __init__(self, rng: random.Random) -> None:
        self._rng, self._asked = rng, 0
        self._chosen, self._share = rng.randrange(MANY), rng.choice((0.0, 0.0, 0.0, 0.2, 1.0))

    def __call__(self, path: str, reply: Raw) -> Raw:
        self._asked += 1
        if self._asked - 1 != self._chosen and self._rng.random() >= self._share:
            return reply
        _, body = reply.parts
        change = self._rng.choice(CHANGES)
        return change(body, "image/" if "/zxy/" in path else "application/json", self._rng)


# Changes of a reply: of its body, its kind, and random numbers


def change_json(body: bytes, kind: str, rng: random.Random) -> Raw:
    try:
        told = json.loads(body)
    except ValueError:
        return change_tile(body, kind, rng)
    for _ in range(rng.choice((1, 1, 2, 5))):
        told = _changed(told, rng)
    text = json.dumps(told).replace('"<', "").replace('>"', "")  # what is no JSON of Python's
    return raw(text.encode(), kind)


def _changed(told: object, rng: random.Random) -> object:
    """A part of it, at any depth, made something else."""
    if isinstance(told, dict) and told and rng.random() < 0.85:
        key = rng.choice(sorted(told))
        if rng.random() < 0.2:
            return {each: value for each, value in told.items() if each != key}
        return {**told, key: _changed(told[key], rng)}
    if isinstance(told, list) and told and rng.random() < 0.85:
        place = rng.randrange(len(told))
        if rng.random() < 0.2:
            return [*told[:place], *told[place + 1 :]]
        if rng.random() < 0.1:
            return told * rng.choice((2, 60))
        return [*told[:place], _changed(told[place], rng), *told[place + 1 :]]
    return rng.choice((*ODD, [told], {"a": told}, str(told)))


ODD: tuple[object, ...] = (
    *(None, True, False, 0, -1, 1, 1.5, -0.0, 1e308, 2**31, 2**63, 2**64, -(2**70), 10**400),
    *("<NaN>", "<Infinity>", "<1e999>", "<-1e999>", "<" + "9" * 5000 + ">"),
    "<" + "[" * 5000 + "]" * 5000 + ">",
    *([], {}, [[]], [None], {"": None}, "", " ", "0", "x" * 10_000, FOLDER, ITEM, "6a" * 11),
    *("../../../etc/passwd", "/etc/passwd", "C:\\con.svs", "..", "a\x00b", "\x1b[31m\x07\r\n"),
    *("\ud800", "\udcff.svs", "\u202egnp.svs", "con", "$x$ & <b>", "=cmd|x", "é.svs"),
)


def change_tile(body: bytes, kind: str, rng: random.Random) -> Raw:
    side = (rng.choice((1, 100, 255, 256, 257, 4000)), rng.choice((1, 256, 300)))
    image = Image.new(rng.choice(("RGB", "L", "RGBA", "LA", "P", "1", "I;16", "CMYK")), side)
    form = rng.choice(("PNG", "JPEG", "TIFF", "GIF", "BMP"))
    packed = io.BytesIO()
    try:
        image.save(packed, form)
    except OSError:  # that form has no such pixels
        return raw(mutate(body, rng), kind)
    return raw(packed.getvalue(), rng.choice((f"image/{form.lower()}", "text/html", kind)))


def change_bytes(body: bytes, kind: str, rng: random.Random) -> Raw:
    return raw(mutate(body, rng) if body else b"\x00", kind)


def change_status(body: bytes, kind: str, rng: random.Random) -> Raw:
    status = rng.choice((100, 201, 204, 206, 302, 400, 401, 403, 404, 410, 429, 500, 502, 503, 999))
    more = {"Retry_After": rng.choice(("0", "1e9", "-5", "soon", "9" * 5000))}
    more["Location"] = rng.choice(("/", "http://[", "//x:99999/", "\xff", "file:///etc/passwd", ""))
    return raw(rng.choice((body, b"<html>", b"")), "text/html", status, **more)


def change_head(body: bytes, kind: str, rng: random.Random) -> Raw:
    head, _ = raw(body, kind, length=rng.choice((0, 1, -1, len(body) + 99, "x", "9" * 500))).parts
    return Raw([head, body])


def change_packing(body: bytes, kind: str, rng: random.Random) -> Raw:
    packed = rng.choice((body, gzip.compress(body), bomb()))
    return raw(packed, kind, Content_Encoding=rng.choice(("gzip", "deflate", "br", "gzip, gzip")))


@cache
def bomb() -> bytes:
    """A megabyte that unpacks to two hundred."""
    return gzip.compress(bytes(200_000_000), 1)


def change_line(body: bytes, kind: str, rng: random.Random) -> Raw:
    head, body = raw(body, kind).parts
    return Raw([mutate(head, rng), body[: rng.choice((len(body), len(body) // 2))]])


def send_nothing(_body: bytes, _kind: str, _rng: random.Random) -> Raw:
    return Raw([])


CHANGES: tuple[Callable[[bytes, str, random.Random], Raw], ...] = (
    *(change_json,) * 6,
    *(change_tile, change_bytes, change_bytes, change_status, change_head, change_packing),
    *(change_line, send_nothing),
)


# What asks


def _segment(girder: FakeGirder, _folder: Path) -> object:
    with open_slide(ITEM, server=girder.login) as slide:
        tissue_mask(slide)
        frame = slide.frame(slide.mpp.mean)
        if frame.width * frame.height > 10**7:  # it only says that it is so large
            frame = slide.frame(max(frame.width, frame.height) / 500 * slide.mpp.mean)
        mean = np.mean(slide.read(frame, frame.box))
    layer = Layer("a", (1, 2, 3), (Shape(shapely.box(0, 0, 9, 9)),))
    post_layers(Annotations((layer,)), [], ITEM, girder.login)
    return mean


def _train(girder: FakeGirder, folder: Path) -> object:
    request = TrainRequest(
        source=FOLDER,
        classes=("a",),
        output_model=folder / "m.zip",
        checkpoint_folder=SHELF,
        validation_fraction=0.0,
        patch_size=256,
        api_url=girder.url,
        token=TOKEN,
    )
    work = folder / "work"
    with (
        closing(open_slides(request, silent)),
        checkpoints_on_server(request, "{}", work) as remote,
    ):
        work.mkdir(exist_ok=True)
        (work / "weights").write_bytes(bytes(100))
        remote.send(1, {"weights": work / "weights"})
        return remote.wait(5.0)


def _features(girder: FakeGirder, folder: Path) -> object:
    request = FeaturesRequest(
        source=FOLDER,
        output_table=folder / "a.csv",
        output_workbook=folder / "a.xlsx",
        pixels="off",
        api_url=girder.url,
        token=TOKEN,
    )
    return extract_features(request, silent).summary()


def _evaluate(girder: FakeGirder, folder: Path) -> object:
    request = EvaluateRequest(
        reference="",
        folder=FOLDER,
        prediction="",
        output_table=folder / "a.csv",
        api_url=girder.url,
        token=TOKEN,
    )
    return evaluate(request, silent).summary()


def _ingest(girder: FakeGirder, _folder: Path) -> object:
    return ingest(IngestRequest(source=FOLDER, api_url=girder.url, token=TOKEN), silent).summary()


def _export(girder: FakeGirder, folder: Path) -> object:
    request = ExportAnnotationsRequest(
        source=FOLDER, output=folder / "a.zip", api_url=girder.url, token=TOKEN
    )
    return export_annotations(request, silent).summary()


FLOWS: dict[str, Callable[[FakeGirder, Path], object]] = {
    "segment": _segment,
    "train": _train,
    "features": _features,
    "evaluate": _evaluate,
    "ingest": _ingest,
    "export": _export,
}


def prepare() -> None:
    """Ask again at once and give up soon, as no case has a minute; make the tiles."""
    session.Patience = lambda: QUICK
    annotations.HURRIED = QUICK
    annotations.ASK_EVERY_S, annotations.WAIT_S = 0.01, 0.05
    transport.READ_S, client.TRIES = 2.0, 2
    scene()
    bomb()


TARGET = Target(name="server_replies", seeds=write_seeds, parse=parse, prepare=prepare)
