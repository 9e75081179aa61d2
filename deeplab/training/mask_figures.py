"""How well labels of patches agree with their true masks, patch by patch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from deeplab.annotations.formats.format import Reading
from deeplab.annotations.formats.mask_pictures import open_mask
from deeplab.annotations.formats.mask_values import ValueReader, from_zero
from deeplab.annotations.raster.rasterize import Labels
from deeplab.config.classes import IGNORE
from deeplab.config.from_labels_request import FromLabelsRequest
from deeplab.config.progress import silent
from deeplab.config.pseudo_mask_request import PseudoMaskRequest
from deeplab.config.requests import SegmentRequest
from deeplab.evaluation.semantic import Confusion
from deeplab.exchange.image_sources import images_in
from deeplab.exchange.pseudo_mask_folder import FOLDER
from deeplab.files import scratch_folder
from deeplab.inference.predictors import Predictors
from deeplab.inference.pseudo_masks import make_pseudo_masks
from deeplab.inference.segment import segment_slide
from deeplab.training.labelled_patches import mask_beside
from deeplab.training.validation.results import spread


@dataclass(frozen=True, slots=True)
class ImageFigures:
    """The confusions of several patches.

    Attributes:
        of_each: by the name of the patch.
    """

    of_each: Mapping[str, Confusion]

    @property
    def pooled(self) -> Confusion:
        """All patches together."""
        first, *others = self.of_each.values()
        return reduce(add, others, first)

    def bounds(self, seed: int) -> tuple[float, float] | None:
        """Return `class_iou` in 95 of 100 draws of the patches; None of fewer than three."""
        return spread(list(self.of_each.values()), seed, class_iou)


def class_iou(tally: Confusion) -> float:
    """Return the mean IoU of the classes that occur, as it is published; NaN where none does.

    True masks have no background, so that has no IoU; what is wrongly taken for it is missed.
    """
    known = tally.iou[1:][~np.isnan(tally.iou[1:])]
    return float(known.mean()) if known.size else float("nan")


def judge_model(
    model: Path,
    images: Path,
    masks: Path,
    classes: tuple[str, ...],
    request: FromLabelsRequest,
) -> ImageFigures:
    """Return the figures of a model that segments patches with true masks.

    Raises:
        BundleError, SlideError, AnnotationError, DeviceError, OutputError: as segmenting does.
    """
    predictors = Predictors()
    with scratch_folder() as folder:

        def predicted(image: Path) -> Labels:
            output = folder / f"{image.stem}.tiff"
            segment_slide(
                SegmentRequest(
                    slide=str(image),
                    model=model,
                    output_mask=output,
                    slide_mpp=request.slide_mpp,
                    tissue="off",
                    runtime="tensorflow",  # as they were validated; a graph to convert takes longer
                    gpu=request.gpu,
                ),
                silent,
                predictors,
            )
            labels = _values(output)
            output.unlink()
            return labels

        return _figures(images, masks, classes, predicted)


def judge_cam(request: PseudoMaskRequest, masks: Path, classes: tuple[str, ...]) -> ImageFigures:
    """Return the figures of the pseudo masks of the last layer, of classes that are not told.

    Raises:
        BundleError, SlideError, AnnotationError, DeviceError, OutputError: as drawing them does.
    """
    result = make_pseudo_masks(request)
    last = request.output / FOLDER.format(list(result.layers)[-1])
    return judge_masks(masks, last, classes, images=request.source)


def judge_masks(
    truth: Path, masks: Path, classes: tuple[str, ...], *, images: Path | None = None
) -> ImageFigures:
    """Return the figures of pseudo masks against true ones of the same names.

    Args:
        truth: folder of true masks.
        masks: folder of pseudo masks.
        classes: names.
        images: folder of the patches; None: all pseudo masks are compared.

    Raises:
        AnnotationError: a mask cannot be read.
    """

    def drawn(image: Path) -> Labels:
        return read_labels(mask_beside(image, masks), classes, beyond=0)

    return _figures(images or masks, truth, classes, drawn)


def read_labels(path: Path, classes: tuple[str, ...], *, beyond: int) -> Labels:
    """Return the labels uint8 (height, width) of a mask whose values 0, 1, ... are the classes.

    Args:
        path: of the mask.
        classes: names.
        beyond: label of the value after them.

    Raises:
        AnnotationError: it cannot be read, or has another value.
    """
    return from_zero(_values(path), Reading(classes=classes, beyond=beyond), path)


def _figures(
    images: Path,
    masks: Path,
    classes: tuple[str, ...],
    labels_of: Callable[[Path], Labels],
) -> ImageFigures:
    found = {}
    for image in images_in(images):
        truth = read_labels(mask_beside(image, masks), classes, beyond=IGNORE)
        labels = labels_of(image)
        if labels.shape != truth.shape:  # the model works at another scale than the patches
            size = truth.shape[::-1]
            resized = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST_EXACT)
            labels = resized.astype(np.uint8)
        tally = Confusion(len(classes) + 1)
        tally.add(truth, labels)
        found[image.name] = tally
    return ImageFigures(found)


def _values(path: Path) -> NDArray[np.uint8]:
    """Return all values of a mask, uint8 (height, width)."""
    with open_mask(path, ValueReader()) as picture:
        values = np.zeros((picture.size.height, picture.size.width), np.uint8)
        for box, part in picture.pieces():
            values[box.within(picture.size)] = part
    return values
