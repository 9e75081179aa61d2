import re
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from deeplab.annotations.formats.format import Reading
from deeplab.annotations.formats.label_mask import open_png_mask, write_png_mask
from deeplab.annotations.formats.masks import read_mask
from deeplab.annotations.raster.rasterize import draw
from deeplab.errors import AnnotationError
from deeplab.geometry.frames import WorkFrame
from deeplab.label_map import LabelRow, LabelTable

LABELS = np.array([[0, 1, 1], [2, 0, 255]], np.uint8)


def values_of(path):
    with open_png_mask(path) as png:
        labels = np.zeros((png.size.height, png.size.width), np.uint8)
        for box, piece in png.pieces():
            labels[box.within(png.size)] = piece
        return labels


def test_labels_are_read_again_and_show_the_classes_colours(tmp_path):
    path = tmp_path / "a.png"
    write_png_mask(path, LABELS, LabelTable(rows=(LabelRow(1, "a", (9, 8, 7)),)), None)
    np.testing.assert_array_equal(values_of(path), LABELS)
    with Image.open(path) as image:
        assert image.convert("RGB").getpixel((1, 0)) == (9, 8, 7)


@pytest.mark.parametrize("mode", ["L", "1"])
def test_grey_and_two_valued_pictures_are_masks(tmp_path, mode):
    Image.fromarray((LABELS > 0).astype(np.uint8) * 255).convert(mode).save(tmp_path / "a.png")
    read = values_of(tmp_path / "a.png")
    np.testing.assert_array_equal(read > 0, LABELS > 0)
    assert read.max() == (1 if mode == "1" else 255)


def test_a_mask_and_its_annotations_are_the_same(tmp_path):
    Image.fromarray(LABELS).save(tmp_path / "a.png")
    annotations = read_mask(tmp_path / "a.png", Reading(classes=["tumour"]))
    assert annotations.names == ("tumour", "class 2", "ignore")
    frame = WorkFrame(1, 1, 3, 2, 1)
    values = {"tumour": 1, "class 2": 2, "ignore": 255}
    np.testing.assert_array_equal(draw(annotations, values, frame.box, frame), LABELS)


def test_colour_pictures_and_other_files_are_refused(tmp_path):
    path = tmp_path / "a.png"
    with pytest.raises(AnnotationError, match="there is no such file"):
        values_of(path)
    Image.new("RGB", (3, 3), (1, 2, 3)).save(path)
    with pytest.raises(AnnotationError, match="3 channels in colours"):
        values_of(path)
    Image.new("L", (3, 3)).save(path, format="JPEG")
    with pytest.raises(AnnotationError, match="is not a PNG"):
        values_of(path)


