"""A slide: its size, its scale, and its pixels at the microns per pixel you ask for."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from deeplab.config.channels import RGB, ChannelRequest, Channels
from deeplab.config.checks import is_girder_id
from deeplab.errors import DeeplabError, ScaleError, SlideNotFoundError
from deeplab.geometry.frames import Mpp, WorkBox, WorkFrame
from deeplab.names import shown_name
from deeplab.server.items import Item, file_size, get_item, item_with
from deeplab.server.session import ServerLogin, Session
from deeplab.server.tiles import TilesInfo, tiles_info
from deeplab.slides.channel_tiles import ChannelTiles, find_channels
from deeplab.slides.choose import open_file
from deeplab.slides.choose_channels import open_channels, open_tiles
from deeplab.slides.girder_frames import GirderFrames
from deeplab.slides.girder_slide import GirderTiles
from deeplab.slides.pyramid import PyramidSlide, Same, SeenChannel, TileReader
from deeplab.slides.scale import PRINT_MPP, Scale, usual_mpp

NO_SERVER = "is no file; a Girder item needs a server and a token"


class Slide(Protocol):
    """What every slide offers; reading is safe from many threads."""

    @property
    def name(self) -> str:
        """What the user calls it."""

    @property
    def width_level0(self) -> int:
        """Level-0 pixels from left to right."""

    @property
    def height_level0(self) -> int:
        """Level-0 pixels from top to bottom."""

    @property
    def mpp(self) -> Mpp:
        """Microns per level-0 pixel."""

    @property
    def level_mpps(self) -> tuple[float, ...]:
        """Microns per pixel of the levels that are read, the finest first."""

    @property
    def reader(self) -> str:
        """What reads the pixels: a large_image source or a server."""

    @property
    def kind(self) -> str:
        """What the pixels are where they are not RGB bytes, as "5 channels, 16 bit"; else empty."""

    @property
    def channels(self) -> Channels:
        """The channels of the pixels that are read."""

    @property
    def seen(self) -> tuple[SeenChannel, ...]:
        """How each of the channels is read off the slide; empty for colours."""

    def frame(self, work_mpp: float) -> WorkFrame:
        """Return the grid of pixels of `work_mpp` um over this slide."""

    def read(self, frame: WorkFrame, box: WorkBox) -> NDArray[np.uint8]:
        """Return the pixels of `box`, uint8 (box.height, box.width, channels).

        Outside the slide they are white, or of a fluorescent slide black. A work pixel has the
        same value whichever box it is read through.

        Raises:
            SlideError: a part of the slide cannot be read.
            ServerError: the server that has the slide failed.
        """

    def check_unchanged(self) -> None:
        """Refuse what was read where the slide is no longer the one that was opened.

        Raises:
            UnreadableSlideError: another has taken its place.
            ServerError: the server that has the slide failed.
        """

    def close(self) -> None:
        """Give back files and connections; the slide cannot be read after."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def open_slide(
    source: str | os.PathLike[str],
    *,
    mpp: float | None = None,
    server: ServerLogin | None = None,
    channels: ChannelRequest | None = None,
) -> Slide:
    """Return the slide in a file, or with `server` in the Girder item that `source` is the id of.

    The id of the item's file will do as well.

    Args:
        source: path or id.
        mpp: um per level-0 pixel as the user states it; it goes before what the slide says.
        server: that has the item.
        channels: to be read; None: colours.

    Raises:
        SlideNotFoundError: there is no such file.
        ChannelError: the slide lacks a channel, or its values do not fit the window.
        UnreadableSlideError: it is no image, or cut short, or damaged.
        ScaleError: neither the slide nor the user states the um per pixel.
        ServerError: the server has no such item, refused or failed.
    """
    path = Path(source)
    if not path.exists() and is_girder_id(str(path)):
        if server is None:
            raise SlideNotFoundError(path, NO_SERVER)
        name, reader, stated, is_same = _open_item(str(path), server, channels)
    else:
        is_same = _same_as_now(partial(_state_of_file, path))
        opened = open_channels(path, channels) if channels else open_file(path)
        name, reader, stated = shown_name(path.name), opened.tiles, opened.scale
    try:
        return PyramidSlide(
            reader,
            name=name,
            mpp=_scale(name, stated=stated, given=mpp),
            is_same=is_same,
            channels=channels.channels if channels else RGB,
            seen=reader.seen if isinstance(reader, ChannelTiles) else (),
        )
    except DeeplabError:
        reader.close()
        raise


