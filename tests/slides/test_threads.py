"""Tiles that several threads read at once are those that one thread reads."""

from __future__ import annotations

import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile
from libtiff import libtiff_ctypes
from PIL import Image

from deeplab.slides.choose import open_file
from deeplab.slides.pyramid import Tile
from tests.containers_for_tests import write_dicom, write_zarr
from tests.slides_for_tests import tissue, write_svs, write_tiff

RGB, _ = tissue(1100, 700, seed=3)
THREADS = 6
ROUNDS = 5


def write_zipped(path):
    whole = write_zarr(path.with_suffix(".whole"), RGB)
    shutil.make_archive(str(path.with_suffix("")), "zip", whole)


def write_channels(path, **options):
    """Each channel is a page: large_image's frames, opened when they are first read."""
    with tifffile.TiffWriter(path, ome=True) as tiff:
        tiff.write(
            np.ascontiguousarray(RGB.transpose(2, 0, 1)),
            photometric="minisblack",
            metadata={"axes": "CYX"},
            tile=(64, 64),
            **options,
        )


def write_dicom_file(path):
    shutil.move(write_dicom(path.parent / "series", RGB, levels=1)[0], path)


FILES = {
    "jpeg.tiff": lambda path: write_tiff(path, RGB, tile=64),
    "jpeg of rgb.svs": lambda path: write_svs(path, RGB, tile=64),
    "deflate.tiff": lambda path: write_tiff(path, RGB, tile=64, compression="deflate"),
    "jpeg2000.tiff": lambda path: write_tiff(path, RGB, tile=64, compression="jpeg2000"),
    "16 bit.tiff": lambda path: write_tiff(
        path, RGB.astype(np.uint16) * 257, tile=64, compression="deflate"
    ),
    "webp.tiff": lambda path: write_tiff(path, RGB, tile=64, compression="webp"),
    "deflated channels.ome.tif": lambda path: write_channels(path, compression="deflate"),
    "jpeg channels.ome.tif": lambda path: write_channels(path, compression="jpeg"),
    "cmyk.tiff": lambda path: tifffile.imwrite(
        path, np.dstack([RGB, RGB[..., :1]]), photometric="separated", tile=(64, 64)
    ),
    "strips.tiff": lambda path: tifffile.imwrite(
        path, RGB, photometric="rgb", rowsperstrip=16, compression="jpeg"
    ),
    "strips, 16 bit.tiff": lambda path: tifffile.imwrite(
        path, RGB.astype(np.uint16) * 257, photometric="rgb", rowsperstrip=16, compression="deflate"
    ),
    "file.dcm": write_dicom_file,
    "picture.zarr": lambda path: write_zarr(path, RGB, version=3),
    "picture.jpg": lambda path: Image.fromarray(RGB).save(path),
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


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_threads_get_the_tiles_that_they_ask_for(tmp_path, name):
    path = tmp_path / name
    FILES[name](path)
    for _ in range(ROUNDS):  # what a reader does at the first tile only, is done anew
        reader = open_file(path).tiles
        try:
            tiles = places(reader)
            tiles *= -(-THREADS // len(tiles))  # each thread has one, and so is started
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


def test_a_file_that_takes_the_place_of_another_is_read_as_it_is(tmp_path):
    """large_image keeps directories by the names of files."""
    path = write_tiff(tmp_path / "slide.tiff", RGB, tile=64, levels=1)
    open_file(path).tiles.close()
    reader = open_file(write_tiff(path, RGB, tile=64, levels=3)).tiles
    reader.close()
    assert len(reader.full_levels) == 3


def test_tiffs_are_opened_by_several_threads(tmp_path):
    paths = [write_tiff(tmp_path / f"{n}.tiff", RGB[:300, :300], tile=64) for n in range(24)]

    def reader_of(path):
        tiles = open_file(path).tiles
        tiles.close()
        return tiles.description

    with ThreadPoolExecutor(THREADS) as pool:
        assert set(pool.map(reader_of, paths)) == {"large_image tiff"}
