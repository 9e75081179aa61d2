"""Tissue that somebody has drawn: masks that are called as the slides, nonzero where tissue is."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deeplab.annotations.formats.format import Reading
from deeplab.annotations.formats.mask_pictures import open_mask
from deeplab.annotations.formats.mask_place import MaskPlace, coarser
from deeplab.annotations.formats.mask_values import Pixels
from deeplab.errors import AnnotationError, SlideError
from deeplab.exchange.beside import MASKS, names_beside, plain_name, split_name
from deeplab.exchange.samples import files_in
from deeplab.files import real_place
from deeplab.slides.slide import Slide
from deeplab.slides.tissue import THUMBNAIL_PIXELS, TissueMask


def find_tissue_mask(path: Path, slide: str, source: str) -> Path:
    """Return the mask of a slide: `path` itself or, of a folder, the file with the slide's name.

    Args:
        path: a mask, or a folder of masks.
        slide: name of the slide.
        source: its path, as masks may lie beside it; or its id.

    Raises:
        SlideError: the folder has no mask of this slide.
        SourceError: the folder cannot be read.
    """
    if not path.is_dir():
        return path
    own = real_place(Path(source))
    files = {plain_name(file.name): file for file in files_in(path) if real_place(file) != own}
    # Rather one of the slide's name alone than one that says to hold labels or numbers of objects.
    for name in reversed(names_beside(slide, MASKS)):
        if name in files:
            return files[name]
    stem, _ = split_name(slide)
    raise SlideError(slide, f"has no tissue mask in {path}; call it {stem}{MASKS[0]}")


def read_tissue_mask(path: Path, slide: Slide) -> TissueMask:
    """Return the tissue of a slide where a mask of any size, laid over all of it, is not 0.

    What is transparent is 0. A mask of many pixels is made coarser: a pixel of the result is tissue
    if any below it is.

    Raises:
        SlideError: the mask is no PNG or TIFF, is damaged or has another shape than the slide.
    """
    try:
        return _read(path, slide)
    except AnnotationError as error:
        raise SlideError(slide.name, f"has a tissue mask that does not serve: {error}") from error


def _read(path: Path, slide: Slide) -> TissueMask:
    if path.suffix.lower() not in MASKS:
        raise AnnotationError(path, f"is none of {', '.join(MASKS)}")
    reading = Reading(
        width_level0=slide.width_level0, height_level0=slide.height_level0, mpp=slide.mpp
    )
    with open_mask(path, _is_tissue) as picture:
        place = MaskPlace.of(path, picture.size, None, picture.mpp, reading)
        pixels = picture.size.width * picture.size.height
        level = max(0, math.ceil(math.log2(pixels / THUMBNAIL_PIXELS) / 2))
        frame = coarser(place.frame, level)
        mask = np.zeros((frame.height, frame.width), np.bool_)
        for box, there in picture.pieces():
            rows, columns = np.nonzero(there)
            mask[(box.y + rows) >> level, (box.x + columns) >> level] = True
    return TissueMask(mask, frame)


def _is_tissue(pixels: Pixels, _path: Path) -> NDArray[np.bool_]:
    """Return which pixels (height, width) of pixels (height, width, channels) are not 0."""
    has_opacity = pixels.shape[2] in (2, 4)
    colours = pixels[:, :, :-1] if has_opacity else pixels
    there: NDArray[np.bool_] = np.any(colours, axis=2)
    return there & (pixels[:, :, -1] > 0) if has_opacity else there
