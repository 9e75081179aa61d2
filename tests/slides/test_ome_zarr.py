"""An OME-Zarr is a slide: a folder, or a zip of it."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import zarr

from deeplab.errors import ScaleError, UnreadableSlideError
from deeplab.geometry.frames import Mpp
from deeplab.slides.slide import open_slide
from tests.containers_for_tests import write_picture, write_zarr
from tests.slides_for_tests import halved, tissue

RGB, _ = tissue(500, 400)


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
