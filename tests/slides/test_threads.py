"""Tiles that several threads read at once are those that one thread reads."""

from __future__ import annotations

import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from libtiff import libtiff_ctypes
from PIL import Image

from deeplab.slides.choose import open_file
from deeplab.slides.pyramid import Tile
from tests.containers_for_tests import write_zarr
from tests.slides_for_tests import tissue, write_svs, write_tiff

RGB, _ = tissue(1100, 700, seed=3)
THREADS = 6
ROUNDS = 5


def write_zipped(path):
    whole = write_zarr(path.with_suffix(".whole"), RGB)
    shutil.make_archive(str(path.with_suffix("")), "zip", whole)


FILES = {
    "jpeg.tiff": lambda path: write_tiff(path, RGB, tile=64),
    "jpeg of rgb.svs": lambda path: write_svs(path, RGB, tile=64),
    "deflate.tiff": lambda path: write_tiff(path, RGB, tile=64, compression="deflate"),
    "jpeg2000.tiff": lambda path: write_tiff(path, RGB, tile=64, compression="jpeg2000"),
    "16 bit.tiff": lambda path: write_tiff(
        path, RGB.astype(np.uint16) * 257, tile=64, compression="deflate"
    ),
    "picture.png": lambda path: Image.fromarray(RGB).save(path),
    "picture.zarr.zip": write_zipped,
}


def places(reader):
    shape = reader.shape
    return [
        Tile(shape.levels - 1, x, y)
        for y in range(-(-shape.height_level0 // shape.tile_height))
        for x in range(-(-shape.width_level0 // shape.tile_width))
    ]


def by_threads(reader, tiles):
    start = threading.Barrier(THREADS)
    with ThreadPoolExecutor(THREADS, initializer=start.wait) as pool:
        return list(pool.map(lambda tile: reader.read([tile])[0], tiles))


@pytest.mark.parametrize("name", FILES)
def test_threads_get_the_tiles_that_they_ask_for(tmp_path, name):
    path = tmp_path / name
    FILES[name](path)
    for _ in range(ROUNDS):  # what a reader does at the first tile only, is done anew
        reader = open_file(path).tiles
        try:
            tiles = places(reader)
            together = by_threads(reader, tiles)
            for tile, found in zip(tiles, together, strict=True):
                np.testing.assert_array_equal(found, reader.read([tile])[0], err_msg=str(tile))
        finally:
            reader.close()


def test_libtiff_reads_one_tile_of_a_file_at_a_time(tmp_path, monkeypatch):
    # It seeks, then reads: between the two another thread would move the place.
    library = libtiff_ctypes.libtiff
    inside, most = set(), []  # threads; how many of them at each reading
    read = library.TIFFReadRawTile

    def watched(handle, *rest):
        me = threading.get_ident()
        inside.add(me)
        time.sleep(0.002)
        most.append(len(inside))
        inside.discard(me)
        return read(handle, *rest)

    reader = open_file(write_tiff(tmp_path / "slide.tiff", RGB, tile=64)).tiles
    monkeypatch.setattr(library, "TIFFReadRawTile", watched)
    tiles = places(reader)
    by_threads(reader, tiles)
    reader.close()
    assert len(most) == len(tiles)
    assert max(most) == 1
