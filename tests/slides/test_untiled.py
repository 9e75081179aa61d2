"""Images without tiles are decoded once, whatever is read of them afterwards."""

from __future__ import annotations

import logging
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from deeplab.errors import UnreadableSlideError
from deeplab.geometry.frames import WorkBox
from deeplab.slides import untiled
from deeplab.slides.slide import open_slide
from deeplab.slides.tissue import tissue_mask
from tests.pace import at_this_pace
from tests.slides_for_tests import noise, tissue, write_tiff

MANY = 2**24  # pixels; from here on an image goes into scratch space


@pytest.fixture
def few(monkeypatch):
    """Take any image for a large one."""
    monkeypatch.setattr(untiled, "FEW_PIXELS", 0)
    monkeypatch.setattr("deeplab.slides.choose.FEW_PIXELS", 0)


def write_strips(path: Path, pixels: np.ndarray, **options) -> Path:
    grey = pixels.ndim == 2
    options = {"photometric": "minisblack" if grey else "rgb", "metadata": None, **options}
    tifffile.imwrite(path, pixels, **options)
    return path


def write(path: Path, rgb: np.ndarray) -> Path:
    if path.suffix == ".tif":
        rows, _, codec = path.stem.partition("-")
        lossless = {"compression": codec or None, "rowsperstrip": int(rows)}
        return write_strips(path, rgb, **lossless, predictor=codec == "lzw")
    Image.fromarray(rgb).save(path)
    return path


NAMES = ("1-lzw.tif", "7-deflate.tif", "9999-deflate.tif", "9999-zstd.tif", "64-packbits.tif")


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("name", [*NAMES, "1.tif", "9999.tif", "a.png", "a.bmp", "a.webp", "a.ppm"])
@pytest.mark.parametrize("grey", [False, True])
def test_an_image_without_tiles_gives_back_its_pixels(tmp_path, name, grey):
    rgb = noise(700, 1100)
    if grey:
        rgb = np.repeat(rgb[..., :1], 3, axis=2)
    if name == "a.webp":
        path = tmp_path / name
        Image.fromarray(rgb).save(path, lossless=True)
    else:
        path = write(tmp_path / name, rgb[..., 0] if grey else rgb)
    with open_slide(path, mpp=0.5) as slide:
        assert slide.reader.startswith(("libtiff strips", "Pillow"))
        frame = slide.frame(0.5)
        assert np.array_equal(slide.read(frame, frame.box), rgb)
        assert np.array_equal(slide.read(frame, WorkBox(500, 500, 150, 600)), rgb[500:, 500:650])


@pytest.mark.usefixtures("few")
def test_far_levels_are_means(tmp_path):
    rgb, _ = tissue(1500, 1200)
    flat = write_strips(tmp_path / "strip.tif", rgb, rowsperstrip=1200, compression="deflate")
    with open_slide(flat, mpp=0.5) as slide:
        for by in (2, 8, 16):
            frame = slide.frame(0.5 * by)
            read = slide.read(frame, WorkBox(0, 0, 70, 60))
            means = rgb[: 60 * by, : 70 * by].reshape(60, by, 70, by, 3).mean(axis=(1, 3))
            assert np.abs(read - means).max() <= 1


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("name", ["9999-deflate.tif", "a.png", "a.jpg"])
def test_it_is_decoded_once_and_that_is_said(tmp_path, monkeypatch, caplog, name):
    decoded = []
    keep = untiled.UntiledTiles._write
    monkeypatch.setattr(
        untiled.UntiledTiles, "_write", lambda self, band: (decoded.append(1), keep(self, band))
    )
    path = write(tmp_path / name, tissue(1500, 1200)[0])
    with caplog.at_level(logging.WARNING), open_slide(path, mpp=0.5) as slide:
        assert f"{name} has no tiles: its 1 megapixels are decoded once, into 5 MB" in caplog.text
        assert "copy it into tiles, for example: vips tiffsave" in caplog.text
        count = len(decoded)
        tissue_mask(slide)
        for work_mpp in (0.5, 1.0, 8.0):
            frame = slide.frame(work_mpp)
            slide.read(frame, frame.box)
    assert len(decoded) == count == 3


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("name", ["9999-deflate.tif", "a.png"])
def test_no_file_stays_behind(tmp_path, monkeypatch, name):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    path = write(tmp_path / name, noise(600, 600))
    with open_slide(path, mpp=0.5):
        assert not list(scratch.iterdir())  # unlinked while it is used: a kill leaves nothing
    handles = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        open_slide(path, mpp=0.5).close()
    assert len(list(Path("/proc/self/fd").iterdir())) == handles


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("name", ["9999-deflate.tif", "a.png"])
def test_too_little_scratch_space_is_said(tmp_path, monkeypatch, name):
    path = write(tmp_path / name, noise(600, 600))
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(UnreadableSlideError, match=r"scratch space, but .* has 1,000; set TMPDIR"):
        open_slide(path, mpp=0.5)


