from __future__ import annotations

import io
import shutil
from pathlib import Path

import large_image_source_openslide
import large_image_source_tiff
import numpy as np
import pytest
from PIL import Image

from deeplab.errors import (
    AccessDeniedError,
    ScaleError,
    ServerError,
    SlideNotFoundError,
    UnreadableSlideError,
)
from deeplab.geometry.frames import Mpp, WorkBox
from deeplab.server.items import get_item
from deeplab.server.session import Patience, ServerLogin, Session
from deeplab.server.tiles import fetch_tile, tiles_info
from deeplab.slides.girder_slide import GirderTiles
from deeplab.slides.pyramid import PyramidSlide
from deeplab.slides.slide import open_slide
from tests.girder_for_tests import ITEM, TOKEN, fake_girder, item_routes, raw
from tests.slides_for_tests import tissue, write_svs, write_tiff

SMALL_REGION = Path(__file__).parents[2].parent / "shared/data/slides/CMU-1-Small-Region.svs"
needs_real_slide = pytest.mark.skipif(not SMALL_REGION.exists(), reason="the real slide is absent")
QUICK = Patience(first_wait_s=0.01, longest_wait_s=0.05, total_s=0.4)
TILES = {"sizeX": 900, "sizeY": 700, "tileWidth": 256, "tileHeight": 256, "levels": 3}
TIFF = large_image_source_tiff.TiffFileTileSource
OPENSLIDE = large_image_source_openslide.OpenslideFileTileSource


@pytest.fixture(scope="module")
def svs(tmp_path_factory):
    rgb, _ = tissue(900, 700)
    return write_svs(tmp_path_factory.mktemp("svs") / "painted.svs", rgb, levels=2)


def sources(path, kind):
    return lambda encoding, style: kind(str(path), encoding=encoding, style=style)


def open_quick(girder):
    session = Session(girder.login, patience=QUICK)
    info = tiles_info(session, ITEM)
    return PyramidSlide(GirderTiles(session, ITEM, info), name="s", mpp=Mpp.square(0.5))


def same_as_local(path, kind, scales):
    with (
        fake_girder(routes=item_routes(sources(path, kind), name=path.name)) as girder,
        open_slide(ITEM, server=girder.login) as streamed,
        open_slide(path) as local,
    ):
        assert (streamed.name, streamed.mpp) == (local.name, local.mpp)
        assert streamed.reader == "Girder 127.0.0.1"
        for work_mpp in scales:
            frame = local.frame(work_mpp)
            assert streamed.frame(work_mpp) == frame
            box = WorkBox(-5, -5, min(frame.width, 700) + 10, min(frame.height, 600) + 10)
            assert np.array_equal(streamed.read(frame, box), local.read(frame, box))
        return set(streamed._reader._encodings.values())


def test_pixels_streamed_from_an_openslide_server_are_those_of_the_local_file(svs):
    assert same_as_local(svs, OPENSLIDE, (0.5, 0.8, 1.0, 2.6)) == {"PNG"}


def test_pixels_streamed_from_a_tiff_server_are_those_of_the_local_file(tmp_path):
    path = write_tiff(tmp_path / "s.tif", tissue(900, 700)[0], levels=3, compression="deflate")
    assert same_as_local(path, TIFF, (0.5, 0.8, 1.0, 2.6)) == {"PNG"}


@needs_real_slide
def test_the_bytes_of_a_real_slide_are_passed_on_for_the_level_that_it_has():
    assert same_as_local(SMALL_REGION, TIFF, (0.998, 0.7, 0.499)) == {"JPEG", "PNG"}


def test_only_the_tiles_of_the_box_are_fetched_and_each_once(svs):
    with fake_girder(routes=item_routes(sources(svs, TIFF))) as girder:
        with open_quick(girder) as slide:
            frame = slide.frame(0.5)
            slide.read(frame, WorkBox(0, 0, 10, 10))
            girder.asked.clear()
            slide.read(frame, WorkBox(260, 10, 300, 100))
            slide.read(frame, WorkBox(270, 20, 200, 100))
        assert sorted(path[-7:] for path, _ in girder.asked) == ["y/2/1/0", "y/2/2/0"]


