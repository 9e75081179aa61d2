"""The flow of pseudo masks: images and a patch classifier in, a mask of each layer out."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deeplab import __version__
from deeplab.bundles.card import Card
from deeplab.bundles.read import read_card_for
from deeplab.config.classify_request import AS_THE_MODEL
from deeplab.config.families import classes_exclude
from deeplab.config.progress import Progress, silent
from deeplab.config.pseudo_mask_request import Background, PseudoMaskRequest
from deeplab.errors import ConfigError, SlideError, SourceError
from deeplab.exchange.beside import split_name
from deeplab.exchange.failures import Failures
from deeplab.exchange.labelled_images import LabelledImage, labelled_images
from deeplab.exchange.pseudo_mask_folder import FOLDER, RECORD
from deeplab.files import all_or_none, check_spared, check_writable, file_digest, whole_file
from deeplab.geometry.frames import WorkFrame
from deeplab.geometry.grid import TilePlan, TileSlot
from deeplab.inference.classify import patch_plan, thresholds
from deeplab.inference.collectors.patches import least_scores, taken_for
from deeplab.inference.decode import tile_decoder
from deeplab.inference.plan import Area, open_as_learnt, work_frame
from deeplab.inference.pseudo_mask import pseudo_mask
from deeplab.inference.segment_each import find_slides
from deeplab.inference.stream import predict_tiles
from deeplab.models.answers import PatchAnswer
from deeplab.names import shown_name
from deeplab.native_log import remarks_left_out
from deeplab.slides.slide import Slide
from deeplab.slides.tissue import find_bright_ground, find_bright_tissue, find_tissue

if TYPE_CHECKING:
    from deeplab.inference.stream import Predict

log = logging.getLogger(__name__)

WHITE = (255, 255, 255)
TISSUE_UM = 4.0  # per pixel: glass is even at this scale, and a few cells still show
MOST_PIXELS = 2**28  # of an image: a mask of each layer is in memory


class _Model(NamedTuple):
    """A model that is ready.

    Attributes:
        layers: that are drawn, by their short names.
        predict: patches to logits and activations.
        decode: the maps of a patch to its answer.
    """

    layers: Mapping[str, str]
    predict: Predict
    decode: Callable[[Any], PatchAnswer]


@dataclass(frozen=True, slots=True, kw_only=True)
class PseudoMaskResult:
    """What was drawn.

    Attributes:
        images: how many have masks.
        layers: that were drawn, by their short names.
        output: the folder.
    """

    images: int
    layers: Mapping[str, str]
    output: Path

    def summary(self) -> str:
        """Return a line for a person."""
        names = ", ".join(FOLDER.format(name) for name in self.layers)
        return f"{self.images} images have masks in {self.output}: {names}"


def make_pseudo_masks(request: PseudoMaskRequest, progress: Progress = silent) -> PseudoMaskResult:
    """Draw the masks of all images that a request names.

    An image that cannot be read is named at the end, and the others are drawn.

    Raises:
        BundleError, ConfigError, DeviceError, OutputError: as named.
        SourceError: there are no images, labels make no sense, two images have one name; or some
            could not be read, after the others were.
    """
    card = read_card_for("classify", request.model)
    request = replace(request, background=_background(request, card))
    images = _images(request, card)
    check_spared([request.output / RECORD], [*(each.path for each in images), request.model])
    check_writable(request.output / RECORD)
    with remarks_left_out():
        model = _load(request)
    (request.output / RECORD).unlink(missing_ok=True)  # of other masks, whose places these take
    failures = Failures()
    for number, image in enumerate(images, start=1):
        with failures.sparing(shown_name(str(image.path))):
            _draw(request, card, model, image)
        progress("draw", number, len(images))
    drawn = len(images) - len(failures.sentences)
    _write_record(request, card, model.layers, drawn)
    if failures.sentences:
        raise SourceError(
            f"{len(failures.sentences)} of {len(images)} images have no masks: "
            + "; ".join(failures.sentences)
        )
    return PseudoMaskResult(images=drawn, layers=model.layers, output=request.output)


def _background(request: PseudoMaskRequest, card: Card) -> Background:
    """Return what no class is drawn on.

    Raises:
        ConfigError: it is told by a brightness that fluorescence has not.
    """
    colours = card.config.channels.are_colours
    if request.background == "auto":
        return "bright" if colours else "tissue"
    if request.background == "bright" and not colours:
        seen = ", ".join(card.config.channels.names)
        must = f"tissue or none: the model sees channels ({seen}), whose ground is dark"
        raise ConfigError("background", request.background, must)
    return request.background


def _images(request: PseudoMaskRequest, card: Card) -> list[LabelledImage]:
    """Return the images with their labels; where the model says these, with none.

    Raises:
        SourceError, ConfigError: as `make_pseudo_masks` does.
    """
    names, source = card.classes.names, str(request.source)
    if request.labels == "scores":
        slides = find_slides(request.source)
        paths = [(request.source, 0.0)] if slides is None else [(s.path, s.mpp) for s in slides]
        images = [
            LabelledImage(source=str(path), name=path.name, labels=(), where=source, mpp=mpp)
            for path, mpp in paths
        ]
    else:
        exclusive = classes_exclude(card.config)
        images = labelled_images(source, labels=request.labels, classes=names, exclusive=exclusive)
    seen: dict[str, LabelledImage] = {}
    for image in images:
        first = seen.setdefault(_mask_name(image.path).casefold(), image)
        if first is not image:
            raise SourceError(
                f"{image.path} and {first.path} would have masks of one name; rename one of them"
            )
        for label in image.labels:
            if label not in names:
                known = ", ".join(names)
                raise SourceError(
                    f"{image.where}: {image.name} has the label {label}, which is none of the "
                    f"model's classes: {known}"
                )
    return images


def _mask_name(image: Path) -> str:
    return split_name(image.name)[0] + ".png"


def _load(request: PseudoMaskRequest) -> _Model:
    from deeplab.bundles.load import load_bundle  # noqa: PLC0415  TensorFlow takes seconds
    from deeplab.device import choose_device  # noqa: PLC0415
    from deeplab.inference.activation import activating_layers  # noqa: PLC0415

    choose_device(request.gpu)
    bundle = load_bundle(request.model)
    taps, config = bundle.family.taps, bundle.card.config
    if taps is None:
        raise ConfigError("model", request.model, "one classifier of patches, not several")
    layers = _asked(request, taps(config, bundle.network))
    predict = activating_layers(
        bundle.network, layers, side=config.crop_size, above_zero=request.activation == "cam"
    )
    decode: Any = tile_decoder(config)
    return _Model(layers, predict, decode)


def _asked(request: PseudoMaskRequest, found: Mapping[str, str]) -> Mapping[str, str]:
    """Return the layers to draw, of those that an encoder has.

    Raises:
        ConfigError: one is asked for that it has not, or that has no CAM.
    """
    last = list(found)[-1]
    if request.activation == "cam":
        if set(request.layers) - {last}:
            must = f"{last} for cam, which only the last layer has; grad_cam is of all of them"
            raise ConfigError("layers", ", ".join(request.layers), must)
        return {last: found[last]}
    for name in request.layers:
        if name not in found:
            must = f"some of {', '.join(found)}; the model's card names others as taps"
            raise ConfigError("layers", name, must)
    return {name: found[name] for name in request.layers or found}


def _draw(request: PseudoMaskRequest, card: Card, model: _Model, image: LabelledImage) -> None:
    """Write the masks of an image, all of them or none."""
    mpp = image.mpp or request.slide_mpp
    with open_as_learnt(str(image.path), request, card, mpp=mpp, login=None) as slide:
        frame = work_frame(request, card, slide)
        if max(frame.width * frame.height, slide.width_level0 * slide.height_level0) > MOST_PIXELS:
            raise SlideError(
                image.name,
                "is too large for a mask; give it to deeplab classify, which outlines what speaks "
                "for its classes (--activations pseudo_masks)",
            )
        ground = _ground(slide, frame, request.background)
        masks = {
            name: np.full((frame.height, frame.width), len(card.classes), np.uint8)
            for name in model.layers
        }
        for slot, presence, activations in _patches(request, card, model, slide, frame, image):
            write, inside = slot.write, slot.write.within(slot.read)
            placed = write.within(frame.box)
            for name, activation in activations.items():
                part = None if ground is None else ground[placed]
                masks[name][placed] = pseudo_mask(activation[inside], presence, part)
        slide.check_unchanged()
        size = (slide.width_level0, slide.height_level0)
    folders = {name: request.output / FOLDER.format(name) for name in masks}
    file, colours = _mask_name(image.path), [each.colour for each in card.classes]
    writers = {
        folders[name] / file: partial(_write_mask, mask=mask, size=size, colours=colours)
        for name, mask in masks.items()
    }
    with all_or_none(writers):
        pass


def _patches(
    request: PseudoMaskRequest,
    card: Card,
    model: _Model,
    slide: Slide,
    frame: WorkFrame,
    image: LabelledImage,
) -> Iterator[tuple[TileSlot, NDArray[np.bool_], Mapping[str, NDArray[np.float32]]]]:
    """Yield each patch of an image with the classes that it has and what speaks for each."""
    area = Area.of((), frame)
    plan: TilePlan = patch_plan(request.stride, card, area)
    names = card.classes.names
    labelled = np.array([name in image.labels for name in names])
    asked = thresholds(request.threshold, card)
    tiles = predict_tiles(
        slide.read,
        frame,
        ((slot, True) for slot in plan),
        predict=model.predict,
        decode=lambda maps: (model.decode(maps), {n: maps[n] for n in model.layers}),
        batch_size=request.batch_size,
    )
    for slot, decoded in tiles:
        if decoded is None:
            continue
        answer, activations = decoded
        presence = labelled
        if request.labels == "scores":
            least = least_scores(asked, exclusive=answer.exclusive)
            taken = taken_for(answer.scores, least, exclusive=answer.exclusive)
            presence = np.isin(np.arange(len(names)), taken)
        yield slot, presence, activations


def _ground(slide: Slide, frame: WorkFrame, kind: Background) -> NDArray[np.bool_] | None:
    """Return where an image shows no class, (frame.height, frame.width); None: nowhere."""
    if kind == "none":
        return None
    if kind == "bright":
        return find_bright_ground(slide.read(frame, frame.box))
    coarse = slide.frame(max(TISSUE_UM, frame.work_mpp))
    find = find_tissue if slide.channels.are_colours else find_bright_tissue
    tissue = find(slide.read(coarse, coarse.box)).astype(np.uint8)
    size = (frame.width, frame.height)
    ground: NDArray[np.bool_] = cv2.resize(tissue, size, interpolation=cv2.INTER_NEAREST_EXACT) == 0
    return ground


def _write_mask(
    path: Path,
    *,
    mask: NDArray[np.uint8],
    size: tuple[int, int],
    colours: Sequence[tuple[int, int, int]],
) -> None:
    """Write a PNG with a palette, of the size (width, height) of its image."""
    if mask.shape[::-1] != size:
        mask = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST_EXACT).astype(np.uint8)
    picture = Image.fromarray(mask)
    picture.putpalette([value for colour in (*colours, WHITE) for value in colour])
    picture.save(path, format="PNG")


def _write_record(
    request: PseudoMaskRequest, card: Card, layers: Mapping[str, str], images: int
) -> None:
    """Write what the values of the masks mean and where they come from."""
    values: dict[str, Any] = {
        "version": __version__,
        "model": {"name": request.model.name, "sha256": file_digest(request.model)},
        "values": {str(at): name for at, name in enumerate(card.classes.names)},
        "background": len(card.classes),
        "layers": dict(layers),
        "images": images,
        "labels": request.labels,
        "activation": request.activation,
        "background by": request.background,
    }
    if request.labels == "scores" and request.threshold != AS_THE_MODEL:
        values["threshold"] = request.threshold
    with whole_file(request.output / RECORD) as path:
        path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