def test_more_than_a_gigapixel_and_cut_files_are_refused(tmp_path):
    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1 << 16, 1 << 15, 8, 0, 0, 0, 0))
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    with pytest.raises(AnnotationError, match="65536 x 32768 pixels"):
        values_of(path)
    Image.fromarray(np.random.default_rng(0).integers(0, 9, (90, 90), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(AnnotationError, match="is not a PNG picture that can be read"):
        values_of(path)


def test_grey_in_colours_is_a_mask_and_what_is_clear_is_background(tmp_path):
    path = tmp_path / "a.png"
    grey = Image.fromarray(LABELS)
    for mode in ("RGB", "RGBA", "LA"):
        grey.convert(mode).save(path)
        np.testing.assert_array_equal(values_of(path), LABELS)
    clear = np.dstack([np.full_like(LABELS, 255)] * 3 + [LABELS])
    Image.fromarray(clear).save(path)
    np.testing.assert_array_equal(values_of(path), np.where(LABELS, 255, 0))


def png(width, height, depth, kind, rows=b""):
    """A PNG of which only `rows` are there."""

    def chunk(name: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + check

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("depth", "row"), [(1, 0b01000000), (2, 0b00_01_10_11), (4, 0x01)])
def test_grey_of_few_bits_keeps_its_numbers(tmp_path, depth, row):
    count = 4 if depth < 4 else 2
    (tmp_path / "a.png").write_bytes(png(count, 1, depth, 0, bytes([0, row])))
    expected = {1: [0, 1, 0, 0], 2: [0, 1, 2, 3], 4: [0, 1]}[depth]
    assert values_of(tmp_path / "a.png").tolist() == [expected]


def test_sixteen_bits_hold_labels_or_one_white(tmp_path):
    path = tmp_path / "a.png"
    for labels, expected in (
        (LABELS.astype(np.uint16), LABELS),
        ((LABELS > 0) * np.uint16(65535), (LABELS > 0) * np.uint8(255)),
        ((LABELS > 0) * np.uint16(300), (LABELS > 0) * np.uint8(255)),
    ):
        Image.fromarray(labels).save(path)
        np.testing.assert_array_equal(values_of(path), expected)
    Image.fromarray(LABELS.astype(np.uint16) * 300).save(path)
    with pytest.raises(AnnotationError, match="If it numbers objects, call it"):
        values_of(path)
    path.write_bytes(png(2, 1, 16, 2, bytes(13)))
    with pytest.raises(AnnotationError, match="16 bits a channel.*; save it in grey"):
        values_of(path)


def test_pixels_are_not_decoded_where_the_slide_has_fewer(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(png(20_000, 15_000, 8, 0))
    monkeypatch.setattr(Image.Image, "crop", None)
    with pytest.raises(AnnotationError, match="many more than the slide of 800 x 600"):
        read_mask(path, Reading(width_level0=800, height_level0=600))
    path.write_bytes(png(20_000, 15_000, 8, 2))
    with pytest.raises(AnnotationError, match="a PNG of this kind may have 268435456: save it as"):
        read_mask(path)


@pytest.mark.parametrize(
    ("values", "classes", "expected", "said"),
    [
        ((0, 255), ["tumour"], {"tumour"}, "255 is taken for tumour"),
        ((0, 128), ["tumour"], {"tumour"}, "128 is taken for tumour"),
        ((0, 2), ["tumour"], {"tumour"}, "2 is taken for tumour"),
        ((0, 1), ["tumour"], {"tumour"}, ""),
        ((255,), ["tumour"], {"tumour"}, "255 is taken for tumour"),
        ((0, 255), [], {"class 1"}, "255 is taken for class 1"),
        ((0, 2), [], {"class 2"}, ""),
        ((0, 255), ["a", "b"], {"ignore"}, "255 is taken for ignore.*more than one class"),
        ((0, 2), ["a", "b"], {"b"}, ""),
        ((0, 128), ["a", "b"], {"class 128"}, "1 value without the name of a class: 128"),
        ((0, 1, 255), ["tumour"], {"tumour", "ignore"}, "255 is taken for ignore.*another value"),
        ((1, 255), [], {"class 1", "ignore"}, "255 is taken for ignore"),
        ((0,), ["tumour"], set(), ""),
    ],
)
def test_what_a_value_without_a_table_stands_for_is_decided_and_said(
    tmp_path, values, classes, expected, said
):
    path = tmp_path / "a.png"
    Image.fromarray(np.array([values] * 2, np.uint8)).save(path)
    found = read_mask(path, Reading(classes=classes))
    assert {layer.name for layer in found.layers if layer.shapes} == expected
    assert bool(found.remarks) == bool(said)
    assert re.search(said, " ".join(found.remarks))


def test_shades_are_no_labels(tmp_path):
    path = tmp_path / "a.png"
    noise = np.array([[0, 1, 2, 0], [255, 254, 250, 253]], np.uint8)
    for shades in (noise, np.arange(0, 120, 2, dtype=np.uint8)[None]):
        Image.fromarray(shades).save(path)
        with pytest.raises(AnnotationError, match="Save it without JPEG and without smoothing"):
            read_mask(path, Reading(classes=["tumour"]))