@pytest.mark.parametrize("fault", [500, "drop", "half", "garbage"])
def test_a_server_that_stumbles_gives_the_same_pixels(svs, fault):
    with (
        fake_girder(routes=item_routes(sources(svs, TIFF))) as girder,
        open_quick(girder) as slide,
        open_slide(svs) as local,
    ):
        frame = slide.frame(0.5)
        slide.read(frame, WorkBox(0, 0, 10, 10))
        girder.faults += [fault, fault]
        read = slide.read(frame, frame.box)
        assert np.array_equal(read, local.read(frame, frame.box))


@pytest.mark.parametrize("fault", [500, "drop", "half", "garbage", 404])
def test_a_server_that_dies_midway_is_an_error_and_not_white(svs, fault):
    with fake_girder(routes=item_routes(sources(svs, TIFF))) as girder, open_quick(girder) as slide:
        frame = slide.frame(0.5)
        slide.read(frame, WorkBox(0, 0, 10, 10))
        girder.faults += [fault] * 500
        with pytest.raises(ServerError, match=rf"^tile \d/\d/\d of item {ITEM}") as caught:
            slide.read(frame, frame.box)
        assert TOKEN not in str(caught.value)
        girder.faults.clear()
        slide.read(frame, frame.box)


def test_a_token_without_right_is_said_so(svs):
    with fake_girder(routes=item_routes(sources(svs, TIFF))) as girder:
        with pytest.raises(AccessDeniedError, match=f"{ITEM}: .*sign in again") as caught:
            open_slide(ITEM, server=ServerLogin(girder.url, "another-token"))
        assert "another-token" not in str(caught.value)


def test_an_item_needs_a_server():
    with pytest.raises(SlideNotFoundError, match="needs a server and a token"):
        open_slide(ITEM)


def test_an_item_that_is_no_large_image_is_an_error():
    with (
        fake_girder(routes={f"item/{ITEM}/tiles": {"levels": "many"}}) as girder,
        Session(girder.login) as session,
        pytest.raises(ServerError, match="not a large image"),
    ):
        tiles_info(session, ITEM)


def test_a_streamed_slide_without_scale_needs_the_user_to_give_one(tmp_path):
    path = write_svs(tmp_path / "s.svs", tissue(300, 300)[0], mpp=None)
    with fake_girder(routes=item_routes(sources(path, TIFF))) as girder:
        with pytest.raises(ScaleError, match="give slide_mpp"):
            open_slide(ITEM, server=girder.login)
        with open_slide(ITEM, server=girder.login, mpp=0.25) as slide:
            assert slide.mpp == Mpp.square(0.25)


def test_a_tile_larger_than_the_server_said_is_refused(svs):
    routes = item_routes(sources(svs, TIFF))
    routes[f"item/{ITEM}/tiles"] |= {"tileWidth": 64}
    with fake_girder(routes=routes) as girder, Session(girder.login, patience=QUICK) as session:
        info = tiles_info(session, ITEM)
        with pytest.raises(ServerError, match="a tile of 256 x 256 pixels|more than"):
            fetch_tile(session, ITEM, info, z=2, x=0, y=0, encoding="PNG")


ODD = (None, True, 0, -1, 1.5, 2**22 + 1, 10**400, [256], {"a": 1}, "256", [[]] * 9, "\ud800")


@pytest.mark.parametrize("key", ["sizeX", "sizeY", "tileWidth", "tileHeight", "levels"])
@pytest.mark.parametrize("value", ODD, ids=lambda value: str(value)[:12].encode("unicode_escape"))
def test_a_size_that_is_none_is_one_sentence(svs, key, value):
    routes = {f"item/{ITEM}/tiles": TILES | {key: value}}
    with (
        fake_girder(routes=routes) as girder,
        Session(girder.login) as session,
        pytest.raises(ServerError, match=f"is not a large image: its {key} is not right"),
    ):
        tiles_info(session, ITEM)


@pytest.mark.parametrize("value", [*ODD[:4], *ODD[6:], 1e308, -0.0, 5e-324])
def test_a_scale_that_is_none_is_taken_for_none(value):
    told = TILES | {"mm_x": value, "mm_y": 0.0005, "dtype": value, "magnification": value}
    with (
        fake_girder(routes={f"item/{ITEM}/tiles": told}) as girder,
        Session(girder.login) as session,
    ):
        assert tiles_info(session, ITEM).mpp is None


