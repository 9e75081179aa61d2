"""Where the pixels of a slide on a Girder server lie on its glass."""

from __future__ import annotations

from deeplab.annotations.glass import Glass
from deeplab.server.session import Session
from deeplab.server.tiles import glass_offset_nm, tiles_info


def glass_of_item(session: Session, item_id: str) -> Glass | None:
    """Return what the server says of the slide of an item; None where it does not know.

    Raises:
        AccessDeniedError: the token may not read the item.
        ServerError: it is no large image, or the server failed.
    """
    info = tiles_info(session, item_id)
    offset_nm = glass_offset_nm(session, item_id)
    if offset_nm is None or info.mpp is None:
        return None
    return Glass(
        mpp=info.mpp,
        offset_nm=offset_nm,
        width_level0=info.width_level0,
        height_level0=info.height_level0,
    )
