"""Little bytes that claim much are refused before room is made for it."""

from __future__ import annotations

import io
import struct
import time
import tracemalloc
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from deeplab.errors import SlideError, SlideNotFoundError, UnreadableSlideError
from deeplab.geometry.frames import WorkBox
from deeplab.slides import admission
from deeplab.slides.codestreams import claim_of
from deeplab.slides.limits import MAX_DIRECTORIES
from deeplab.slides.slide import open_slide
from deeplab.slides.tiff_directories import walk_directories
from deeplab.slides.tiff_structure import check_structure
from tests.pace import at_this_pace
from tests.slides_for_tests import halved, noise, tissue, write_svs, write_tiff

TILED = {256: 512, 257: 512, 258: 8, 259: 1, 262: 1, 277: 1, 322: 256, 323: 256}
STRIPS = {256: 512, 257: 512, 258: 8, 259: 1, 262: 1, 277: 1, 278: 512}
DEFLATE, JPEG, JPEG2000 = 8, 7, 33003
MEBIBYTE = 2**20


def directory(tags: dict[int, int | list[int]], *, after: int = 0, at: int = 8) -> bytes:
    """A directory of 32-bit integers for the place `at` of a file; lists lie behind it."""
    entries, behind = b"", b""
    start = at + 2 + 12 * len(tags) + 4
    for code, value in sorted(tags.items()):
        values = value if isinstance(value, list) else [value]
        if len(values) > 1:
            place = start + len(behind)
            behind += struct.pack(f"<{len(values)}I", *values)
        else:
            place = values[0]
        entries += struct.pack("<HHII", code, 4, len(values), place)
    return struct.pack("<H", len(tags)) + entries + struct.pack("<I", after) + behind


def write_raw(path: Path, tags: dict[int, int | list[int]], pieces: list[bytes]) -> Path:
    """A TIFF of one image with `pieces` as its tiles or strips."""
    offsets, counts = (324, 325) if 322 in tags else (273, 279)
    data, places = b"", []
    for piece in pieces:
        places.append(8 + len(data))
        data += piece
    tags = {**tags, offsets: places, counts: [len(piece) for piece in pieces]}
    at = 8 + len(data) + len(data) % 2
    path.write_bytes(
        struct.pack("<2sHI", b"II", 42, at) + data.ljust(at - 8, b"\0") + directory(tags, at=at)
    )
    return path


def refusal(path: Path) -> str:
    """The sentence of a slide that is refused within a second and a few MiB."""
    tracemalloc.start()
    began = time.process_time()
    with pytest.raises(UnreadableSlideError) as caught:
        open_slide(path, mpp=0.5)
    seconds, (_, peak) = time.process_time() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < at_this_pace(2)
    assert peak < 64 * MEBIBYTE
    return str(caught.value)


def test_the_maker_makes_what_can_be_read(tmp_path):
    grey = noise(512, 512)[..., 0]
    tiles = [grey[y : y + 256, x : x + 256].tobytes() for y in (0, 256) for x in (0, 256)]
    for path in (
        write_raw(tmp_path / "tiles.tif", TILED, tiles),
        write_raw(tmp_path / "strip.tif", STRIPS, [grey.tobytes()]),
    ):
        with open_slide(path, mpp=0.5) as slide:
            read = slide.read(slide.frame(0.5), WorkBox(0, 0, 512, 512))
        assert np.array_equal(read[..., 0], grey)


@pytest.mark.parametrize("length", [1, 2, 99, 150, 1500])
def test_directories_in_a_circle_are_refused(tmp_path, length):
    size = len(directory(STRIPS | {273: 8, 279: 1}))
    chain = b"".join(
        directory(STRIPS | {273: 8, 279: 1}, after=8 + (number + 1) % length * size)
        for number in range(length)
    )
    path = tmp_path / "a.tif"
    path.write_bytes(struct.pack("<2sHI", b"II", 42, 8) + chain)
    assert "is damaged: its directories go in a circle" in refusal(path)