def test_more_pixels_than_a_slide_can_have_are_refused():
    told = TILES | {"sizeX": 2**22, "sizeY": 2**22}
    with (
        fake_girder(routes={f"item/{ITEM}/tiles": told}) as girder,
        Session(girder.login) as session,
        pytest.raises(ServerError, match="more pixels than a slide can have"),
    ):
        tiles_info(session, ITEM)


def tile_of(kind, mode="RGB", size=(256, 256), form="PNG"):
    packed = io.BytesIO()
    Image.new(mode, size).save(packed, form)
    return raw(packed.getvalue(), kind)


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        (tile_of("image/png", size=(100, 100)), "s has an incomplete tile 1/1 at level"),
        (tile_of("image/png", size=(256, 300)), "a tile of 256 x 300 pixels"),
        (tile_of("image/png", size=(20_000, 20_000), mode="1"), "a tile of 20000 x 20000 pixels"),
        (tile_of("text/html"), "something that is no image"),
        (tile_of("image/gif", form="GIF"), "an image that cannot be decoded"),
        (raw(b"<svg/>", "image/svg+xml"), "an image that cannot be decoded"),
        (raw(b"\x89PNG\r\n", "image/png"), "cannot be decoded"),
    ],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_tile_that_is_not_what_was_asked_for_is_one_sentence(svs, reply, sentence):
    with fake_girder(routes=item_routes(sources(svs, TIFF))) as girder, open_quick(girder) as slide:
        frame = slide.frame(0.5)
        slide.read(frame, WorkBox(0, 0, 10, 10))
        girder.change = lambda path, right: reply if "/1/1?" in path else right
        with pytest.raises((ServerError, UnreadableSlideError), match=sentence):
            slide.read(frame, frame.box)


def test_a_slide_that_changes_on_the_server_while_it_is_read_counts_for_nothing(svs):
    with (
        fake_girder(routes=item_routes(sources(svs, TIFF))) as girder,
        open_slide(ITEM, server=girder.login) as slide,
    ):
        slide.check_unchanged()
        girder.routes[f"item/{ITEM}"]["size"] += 5  # a file of annotations is put beside
        girder.routes[f"item/{ITEM}"]["name"] = "another.svs"
        slide.check_unchanged()
        for place, told in (
            (f"item/{ITEM}", {"largeImage": {"fileId": "2a" * 12}}),
            (f"item/{ITEM}/tiles", {"sizeX": 5}),
            (f"file/{ITEM}", {"_id": ITEM, "size": 5}),
        ):
            before = girder.routes.get(place, {})
            girder.routes[place] = before | told
            with pytest.raises(UnreadableSlideError, match="has changed while it was read"):
                slide.check_unchanged()
            girder.routes[place] = before or 404


def test_a_file_that_is_replaced_while_it_is_read_counts_for_nothing(svs, tmp_path):
    path = tmp_path / "a.svs"
    shutil.copyfile(svs, path)
    with open_slide(path) as slide:
        slide.check_unchanged()
        shutil.copyfile(svs, tmp_path / "b.svs")
        (tmp_path / "b.svs").replace(path)
        with pytest.raises(UnreadableSlideError, match=r"^a.svs has changed while it was read"):
            slide.check_unchanged()
        path.unlink()
        with pytest.raises(UnreadableSlideError, match="start again"):
            slide.check_unchanged()


def test_the_name_of_the_slide_is_that_of_the_item(svs):
    with (
        fake_girder(routes=item_routes(sources(svs, TIFF), name="case 7.svs")) as girder,
        Session(girder.login) as session,
    ):
        assert get_item(session, ITEM).name == "case 7.svs"


@needs_real_slide
def test_a_real_slide_is_averaged_from_the_level_that_it_has():
    with (
        fake_girder(routes=item_routes(sources(SMALL_REGION, TIFF))) as girder,
        open_quick(girder) as slide,
    ):
        finest = slide._shape.levels - 1
        assert slide._reader._encodings[finest] == "JPEG"
        assert slide._shape.level_for(slide.frame(1.0)) == finest
        assert slide._shape.level_for(slide.frame(2.0)) == finest
