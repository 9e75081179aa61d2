"""Each kind of pixels is read as what it stands for, or refused in a sentence; none in silence."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image

from deeplab.errors import UnreadableSlideError
from deeplab.slides.slide import open_slide
from tests.slides_for_tests import halved, tissue

RGB, _ = tissue(400, 300)
GREY = np.asarray(Image.fromarray(RGB).convert("L"))
HALF = np.full((300, 400, 1), 255, np.uint8)
HALF[:, 200:] = 128
SHOWN_THROUGH = np.rint(RGB * (HALF / 255) + (255 - HALF)).astype(np.uint8)
LAYOUTS = {"tiles": {"tile": (128, 128)}, "strips": {"rowsperstrip": 64}}


def palette():
    picture = Image.fromarray(RGB).quantize(256)
    colours = np.zeros((256, 3), np.uint16)
    table = np.asarray(picture.getpalette()).reshape(-1, 3)
    colours[: len(table)] = table
    return np.asarray(picture), colours.T * 257, np.asarray(picture.convert("RGB"))


INDEX, COLOURS, INDEXED = palette()
YCBCR = np.asarray(Image.fromarray(RGB).convert("YCbCr"))
CMYK = np.dstack([255 - RGB, np.zeros((300, 400), np.uint8)])
BITS = np.repeat((GREY > 128)[..., None] * np.uint8(255), 3, axis=2)
GREYS = np.repeat(GREY[..., None], 3, axis=2)
DARK_BLUE = np.dstack([RGB[..., :2], np.zeros((300, 400), np.uint8)])
RGB_KIND = {"photometric": "rgb"}
GREY_KIND = {"photometric": "minisblack"}

# What is written, how, what it shows, and the steps that compression or rounding may be off.
KINDS = {
    "bytes": (RGB, RGB_KIND, RGB, 0),
    "bytes, JPEG": (RGB, {**RGB_KIND, "compression": "jpeg"}, RGB, 12),
    "16 bits": (RGB.astype(np.uint16) * 257, RGB_KIND, RGB, 0),
    "12 of 16 bits": (RGB.astype(np.uint16) * 16, RGB_KIND, RGB, 1),
    "8 of 16 bits": (RGB.astype(np.uint16), RGB_KIND, RGB, 0),
    "32 bits": (RGB.astype(np.uint32) * 16843009, RGB_KIND, RGB, 0),
    "8 of 32 bits": (RGB.astype(np.uint32), RGB_KIND, RGB, 0),
    "signed, 8 of 16 bits": (RGB.astype(np.int16), RGB_KIND, RGB, 0),
    "signed, 15 of 16 bits": (RGB.astype(np.int16) * 128, RGB_KIND, RGB, 1),
    "half precision": ((RGB / 255).astype(np.float16), RGB_KIND, RGB, 1),
    "single precision": ((RGB / 255).astype(np.float32), RGB_KIND, RGB, 0),
    "double precision": (RGB / 255, RGB_KIND, RGB, 0),
    "fractions to 255": (RGB.astype(np.float32), RGB_KIND, RGB, 0),
    "packed 4 bits": (RGB >> 4, {**RGB_KIND, "bitspersample": 4}, (RGB >> 4) * 17, 0),
    "packed 12 bits": (
        RGB.astype(np.uint16) * 16,
        {**RGB_KIND, "bitspersample": 12},
        RGB,
        1,
    ),
    "big-endian": (RGB.astype(np.uint16) * 257, {**RGB_KIND, "byteorder": ">"}, RGB, 0),
    "predictor": (RGB, {**RGB_KIND, "compression": "lzw", "predictor": 2}, RGB, 0),
    "predictor, big-endian": (
        RGB.astype(np.uint16) * 257,
        {**RGB_KIND, "compression": "deflate", "predictor": 2, "byteorder": ">"},
        RGB,
        0,
    ),
    "predictor of fractions": (
        (RGB / 255).astype(np.float32),
        {**RGB_KIND, "compression": "deflate", "predictor": 3},
        RGB,
        0,
    ),
    "grey": (GREY, GREY_KIND, GREYS, 0),
    "grey, 16 bits": (GREY.astype(np.uint16) * 257, GREY_KIND, GREYS, 0),
    "white is 0": (255 - GREY, {"photometric": "miniswhite"}, GREYS, 0),
    "one bit": (GREY > 128, GREY_KIND, BITS, 0),
    "one bit, white is 0": (GREY <= 128, {"photometric": "miniswhite"}, BITS, 0),
    "palette": (INDEX, {"photometric": "palette", "colormap": COLOURS}, INDEXED, 0),
    "CMYK": (CMYK, {"photometric": "separated"}, RGB, 1),
    "YCbCr": (YCBCR, {"photometric": "ycbcr"}, RGB, 3),
    "alpha": (
        np.dstack([RGB, HALF]),
        {**RGB_KIND, "extrasamples": ["unassalpha"]},
        SHOWN_THROUGH,
        1,
    ),
    "premultiplied alpha": (
        np.rint(np.dstack([RGB * (HALF / 255), HALF])).astype(np.uint8),
        {**RGB_KIND, "extrasamples": ["assocalpha"]},
        SHOWN_THROUGH,
        1,
    ),
    "a fourth band": (
        np.dstack([RGB, 0 * HALF]),
        {**RGB_KIND, "extrasamples": ["unspecified"]},
        RGB,
        0,
    ),
    "two bands": (
        RGB[..., :2].copy(),
        {**GREY_KIND, "planarconfig": "contig", "extrasamples": ["unspecified"]},
        DARK_BLUE,
        0,
    ),
    "six bands": (np.dstack([RGB, RGB]), {**GREY_KIND, "planarconfig": "contig"}, RGB, 0),
    "channels apart": (
        RGB.transpose(2, 0, 1).copy(),
        {**RGB_KIND, "planarconfig": "separate"},
        RGB,
        0,
    ),
    "six channels apart": (
        np.dstack([RGB, RGB]).transpose(2, 0, 1).copy(),
        {**GREY_KIND, "planarconfig": "separate", "compression": "lzw"},
        RGB,
        0,
    ),
    **{
        f"codec {codec}": (RGB, {**RGB_KIND, "compression": codec}, RGB, off)
        for codec, off in {
            **dict.fromkeys(("lzw", "deflate", "zstd", "lzma", "packbits", "png", "lerc"), 0),
            **dict.fromkeys(("webp", "jpeg2000", "jpegxl", "jpegxr", "aperio_jp2000_rgb"), 4),
        }.items()
    },
}


def read(path):
    with open_slide(path, mpp=0.5) as slide:
        frame = slide.frame(0.5)
        return slide.read(frame, frame.box)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_of_pixels_is_read_as_what_it_stands_for(tmp_path, kind, layout):
    written, options, shown, off = KINDS[kind]
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, written, metadata=None, **LAYOUTS[layout], **options)
    difference = np.abs(read(path).astype(int) - shown)
    assert difference.mean() <= off


LAB = {"photometric": "cielab"}
REFUSED = {
    "CIELAB": (YCBCR, LAB, "CIELAB"),
    "ICCLAB": (YCBCR, {"photometric": "icclab"}, "ICCLAB"),
    "a camera's raw pixels": (GREY, {"photometric": "cfa"}, "raw pixels"),
    "complex numbers": (GREY.astype(np.complex64), GREY_KIND, "complex numbers"),
    "signed bytes": ((RGB >> 1).astype(np.int8), RGB_KIND, "signed bytes"),
    "below 0": ((RGB.astype(np.int32) * 257 - 32768).astype(np.int16), RGB_KIND, "int16 from -"),
    "fractions below 0": ((RGB / 255 - 0.9).astype(np.float32), RGB_KIND, "float32 from -"),
    "no numbers": (
        np.where(RGB > 100, RGB / 255, np.nan).astype(np.float32),
        RGB_KIND,
        "no numbers",
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", REFUSED)
def test_a_kind_of_pixels_that_tells_no_colours_is_refused(tmp_path, kind, layout):
    written, options, words = REFUSED[kind]
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, written, metadata=None, **LAYOUTS[layout], **options)
    with pytest.raises(UnreadableSlideError, match=f"s.tif .*{words}.*; write it anew") as caught:
        read(path)
    assert "damaged" not in str(caught.value)


@pytest.mark.parametrize("codec", [32809, 34661, 40000])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_codec_that_is_not_known_is_named_and_no_damage(tmp_path, layout, codec):
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, RGB, metadata=None, photometric="rgb", **LAYOUTS[layout])
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tiff.pages[0].tags["Compression"].overwrite(codec)
    with pytest.raises(
        UnreadableSlideError, match=rf"TIFF compression {codec}\).*; write it"
    ) as caught:
        read(path)
    assert "damaged" not in str(caught.value)


def test_a_bright_place_beyond_what_was_seen_elsewhere_is_said_and_not_white(tmp_path):
    deep = np.full((4000, 4000), 200, np.uint16)
    deep[2100, 1900] = 60000
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, deep, metadata=None, photometric="minisblack", tile=(128, 128))
    with (
        open_slide(path, mpp=0.5) as slide,
        pytest.raises(UnreadableSlideError, match="200 to 60000.*write it anew"),
    ):
        slide.read(slide.frame(0.5), slide.frame(0.5).box)


def turned(rgb, orientation):
    """What is stored where `rgb` is shown, by TIFF 6."""
    flipped = rgb[:, ::-1] if orientation in (2, 3, 6, 7) else rgb
    flipped = flipped[::-1] if orientation in (3, 4, 7, 8) else flipped
    return np.ascontiguousarray(flipped.transpose(1, 0, 2) if orientation > 4 else flipped)


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_turned_tiff_is_shown_upright_or_refused(tmp_path, orientation):
    path = tmp_path / "s.tif"
    extratags = [(274, 3, 1, orientation, True)]
    tifffile.imwrite(
        path,
        turned(RGB, orientation),
        metadata=None,
        photometric="rgb",
        tile=(128, 128),
        extratags=extratags,
    )
    if orientation in (6, 8):  # HistomicsUI shows them upside down
        with pytest.raises(UnreadableSlideError, match=f"orientation {orientation}.*upright"):
            read(path)
    else:
        np.testing.assert_array_equal(read(path), RGB)


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("name", ["s.jpg", "s.png"])
def test_a_picture_that_its_camera_turned_is_refused(tmp_path, name, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(RGB).save(tmp_path / name, exif=exif)
    with pytest.raises(UnreadableSlideError, match=f"EXIF orientation {orientation}.*upright"):
        read(tmp_path / name)


def test_a_deep_picture_that_uses_the_lower_bits_only_is_not_read_black(tmp_path):
    Image.fromarray(GREY.astype(np.uint16) * 16).save(tmp_path / "s.png")
    with pytest.raises(UnreadableSlideError, match="nearly black.*write it anew"):
        read(tmp_path / "s.png")


def test_channels_as_pages_with_levels_inside_of_them_are_colours(tmp_path):
    path = tmp_path / "s.tif"
    options = {"photometric": "minisblack", "tile": (128, 128), "compression": "lzw"}
    description = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        '<Pixels ID="Pixels:0" DimensionOrder="XYCZT" SizeC="3" SizeT="1" SizeX="400" SizeY="300" '
        'SizeZ="1" Type="uint8">'
        + "".join(f'<Channel ID="Channel:0:{c}" SamplesPerPixel="1"/>' for c in range(3))
        + "".join(f'<TiffData FirstC="{c}" IFD="{c}" PlaneCount="1"/>' for c in range(3))
        + "</Pixels></Image></OME>"
    )
    with tifffile.TiffWriter(path) as tiff:
        for c in range(3):
            tiff.write(
                RGB[..., c],
                subifds=1,
                description=description if c == 0 else None,
                metadata=None,
                **options,
            )
            tiff.write(halved(RGB)[..., c], subfiletype=1, metadata=None, **options)
    with open_slide(path, mpp=0.5) as slide:
        np.testing.assert_array_equal(read(path), RGB)
        half = slide.frame(1.0)
        np.testing.assert_array_equal(slide.read(half, half.box), halved(RGB))
