"""The flow of a classification of one slide, or of each image of a folder or a list."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from deeplab.bundles.read import read_card_for
from deeplab.config.classify_request import OUTPUTS, ClassifyRequest
from deeplab.config.progress import Progress, silent
from deeplab.errors import ConfigError, SourceError
from deeplab.exchange.beside import split_name
from deeplab.exchange.failures import Failures
from deeplab.files import check_spared, check_writable
from deeplab.inference.classify import ClassifyResult, Models, classify_slide, write_image_rows
from deeplab.inference.segment_each import NAME, find_slides, names_of
from deeplab.names import shown_name

log = logging.getLogger(__name__)

OF_EACH = tuple(name for name in OUTPUTS if name != "output_table")


def classify_each(request: ClassifyRequest, progress: Progress) -> str:
    """Classify a slide, or each image of a folder or a list, and return lines for a person.

    The model is loaded once. An image that fails is named, and the others are classified.

    Args:
        request: its `slide` may be a folder of images, a text file of one path a line, or a CSV
            with a column "slide" and, if wanted, "mpp". Then the table has one row an image, and
            the names of other results have "{slide}" in them.
        progress: is told of all images together.

    Raises:
        ConfigError: results of several images would have one name.
        SourceError: there is no image; or some could not be classified, after the others were.
    """
    slides = None if request.api_url else find_slides(Path(request.slide))
    if slides is None:
        own = split_name(Path(request.slide).name)[0]
        return classify_slide(_with_name(request, own), progress).summary()
    table, paths = request.output_table, [slide.path for slide in slides]
    if table:
        check_writable(table)
        check_spared([table], [*paths, request.model])
    read_card_for("classify", request.model)
    _check_names(request)
    failures, models = Failures(), Models()
    results: list[tuple[str, ClassifyResult]] = []
    for index, (slide, name) in enumerate(zip(slides, names_of(paths), strict=True)):
        one = replace(request, slide=str(slide.path), slide_mpp=slide.mpp or request.slide_mpp)
        with failures.sparing(shown_name(str(slide.path))):
            result = classify_slide(_with_name(one, name), silent, models)
            results.append((slide.path.name, result))
            log.info("%s", result.summary())
        progress("classify", index + 1, len(slides))
    if table and results:
        write_image_rows(table, results)
    if failures.sentences:
        raise SourceError(
            f"{len(failures.sentences)} of {len(slides)} images could not be classified: "
            + "; ".join(failures.sentences)
        )
    return _summary(results)


def _summary(results: Sequence[tuple[str, ClassifyResult]]) -> str:
    taken = [result.image_classes for _, result in results]
    counts = {name: taken.count(name) for name in sorted(set(taken))}
    said = ", ".join(f"{count} {name or 'none'}" for name, count in counts.items())
    return f"{len(results)} images were classified: {said}"


def _check_names(request: ClassifyRequest) -> None:
    """Raise ConfigError if a result of each image has not the name of its image in its own."""
    for name in OF_EACH:
        path = getattr(request, name)
        if path and NAME not in str(path):
            shape = path.with_name(f"{NAME}{path.suffix or '.anot'}")
            raise ConfigError(name, path, f"a name with {NAME} in it for several images: {shape}")


def _with_name(request: ClassifyRequest, name: str) -> ClassifyRequest:
    """Put the name of an image into those of its results."""
    given = {each: path for each in OUTPUTS if (path := getattr(request, each))}
    named: dict[str, Any] = {n: Path(str(path).replace(NAME, name)) for n, path in given.items()}
    return replace(request, **named)
