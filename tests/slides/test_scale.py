"""The um per pixel, wherever a file states them; guessed never."""

from __future__ import annotations

import io

import pytest
import tifffile
from PIL import Image

from deeplab.errors import ScaleError
from deeplab.slides.slide import open_slide
from tests.girder_for_tests import ITEM, fake_girder
from tests.slides_for_tests import noise, write_svs

RGB = noise(300, 280)


@pytest.mark.parametrize(
    ("unit", "um"),
    [
        *(("micron", 1), ("um", 1), ("\\u00B5m", 1), ("µm", 1), ("Microns", 1), ("nm", 1e-3)),
        *(("mm", 1e3), ("cm", 1e4), ("inch", 25400), ("meter", 1e6)),
    ],
)
def test_the_scale_of_imagej_is_in_the_unit_of_its_description(tmp_path, unit, um):
    path = tmp_path / "s.tif"
    per_unit = (um / 0.5, um / 0.25)
    tifffile.imwrite(path, RGB, imagej=True, resolution=per_unit, metadata={"unit": "UNIT"})
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tag = tiff.pages[0].tags["ImageDescription"]
        tag.overwrite(tag.value.replace("UNIT", unit).encode())
    with open_slide(path) as slide:
        assert (slide.mpp.x, slide.mpp.y) == pytest.approx((0.5, 0.25), rel=1e-5)


@pytest.mark.parametrize("unit", ["pixel", "", "furlong"])
def test_a_unit_of_imagej_that_is_no_length_gives_no_scale(tmp_path, unit):
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, RGB, imagej=True, resolution=(2, 2), metadata={"unit": unit})
    with pytest.raises(ScaleError, match="does not state its microns per pixel; give slide_mpp"):
        open_slide(path)


@pytest.mark.parametrize("layout", [{"tile": (128, 128)}, {"rowsperstrip": 32}])
@pytest.mark.parametrize(("unit", "um"), [(2, 25400), (3, 10000)])
def test_pixels_per_inch_and_per_centimetre_are_a_scale(tmp_path, layout, unit, um):
    path = tmp_path / "s.tif"
    options = {"photometric": "rgb", "metadata": None, **layout}
    tifffile.imwrite(path, RGB, resolution=(um / 0.5, um / 0.25), resolutionunit=unit, **options)
    with open_slide(path) as slide:
        assert (slide.mpp.x, slide.mpp.y) == pytest.approx((0.5, 0.25), rel=1e-5)


@pytest.mark.parametrize("layout", [{"tile": (128, 128)}, {"rowsperstrip": 32}])
def test_a_scanners_scale_goes_before_a_printers(tmp_path, layout):
    path = tmp_path / "s.ome.tif"
    metadata = {"axes": "YXS", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    tifffile.imwrite(
        path,
        RGB,
        photometric="rgb",
        resolution=(72, 72),
        resolutionunit=2,
        metadata=metadata,
        **layout,
    )
    with open_slide(path) as slide:
        assert slide.mpp.mean == 0.5


def svs_at(power):
    def write(path):
        write_svs(path, RGB, mpp=None)
        with tifffile.TiffFile(path, mode="r+b") as tiff:
            tag = tiff.pages[0].tags["ImageDescription"]
            tag.overwrite(tag.value.replace("AppMag = 20", f"AppMag = {power}"))

    return write


def described(text):
    def write(path):
        options = {"photometric": "rgb", "metadata": None, "tile": (128, 128)}
        tifffile.imwrite(path, RGB, description=text, **options)

    return write


@pytest.mark.parametrize(
    ("name", "write", "power", "usual"),
    [
        ("s.svs", svs_at(20), "20", "0.5"),
        ("s.svs", svs_at(40), "40", "0.25"),
        ("s.tif", svs_at(40), "40", "0.25"),
        ("s.tif", described('<OME><Objective NominalMagnification="10"/></OME>'), "10", "1"),
        ("s.tif", described("Objective = 63"), "63", "0.159"),
    ],
)
def test_a_magnification_names_the_usual_um_per_pixel(tmp_path, name, write, power, usual):
    write(tmp_path / name)
    told = f"a magnification of {power}, at which scanners have about {usual}; give slide_mpp"
    with pytest.raises(ScaleError, match=told):
        open_slide(tmp_path / name)


def test_a_servers_magnification_names_the_usual_um_per_pixel():
    info = {"sizeX": 300, "sizeY": 280, "tileWidth": 300, "tileHeight": 280, "levels": 1}
    png = io.BytesIO()
    Image.fromarray(RGB).save(png, "png")
    routes = {
        f"item/{ITEM}": {
            "_id": ITEM,
            "name": "s.svs",
            "folderId": ITEM,
            "largeImage": {"fileId": ITEM},
        },
        f"item/{ITEM}/tiles": {**info, "magnification": 40, "mm_x": None, "mm_y": None},
        f"item/{ITEM}/tiles/internal_metadata": {},
        f"item/{ITEM}/tiles/zxy/0/0/0": ("image/png", png.getvalue()),
    }
    with (
        fake_girder(routes=routes) as girder,
        pytest.raises(ScaleError, match="magnification of 40, at which scanners have about 0.25"),
    ):
        open_slide(ITEM, server=girder.login)
