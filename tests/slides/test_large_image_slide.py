from __future__ import annotations

from pathlib import Path

import large_image
import numpy as np
import pytest
import tifffile
from openslide import OpenSlideError
from PIL import Image

from deeplab.errors import ScaleError, SlideNotFoundError, UnreadableSlideError
from deeplab.geometry.frames import Mpp, WorkBox
from deeplab.slides import choose
from deeplab.slides.large_image_slide import try_source
from deeplab.slides.slide import open_slide
from tests.slides_for_tests import halved, noise, tissue, write_svs, write_tiff

SHARED = Path(__file__).parents[2].parent / "shared"
SMALL_REGION = SHARED / "data/slides/CMU-1-Small-Region.svs"
needs_real_slide = pytest.mark.skipif(not SMALL_REGION.exists(), reason="the real slide is absent")


@pytest.fixture(scope="module")
def svs(tmp_path_factory):
    rgb, _ = tissue(700, 600)
    return write_svs(tmp_path_factory.mktemp("svs") / "painted.svs", rgb, levels=3)


def test_a_lossless_pyramid_gives_back_its_pixels_at_each_level(tmp_path):
    rgb = noise(700, 530)
    path = write_tiff(tmp_path / "s.tiff", rgb, levels=3, compression="deflate")
    with open_slide(path) as slide:
        assert (slide.name, slide.width_level0, slide.height_level0) == ("s.tiff", 700, 530)
        assert slide.mpp == Mpp.square(0.5)
        for work_mpp in (0.5, 1.0, 2.0):
            box = WorkBox(0, 0, rgb.shape[1], rgb.shape[0])
            assert np.array_equal(slide.read(slide.frame(work_mpp), box), rgb)
            rgb = halved(rgb)


def test_an_svs_is_read_by_the_tiff_source_with_the_pixels_of_openslide(svs):
    with open_slide(svs) as slide:
        assert slide.reader == "large_image tiff"
        assert slide.mpp == Mpp.square(0.5)
        rgb = slide.read(slide.frame(0.5), WorkBox(150, 200, 400, 300))
    region, _ = large_image.open(str(svs)).getRegion(
        region={"left": 150, "top": 200, "width": 400, "height": 300}, format="numpy"
    )
    assert np.array_equal(rgb, region[..., :3])


def test_where_the_tiff_source_differs_openslide_is_taken(svs, monkeypatch):
    monkeypatch.setattr(choose, "is_same", lambda *_: False)
    with open_slide(svs) as slide:
        assert slide.reader == "large_image openslide"
        slide.read(slide.frame(1.0), WorkBox(0, 0, 100, 100))


@pytest.mark.parametrize("fault", [OpenSlideError("damaged"), ZeroDivisionError()])
def test_a_reader_that_fails_on_a_file_is_passed_over(svs, monkeypatch, fault):
    def fail(*_, **__):
        raise fault

    fail.name, fail.extensions = "openslide", choose.OpenslideFileTileSource.extensions
    monkeypatch.setitem(choose.TIFF_SOURCES, "openslide", fail)
    with open_slide(svs) as slide:
        assert slide.reader == "large_image tiff"


def test_one_wrong_pixel_is_a_difference(svs, monkeypatch):
    tiff = try_source(choose.TiffSource, svs)
    other = try_source(choose.OpenslideFileTileSource, svs)
    assert choose.is_same(tiff, other)
    read = tiff.read

    def one_off(tiles):
        pixels = [rgb.copy() for rgb in read(tiles)]
        pixels[1][17, 9, 2] ^= 1
        return pixels

    monkeypatch.setattr(tiff, "read", one_off)
    assert not choose.is_same(tiff, other)


def test_a_slide_without_scale_needs_the_user_to_give_one(tmp_path):
    path = write_svs(tmp_path / "s.svs", noise(300, 300), mpp=None)
    with pytest.raises(ScaleError) as caught:
        open_slide(path)
    assert str(caught.value) == (
        "s.svs does not state its microns per pixel, but a magnification of 20, at which scanners "
        "have about 0.5; give slide_mpp"
    )
    with open_slide(path, mpp=0.25) as slide:
        assert slide.mpp == Mpp.square(0.25)


def test_the_users_scale_goes_before_the_slides(svs):
    with open_slide(svs, mpp=0.25) as slide:
        assert slide.mpp == Mpp.square(0.25)


def test_the_dots_per_inch_of_a_printer_are_no_scale(tmp_path):
    path = write_tiff(tmp_path / "print.tif", noise(300, 300), mpp=25400 / 300, compression=None)
    with pytest.raises(ScaleError, match=r"states 84.67 microns per pixel.*give slide_mpp"):
        open_slide(path)


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(SlideNotFoundError, match=r"none\.svs is not there"):
        open_slide(tmp_path / "none.svs")


@pytest.mark.parametrize("content", [b"", b"no image at all" * 100])
def test_a_file_that_is_no_image_is_unreadable(tmp_path, content):
    path = tmp_path / "s.svs"
    path.write_bytes(content)
    with pytest.raises(UnreadableSlideError, match=r"s\.svs"):
        open_slide(path)


def test_a_folder_is_no_slide(tmp_path):
    with pytest.raises(UnreadableSlideError, match="is a folder"):
        open_slide(tmp_path)


