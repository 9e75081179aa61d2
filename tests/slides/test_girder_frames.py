"""Channels of a Girder item: the very values of the file, of 16 bits, by name or by number."""

import io

import large_image_source_tiff
import large_image_source_tifffile
import numpy as np
import pytest
import tifffile
from PIL import Image

from deeplab.config.channels import learnt_channels
from deeplab.errors import ChannelError, ServerError, UnreadableSlideError
from deeplab.geometry.frames import WorkBox
from deeplab.slides.slide import open_slide
from tests.fluorescent_slides import NAMES, paint_cells, write_ome, write_pages
from tests.girder_for_tests import ITEM, fake_girder, item_routes
from tests.tiff_sources_for_tests import tiff_sources_closed

TIFF = large_image_source_tiff.TiffFileTileSource
TIFFFILE = large_image_source_tifffile.TifffileFileTileSource
# What large_image's ometiff source says of two channels by name, as the sources here do not.
NAMED = {
    "channels": list(NAMES),
    "channelmap": {"CD3": 0, "DAPI": 1},
    "IndexRange": {"IndexC": 2},
    "IndexStride": {"IndexC": 1},
}


@pytest.fixture(scope="module")
def ome(tmp_path_factory):
    channels, _ = paint_cells(700, 900, seed=3, cells=40)
    return write_ome(tmp_path_factory.mktemp("ome") / "s.ome.tif", channels, levels=2)


def routes_of(path, kind=TIFF, **told):
    routes = item_routes(
        lambda encoding, style: kind(str(path), encoding=encoding, style=style), name=path.name
    )
    routes[f"item/{ITEM}/tiles"] |= told
    return routes


def same_as_local(path, routes, channels, scales):
    asked = learnt_channels(channels, [])
    with (
        fake_girder(routes=routes) as girder,
        open_slide(ITEM, server=girder.login, channels=asked, mpp=0.5) as streamed,
        open_slide(path, channels=asked, mpp=0.5) as local,
    ):
        assert streamed.seen[0].window == local.seen[0].window
        for work_mpp in scales:
            frame = local.frame(work_mpp)
            box = WorkBox(-5, -5, frame.width + 10, frame.height + 10)
            assert np.array_equal(streamed.read(frame, box), local.read(frame, box))


def test_channels_are_streamed_by_name_as_the_local_file_has_them(ome):
    same_as_local(ome, routes_of(ome, **NAMED), ["DAPI"], (0.5, 0.8, 1.0, 2.6))


def test_frames_without_names_are_asked_for_by_number(ome):
    same_as_local(ome, routes_of(ome), ["DAPI=1", "CD3=0"], (0.5, 1.3))


def test_the_levels_that_a_server_makes_by_leaving_pixels_out_are_not_used(tmp_path):
    channels, _ = paint_cells(700, 900, seed=3, cells=40)
    path = write_pages(tmp_path / "s.tif", channels)
    with tiff_sources_closed():
        same_as_local(path, routes_of(path, TIFFFILE), ["DAPI=1"], (0.5, 1.0, 2.0))


def test_bytes_are_streamed_too(tmp_path):
    channels = (paint_cells(700, 900, seed=3, cells=40)[0] >> 4).astype(np.uint8)
    path = write_ome(tmp_path / "s.ome.tif", channels)
    same_as_local(path, routes_of(path, **NAMED), ["DAPI"], (0.5,))


def test_a_channel_that_an_item_has_not_is_told(ome):
    asked = learnt_channels(["CD8"], [])
    with (
        fake_girder(routes=routes_of(ome, **NAMED)) as girder,
        pytest.raises(ChannelError) as refused,
    ):
        open_slide(ITEM, server=girder.login, channels=asked)
    assert str(refused.value) == (
        "s.ome.tif has no channel CD8: it has CD3, DAPI; if one of them is it under another name, "
        "say so, as --channels CD8=CD3"
    )
    with (
        fake_girder(routes=routes_of(ome)) as girder,
        pytest.raises(ChannelError, match=r"has no channel 2: it has 0 \(no name\), 1 \(no name\)"),
    ):
        open_slide(ITEM, server=girder.login, channels=learnt_channels(["DAPI=2"], []))


def test_a_stack_gives_the_channels_of_its_first_picture(ome):
    routes = routes_of(
        ome,
        frames=[{"Frame": n, "Channel": NAMES[n // 3]} for n in range(6)],
        IndexRange={"IndexC": 2, "IndexZ": 3},
        IndexStride={"IndexC": 3, "IndexZ": 1},
    )
    with fake_girder(routes=routes) as girder, pytest.raises(ServerError, match="frame 3 at"):
        # The file behind the routes has two frames, so that it has to refuse the right one.
        open_slide(ITEM, server=girder.login, channels=learnt_channels(["DAPI"], []))


def test_a_server_that_cuts_16_bits_to_8_is_told(ome):
    def cut(query):
        size = (int(float(query["regionWidth"])), int(float(query["regionHeight"])))
        size = (int(query.get("width", size[0])), int(query.get("height", size[1])))
        packed = io.BytesIO()
        Image.new("L", size).save(packed, "TIFF")
        return "image/tiff", packed.getvalue()

    routes = routes_of(ome, **NAMED) | {f"item/{ITEM}/tiles/region": cut}
    with (
        fake_girder(routes=routes) as girder,
        pytest.raises(UnreadableSlideError, match="uint16, of which the server hands over uint8"),
    ):
        open_slide(ITEM, server=girder.login, channels=learnt_channels(["DAPI"], []))


@pytest.mark.parametrize("told", [{"dtype": "float32"}, {"bandCount": 3}, {"dtype": "nonsense"}])
def test_what_a_server_gives_no_channels_of_is_told(ome, told):
    with (
        fake_girder(routes=routes_of(ome, **NAMED | told)) as girder,
        pytest.raises(UnreadableSlideError, match="give the file itself"),
    ):
        open_slide(ITEM, server=girder.login, channels=learnt_channels(["DAPI"], []))


def test_a_region_of_another_size_is_no_region(ome):
    packed = io.BytesIO()
    tifffile.imwrite(packed, np.zeros((9, 9), np.uint16))
    routes = routes_of(ome, **NAMED)
    routes[f"item/{ITEM}/tiles/region"] = lambda _: ("image/tiff", packed.getvalue())
    with (
        fake_girder(routes=routes) as girder,
        pytest.raises(ServerError, match="9 x 9 pixels of kind I;16"),
    ):
        open_slide(ITEM, server=girder.login, channels=learnt_channels(["DAPI"], []))
