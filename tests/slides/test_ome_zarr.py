"""An OME-Zarr is a slide: a folder, or a zip of it."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import tracemalloc

import numcodecs
import numpy as np
import pytest
import zarr
from numcodecs.checksum32 import CRC32C
from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

from deeplab.config.channels import learnt_channels
from deeplab.errors import ChannelError, ScaleError, UnreadableSlideError
from deeplab.geometry.frames import Mpp
from deeplab.slides.slide import open_slide
from tests.containers_for_tests import write_picture, write_zarr
from tests.slides_for_tests import halved, tissue

RGB, _ = tissue(500, 400)
CHUNK_BYTES = 128 * 128  # of the chunks that are written here
BOMB_BYTES = 2**25
BYTES, ZSTD, SHUFFLE = (
    {"name": name, "configuration": options}
    for name, options in (
        ("bytes", {}),
        ("zstd", {"level": 0, "checksum": False}),
        ("numcodecs.shuffle", {"elementsize": 1}),
    )
)
CODECS = ("zstd", "lz4", "gzip", "zlib", "bz2", "lzma")


def assert_is(path, rgb=RGB):
    with open_slide(path) as slide:
        assert (slide.width_level0, slide.height_level0) == rgb.shape[1::-1]
        assert (slide.mpp, slide.reader) == (Mpp.square(0.5), "zarr")
        frame, half = slide.frame(0.5), slide.frame(1.0)
        np.testing.assert_array_equal(slide.read(frame, frame.box), rgb)
        np.testing.assert_array_equal(slide.read(half, half.box), halved(rgb))


@pytest.mark.parametrize("axes", ["cyx", "yxc", "tczyx"])
@pytest.mark.parametrize("version", [2, 3])
def test_a_picture_is_read_with_its_scale_and_levels(tmp_path, axes, version):
    assert_is(write_zarr(tmp_path / "s.zarr", RGB, axes=axes, version=version))


@pytest.mark.parametrize("inside", ["", "s.zarr"])
def test_a_zip_of_it_will_do(tmp_path, inside):
    write_zarr(tmp_path / "in/s.zarr", RGB)
    root = tmp_path / "in" if inside else tmp_path / "in/s.zarr"
    packed = shutil.make_archive(str(tmp_path / "s.zarr"), "zip", root)
    assert_is(tmp_path / packed)


def test_of_several_pictures_the_largest_is_the_slide(tmp_path):
    root = zarr.open_group(tmp_path / "s.zarr", mode="w", zarr_format=2)
    root.attrs["bioformats2raw.layout"] = 3
    for name, rgb in (("0", halved(RGB)), ("1", RGB), ("2", halved(halved(RGB)))):
        write_picture(root.create_group(name), rgb)
    assert_is(tmp_path / "s.zarr")


@pytest.mark.parametrize(
    ("unit", "um"), [("nanometer", 1e-3), ("millimeter", 1e3), ("centimeter", 1e4)]
)
def test_the_unit_of_the_axes_counts(tmp_path, unit, um):
    path = write_zarr(tmp_path / "s.zarr", RGB, mpp=0.5 / um, unit=unit)
    with open_slide(path) as slide:
        assert slide.mpp.mean == pytest.approx(0.5)


@pytest.mark.parametrize(("mpp", "unit"), [(None, ""), (0.5, "furlong")])
def test_without_a_unit_the_scale_is_not_guessed(tmp_path, mpp, unit):
    path = write_zarr(tmp_path / "s.zarr", RGB, mpp=mpp, unit=unit)
    with pytest.raises(ScaleError, match="does not state its microns per pixel; give slide_mpp"):
        open_slide(path)


@pytest.mark.parametrize(
    "deep", [RGB.astype(np.uint16) * 257, RGB.astype(np.uint16) * 16, (RGB / 255).astype("f4")]
)
def test_other_kinds_of_pixels(tmp_path, deep):
    with open_slide(write_zarr(tmp_path / "s.zarr", deep)) as slide:
        difference = slide.read(slide.frame(0.5), slide.frame(0.5).box).astype(int) - RGB
    assert np.abs(difference).max() <= 1


def test_a_path_that_leads_out_of_it_is_not_followed(tmp_path):
    write_zarr(tmp_path / "private.zarr", RGB)
    path = write_zarr(tmp_path / "s.zarr", RGB)
    attributes = json.loads((path / ".zattrs").read_text())
    attributes["multiscales"][0]["datasets"][0]["path"] = "../private.zarr/0"
    (path / ".zattrs").write_text(json.dumps(attributes))
    with pytest.raises(UnreadableSlideError, match="lies outside: it is not opened"):
        open_slide(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda path: (path / ".zattrs").write_text("{"), "cannot be read"),
        (lambda path: (path / ".zattrs").write_text("{}"), "without a picture by OME-Zarr's rules"),
        (lambda path: (path / ".zattrs").write_text('{"multiscales": [5]}'), "without a picture"),
        (lambda path: (path / "0/.zarray").unlink(), "cannot be read"),
        (lambda path: (path / "0/0.0.0").write_bytes(b"x"), r"at pixel \(0, 0\).*damaged"),
    ],
)
def test_what_is_damaged_is_one_clear_sentence(tmp_path, change, words):
    path = write_zarr(tmp_path / "s.zarr", RGB)
    change(path)
    with pytest.raises(UnreadableSlideError, match=words):
        open_slide(path)


@pytest.mark.parametrize("place", [4, 12])  # what it has unpacked, and packed
def test_a_chunk_whose_head_is_not_true_reaches_no_codec(tmp_path, place):
    path = write_zarr(tmp_path / "s.zarr", RGB)
    chunk = bytearray((path / "0/0.0.0").read_bytes())
    chunk[place + 3] ^= 0x55
    (path / "0/0.0.0").write_bytes(chunk)
    with pytest.raises(
        UnreadableSlideError, match=r"at pixel \(0, 0\).*damaged.*states that it has"
    ):
        open_slide(path)


@pytest.mark.parametrize("codec", ["blosc", *CODECS, None])
def test_each_codec_of_zarr_2_is_read(tmp_path, codec):
    compressors = numcodecs.get_codec({"id": codec}) if codec else None
    assert_is(write_zarr(tmp_path / "s.zarr", RGB, compressors=compressors))


@pytest.mark.parametrize(
    ("packed", "shards"),
    [
        # Named, since the text of a codec lists its settings in the order of a set.
        pytest.param(packed, shards, id=f"{name}-{shards}")
        for name, packed, of_shards in (
            ("blosc", BloscCodec(), (None, (1, 256, 256))),
            ("zstd", ZstdCodec(checksum=True), (None, (1, 128, 128), (3, 512, 512))),
            ("gzip", GzipCodec(), (None, (1, 256, 256))),
            ("none", None, (None, (1, 256, 256))),
        )
        for shards in of_shards
    ],
)
def test_each_codec_of_zarr_3_is_read_also_in_shards(tmp_path, packed, shards):
    options = {"version": 3, "compressors": packed, "shards": shards}
    assert_is(write_zarr(tmp_path / "s.zarr", RGB, **options))


def unknown_size(size):
    """A frame of Zstandard that does not state its size: blocks of one byte, run by run."""
    runs = [min(2**17, size - start) for start in range(0, size, 2**17)]
    heads = [run << 3 | 2 | (i == len(runs) - 1) for i, run in enumerate(runs)]
    blocks = [head.to_bytes(3, "little") + b"\0" for head in heads]
    return b"\x28\xb5\x2f\xfd\x00\x58" + b"".join(blocks)


def packed_by(codec, size):
    return bytes(numcodecs.get_codec({"id": codec}).encode(bytes(size)))


def put_in_chunks(path, chunk, codec):
    array = json.loads((path / "0/.zarray").read_text()) | {"compressor": {"id": codec}}
    (path / "0/.zarray").write_text(json.dumps(array))
    for part in (path / "0").glob("?.*"):
        part.write_bytes(chunk)


def assert_refused_in_little_memory(path, words):
    tracemalloc.start()
    try:
        with pytest.raises(UnreadableSlideError, match=words):
            open_slide(path)
        assert tracemalloc.get_traced_memory()[1] < BOMB_BYTES / 2  # xz has a dictionary of 8 MiB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("codec", CODECS)
def test_a_chunk_that_unpacks_to_more_than_its_pixels_is_not_unpacked(tmp_path, codec):
    path = write_zarr(tmp_path / "s.zarr", RGB)
    put_in_chunks(path, packed_by(codec, BOMB_BYTES), codec)
    assert_refused_in_little_memory(path, r"at pixel \(0, 0\).*damaged")


@pytest.mark.parametrize("codec", CODECS)
def test_a_chunk_of_one_byte_too_many_is_refused(tmp_path, codec):
    path = write_zarr(tmp_path / "s.zarr", RGB)
    put_in_chunks(path, packed_by(codec, CHUNK_BYTES), codec)
    open_slide(path).close()
    put_in_chunks(path, packed_by(codec, CHUNK_BYTES + 1), codec)
    with pytest.raises(UnreadableSlideError, match=rf"damaged.*{CHUNK_BYTES} bytes"):
        open_slide(path)


def test_frames_of_zstandard_need_not_state_their_size(tmp_path):
    path = write_zarr(tmp_path / "s.zarr", RGB)
    put_in_chunks(path, unknown_size(CHUNK_BYTES // 2) * 2, "zstd")
    open_slide(path).close()
    for bomb in (unknown_size(BOMB_BYTES), packed_by("zstd", 10) + unknown_size(BOMB_BYTES)):
        put_in_chunks(path, bomb, "zstd")
        assert_refused_in_little_memory(path, r"at pixel \(0, 0\).*damaged")


@pytest.mark.parametrize("codec", ["gzip", "bz2", "lzma"])
def test_a_stream_after_the_first_is_not_unpacked(tmp_path, codec):
    path = write_zarr(tmp_path / "s.zarr", RGB)
    put_in_chunks(path, packed_by(codec, 9) + packed_by(codec, BOMB_BYTES // 16), codec)
    with pytest.raises(UnreadableSlideError, match="bytes after its end"):
        open_slide(path)


@pytest.mark.parametrize("size", [BOMB_BYTES, CHUNK_BYTES + 1])
def test_a_file_that_is_larger_than_a_chunk_can_be_is_not_read_whole(tmp_path, size):
    path = write_zarr(tmp_path / "s.zarr", RGB)
    (path / "0/0.0.0").write_bytes(bytes(size))
    array = json.loads((path / "0/.zarray").read_text()) | {"compressor": None}
    (path / "0/.zarray").write_text(json.dumps(array))
    assert_refused_in_little_memory(path, r"damaged.*than the \d+ bytes")


@pytest.mark.parametrize("side", [128, 256])  # of a shard, which a tile has whole or in part
def test_chunks_in_shards_are_checked_too(tmp_path, side):
    path = write_zarr(tmp_path / "s.zarr", RGB, version=3, shards=(1, side, side))
    bomb = packed_by("zstd", BOMB_BYTES)
    index = np.array([0, len(bomb)] * (side // 128) ** 2, "<u8").tobytes()
    for part in (path / "0/c").glob("*/*/*"):
        part.write_bytes(bomb + bytes(CRC32C(location="end").encode(index)))
    assert_refused_in_little_memory(path, r"at pixel \(0, 0\).*damaged")


@pytest.mark.filterwarnings("ignore:overflow encountered")  # of zarr, on the second of them
def test_an_index_of_a_shard_cannot_name_the_whole_of_a_large_file(tmp_path):
    path = write_zarr(tmp_path / "s.zarr", RGB, version=3, shards=(1, 256, 256))
    for start, size in ((0, BOMB_BYTES), (BOMB_BYTES, 2**64 - BOMB_BYTES)):
        index = np.array([start, size] * 4, "<u8").tobytes()
        shard = bytes(BOMB_BYTES) + bytes(CRC32C(location="end").encode(index))
        (path / "0/c/0/0/0").write_bytes(shard)
        assert_refused_in_little_memory(path, "index of a shard names a chunk that is too large")


class _Mark:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self._folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self._folder),)


@pytest.mark.parametrize(
    "change",
    [
        {"dtype": "|O", "fill_value": None, "compressor": {"id": "pickle"}},
        {"dtype": "|O", "fill_value": None, "filters": [{"id": "pickle"}]},
        {"compressor": {"id": "shuffle"}},
        {"filters": [{"id": "zlib"}], "compressor": {"id": "zlib"}},
    ],
)
def test_other_codecs_are_refused_and_run_nothing_that_a_chunk_says(tmp_path, change):
    path = write_zarr(tmp_path / "s.zarr", RGB)
    put_in_chunks(path, pickle.dumps(_Mark(tmp_path / "ran")), "zlib")
    array = json.loads((path / "0/.zarray").read_text())
    (path / "0/.zarray").write_text(json.dumps(array | {"compressor": None} | change))
    with pytest.raises(
        UnreadableSlideError, match="OME-Zarr that cannot be read: .*(packed by|pickle)"
    ):
        open_slide(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.filterwarnings("ignore:Numcodecs codecs are not in")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"index_location": "start"}, "its shards are not those"),
        ({"codecs": [BYTES, ZSTD, ZSTD]}, "by zstd, zstd;"),
        ({"codecs": [BYTES, SHUFFLE]}, "by numcodecs.shuffle;"),
    ],
)
def test_shards_that_cannot_be_checked_are_refused(tmp_path, change, words):
    path = write_zarr(tmp_path / "s.zarr", RGB, version=3, shards=(1, 256, 256))
    array = json.loads((path / "0/zarr.json").read_text())
    array["codecs"][0]["configuration"] |= change
    (path / "0/zarr.json").write_text(json.dumps(array))
    with pytest.raises(UnreadableSlideError, match=words):
        open_slide(path)


def test_chunks_beyond_what_a_slide_can_need_are_refused(tmp_path):
    path = write_zarr(tmp_path / "s.zarr", RGB)
    array = json.loads((path / "0/.zarray").read_text())
    array["chunks"] = [3, 100_000, 100_000]
    (path / "0/.zarray").write_text(json.dumps(array))
    with pytest.raises(UnreadableSlideError, match="chunks of more than 64 MiB; write it anew"):
        open_slide(path)


def test_a_zip_of_something_else_is_no_slide(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.txt").write_text("no slide")
    path = shutil.make_archive(str(tmp_path / "s"), "zip", tmp_path / "in")
    with pytest.raises(UnreadableSlideError, match=r"s\.zip is not an image that can be read"):
        open_slide(path)


@pytest.mark.parametrize("version", [2, 3])
def test_channels_are_read_by_their_labels(tmp_path, version):
    values = np.random.default_rng(0).integers(0, 4000, (60, 90, 5)).astype(np.uint16)
    path = write_zarr(tmp_path / "s.zarr", values, version=version)
    root = zarr.open_group(path, mode="a")
    labels = ["DAPI", "CD3", "", "CD8", "CD20"]
    told = {"channels": [{"label": label} for label in labels]}
    if version == 3:
        told = {"ome": {**root.attrs["ome"], "omero": told}}
    root.attrs.update(told if version == 3 else {"omero": told})
    for asked, indices in ((["CD8", "DAPI"], [3, 0]), (["2", "CD8"], [2, 3]), (["CD20"], [4])):
        request = learnt_channels(asked, ["0:4095"])
        with open_slide(path, channels=request) as slide:
            frame = slide.frame(0.5)
            expected = (values[..., indices] / 4095 * 255 + 0.5).astype(np.uint8)
            np.testing.assert_array_equal(slide.read(frame, frame.box), expected)
    with pytest.raises(ChannelError, match=r"it has DAPI, CD3, 2 \(no name\), CD8, CD20"):
        open_slide(path, channels=learnt_channels(["CD4"], []))
