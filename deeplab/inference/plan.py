"""What is to be predicted of a slide, and at which scale: settled before anything heavy starts."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import shapely
from numpy.typing import NDArray

from deeplab.annotations.mending import enclosed
from deeplab.annotations.raster.rasterize import fill_polygon
from deeplab.bundles.card import Card
from deeplab.config.channels import asked_channels
from deeplab.config.requests import Points, SegmentRequest
from deeplab.config.views import AS_IT_IS, View, cell_multiple, reach_factor
from deeplab.errors import ConfigError, ScaleError
from deeplab.geometry.frames import Level0Box, WorkBox, WorkFrame
from deeplab.geometry.grid import TilePlan, TileSlot
from deeplab.server.session import ServerLogin
from deeplab.slides.scale import check_upsampling
from deeplab.slides.slide import Slide, open_slide
from deeplab.slides.tissue import TissueMask

log = logging.getLogger(__name__)


class AskedScale(Protocol):
    """What a request says of the scale at which a slide is looked at."""

    @property
    def work_mpp(self) -> float:
        """Um per pixel; 0: not told."""

    @property
    def wsi_downsample(self) -> float:
        """A multiple of level 0; 0: not told."""


class AskedChannels(Protocol):
    """What a request says of the channels of a slide, for a model that sees such."""

    @property
    def channels(self) -> tuple[str, ...]:
        """What the slide calls those that the model sees; none: as the model does."""

    @property
    def intensity_window(self) -> tuple[str, ...]:
        """Values of them that become 0 and 255; none: as in the training."""


def open_as_learnt(
    source: str, request: AskedChannels, card: Card, *, mpp: float, login: ServerLogin | None
) -> Slide:
    """Return a slide of which is read what a model was trained on: its channels, or colours.

    Args:
        source: path, or id of a Girder item.
        request: what it says of channels.
        card: of the model.
        mpp: um per level-0 pixel; 0: as the slide says.
        login: to the server that has the item.

    Raises:
        ConfigError: channels are asked for that the model has not.
        SlideError, ServerError: the slide cannot be read, or lacks a channel.
    """
    channels = asked_channels(card.config.channels, request.channels, request.intensity_window)
    slide = open_slide(source, mpp=mpp or None, server=login, channels=channels)
    if slide.seen:
        log.info("%s: channels %s", slide.name, slide.kind)
    return slide


def work_frame(request: AskedScale, card: Card, slide: Slide) -> WorkFrame:
    """Return the frame in which the network sees the slide.

    Raises:
        ScaleError: the model's scale is not known, or the slide or the scale asked for is not one
            that the model was trained for.
    """
    mpp = request.work_mpp or card.work_mpp or 0.0
    if request.wsi_downsample:
        mpp = request.wsi_downsample * slide.mpp.mean
    if not mpp:
        raise ScaleError(
            slide.name,
            "cannot be matched: the model does not say its um per pixel; "
            "give work_mpp or wsi_downsample",
        )
    if not card.accepts_mpp(mpp):
        low, high = card.mpp_range or (card.work_mpp, card.work_mpp)
        raise ScaleError(
            slide.name,
            f"would be read at {mpp:.3g} um per pixel, but the model was trained for "
            f"{low:.3g} to {high:.3g}; choose another model or scale",
        )
    check_upsampling(slide.name, slide.mpp.mean, mpp)
    return slide.frame(mpp)


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """The part of a slide to predict: polygons of interest, or all of it."""

    box: WorkBox
    polygons: tuple[shapely.Polygon, ...]
    frame: WorkFrame

    @classmethod
    def of(cls, regions: Sequence[Points], frame: WorkFrame) -> Area:
        """Return the area of regions in level-0 pixels, all of the slide where there is none.

        Raises:
            ConfigError: the regions enclose nothing, or nothing on the slide.
        """
        if not regions:
            return cls(box=frame.box, polygons=(), frame=frame)
        polygons = [enclosed(points) for points in regions]
        whole = shapely.union_all(polygons)
        if whole.is_empty:
            raise ConfigError("region", "a line or a point", "a rectangle or a polygon")
        left, top, right, bottom = whole.bounds
        box = frame.to_work(Level0Box(left, top, right - left, bottom - top))
        box = box.intersection(frame.box)
        if box.is_empty:
            raise ConfigError("region", f"around ({left:.0f}, {top:.0f})", "on the slide")
        parts = tuple(p for p in shapely.get_parts(whole) if isinstance(p, shapely.Polygon))
        return cls(box=box, polygons=parts, frame=frame)

    def touches(self, box: WorkBox) -> bool:
        """Return whether any of the area lies in a box of work pixels."""
        part = self.frame.to_level0(box)
        window = shapely.box(part.x0, part.y0, part.x0 + part.width, part.y0 + part.height)
        return not self.polygons or any(p.intersects(window) for p in self.polygons)

    def holds(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return whether points (n,), work pixels, lie in the area, (n,)."""
        box = self.box
        inside = (box.x <= x) & (x < box.right) & (box.y <= y) & (y < box.bottom)
        if not self.polygons:
            return inside
        x_level0, y_level0 = x * self.frame.scale_x, y * self.frame.scale_y
        in_any = [shapely.contains_xy(polygon, x_level0, y_level0) for polygon in self.polygons]
        some: NDArray[np.bool_] = inside & np.any(in_any, axis=0)
        return some

    def clip(self, labels: NDArray[np.uint8], box: WorkBox) -> NDArray[np.uint8]:
        """Labels (box.height, box.width) with 0 outside the area."""
        if not self.polygons:
            return labels
        inside = np.zeros(labels.shape, np.uint8)
        for polygon in self.polygons:
            fill_polygon(
                inside,
                polygon,
                1,
                x_origin=box.x,
                y_origin=box.y,
                scale_x=self.frame.scale_x,
                scale_y=self.frame.scale_y,
            )
        return labels * inside