@dataclass(frozen=True, slots=True, kw_only=True)
class SlideExtent:
    """How large a slide is; `mpp`, um per level-0 pixel, is None where nothing states it."""

    width_level0: int
    height_level0: int
    mpp: Mpp | None


def measure_extent(
    source: str | os.PathLike[str], *, mpp: float | None = None, server: ServerLogin | None = None
) -> SlideExtent:
    """Return how large a slide is, whatever its pixels are; none is looked at on a server.

    Args:
        source: path or id, as of `open_slide`.
        mpp: um per level-0 pixel as the user states it; it goes before what the slide says.
        server: that has the item.

    Raises:
        SlideError, ServerError: as `open_slide` does, but for a scale that nothing states.
    """
    path = Path(source)
    if server and not path.exists() and is_girder_id(str(path)):
        with Session(server) as session:
            item = item_with(session, str(path))
            info = tiles_info(session, item.id)
        name, stated = item.name, Scale(mpp=info.mpp, magnification=info.magnification)
        width, height = info.width_level0, info.height_level0
    else:
        if not path.exists() and is_girder_id(str(path)):
            raise SlideNotFoundError(path, NO_SERVER)
        opened = open_file(path)
        shape, stated, name = opened.tiles.shape, opened.scale, shown_name(path.name)
        width, height = shape.width_level0, shape.height_level0
        opened.tiles.close()
    try:
        scale: Mpp | None = _scale(name, stated=stated, given=mpp)
    except ScaleError:
        scale = None
    return SlideExtent(width_level0=width, height_level0=height, mpp=scale)


def _open_item(
    any_id: str, server: ServerLogin, channels: ChannelRequest | None
) -> tuple[str, TileReader, Scale, Same]:
    session = Session(server)
    try:
        item = item_with(session, any_id)
        is_same = _same_as_now(partial(_state_of_item, session, item.id))
        info = tiles_info(session, item.id)
        reader = _tiles_of_item(session, item, info, channels)
    except DeeplabError:
        session.close()
        raise
    return item.name, reader, Scale(mpp=info.mpp, magnification=info.magnification), is_same


def _tiles_of_item(
    session: Session, item: Item, info: TilesInfo, channels: ChannelRequest | None
) -> TileReader:
    """Return the tiles of an item's colours, or of the channels asked for."""
    if channels is None:
        tiles = GirderTiles(session, item.id, info)
        tiles.raise_unless_shown(item.name)
        return tiles
    indices = find_channels(item.name, channels, info.channel_names)
    samples = GirderFrames(session, item.id, item.name, info, indices=indices)
    return open_tiles(item.name, samples, channels, indices=indices, names=info.channel_names)


def _same_as_now(state: Callable[[], object]) -> Same:
    now = state()
    return lambda: state() == now


def _state_of_item(session: Session, item_id: str) -> object:
    """Return the file of an item that the tiles are of, and what the server says of both."""
    item = get_item(session, item_id)
    # Not the size of the item: a file of annotations may come to it at any time.
    return item.image_file_id, file_size(session, item.image_file_id), tiles_info(session, item_id)


def _state_of_file(path: Path) -> object:
    """None where it is gone."""
    try:
        told = path.stat()
    except OSError:
        return None
    return told.st_ino, told.st_size, told.st_mtime_ns


def _scale(name: str, *, stated: Scale, given: float | None) -> Mpp:
    if given is not None:
        return Mpp.square(given)
    if stated.mpp is None:
        if stated.magnification is None:
            raise ScaleError(name, "does not state its microns per pixel; give slide_mpp")
        raise ScaleError(
            name,
            "does not state its microns per pixel, but a magnification of "
            f"{stated.magnification:g}, at which scanners have about "
            f"{usual_mpp(stated.magnification):.3g}; give slide_mpp",
        )
    if stated.mpp.mean > PRINT_MPP:
        raise ScaleError(
            name,
            f"states {stated.mpp.mean:.4g} microns per pixel, which is a printer's resolution and "
            "no scanner's; give slide_mpp",
        )
    return stated.mpp