@pytest.mark.usefixtures("few")
def test_scratch_space_that_fills_up_is_said(tmp_path, monkeypatch):
    path = write(tmp_path / "a.png", noise(600, 600))
    full = Path("/dev/full").open("wb+", 0)  # noqa: SIM115  closed with the slide
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: full)
    with pytest.raises(UnreadableSlideError, match="scratch space is full: No space left"):
        open_slide(path, mpp=0.5)


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("name", [*NAMES, "9999.tif", "a.png", "a.jpg", "a.bmp"])
@pytest.mark.parametrize("part", [0.2, 0.7, 0.98])
def test_a_file_cut_short_is_said_to_be(tmp_path, name, part):
    path = write(tmp_path / name, noise(600, 1300))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(UnreadableSlideError, match=r"cut short|damaged"):
        open_slide(path, mpp=0.5)


@pytest.mark.parametrize("side", [30_000, 60_000])
@pytest.mark.parametrize("suffix", [".png", ".jp2", ".bmp"])
def test_a_picture_that_claims_too_much_is_not_decoded(tmp_path, suffix, side):
    path = tmp_path / f"a{suffix}"
    Image.fromarray(noise(300, 300)).save(path)
    raw = bytearray(path.read_bytes())
    for claimed in ((300).to_bytes(4, "big"), (300).to_bytes(4, "little")):
        raw = raw.replace(claimed * 2, side.to_bytes(4, "big" if claimed[3] else "little") * 2)
    path.write_bytes(raw)
    began = time.process_time()
    with pytest.raises(UnreadableSlideError, match=r"without tiles.*vips tiffsave|damaged"):
        open_slide(path, mpp=0.5)
    assert time.process_time() - began < at_this_pace(1)


def test_sixteen_bits_in_a_png_are_scaled(tmp_path):
    grey = noise(300, 280)[..., 0].astype(np.uint16) * 257
    path = tmp_path / "a.png"
    Image.fromarray(grey).save(path)
    with open_slide(path, mpp=0.5) as slide:
        rgb = slide.read(slide.frame(0.5), WorkBox(0, 0, 300, 280))
    assert np.abs(rgb[..., 0].astype(int) - (grey >> 8)).max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"rowsperstrip": 6000}, {"rowsperstrip": 1}])
def test_one_strip_costs_no_more_than_five_times_what_tiles_cost(tmp_path, options):
    rgb = np.tile(tissue(600, 600)[0], (10, 10, 1))
    flat = write_strips(tmp_path / "flat.tif", rgb, compression="deflate", **options)
    tiled = write_tiff(tmp_path / "tiled.tif", rgb, compression="deflate")
    assert len(rgb) ** 2 > MANY
    seconds = []
    for path in (tiled, flat):
        began = time.process_time()
        with open_slide(path, mpp=0.5) as slide:
            tissue_mask(slide)
        seconds.append(time.process_time() - began)
    assert seconds[1] < 5 * seconds[0]