def tile_plan(request: SegmentRequest, card: Card, area: Area) -> TilePlan:
    """The grid of tiles over an area, with what the request says of tiles and the card otherwise.

    Where tiles are also looked at in smaller sizes, the network sees farther on the slide, and halo
    and tile grow by as much.

    Raises:
        ConfigError: the tile size leaves nothing inside the halo.
    """
    reach = reach_factor(request.views)
    return plan_tiles(
        card,
        area,
        tile=request.tile_size or math.ceil(card.tile * reach),
        halo=request.halo if request.halo >= 0 else math.ceil(card.halo * reach),
        views=request.views,
    )


def plan_tiles(
    card: Card, area: Area, *, tile: int, halo: int, views: Sequence[View] = AS_IT_IS
) -> TilePlan:
    """Return the grid of tiles of about this side over an area, work pixels.

    The card's halo reaches as far as the network looks, so that the answer does not depend on the
    tile size; at every size of several views tiles have whole cells, on the same places of the
    slide. Tiles shrink to a small area.

    Raises:
        ConfigError: the tile size leaves nothing inside the halo.
    """
    tiling = card.config.tiling.times(cell_multiple(views))
    halo = tiling.whole(max(halo, tiling.margin))
    largest = max(area.box.width, area.box.height) + tiling.multiple + 2 * halo
    side = max(math.ceil(card.config.crop_size * reach_factor(views)), min(tile, largest))
    tile = tiling.only or tiling.round_up(side)
    # Of several views each is answered as a whole.
    trim = tiling.trimmed(halo) if tuple(views) == AS_IT_IS else tiling.margin
    return TilePlan(area=area.box, tile=tile, halo=halo, tiling=tiling, trim=trim)


def tissue_in(area: Area, tissue: TissueMask) -> int:
    """Return about how many work pixels of the box around an area are tissue."""
    box, part = area.box, tissue.part(area.frame, area.box)
    # Coarse pixels at the slide's edge reach over it, so their share counts, not their number.
    share = float(tissue.mask[part.within(tissue.frame.box)].mean())
    return round(share * box.width * box.height)


def wanted_slots(
    plan: TilePlan, area: Area, tissue: TissueMask | None
) -> list[tuple[TileSlot, bool]]:
    """Return the tiles of a plan, and whether the kept part of each touches the area and tissue."""
    return [(slot, is_wanted(slot.write, area, tissue)) for slot in plan]


def is_wanted(box: WorkBox, area: Area, tissue: TissueMask | None) -> bool:
    """Return whether a box of work pixels touches the area, and tissue where that is known."""
    return area.touches(box) and (not tissue or tissue.touches(area.frame, box))
