"""A Leica slide of several regions is the one picture that HistomicsUI shows of it."""

from __future__ import annotations

from contextlib import contextmanager

import large_image
import numpy as np
import pytest
from large_image.constants import TILE_FORMAT_PIL

from deeplab.slides.slide import open_slide
from tests.girder_for_tests import ITEM, fake_girder, item_routes
from tests.slides.leica import MPP, Region, write_leica
from tests.slides_for_tests import tissue
from tests.tiff_sources_for_tests import tiff_sources_closed

ONE, TWO, THREE = (tissue(*size, seed=size[0])[0] for size in ((900, 640), (700, 500), (400, 300)))
APART = [Region(ONE, 512, 256), Region(TWO, 2048, 1280)]
REGIONS = {
    "one": APART[:1],
    "two": APART,
    "the larger one last": APART[::-1],
    "three that touch": [Region(ONE, 0, 0), Region(TWO, 0, 640), Region(THREE, 900, 0)],
    "two of one size": [Region(ONE, 0, 0), Region(ONE[::-1].copy(), 1800, 1000)],
    "of two objectives": [Region(ONE, 512, 256), Region(TWO, 2048, 1280, objective=40)],
}


@contextmanager
def shown_by_large_image(path, **options):
    """large_image's default source."""
    with tiff_sources_closed():
        yield large_image.open(str(path), noCache=True, **options)


def pixels_of(source):
    """All that a source shows, (height, width, 4); opaque where it has no alpha."""
    region = {"left": 0, "top": 0, "width": source.sizeX, "height": source.sizeY}
    pixels, _ = source.getRegion(region=region, format=TILE_FORMAT_PIL)
    return np.asarray(pixels.convert("RGBA"))


@pytest.mark.parametrize("name", REGIONS)
@pytest.mark.parametrize("levels", [1, 3])
@pytest.mark.parametrize("macro", [True, False])
def test_the_regions_are_read_where_and_as_they_are_shown(tmp_path, name, levels, macro):
    path = tmp_path / "s.scn"
    write_leica(path, REGIONS[name], levels=levels, macro=macro, compression="jpeg")
    with open_slide(path) as slide, shown_by_large_image(path) as source:
        theirs = pixels_of(source)
        assert (slide.width_level0, slide.height_level0) == (source.sizeX, source.sizeY)
        assert 1000 * source.getNativeMagnification()["mm_x"] == pytest.approx(slide.mpp.x)
        ours = slide.read(slide.frame(MPP), slide.frame(MPP).box)
    scanned = theirs[..., 3] > 0
    np.testing.assert_array_equal(ours[scanned], theirs[scanned][:, :3])
    assert np.all(ours[~scanned] == 255)  # what was not scanned is bare glass


def test_all_regions_are_on_the_slide_with_glass_between(tmp_path):
    path = write_leica(tmp_path / "s.scn", APART)
    with open_slide(path) as slide:
        assert (slide.width_level0, slide.height_level0) == (2236, 1524)
        ours = slide.read(slide.frame(MPP), slide.frame(MPP).box)
    np.testing.assert_array_equal(ours[:640, :900], ONE)
    np.testing.assert_array_equal(ours[1024:, 1536:], TWO)
    ours[:640, :900] = ours[1024:, 1536:] = 255
    assert np.all(ours == 255)


@pytest.mark.slow
def test_a_streamed_slide_of_regions_is_the_local_one(tmp_path):
    path = write_leica(tmp_path / "s.scn", APART, compression="jpeg")

    with (
        shown_by_large_image(path, encoding="PNG") as exact,
        shown_by_large_image(path, encoding="JPEG", style='{"icc":false}') as passed,
        fake_girder(
            routes=item_routes(lambda kind, _: exact if kind == "PNG" else passed, name=path.name)
        ) as girder,
        open_slide(ITEM, server=girder.login) as streamed,
        open_slide(path) as local,
    ):
        for mpp in (MPP, 2 * MPP):
            frame = local.frame(mpp)
            assert streamed.frame(mpp) == frame
            difference = local.read(frame, frame.box).astype(int) - streamed.read(frame, frame.box)
            assert np.abs(difference).max() <= 1
