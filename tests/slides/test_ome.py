"""OME-TIFF: the scale stands in its XML."""

import numpy as np
import pytest
import tifffile

from deeplab.errors import ScaleError
from deeplab.geometry.frames import Mpp, WorkBox
from deeplab.slides.ome import ome_mpp
from deeplab.slides.slide import open_slide
from tests.slides_for_tests import halved, noise


def write_ome(path, rgb, **scale):
    options = {"tile": (256, 256), "photometric": "rgb", "compression": "deflate"}
    with tifffile.TiffWriter(path, ome=True) as tiff:
        tiff.write(rgb, subifds=1, metadata={"axes": "YXS", **scale}, **options)
        tiff.write(halved(rgb), subfiletype=1, **options)
    return path


def test_an_ome_tiff_is_read_at_the_scale_that_it_states(tmp_path):
    rgb = noise(700, 600)
    scale = {"PhysicalSizeX": 250.0, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.25}
    with open_slide(write_ome(tmp_path / "s.ome.tiff", rgb, **scale)) as slide:
        assert slide.mpp == Mpp(0.25, 0.25)
        box = WorkBox(100, 50, 300, 200)
        np.testing.assert_array_equal(slide.read(slide.frame(0.25), box), rgb[50:250, 100:400])


@pytest.mark.parametrize(
    "scale",
    [
        {},
        {"PhysicalSizeX": 0.25},
        {"PhysicalSizeX": -1.0, "PhysicalSizeY": -1.0},
        {"PhysicalSizeX": 1.0, "PhysicalSizeY": 1.0, "PhysicalSizeXUnit": "pixel"},
    ],
)
def test_an_ome_tiff_without_a_usable_scale_needs_the_users(tmp_path, scale):
    path = write_ome(tmp_path / "s.ome.tiff", noise(300, 300), **scale)
    with pytest.raises(ScaleError, match="give slide_mpp"):
        open_slide(path)


def test_the_scale_is_that_of_the_picture_that_is_read(tmp_path):
    path = tmp_path / "s.ome.tif"
    options = {"tile": (128, 128), "photometric": "rgb", "compression": "deflate"}
    with tifffile.TiffWriter(path, ome=True) as tiff:
        for side, um in ((300, 2.0), (900, 0.25)):
            scale = {"PhysicalSizeX": um, "PhysicalSizeY": um}
            tiff.write(noise(side, side), metadata={"axes": "YXS", **scale}, **options)
    with open_slide(path) as slide:
        assert (slide.width_level0, slide.mpp) == (900, Mpp.square(0.25))


@pytest.mark.parametrize("text", [None, "", "no XML", "<a/>"])
def test_what_is_no_ome_xml_has_no_scale(text):
    assert ome_mpp(text, 10, 10) is None