@pytest.mark.parametrize("part", [0.05, 0.3, 0.6, 0.9, 0.999])
@pytest.mark.parametrize("write", [write_svs, write_tiff])
def test_a_file_that_is_cut_short_is_unreadable_at_opening(tmp_path, write, part):
    path = write(tmp_path / "s.svs", tissue(900, 800)[0], levels=2)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(UnreadableSlideError, match=r"s\.svs"):
        open_slide(path)


@needs_real_slide
@pytest.mark.parametrize("part", [0.2, 0.7, 0.99])
def test_a_real_slide_that_is_cut_short_is_unreadable_at_opening(tmp_path, part):
    whole = SMALL_REGION.read_bytes()
    path = tmp_path / "cut.svs"
    path.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(UnreadableSlideError, match=r"cut\.svs"):
        open_slide(path)


@pytest.mark.parametrize("compression", ["jpeg", "deflate"])
def test_a_damaged_tile_is_an_error_and_not_black(tmp_path, compression):
    path = write_tiff(tmp_path / "s.tif", noise(1100, 1100), compression=compression)
    with tifffile.TiffFile(path) as tiff:
        start, count = tiff.pages[0].dataoffsets[6], tiff.pages[0].databytecounts[6]
    with path.open("r+b") as file:
        file.seek(start)
        file.write(b"\0" * count)
    with open_slide(path) as slide:
        frame = slide.frame(0.5)
        slide.read(frame, WorkBox(0, 0, 200, 200))
        with pytest.raises(UnreadableSlideError, match=r"\(256, 256\).*cut short or damaged"):
            slide.read(frame, WorkBox(256, 256, 200, 200))


def test_a_tile_that_the_scanner_left_out_is_never_black(tmp_path):
    path = write_svs(tmp_path / "s.svs", noise(1100, 1100))
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        for tag in ("TileByteCounts", "TileOffsets"):
            values = list(tiff.pages[0].tags[tag].value)
            values[6] = 0
            tiff.pages[0].tags[tag].overwrite(values)
    with open_slide(path) as slide:
        assert np.all(slide.read(slide.frame(0.5), WorkBox(256, 256, 256, 256)) == 255)


def test_grey_becomes_rgb(tmp_path):
    grey = noise(300, 280)[..., 0]
    with open_slide(write_tiff(tmp_path / "s.tif", grey, compression="deflate")) as slide:
        rgb = slide.read(slide.frame(0.5), WorkBox(0, 0, 300, 280))
    assert np.array_equal(rgb, np.repeat(grey[..., None], 3, axis=2))


def test_sixteen_bits_are_scaled_by_their_range(tmp_path):
    deep = noise(300, 280).astype(np.uint16) * 257
    with open_slide(write_tiff(tmp_path / "s.tif", deep, compression="deflate")) as slide:
        rgb = slide.read(slide.frame(0.5), WorkBox(0, 0, 300, 280))
    assert np.array_equal(rgb, noise(300, 280))


def test_what_is_transparent_stands_on_white(tmp_path):
    rgba = np.dstack([noise(300, 280), np.full((280, 300), 255, np.uint8)])
    rgba[:, 100:, 3] = 0
    path = tmp_path / "s.png"
    Image.fromarray(rgba).save(path)
    with open_slide(path, mpp=0.5) as slide:
        rgb = slide.read(slide.frame(0.5), WorkBox(0, 0, 300, 280))
    assert np.array_equal(rgb[:, :100], rgba[:, :100, :3])
    assert np.all(rgb[:, 100:] == 255)


@pytest.mark.parametrize("name", ["s.png", "s.jpg", "s.tif"])
def test_an_image_without_tiles_is_a_slide_once_its_scale_is_given(tmp_path, name):
    rgb, _ = tissue(5000, 60)
    Image.fromarray(rgb).save(tmp_path / name, quality=100, subsampling=0)
    with open_slide(tmp_path / name, mpp=0.5) as slide:
        read = slide.read(slide.frame(0.5), WorkBox(0, 0, 5000, 60))
    assert np.abs(read.astype(int) - rgb).max() <= (6 if name == "s.jpg" else 0)


def test_a_stack_shows_its_first_frame(tmp_path):
    frames = np.stack([noise(300, 280, seed=seed) for seed in range(3)])
    path = tmp_path / "s.ome.tif"
    tifffile.imwrite(
        path, frames, tile=(128, 128), photometric="rgb", metadata={"axes": "ZYXS"}, ome=True
    )
    with open_slide(path, mpp=0.5) as slide:
        assert np.array_equal(slide.read(slide.frame(0.5), WorkBox(0, 0, 300, 280)), frames[0])


@needs_real_slide
def test_the_real_slide_is_read_with_its_own_scale_and_the_pixels_of_large_image():
    source = large_image.open(str(SMALL_REGION))
    with open_slide(SMALL_REGION) as slide:
        assert (slide.mpp, slide.reader) == (Mpp.square(0.499), "large_image tiff")
        rgb = slide.read(slide.frame(0.499), WorkBox(900, 1300, 500, 400))
    region, _ = source.getRegion(
        region={"left": 900, "top": 1300, "width": 500, "height": 400}, format="numpy"
    )
    assert np.array_equal(rgb, region[..., :3])
