"""The shortest careful program that segments a slide: what the product is measured against.

    python benchmarks/careful_loop.py NETWORK.xml SLIDE OUT.json --tile 1280 --halo 128

NETWORK is an OpenVINO graph of uint8 (1, tile, tile, 3) to uint8 labels (1, kept, kept). Tiles are
read ahead by a second thread, those without tissue passed over; outlines are those of the canvas.
It has no scale, no colours, no holes, no limits on memory and no answers to anything that is odd.
"""

from __future__ import annotations

import argparse
import json
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import openslide
import openvino
from numpy.typing import NDArray

AHEAD = 4  # tiles that are read before they are asked for
COARSE = 32  # level-0 pixels a pixel of the tissue mask
COLOURED = 15  # saturation from which there is tissue


def main() -> None:
    """Read, predict, outline."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network")
    parser.add_argument("slide")
    parser.add_argument("out")
    parser.add_argument("--tile", type=int, required=True)
    parser.add_argument("--halo", type=int, required=True)
    options = parser.parse_args()
    settings = {"INFERENCE_PRECISION_HINT": "bf16", "PERFORMANCE_HINT": "LATENCY"}
    network = openvino.Core().compile_model(options.network, "CPU", settings)
    slide = openslide.OpenSlide(options.slide)
    width, height = slide.dimensions
    thumbnail = slide.get_thumbnail((width // COARSE, height // COARSE)).convert("HSV")
    tissue = cv2.dilate(
        (np.asarray(thumbnail)[..., 1] > COLOURED).astype(np.uint8), np.ones((5, 5))
    )
    tile, halo = options.tile, options.halo
    kept = tile - 2 * halo
    places = [
        (x, y)
        for y in range(0, height, kept)
        for x in range(0, width, kept)
        if tissue[
            y // COARSE : (y + kept) // COARSE + 1, x // COARSE : (x + kept) // COARSE + 1
        ].any()
    ]

    def read(place: tuple[int, int]) -> NDArray[np.uint8]:
        corner = (place[0] - halo, place[1] - halo)
        rgba = np.asarray(slide.read_region(corner, 0, (tile, tile)))
        return np.where(rgba[..., 3:] == 0, 255, rgba[..., :3])[None]

    canvas = np.zeros((height, width), np.uint8)
    with ThreadPoolExecutor(1) as reader:
        ahead: deque[tuple[tuple[int, int], Future]] = deque()
        for place in [*places, *[None] * AHEAD]:
            if place is not None:
                ahead.append((place, reader.submit(read, place)))
            if ahead and (place is None or len(ahead) > AHEAD):
                (x, y), pixels = ahead.popleft()
                part = canvas[y : y + kept, x : x + kept]
                part[:] = network(pixels.result())[0][0, : part.shape[0], : part.shape[1]]
    outlines, _ = cv2.findContours(canvas, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    elements = [
        {
            "type": "polyline",
            "closed": True,
            "points": [[*point, 0] for point in ring[:, 0].tolist()],
        }
        for ring in outlines
        if len(ring) > 2
    ]
    Path(options.out).write_text(json.dumps({"name": "found", "elements": elements}))


if __name__ == "__main__":
    main()
