"""Whether a TIFF is all there, before any of its pixels is asked for.

Readers paint what they miss black or white, or take it from a coarser level; a file that was cut
short while copying would then be a slide with less tissue.
"""

from __future__ import annotations

import logging
import struct
from dataclasses import dataclass
from pathlib import Path

import tifffile

from deeplab.errors import UnreadableSlideError
from deeplab.slides.faults import READ_FAULTS

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class TiffFacts:
    """What the directories of a TIFF say.

    Attributes:
        is_tiff: of other files nothing is known.
        has_empty_tiles: as some scanners leave out glass.
    """

    is_tiff: bool
    has_empty_tiles: bool = False


def tiff_facts(path: Path) -> TiffFacts:
    """Return what there is to know of the file at `path` without reading its pixels.

    Raises:
        UnreadableSlideError: it is a TIFF that ends before what it lists.
    """
    try:
        size = path.stat().st_size
        with tifffile.TiffFile(path) as tiff:
            end = _end_of_directories(tiff)
            empty = False
            for page in tiff.pages:
                counts, offsets = page.databytecounts, page.dataoffsets
                end = max([end, *map(sum, zip(offsets, counts, strict=True))])
                key = page.keyframe
                empty = empty or (key is not None and key.is_tiled and 0 in counts)
            if not len(tiff.pages):
                raise UnreadableSlideError(path.name, "is cut short or damaged; copy it again")
    except tifffile.TiffFileError as error:
        logger.debug("%s is no TIFF: %s", path.name, error)
        return TiffFacts(is_tiff=False)
    except READ_FAULTS as error:
        raise UnreadableSlideError(
            path.name, f"is cut short or damaged; copy it again ({error})"
        ) from error
    if end > size:
        raise UnreadableSlideError(
            path.name, f"is cut short: it has {size:,} bytes of at least {end:,}; copy it again"
        )
    return TiffFacts(is_tiff=True, has_empty_tiles=empty)


def _end_of_directories(tiff: tifffile.TiffFile) -> int:
    """Return the offset of the directory after the last one that can be read; 0 for none."""
    count = len(tiff.pages)  # walks through all of them
    place = tiff.pages.next_page_offset
    if not count or not place:
        return 0
    tiff.filehandle.seek(place)
    raw = tiff.filehandle.read(tiff.tiff.offsetsize)
    return int(struct.unpack(tiff.tiff.offsetformat, raw)[0])
