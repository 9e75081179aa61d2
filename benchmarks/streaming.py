"""How fast is a slide segmented from Girder beside a local file, and what comes over the network?

    PYTHONPATH=.:docker python benchmarks/streaming.py [--model MODEL] [--side 8192]

A whole stack is brought up (docker/local_stack), and a slide composed of its sample is uploaded.
`deeplab segment` segments the file, then the item by way of a proxy on this machine that counts
what the server sends. Server, database and program share the processors. "tissue" is what the file
stores of the tiles that hold tissue: no way of reading them moves less. The first run of a model,
which converts it, is not counted, and both runs must find the same.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

import tifffile
from slide_size import TILE, compose
from timed_process import DEEPLAB, run_timed

from deeplab.geometry.frames import WorkBox
from deeplab.slides.slide import open_slide
from deeplab.slides.tissue import tissue_mask
from local_stack.girder_site import MODELS, sample_slide
from local_stack.plan import private_plan
from local_stack.stack import RunningStack, bring_up, take_down

CHUNK = 2**16


class CountingProxy:
    """Passes connections on to a port of this machine, and counts the bytes that come back."""

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.received = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            server = socket.create_connection(self._target)
            for source, sink, counted in ((client, server, False), (server, client, True)):
                words = (source, sink, counted)
                threading.Thread(target=self._pass_on, args=words, daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, counted: bool) -> None:  # noqa: FBT001
        with suppress(OSError):  # either side has hung up
            while content := source.recv(CHUNK):
                sink.sendall(content)
                if counted:
                    with self._lock:
                        self.received += len(content)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=MODELS / "nuclei.zip")
    parser.add_argument("--side", type=int, default=8192, help="of the slide, px")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["DEEPLAB_CACHE"] = str(folder / "cache")
        plan = private_plan(folder / "stack")
        try:
            slide = compose(sample_slide(plan.home), options.side, folder / "composed.tiff")
            report(bring_up(plan, print), options, slide, folder)
        finally:
            take_down(plan)


def report(running: RunningStack, options: argparse.Namespace, slide: Path, folder: Path) -> None:
    """Print the table."""
    girder = running.girder
    beside = girder.get(f"item/{running.slide_id}")["folderId"]
    item_id = girder.upload(slide, beside)["itemId"]
    proxy = CountingProxy(running.plan.girder_port)
    server = ["--girderApiUrl", f"http://127.0.0.1:{proxy.port}/api/v1"]
    os.environ["DEEPLAB_GIRDER_TOKEN"] = girder.token
    ways = {"local file": [str(slide)], "from Girder": [item_id, *server]}
    rows, found = {}, []
    for number, (way, words) in enumerate(ways.items()):
        out = folder / f"{number}.anot"
        more = ["--model", str(options.model), "--annotation", str(out), "--gpu", "-1"]
        command = [*DEEPLAB, "segment", *words, *more, "--post_annotation", "off"]
        if not number:
            run_timed(command, "the first run")
        before = proxy.received
        rows[way] = run_timed(command, f"segmenting {way}"), proxy.received - before
        layers = json.loads(out.read_text(encoding="utf-8"))
        found.append([(each["name"], each["elements"]) for each in layers])
    print(f"{options.model.name}, {options.side} px, {os.cpu_count()} processors")
    print("the same was found" if found[0] == found[1] else "NOT the same was found")
    tissue = stored_tissue(slide)
    print(f"tissue: {tissue / 1e6:.1f} MB\n\n| slide | s | speed x local | MB | x tissue |")
    print("|---|---|---|---|---|")
    local = rows["local file"][0].seconds
    for way, (taken, moved) in rows.items():
        print(
            f"| {way} | {taken.seconds:.0f} | {local / taken.seconds:.2f} | {moved / 1e6:.1f} "
            f"| {moved / tissue:.2f} |"
        )


def stored_tissue(slide: Path) -> int:
    """Return the bytes that a composed slide stores of the tiles that hold tissue."""
    with tifffile.TiffFile(slide) as file:
        counts = file.pages[0].databytecounts
    with open_slide(slide) as opened:
        mask, frame = tissue_mask(opened, margin_um=0), opened.frame(opened.mpp.mean)
        across = -(-opened.width_level0 // TILE)
    boxes = (WorkBox(n % across * TILE, n // across * TILE, TILE, TILE) for n in range(len(counts)))
    return sum(count for count, box in zip(counts, boxes, strict=True) if mask.touches(frame, box))


if __name__ == "__main__":
    main()