def test_levels_that_are_listed_and_chained_are_no_circle(tmp_path):
    rgb = noise(512, 512)
    path = tmp_path / "a.ome.tif"
    options = {"photometric": "rgb", "tile": (128, 128)}
    with tifffile.TiffWriter(path, ome=True) as tiff:
        tiff.write(rgb, subifds=2, metadata={"axes": "YXS"}, **options)
        tiff.write(halved(rgb), subfiletype=1, **options)
        tiff.write(halved(halved(rgb)), subfiletype=1, **options)
    with open_slide(path, mpp=0.5) as slide:
        assert np.array_equal(slide.read(slide.frame(0.5), WorkBox(0, 0, 512, 512)), rgb)


def test_a_circle_of_levels_is_refused(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(
        struct.pack("<2sHI", b"II", 42, 8) + directory(STRIPS | {273: 8, 279: 1, 330: 8})
    )
    assert "circle" in refusal(path)


@pytest.mark.parametrize("count", [MAX_DIRECTORIES + 1, 100_000])
def test_more_images_than_a_slide_has_are_refused(tmp_path, count):
    tags = STRIPS | {273: 8, 279: 1}
    size = len(directory(tags))
    chain = b"".join(directory(tags, after=8 + (n + 1) * size) for n in range(count - 1))
    path = tmp_path / "a.tif"
    path.write_bytes(struct.pack("<2sHI", b"II", 42, 8) + chain + directory(tags))
    assert "more than 4,096 images" in refusal(path)


def test_one_huge_tile_is_refused(tmp_path):
    tile = zlib.compress(bytes(32768 * 3), 9) * 3
    tags = TILED | {256: 32768, 257: 32768, 277: 3, 262: 2, 322: 32768, 323: 32768, 259: DEFLATE}
    said = refusal(write_raw(tmp_path / "a.tif", tags, [tile]))
    assert "has tiles of 32,768 x 32,768 pixels" in said
    assert "copy it into tiles" in said


@pytest.mark.parametrize(("width", "height"), [(100_000, 100_000), (2**32 - 1, 2**32 - 1)])
@pytest.mark.parametrize("rows", [1, 2**31, 2**32 - 1])
def test_a_page_that_claims_gigabytes_is_refused(tmp_path, width, height, rows):
    tags = STRIPS | {256: width, 257: height, 278: rows, 259: DEFLATE}
    said = refusal(write_raw(tmp_path / "a.tif", tags, [zlib.compress(bytes(1000))]))
    assert "claims" in said or "without tiles" in said or "lists" in said


@pytest.mark.parametrize("restarts", [0, 1])
def test_one_strip_of_a_hamamatsu_slide_may_be_large_if_it_can_be_entered(tmp_path, restarts):
    packed = io.BytesIO()
    Image.fromarray(noise(64, 64)).save(packed, "JPEG", restart_marker_rows=restarts)
    tags = STRIPS | {256: 60_000, 257: 60_000, 278: 60_000, 259: JPEG, 262: 6, 277: 3, 65420: 1}
    path = write_raw(tmp_path / "a.tif", tags, [packed.getvalue()])
    if restarts:
        check_structure(path, walk_directories(path))
    else:
        assert "60,000 x 60,000 pixels without tiles" in refusal(path)


@pytest.mark.parametrize(("width", "height"), [(2**22, 2**22), (70_000, 512)])
def test_fewer_tiles_than_the_image_needs_are_refused(tmp_path, width, height):
    said = refusal(write_raw(tmp_path / "a.tif", TILED | {256: width, 257: height}, [b"x"] * 4))
    assert "lists 4 tiles or strips where it needs" in said or "claims" in said


@pytest.mark.parametrize("code", [256, 257, 322, 323])
def test_sizes_of_nothing_are_refused(tmp_path, code):
    said = refusal(write_raw(tmp_path / "a.tif", TILED | {code: 0}, [bytes(65536)] * 4))
    assert "no size" in said


@pytest.mark.parametrize("bits", [b"\xff\xff\xff\xff", b"\0\0\0\x80"])
def test_tags_that_claim_more_than_there_is_are_refused(tmp_path, bits):
    path = write_raw(tmp_path / "a.tif", TILED, [bytes(65536)] * 4)
    raw = bytearray(path.read_bytes())
    place = raw.rindex(struct.pack("<HHI", 324, 4, 4))
    raw[place + 4 : place + 8] = bits
    path.write_bytes(raw)
    assert "cut short" in refusal(path)


def claiming(frame: bytes, side: int) -> bytes:
    """A JPEG or JPEG 2000 that claims to be `side` pixels wide and high."""
    raw = bytearray(frame)
    size = raw.find(b"\xff\x4f\xff\x51")
    if size >= 0:
        raw[size + 8 : size + 16] = struct.pack(">2I", side, side)
        raw[size + 24 : size + 32] = struct.pack(">2I", side, side)
    else:
        frame_at = raw.index(b"\xff\xc0")
        raw[frame_at + 5 : frame_at + 9] = struct.pack(">2H", side, side)
    return bytes(raw)


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("compression", ["jpeg", JPEG2000, 33005])
def test_a_tile_that_claims_more_than_its_directory_is_not_decoded(tmp_path, compression, grey):
    rgb = tissue(512, 512)[0]
    path = write_tiff(tmp_path / "a.tif", rgb[..., 0] if grey else rgb, compression=compression)
    with tifffile.TiffFile(path) as tiff:
        pieces = list(zip(tiff.pages[0].dataoffsets, tiff.pages[0].databytecounts, strict=True))
    raw = bytearray(path.read_bytes())
    for start, count in pieces:
        raw[start : start + count] = claiming(bytes(raw[start : start + count]), 60_000)
    path.write_bytes(raw)
    refusal(path)


def test_pixels_that_look_like_the_head_of_a_picture_are_pixels(tmp_path):
    head = np.frombuffer(claiming(imagecodecs.jpeg8_encode(noise(64, 64)), 60_000), np.uint8)
    deep = np.zeros((512, 512), np.uint16)
    deep.reshape(-1).view(np.uint8)[: 2 * (len(head) // 2)] = head[: 2 * (len(head) // 2)]
    path = write_tiff(tmp_path / "a.tif", deep, compression=None, tile=512)
    with open_slide(path, mpp=0.5) as slide:
        frame = slide.frame(0.5)
        assert slide.read(frame, frame.box)[-1, -1].max() == 0


# TIFF's numbers of codecs that make room for what a segment says itself.
CODECS = {"png": 34933, "lerc": 34887, "webp": 50001, "jpegxl": 50002, "jpegxr": 34934}
CODECS |= {"jpeg2k": 34712, "jpeg8": 34892}


def encoded(kind: str, pixels: np.ndarray, **options) -> bytes:
    if kind == "jpegxl":
        options |= {"effort": 1, "numthreads": 1}
    return getattr(imagecodecs, f"{kind}_encode")(pixels, **options)


def of_codec(path: Path, kind: str, piece: bytes) -> Path:
    tags = TILED | {259: CODECS[kind], 277: 3, 262: 2}
    return write_raw(path, tags, [piece] * 4)


@pytest.mark.parametrize("kind", CODECS)
def test_a_tile_of_another_codec_that_claims_more_is_not_decoded(tmp_path, kind):
    side = 600
    piece = encoded(kind, np.zeros((side, side, 3), np.uint8))
    assert claim_of(piece)[:2] == (side, side)
    said = refusal(of_codec(tmp_path / "a.tif", kind, piece))
    assert "it claims 600 x 600 pixels" in said


@pytest.mark.parametrize("kind", CODECS)
def test_tiles_of_another_codec_as_large_as_said_are_read(tmp_path, kind):
    rgb = tissue(256, 256)[0]
    piece = encoded(kind, rgb, **LOSSLESS.get(kind, {}))
    with open_slide(of_codec(tmp_path / "a.tif", kind, piece), mpp=0.5) as slide:
        read = slide.read(slide.frame(0.5), WorkBox(0, 0, 256, 256))
    assert np.abs(read.astype(int) - rgb).mean() < 3


LOSSLESS = {"webp": {"lossless": True}, "jpegxl": {"lossless": True}}


@pytest.mark.parametrize(
    ("kind", "pixels", "options"),
    [
        ("jpegxl", np.zeros((4, 64, 64, 3), np.uint8), {}),
        ("jpegxl", np.zeros((64, 64, 40), np.uint8), {"photometric": "gray", "planar": False}),
        ("jpeg2k", np.zeros((256, 256, 40), np.uint8), {}),
        ("lerc", np.zeros((256, 256, 40), np.uint8), {}),
        ("lerc", np.zeros((40, 256, 256), np.uint8), {"planar": True}),
    ],
    ids=["frames", "channels of a JPEG XL", "components", "depth", "bands"],
)
def test_a_tile_that_holds_more_pictures_than_one_is_not_decoded(tmp_path, kind, pixels, options):
    piece = encoded(kind, pixels, **options)
    said = refusal(of_codec(tmp_path / "a.tif", kind, piece))
    assert "samples" in said or "does not say how many pixels it holds" in said


@pytest.mark.parametrize("kind", CODECS)
def test_a_tile_that_does_not_say_its_size_is_not_decoded(tmp_path, kind):
    piece = encoded(kind, np.zeros((256, 256, 3), np.uint8))
    said = refusal(of_codec(tmp_path / "a.tif", kind, piece[:4]))
    assert "does not say how many pixels it holds" in said


def test_a_size_in_another_box_of_a_jpeg_2000_is_not_its_own(tmp_path):
    large = imagecodecs.jpeg2k_encode(np.zeros((600, 600, 3), np.uint8), codecformat="jp2")
    small = imagecodecs.jpeg2k_encode(np.zeros((256, 256, 3), np.uint8))
    start = large.index(b"jp2c") - 4
    box = struct.pack(">I4s", 8 + len(small), b"uuid") + small
    piece = large[:start] + box + large[start:]
    assert claim_of(piece)[:2] == (600, 600)
    said = refusal(of_codec(tmp_path / "a.tif", "jpeg2k", piece))
    assert "it claims 600 x 600 pixels" in said


@pytest.mark.parametrize("bits", [8, 16])
def test_a_deflated_tile_of_gigabytes_fills_one_tile(tmp_path, bits):
    """Of 16 bits it comes to another reader."""
    packer = zlib.compressobj(9)
    bomb = b"".join(packer.compress(bytes(MEBIBYTE)) for _ in range(1024)) + packer.flush()
    path = write_raw(tmp_path / "a.tif", TILED | {259: DEFLATE, 258: bits}, [bomb] * 4)
    tracemalloc.start()
    try:
        with open_slide(path, mpp=0.5) as slide:
            slide.read(slide.frame(0.5), WorkBox(0, 0, 512, 512))
    except UnreadableSlideError:
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 128 * MEBIBYTE


WRITERS = {
    "svs": write_svs,
    "jpeg": write_tiff,
    "plain": lambda path, rgb: write_tiff(path, rgb, compression=None),
    "16 bit": lambda path, rgb: write_tiff(path, rgb.astype(np.uint16), compression="lzw"),
    "16 bit, plain": lambda path, rgb: write_tiff(path, rgb.astype(np.uint16), compression=None),
}


@pytest.mark.parametrize("write", WRITERS)
def test_a_slide_cut_short_while_it_is_read_is_said_to_be(tmp_path, write):
    path = WRITERS[write](tmp_path / "a.svs", noise(1500, 1400))
    with open_slide(path, mpp=0.5) as slide:
        frame = slide.frame(0.5)
        slide.read(frame, WorkBox(0, 0, 200, 200))
        with path.open("r+b") as file:
            file.truncate(20_000)
        with pytest.raises(UnreadableSlideError, match="cut short or damaged; copy it again"):
            slide.read(frame, WorkBox(0, 700, 1500, 700))


def test_a_slide_that_vanishes_while_it_is_read_is_read_on(tmp_path):
    """Its name is gone, its pixels are not."""
    rgb = noise(700, 600)
    path = write_tiff(tmp_path / "a.tif", rgb, compression="lzw")
    with open_slide(path, mpp=0.5) as slide:
        path.unlink()
        frame = slide.frame(0.5)
        assert np.array_equal(slide.read(frame, frame.box), rgb)
    with pytest.raises(SlideNotFoundError):
        open_slide(path, mpp=0.5)


@pytest.mark.parametrize("kind", ["tif", "png"])
def test_a_slide_that_vanishes_while_it_is_opened_is_said_to_be_unreadable(
    tmp_path, monkeypatch, kind
):
    path = tmp_path / f"a.{kind}"
    Image.fromarray(noise(300, 300)).save(path)

    def admit_and_lose(given: Path) -> object:
        admitted = admission.admit(given)
        given.unlink()
        return admitted

    monkeypatch.setattr("deeplab.slides.choose.admit", admit_and_lose)
    with pytest.raises(SlideError):
        open_slide(path, mpp=0.5)
