"""Channels read off a slide by name: the right ones, at any scale, within their window."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from deeplab.config.channels import Window, learnt_channels
from deeplab.errors import ChannelError, UnreadableSlideError
from deeplab.geometry.frames import WorkBox
from deeplab.slides.slide import open_slide
from deeplab.slides.tissue import find_bright_tissue, tissue_mask
from tests.fluorescent_slides import NAMES, paint_cells, shrunk, write_ome, write_pages

WINDOW = ("0:4095",)


@pytest.fixture(scope="module")
def cells():
    return paint_cells(300, 420, seed=1)[0]


def as_bytes(values, low, high):
    return (np.clip((values.astype(float) - low) / (high - low), 0, 1) * 255 + 0.5).astype(np.uint8)


def read_all(path, channels, windows=WINDOW, **options):
    with open_slide(path, channels=learnt_channels(channels, windows), **options) as slide:
        frame = slide.frame(slide.mpp.mean)
        return slide.read(frame, frame.box)


def imagej(path, channels):
    labels = {"axes": "CYX", "Labels": list(NAMES), "unit": "um"}
    tifffile.imwrite(path, channels, imagej=True, metadata=labels, resolution=(2, 2))


def shaped(path, channels):
    metadata = {"axes": "CYX", "Channel": {"Name": list(NAMES)}}
    tifffile.imwrite(path, channels, photometric="minisblack", metadata=metadata)


def akoya_pages(path, channels):
    with tifffile.TiffWriter(path) as tiff:
        for name, page in zip(NAMES, channels, strict=True):
            told = f'<?xml version="1.0" encoding="utf-16"?><P><Biomarker>{name}</Biomarker></P>'
            tiff.write(page, photometric="minisblack", metadata=None, description=told)


WRITERS = {
    "OME-TIFF": write_ome,
    "page set": lambda path, channels: write_pages(path, channels, NAMES),
    "ImageJ": imagej,
    "tifffile": shaped,
    "Akoya": akoya_pages,
}


@pytest.mark.parametrize("form", WRITERS)
def test_a_channel_is_read_by_its_name(form, cells, tmp_path):
    path = tmp_path / ("s.ome.tif" if form == "OME-TIFF" else "s.tif")
    WRITERS[form](path, cells)
    for index, name in enumerate(NAMES):
        pixels = read_all(path, [name], mpp=0.5)
        assert np.array_equal(pixels[:, :, 0], as_bytes(cells[index], 0, 4095))


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_samples_of_a_pixel_are_channels_by_number(planar, cells, tmp_path):
    five = np.concatenate([cells, cells[:, ::-1], cells[:1, :, ::-1]])
    pixels = five.transpose(1, 2, 0) if planar == "contig" else five
    tifffile.imwrite(
        tmp_path / "s.tif", pixels, photometric="minisblack", planarconfig=planar, metadata=None
    )
    read = read_all(tmp_path / "s.tif", ["4", "1"], mpp=0.5)
    assert np.array_equal(read, as_bytes(five[[4, 1]], 0, 4095).transpose(1, 2, 0))


def test_names_count_whatever_their_case_and_numbers_where_no_name_does(cells, tmp_path):
    path = write_ome(tmp_path / "s.ome.tif", cells)
    expected = read_all(path, ["DAPI"])
    for asked in ("dapi", "1", "nuclei=Dapi", "nuclei=1", "nuclei=Hoechst", "DAPI=Hoechst"):
        if asked == "nuclei=Hoechst":
            with pytest.raises(ChannelError, match=r"no channel nuclei \(or Hoechst\)"):
                read_all(path, [asked])
        else:
            assert np.array_equal(read_all(path, [asked]), expected), asked


def test_the_order_is_that_which_was_asked_for(cells, tmp_path):
    path = write_ome(tmp_path / "s.ome.tif", cells)
    both = read_all(path, ["DAPI", "CD3"])
    assert np.array_equal(both[:, :, ::-1], read_all(path, ["CD3", "DAPI"]))


@pytest.mark.parametrize("write", [write_ome, write_pages])
def test_coarser_scales_come_from_the_levels_of_the_file(write, cells, tmp_path):
    name = "s.ome.tif" if write is write_ome else "s.tif"
    path = write(tmp_path / name, cells, NAMES, levels=2)
    with open_slide(path, channels=learnt_channels(["DAPI"], WINDOW)) as slide:
        assert slide.mpp.mean == pytest.approx(0.5)
        frame = slide.frame(1.0)
        found = slide.read(frame, frame.box)[:, :, 0]
    assert np.array_equal(found, as_bytes(shrunk(cells, 2)[1], 0, 4095))


def test_any_um_per_pixel_can_be_asked_for_through_any_box(cells, tmp_path):
    many = np.concatenate([cells, cells[:, ::-1], cells[:1, :, ::-1]])
    path = write_ome(tmp_path / "s.ome.tif", many, ("a", "b", "c", "d", "e"))
    with open_slide(path, channels=learnt_channels(["a", "b", "c", "d", "e"], WINDOW)) as slide:
        frame = slide.frame(0.8)
        whole = slide.read(frame, frame.box)
        part = slide.read(frame, WorkBox(31, 17, 50, 40))
        beyond = slide.read(frame, WorkBox(-3, -3, 2, 2))
    assert whole.shape == (frame.height, frame.width, 5)
    assert np.array_equal(part, whole[17:57, 31:81])
    assert not beyond.any()
    assert abs(float(whole[..., 1].mean()) - as_bytes(cells[1], 0, 4095).mean()) < 1


def test_the_window_is_found_on_the_slide_and_told(cells, tmp_path):
    path = write_ome(tmp_path / "s.ome.tif", cells)
    with open_slide(path, channels=learnt_channels(["DAPI"], ["10%:90%"])) as slide:
        (seen,) = slide.seen
        frame = slide.frame(0.5)
        pixels = slide.read(frame, frame.box)[:, :, 0]
    low, high = np.quantile(cells[1], [0.1, 0.9], method="inverted_cdf")
    assert seen.window == Window(low, high)
    assert np.array_equal(pixels, as_bytes(cells[1], low, high))
    assert seen.to_json() == {
        "name": "DAPI", "on_slide": "DAPI", "index": 1, "window": f"{low:.0f}:{high:.0f}"
    }  # fmt: skip


def test_a_large_slide_has_its_window_from_a_coarse_level(tmp_path):
    """Its full resolution has spots that the coarse level, of four million pixels, has not."""
    channels = np.full((1, 3000, 3000), 1000, np.uint16)
    channels[:, :, :1500] = 3000
    channels[:, ::2, ::2] += 500
    path = write_ome(tmp_path / "s.ome.tif", channels, ["DAPI"], levels=2, tile=512)
    with open_slide(path, channels=learnt_channels(["DAPI"], [])) as slide:
        assert str(slide.seen[0].window) == "1125:3125"


def test_12_bit_values_in_16_bits_are_told(cells, tmp_path, caplog):
    path = write_ome(tmp_path / "s.ome.tif", cells)
    with caplog.at_level("INFO"):
        read_all(path, ["DAPI"], ["0%:100%"])
    most = cells[1].max()
    assert (
        f"s.ome.tif: channel DAPI holds 12-bit values (at most {most}) in 16-bit pixels; its "
        f"window is {cells[1].min()} to {most}"
    ) in caplog.messages


def test_an_even_channel_is_dark_and_told(tmp_path, caplog):
    path = write_ome(tmp_path / "s.ome.tif", np.full((1, 200, 200), 300, np.uint16), ["DAPI"])
    assert not read_all(path, ["DAPI"], []).any()
    assert "s.ome.tif: channel DAPI is the same nearly everywhere" in caplog.messages


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_other_kinds_of_numbers_have_windows_too(dtype, tmp_path):
    values = np.arange(100 * 120).reshape(1, 100, 120) % 120
    path = write_ome(tmp_path / "s.ome.tif", values.astype(dtype), ["DAPI"])
    read = read_all(path, ["DAPI"], ["10:110"])
    assert np.array_equal(read[:, :, 0], as_bytes(values[0], 10, 110))


def test_colours_are_channels_of_a_slide_that_has_no_others(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 256, (90, 110, 3), dtype=np.uint8)
    Image.fromarray(rgb).save(tmp_path / "s.png")
    read = read_all(tmp_path / "s.png", ["G", "R"], ["0:255"], mpp=0.5)
    assert np.array_equal(read, rgb[:, :, [1, 0]])


@pytest.mark.parametrize(
    ("names", "asked", "told"),
    [
        (
            ("CD3", "Hoechst"),
            "DAPI",
            "has no channel DAPI: it has CD3, Hoechst; if one of them is it under another name, "
            "say so, as --channels DAPI=CD3",
        ),
        (
            ("CD3", "DAPI (1)"),
            "DAPI",
            "has no channel DAPI: it has CD3, DAPI (1); if one of them is it under another name, "
            "say so, as --channels 'DAPI=DAPI (1)'",
        ),
        (
            ("CD3", "DAPI"),
            "DAPI=2",
            "has no channel 2: it has CD3, DAPI, counted from 0; choose one of them",
        ),
        (
            ("DAPI", "DAPI"),
            "DAPI",
            "has 2 channels called DAPI (0, 1); say which by its index, as --channels DAPI=0",
        ),
    ],
)
def test_a_channel_that_is_not_there_is_told_with_those_that_are(
    names, asked, told, cells, tmp_path
):
    path = write_ome(tmp_path / "s.ome.tif", cells, names)
    with pytest.raises(ChannelError) as refused:
        read_all(path, [asked])
    assert str(refused.value) == f"s.ome.tif {told}"


def test_pages_of_colours_are_no_channels(tmp_path):
    frames = np.zeros((3, 60, 70, 3), np.uint8)
    tifffile.imwrite(tmp_path / "s.ome.tif", frames, photometric="rgb", metadata={"axes": "CYXS"})
    with pytest.raises(UnreadableSlideError, match="pages of 3 samples each"):
        read_all(tmp_path / "s.ome.tif", ["0"], mpp=0.5)


def test_bright_tissue_is_found_on_the_dark():
    random = np.random.default_rng(0)
    pixels = np.clip(random.normal(6, 1, (80, 100, 2)), 0, 255)
    pixels[10:30, 20:60, 0] += 40  # dim cells, and in another channel a few bright ones
    pixels[50:55, 70:75, 1] += 220
    there = np.zeros((80, 100), bool)
    there[10:30, 20:60] = there[50:55, 70:75] = True
    found = find_bright_tissue(pixels.astype(np.uint8))
    assert found[there].all()
    assert found[~there].mean() < 0.002


def test_where_nothing_tells_the_dark_all_is_tissue():
    assert find_bright_tissue(np.full((20, 30, 2), 90, np.uint8)).all()


def test_the_dark_of_a_fluorescent_slide_is_passed_over(tmp_path):
    channels = np.random.default_rng(0).normal(200, 10, (1, 2000, 3000)).astype(np.uint16)
    channels[:, 400:900, 500:1200] += 900
    path = write_ome(tmp_path / "s.ome.tif", channels, ["DAPI"], mpp=1.0, tile=512)
    with open_slide(path, channels=learnt_channels(["DAPI"], [])) as slide:
        tissue = tissue_mask(slide)
        frame = slide.frame(1.0)
        assert tissue.touches(frame, WorkBox(500, 400, 700, 500))
        assert not tissue.touches(frame, WorkBox(1500, 1200, 1500, 800))
    assert 0.05 < tissue.fraction < 0.15
