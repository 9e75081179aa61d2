import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from deeplab.annotations.format import Reading
from deeplab.annotations.label_mask import read_png_mask, write_png_mask
from deeplab.annotations.masks import read_mask
from deeplab.annotations.rasterize import draw
from deeplab.errors import AnnotationError
from deeplab.geometry.frames import WorkFrame
from deeplab.label_map import LabelRow, LabelTable

LABELS = np.array([[0, 1, 1], [2, 0, 255]], np.uint8)


def test_labels_are_read_again_and_show_the_classes_colours(tmp_path):
    path = tmp_path / "a.png"
    write_png_mask(path, LABELS, LabelTable(rows=(LabelRow(1, "a", (9, 8, 7)),)), None)
    np.testing.assert_array_equal(read_png_mask(path)[0], LABELS)
    with Image.open(path) as image:
        assert image.convert("RGB").getpixel((1, 0)) == (9, 8, 7)


@pytest.mark.parametrize("mode", ["L", "1"])
def test_grey_and_two_valued_pictures_are_masks(tmp_path, mode):
    Image.fromarray((LABELS > 0).astype(np.uint8) * 255).convert(mode).save(tmp_path / "a.png")
    read = read_png_mask(tmp_path / "a.png")[0]
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
        read_png_mask(path)
    Image.new("RGB", (3, 3)).save(path)
    with pytest.raises(AnnotationError, match="picture of kind RGB"):
        read_png_mask(path)
    Image.new("L", (3, 3)).save(path, format="JPEG")
    with pytest.raises(AnnotationError, match="is not a PNG"):
        read_png_mask(path)


def test_more_than_a_gigapixel_and_cut_files_are_refused(tmp_path):
    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1 << 16, 1 << 15, 8, 0, 0, 0, 0))
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    with pytest.raises(AnnotationError, match="65536 x 32768 pixels"):
        read_png_mask(path)
    Image.fromarray(np.random.default_rng(0).integers(0, 9, (90, 90), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(AnnotationError, match="is not a PNG picture that can be read"):
        read_png_mask(path)
