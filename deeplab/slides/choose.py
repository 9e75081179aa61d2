"""Which reader a slide gets: what HistomicsUI shows of it is read, by the fastest that is right.

HistomicsUI shows a file through the first large_image source that takes it, in an order by the
file's suffix. So that source has the word on which of a file's pictures is the slide, and how large
it is; but where a smaller one is shown, as a thumbnail in larger tiles, the next source is asked.
The pixels then come from large_image's tiff source, which is several times as fast as OpenSlide,
where they are plain, else from the pages themselves.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from large_image.tilesource import getSortedSourceList
from large_image_source_openslide import OpenslideFileTileSource

from deeplab.errors import UnreadableSlideError
from deeplab.names import shown_name
from deeplab.slides.admission import Admitted, admit
from deeplab.slides.dicom import files_of_one_series, why_unreadable
from deeplab.slides.faults import READ_FAULTS
from deeplab.slides.large_image_slide import LargeImageTiles, try_source
from deeplab.slides.levels import levels_of_one_picture
from deeplab.slides.ome import page_of_last
from deeplab.slides.ome_zarr import ZarrTiles, is_zarr
from deeplab.slides.picture_bands import open_picture
from deeplab.slides.pictures import raise_if_dark, raise_unless_upright
from deeplab.slides.pixel_kinds import TURNED_RIGHT, UPRIGHT, is_plain
from deeplab.slides.pyramid import Tile, TileReader
from deeplab.slides.scale import Scale, stated_scale
from deeplab.slides.sources import TifffileSource, TiffSource
from deeplab.slides.strip_bands import is_in_plain_strips, open_strips, raise_if_in_one_piece
from deeplab.slides.tiff_check import tiff_facts
from deeplab.slides.tiff_pages import PageTiles, TiffImage, largest, pages_of, picture_of, size_of
from deeplab.slides.untiled import FEW_PIXELS, UntiledTiles

logger = logging.getLogger(__name__)

# The sources of HistomicsUI that read TIFFs. It has one more, for OME-TIFFs, which is asked first
# for `.ome.tif`: it takes no others than the tiff source does, but shows the last picture of
# several of one size. As it need not be installed here, that one is told by the XML.
TIFF_SOURCES = {
    "tiff": TiffSource,
    "openslide": OpenslideFileTileSource,
    "tifffile": TifffileSource,
}
# Of these, OpenSlide shows a page of the file as it is; others it puts together.
PAGES_AS_THEY_ARE = ("aperio", "generic-tiff")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedFile:
    """The tiles of a file, and the scale that it states."""

    tiles: TileReader
    scale: Scale


def open_file(path: Path) -> OpenedFile:
    """Return the tiles of the slide at `path`.

    Raises:
        SlideNotFoundError: there is no such file.
        UnreadableSlideError: it is no image, or cut short, or damaged.
    """
    admitted = admit(path)
    if admitted.kind == "zarr":
        return _open_zarr(path)
    if admitted.kind == "tiff":
        return _open_tiff(path, admitted)
    if admitted.kind == "picture":
        return OpenedFile(tiles=_open_picture(path), scale=Scale(mpp=None, magnification=None))
    if admitted.kind == "dicom":
        tiles = _open_dicom(path, admitted)
    else:
        tiles = _opened(OpenslideFileTileSource, path)
    tiles.look(_samples(tiles))
    scale = Scale(mpp=tiles.stated_mpp(), magnification=tiles.stated_magnification())
    return OpenedFile(tiles=tiles, scale=scale)


def _open_zarr(path: Path) -> OpenedFile:
    if not is_zarr(path):
        raise _unreadable(path)
    tiles = ZarrTiles(path)
    try:
        tiles.keep_levels(levels_of_one_picture(tiles, tiles.full_levels, path.name))
    except UnreadableSlideError:
        tiles.close()
        raise
    return OpenedFile(tiles=tiles, scale=tiles.scale)


def _open_picture(path: Path) -> UntiledTiles:
    raise_unless_upright(path)
    tiles = open_picture(path)
    try:
        raise_if_dark(path, tiles.brightest)
    except UnreadableSlideError:
        tiles.close()
        raise
    return tiles


def _open_dicom(path: Path, admitted: Admitted) -> LargeImageTiles:
    """Return a series through any of its files: a reader looks for the others beside it."""
    files = files_of_one_series(path, admitted.parts) if path.is_dir() else [path]
    for file in files:
        tiles = try_source(OpenslideFileTileSource, file)
        if tiles is not None:
            return tiles
    raise UnreadableSlideError(path.name, why_unreadable(files[0]))


def _opened(source: Any, path: Path) -> LargeImageTiles:  # noqa: ANN401
    tiles = try_source(source, path)
    if tiles is None:
        raise _unreadable(path)
    return tiles


def _unreadable(path: Path) -> UnreadableSlideError:
    return UnreadableSlideError(
        path.name, "is not an image that can be read here, or it is damaged"
    )


def _open_tiff(path: Path, admitted: Admitted) -> OpenedFile:
    facts = tiff_facts(path)
    follow = bool(admitted.parts)
    shown: LargeImageTiles | None = None
    tiles: LargeImageTiles | PageTiles | UntiledTiles | None = None
    try:
        with tifffile.TiffFile(path, _multifile=follow) as tiff:
            pages = list(pages_of(tiff))
            if not pages:
                raise _unreadable(path)
            shown = _shown(path, pages, follow=follow)
            width, height = _size(shown) if shown else size_of(largest(pages))
            start = _start_of_ome(path, tiff, shown)
            if start:
                _close(shown)
                shown = None
            picture = picture_of(path.name, tiff, width, height, start=start)
            tiles = _tiff_tiles(path, shown, picture, has_empty_tiles=facts.has_empty_tiles)
            scale = stated_scale(path, tiff, shown, picture)
            right = levels_of_one_picture(tiles, tiles.full_levels, path.name)
            if right != tiles.full_levels:
                tiles.keep_levels(right)
    except UnreadableSlideError:
        _close(shown, tiles)
        raise
    except READ_FAULTS as error:
        _close(shown, tiles)
        raise UnreadableSlideError(
            path.name,
            f"cannot be read: it is damaged, or a TIFF of a kind that is not known here ({error})",
        ) from error
    if tiles is not shown:
        _close(shown)
    return OpenedFile(tiles=tiles, scale=scale)


def _start_of_ome(path: Path, tiff: tifffile.TiffFile, shown: LargeImageTiles | None) -> int:
    """The page of the last of several pictures of one size, where HistomicsUI shows that one."""
    if "ome" not in path.name.lower().split(".")[1:] or not tiff.is_ome:
        return 0
    start = page_of_last(tiff.ome_metadata)
    if not 0 < start < len(tiff.pages):
        return 0
    first, last = tiff.pages.first, tiff.pages[start].aspage()
    alike = size_of(first) == size_of(last) and first.is_tiled and last.is_tiled
    is_shown = shown is None or (shown.source == "tiff" and _size(shown) == size_of(first))
    return start if alike and is_shown else 0


def _close(*several: TileReader | None) -> None:
    """Close each once, of those that there are."""
    for tiles in {id(tiles): tiles for tiles in several if tiles is not None}.values():
        tiles.close()


def _size(tiles: LargeImageTiles) -> tuple[int, int]:
    return tiles.shape.width_level0, tiles.shape.height_level0


def _in_order(path: Path) -> Iterator[str]:
    """Yield the names of the sources in the order in which large_image tries them on `path`."""
    for *_, name in sorted(getSortedSourceList(TIFF_SOURCES, path.name)):
        yield str(name)


def _shown(path: Path, pages: list[tifffile.TiffPage], *, follow: bool) -> LargeImageTiles | None:
    """Return the tiles that HistomicsUI shows of a TIFF; None where they are a page as it is."""
    whole = largest(pages)
    if not is_plain(whole):
        openslide = try_source(OpenslideFileTileSource, path)
        if openslide is None or _is_put_together(openslide):
            return openslide
        openslide.close()
        return None
    sizes = {frozenset(size_of(page)) for page in pages}
    for name in _in_order(path):
        options: dict[str, Any] = {"follow": follow} if name == "tifffile" else {}
        tiles = try_source(TIFF_SOURCES[name], path, **options)
        if tiles is None:
            continue
        is_a_page = frozenset(_size(tiles)) in sizes
        if not is_a_page or np.prod(_size(tiles)) >= np.prod(size_of(whole)):
            return tiles
        logger.info("%s: the %s source shows a smaller picture", shown_name(path.name), name)
        tiles.close()
    return None


def _tiff_tiles(
    path: Path, shown: LargeImageTiles | None, picture: TiffImage | None, *, has_empty_tiles: bool
) -> LargeImageTiles | PageTiles | UntiledTiles:
    """Return the reader of the picture that is `shown`."""
    if picture is None:
        if shown is None:
            raise _unreadable(path)
        return _looked(shown)
    orientation = picture.page.tags.valueof(274, default=UPRIGHT)
    plain = is_plain(picture.page) and len(picture.levels[0]) == 1
    if orientation != UPRIGHT:
        return _turned(path, shown, orientation, plain=plain)
    if shown is not None and _is_put_together(shown):
        return _faster(path, shown) if plain and not has_empty_tiles else _looked(shown)
    if shown is None or not plain or has_empty_tiles or shown.source == "tifffile":
        return _page_tiles(path, picture)
    return _faster(path, shown)


def _page_tiles(path: Path, picture: TiffImage) -> PageTiles | UntiledTiles:
    width, height = size_of(picture.page)
    alone = len(picture.levels) == len(picture.levels[0]) == 1
    if alone and width * height > FEW_PIXELS and is_in_plain_strips(picture.page):
        return open_strips(path, picture.page)
    raise_if_in_one_piece(path.name, picture.page)
    return PageTiles(path, picture)


def _is_put_together(shown: LargeImageTiles) -> bool:
    if shown.source == "openslide":
        return shown.vendor not in PAGES_AS_THEY_ARE
    return shown.source == "tifffile" and shown.pictures > 1


def _faster(path: Path, shown: LargeImageTiles) -> LargeImageTiles:
    """Return what is `shown`, through the tiff source where that gives the same as OpenSlide."""
    if shown.source == "openslide":
        tiff = try_source(TiffSource, path)
        if tiff is not None and is_same(tiff, shown):
            return _looked(tiff)
        name = shown_name(path.name)
        logger.info("%s: the tiff source differs from OpenSlide and is not used", name)
        _close(tiff)
    return _looked(shown)


def _turned(
    path: Path, shown: LargeImageTiles | None, orientation: int, *, plain: bool
) -> LargeImageTiles:
    """Return a picture that is to be turned, where HistomicsUI does that right."""
    if shown and plain and shown.source == "tiff" and orientation in TURNED_RIGHT:
        return _looked(shown)
    raise UnreadableSlideError(
        path.name,
        f"is stored turned or mirrored (TIFF orientation {orientation}), which programs show "
        "differently; write it upright, as 'vips autorot' does, and draw on that",
    )


def _looked(tiles: LargeImageTiles) -> LargeImageTiles:
    tiles.look(_samples(tiles))
    return tiles


def _samples(tiles: LargeImageTiles) -> list[Tile]:
    """Some tiles of level 0, and of the next level that the file has."""
    return [tile for level in tiles.full_levels[-2:] for tile in tiles.shape.samples(level)]


def is_same(one: LargeImageTiles, other: LargeImageTiles) -> bool:
    """Tell whether two sources agree, to the bit, on the slide's size and on some of its tiles."""
    if one.shape != other.shape:
        return False
    samples = _samples(one)
    try:
        pairs = list(zip(samples, one.read(samples), other.read(samples), strict=True))
    except UnreadableSlideError:
        return False
    for tile, first, second in pairs:
        width, height = one.shape.size(tile.level)
        rows = slice(0, max(0, height - tile.y * one.shape.tile_height))
        columns = slice(0, max(0, width - tile.x * one.shape.tile_width))
        if not np.array_equal(first[rows, columns], second[rows, columns]):
            return False
    return True
