"""Which of a file's pictures is the slide: what HistomicsUI shows, and never a smaller one."""

from __future__ import annotations

import large_image
import numpy as np
import pytest
import tifffile

from deeplab.errors import UnreadableSlideError
from deeplab.slides.slide import open_slide
from tests.girder_for_tests import ITEM, fake_girder, item_routes
from tests.slides.leica import Region, write_leica
from tests.slides_for_tests import halved, tissue, write_svs
from tests.tiff_sources_for_tests import tiff_sources_closed

FULL, _ = tissue(900, 640)
OTHER = FULL[::-1, ::-1].copy()
MPP = 0.5
SIZES = {1: FULL, 2: halved(FULL), 4: halved(halved(FULL))}
THIRD = FULL[::3, ::3].copy()
TILES, STRIPS = {"tile": (128, 128)}, {"rowsperstrip": 32}
LARGE_TILES = {"tile": (256, 256)}
GREEN = np.full((320, 450, 3), (20, 200, 20), np.uint8)

# Pictures in the order of the file: pixels, how many of the slide's there are to one, layout.
FILES = {
    "smaller first": [(SIZES[4], 4, TILES), (SIZES[2], 2, TILES), (FULL, 1, TILES)],
    "smaller first, in strips": [(SIZES[4], 4, STRIPS), (SIZES[2], 2, STRIPS), (FULL, 1, STRIPS)],
    "smaller first, the rest in tiles": [
        (SIZES[4], 4, STRIPS),
        (FULL, 1, TILES),
        (SIZES[2], 2, TILES),
    ],
    "levels out of order": [(FULL, 1, TILES), (SIZES[4], 4, TILES), (SIZES[2], 2, TILES)],
    "a thumbnail in larger tiles first": [(THIRD, 3, LARGE_TILES), (FULL, 1, TILES)],
    "a smaller picture in larger tiles": [
        (FULL, 1, TILES),
        (FULL[:500, :700].copy(), 1.3, LARGE_TILES),
    ],
    "another picture of half the size": [(FULL, 1, TILES), (GREEN, 2, TILES)],
    "a level that is larger than half": [(FULL, 1, TILES), (FULL[:340, :500].copy(), 2, TILES)],
    "two of one size": [(FULL, 1, TILES), (OTHER, 1, TILES)],
    "two of one size, in strips": [(FULL, 1, STRIPS), (OTHER, 1, STRIPS)],
}


def write(path, pictures, **options):
    with tifffile.TiffWriter(path) as tiff:
        for rgb, by, layout in pictures:
            per_cm = 1e4 / (MPP * by)
            tiff.write(
                rgb,
                photometric="rgb",
                resolution=(per_cm, per_cm),
                resolutionunit=3,
                metadata=None,
                **layout,
                **options,
            )
    return path


def assert_is_the_slide(path, *, coarse=True):
    with open_slide(path) as slide:
        assert (slide.width_level0, slide.height_level0) == (900, 640)
        assert slide.mpp.mean == pytest.approx(MPP, rel=1e-6)
        frame = slide.frame(MPP)
        np.testing.assert_array_equal(slide.read(frame, frame.box), FULL)
        if coarse:
            half = slide.frame(2 * MPP)
            difference = np.abs(slide.read(half, half.box).astype(int) - SIZES[2])
            assert difference.max() <= 1


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("flag", [{}, {"subfiletype": 0}])
def test_the_largest_picture_is_the_slide_with_its_own_scale(tmp_path, kind, flag):
    assert_is_the_slide(write(tmp_path / "s.tif", FILES[kind], **flag))


@pytest.mark.parametrize("kind", ["smaller first", "levels out of order", "two of one size"])
def test_a_streamed_item_and_the_local_file_are_one_slide(tmp_path, kind):
    path = write(tmp_path / "s.tif", FILES[kind])

    def shown(encoding, style):
        return large_image.open(str(path), encoding=encoding, style=style)

    with (
        tiff_sources_closed(),
        fake_girder(routes=item_routes(shown, name=path.name)) as girder,
        open_slide(ITEM, server=girder.login) as streamed,
        open_slide(path) as local,
    ):
        assert (streamed.width_level0, streamed.height_level0) == (900, 640)
        assert streamed.frame(MPP) == local.frame(MPP)
        box = local.frame(MPP).box
        np.testing.assert_array_equal(
            streamed.read(streamed.frame(MPP), box), local.read(local.frame(MPP), box)
        )


