"""What is known of a slide without reading its pixels: how large it is, and at which scale."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from deeplab.geometry.frames import Mpp
from deeplab.server.items import item_with
from deeplab.server.session import ServerLogin, Session
from deeplab.server.tiles import tiles_info
from deeplab.slides.choose import open_file
from deeplab.slides.scale import PRINT_MPP


@dataclass(frozen=True, slots=True, kw_only=True)
class SlideFacts:
    """Size in level-0 pixels, and um per pixel where the slide states them."""

    width_level0: int
    height_level0: int
    mpp: Mpp | None


def slide_facts(source: str | os.PathLike[str], *, server: ServerLogin | None = None) -> SlideFacts:
    """Return the facts of the slide in a file or, with `server`, in a Girder item.

    Raises:
        SlideNotFoundError: there is no such file.
        UnreadableSlideError: it is no image, or cut short, or damaged.
        ServerError: the server has no such slide, refused or failed.
    """
    if server:
        with Session(server) as session:
            return item_facts(session, item_with(session, os.fspath(source)).id)
    opened = open_file(Path(source))
    shape = opened.tiles.shape
    opened.tiles.close()
    return SlideFacts(
        width_level0=shape.width_level0,
        height_level0=shape.height_level0,
        mpp=_of_a_scanner(opened.scale.mpp),
    )


def item_facts(session: Session, item_id: str) -> SlideFacts:
    """Return the facts of the slide in a Girder item.

    Raises:
        AccessDeniedError: the token may not read the item.
        ServerError: there is no such item, or it is no large image, or the server failed.
    """
    info = tiles_info(session, item_id)
    return SlideFacts(
        width_level0=info.width_level0,
        height_level0=info.height_level0,
        mpp=_of_a_scanner(info.mpp),
    )


def _of_a_scanner(stated: Mpp | None) -> Mpp | None:
    return stated if stated and stated.mean <= PRINT_MPP else None
