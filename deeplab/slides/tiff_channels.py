"""The channels of a TIFF by name: those of an OME-TIFF, pages that are a stain each, or samples."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tifffile
from tifffile import PHOTOMETRIC, SAMPLEFORMAT

from deeplab.errors import UnreadableSlideError
from deeplab.slides.faults import READ_FAULTS
from deeplab.slides.ome import ome_channels, parse_xml
from deeplab.slides.pixel_kinds import UPRIGHT, raise_unless_decodable
from deeplab.slides.pyramid import halvings_between
from deeplab.slides.tiff_pages import TiffImage, size_of

PAGE_NAME, ORIENTATION = 285, 274  # tags of TIFF
# Axes of tifffile's along which pages can be channels, the first that there is: channels by name,
# a sequence of pictures, or an axis that nobody named.
PAGE_AXES = "CIQ"
COLOURS = ("R", "G", "B")
SEVERAL_COLOURS = 3  # samples of a page from which on it may be of colours
AKOYA_NAMES = ("Biomarker", "Name")  # elements of the XML on each page of a QPTIFF
GREYS = (PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.RGB)


@dataclass(frozen=True, slots=True, kw_only=True)
class TiffChannels:
    """The channels of the largest picture of a TIFF.

    Attributes:
        names: of all, empty where one has none.
        levels: by the number of halvings, the page of each channel; one page of all where these
            are its samples.
    """

    names: tuple[str, ...]
    levels: Mapping[int, tuple[tifffile.TiffPage, ...]]

    @property
    def page(self) -> tifffile.TiffPage:
        """The first page of full size."""
        return self.levels[0][0]

    @property
    def are_samples(self) -> bool:
        """Whether the channels lie in one page."""
        return len(self.levels[0]) < len(self.names)

    def picture(self, indices: Sequence[int]) -> tuple[TiffImage, tuple[int, ...] | None]:
        """Return the pages of some channels, and which samples of a page are to be read; or all."""
        if self.are_samples:
            return TiffImage(levels=self.levels, bands=len(self.names)), tuple(indices)
        levels = {n: tuple(pages[i] for i in indices) for n, pages in self.levels.items()}
        return TiffImage(levels=levels, bands=len(self.names)), None


def channels_of(name: str, tiff: tifffile.TiffFile) -> TiffChannels:
    """Return the channels of a TIFF; of a stack those of its first picture.

    Raises:
        UnreadableSlideError: it holds none whose values can be told.
    """
    series = max(tiff.series, key=lambda each: math.prod(_size(each)), default=None)
    if series is None or not all(_size(series)):
        raise UnreadableSlideError(name, "is a TIFF without a picture")
    axis, count, stride = _page_axis(series)
    places = range(0, count * stride, stride)
    levels: dict[int, tuple[tifffile.TiffPage, ...]] = {}
    for level in _levels(tiff, series):
        pages = [level.pages[i] if i < len(level.pages) else None for i in places]
        there = tuple(page.aspage() for page in pages if page is not None)
        if len(there) < count:
            raise UnreadableSlideError(
                name, "lacks pages of its channels, or they lie in other files; give a whole file"
            )
        base = levels[0][0] if levels else there[0]
        halvings = halvings_between(size_of(base), size_of(there[0]))
        if halvings is not None and all(_form(page) == _form(base) for page in there):
            levels.setdefault(halvings, there)
    base = levels[0][0]
    _raise_unless_values(name, base)
    samples = base.samplesperpixel
    if samples > 1 and axis:
        raise UnreadableSlideError(
            name, f"has pages of {samples} samples each, so that they are no channels"
        )
    there = levels[0]
    names = _names(tiff, there) if samples == 1 else _names_of_samples(tiff, base)
    return TiffChannels(names=names, levels=levels)


def _size(series: tifffile.TiffPageSeries) -> tuple[int, int]:
    shape = dict(zip(series.axes, series.shape, strict=True))
    return int(shape.get("X", 0)), int(shape.get("Y", 0))


def _page_axis(series: tifffile.TiffPageSeries) -> tuple[str, int, int]:
    """Return the axis along which pages are channels, their number and pages between two."""
    axes = [(a, n) for a, n in zip(series.axes, series.shape, strict=True) if a not in "YXS"]
    for wanted in PAGE_AXES:
        for place, (axis, count) in enumerate(axes):
            if axis == wanted:
                return axis, int(count), math.prod(n for _, n in axes[place + 1 :])
    return "", 1, 1


def _levels(
    tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries
) -> Iterator[tifffile.TiffPageSeries]:
    """Yield the levels of a series, and others of as many pages, which may be levels of it."""
    yield from series.levels
    if tiff.is_ome:  # its XML says which pictures are levels
        return
    for other in tiff.series:
        if other is not series and (other.axes, len(other.pages)) == (
            series.axes,
            len(series.pages),
        ):
            yield other


def _form(page: tifffile.TiffPage) -> tuple[object, ...]:
    return (page.photometric, page.samplesperpixel, page.dtype, page.planarconfig)


def _raise_unless_values(name: str, page: tifffile.TiffPage) -> None:
    """Refuse pages whose samples are no values of brightness.

    Raises:
        UnreadableSlideError: with what they are.
    """
    raise_unless_decodable(name, page)
    numbers = (SAMPLEFORMAT.UINT, SAMPLEFORMAT.INT, SAMPLEFORMAT.IEEEFP)
    if page.photometric not in GREYS or page.sampleformat not in numbers or page.dtype is None:
        raise UnreadableSlideError(
            name,
            f"has pages of TIFF's kind {page.photometric:d} ({page.bitspersample} bits), whose "
            "samples are no brightness of a channel; write it anew as OME-TIFF",
        )
    orientation = page.tags.valueof(ORIENTATION, default=UPRIGHT)
    if orientation != UPRIGHT:
        raise UnreadableSlideError(
            name,
            f"is stored turned or mirrored (TIFF orientation {orientation}), which programs show "
            "differently; write it upright",
        )


def _names_of_samples(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> tuple[str, ...]:
    count = page.samplesperpixel
    if page.photometric == PHOTOMETRIC.RGB:
        return (*COLOURS, *[""] * (count - SEVERAL_COLOURS))[:count]
    told = _told(tiff, page)
    return told if len(told) == count else ("",) * count


def _names(tiff: tifffile.TiffFile, pages: Sequence[tifffile.TiffPage]) -> tuple[str, ...]:
    """Return the names of channels that are pages: as the file states them, else as pages do."""
    told = _told(tiff, pages[0])
    if len(told) == len(pages):
        return told
    return tuple(_name_of(page) for page in pages)


def _told(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> tuple[str, ...]:
    """Return the names in the description of the whole file, by OME, ImageJ or tifffile."""
    if tiff.is_ome:
        return ome_channels(tiff.ome_metadata, page.imagewidth, page.imagelength, page=page.index)
    if tiff.is_imagej:
        return _texts((tiff.imagej_metadata or {}).get("Labels"))
    for shaped in tiff.shaped_metadata or ():
        channel = shaped.get("Channel")
        if isinstance(channel, dict):
            return _texts(channel.get("Name"))
    return ()


def _texts(value: Any) -> tuple[str, ...]:  # noqa: ANN401  what a file states
    return tuple(str(each).strip() for each in value) if isinstance(value, list | tuple) else ()


def _name_of(page: tifffile.TiffPage) -> str:
    """Return the name of a page: TIFF's own, or that of a stain in Akoya's XML."""
    stated = str(page.tags.valueof(PAGE_NAME, default="")).strip("\0 ")
    if stated or not page.description.lstrip().startswith("<"):
        return stated
    try:
        root = parse_xml(page.description.replace(' encoding="utf-16"', "", 1))
    except READ_FAULTS:
        return ""
    found = (root.findtext(f".//{{*}}{element}") for element in AKOYA_NAMES)
    return next((text.strip() for text in found if text), "")