def test_images_of_an_ome_tiff_in_any_order(tmp_path):
    path = tmp_path / "s.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as tiff:
        for rgb, um in ((THIRD, 9.0), (FULL, MPP), (SIZES[2], 7.0)):
            scale = {"PhysicalSizeX": um, "PhysicalSizeY": um}
            tiff.write(rgb, photometric="rgb", metadata={"axes": "YXS", **scale}, **TILES)
    assert_is_the_slide(path)


@pytest.mark.parametrize(
    ("name", "layout", "shown"),
    [
        ("s.ome.tif", TILES, 1),
        ("s.OME.TIFF", TILES, 1),
        ("s.tif", TILES, 0),
        ("s.ome.tif", STRIPS, 0),
    ],
)
@pytest.mark.parametrize("deep", [1, 257])  # 8 or 16 bits
def test_of_two_of_one_size_the_last_of_an_ome_tiff_is_the_slide(
    tmp_path, name, layout, shown, deep
):
    pictures = [OTHER, FULL] if shown else [FULL, OTHER]
    with tifffile.TiffWriter(tmp_path / name, ome=True) as tiff:
        for i, rgb in enumerate(pictures):
            um = MPP if i == shown else 0.3
            scale = {"PhysicalSizeX": um, "PhysicalSizeY": um}
            pixels = [rgb, halved(rgb)] if layout is TILES else [rgb]
            for level, each in enumerate(pixels):
                tiff.write(
                    each if deep == 1 else each.astype(np.uint16) * deep,
                    photometric="rgb",
                    subifds=0 if level else len(pixels) - 1,
                    subfiletype=1 if level else 0,
                    metadata=None if level else {"axes": "YXS", **scale},
                    **layout,
                )
    assert_is_the_slide(tmp_path / name)


def test_channels_as_pages_of_two_of_one_size_are_those_of_the_first(tmp_path):
    with tifffile.TiffWriter(tmp_path / "s.ome.tif", ome=True) as tiff:
        for rgb in (FULL, OTHER):
            scale = {"PhysicalSizeX": MPP, "PhysicalSizeY": MPP}
            channels = np.moveaxis(rgb, 2, 0).copy()
            told = {"axes": "CYX", **scale}
            tiff.write(channels, photometric="minisblack", metadata=told, **TILES)
    assert_is_the_slide(tmp_path / "s.ome.tif")


def test_an_svs_whose_thumbnail_comes_first(tmp_path):
    svs = write_svs(tmp_path / "plain.svs", FULL, levels=2)
    with tifffile.TiffFile(svs) as tiff:
        description = tiff.pages[0].description
    path = tmp_path / "s.svs"
    with tifffile.TiffWriter(path) as tiff:
        options = {"photometric": "rgb", "metadata": None, "description": description}
        tiff.write(SIZES[4], **STRIPS, **options)
        tiff.write(FULL, compression="lzw", **TILES, **options)
        tiff.write(SIZES[4], compression="lzw", **TILES, **options)
    assert_is_the_slide(path)


def test_a_leica_slide_is_its_region_and_not_its_macro_image(tmp_path):
    assert_is_the_slide(write_leica(tmp_path / "s.scn", [Region(FULL, 1024, 512)], levels=1))


DEEP = FULL.astype(np.uint16)


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (DEEP * 257, ""),
        (DEEP * 16, "nearly black"),
        ((FULL / 255).astype(np.float32), "nearly black"),
        (FULL.astype(np.int16) * 128, "too pale"),
    ],
)
def test_deep_pixels_that_the_server_shows_black_are_refused(tmp_path, pixels, words):
    path = write(tmp_path / "s.tif", [(pixels, 1, TILES)])

    def shown(encoding, style):
        return large_image.open(str(path), encoding=encoding, style=style)

    with (
        tiff_sources_closed(),
        fake_girder(routes=item_routes(shown, name=path.name)) as girder,
    ):
        if words:
            with pytest.raises(
                UnreadableSlideError, match=f"s.tif has pixels of .*{words}; upload"
            ):
                open_slide(ITEM, server=girder.login)
        else:
            with open_slide(ITEM, server=girder.login) as slide:
                box = slide.frame(MPP).box
                np.testing.assert_array_equal(slide.read(slide.frame(MPP), box), FULL)
