"""One page about a training from labels of patches: its stages, what they drew, and figures."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from deeplab.annotations.raster.rasterize import Labels
from deeplab.bundles.load import load_bundle
from deeplab.config.classes import IGNORE, ClassList
from deeplab.config.from_labels_request import FromLabelsRequest
from deeplab.inference.activation import activating_layers
from deeplab.report.page import Inside, image, page, table, tag, write_page
from deeplab.report.style import STYLE
from deeplab.report.words import as_score, listed, swatch
from deeplab.training.labelled_patches import LabelledPatches, mask_beside
from deeplab.training.mask_figures import ImageFigures, class_iou, read_labels
from deeplab.training.result import TrainResult

SHOWN = 6  # patches
SIDE = 224  # pixels of a picture on the page
STRENGTH = 0.6  # of what is laid over the tissue
GROUND = (255, 255, 255)  # where there is no class
Pixels = NDArray[np.uint8]  # (height, width, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class FromLabelsFacts:
    """What the page tells.

    Attributes:
        request: what was asked.
        patches: that were learnt from.
        classifier: the first stage.
        first: what its training came to; None: it had been trained.
        second: what that of the segmenter came to.
        masks: folder of the pseudo masks.
        sets: of these, that of the last layer first.
        of_masks: figures of each set against true masks, where there are some.
        figures: of the models on patches with true masks, where there are some.
    """

    request: FromLabelsRequest
    patches: LabelledPatches
    classifier: Path
    first: TrainResult | None
    second: TrainResult
    masks: Path
    sets: tuple[str, ...]
    of_masks: Mapping[str, ImageFigures]
    figures: Mapping[str, ImageFigures]


def write_from_labels(path: Path, facts: FromLabelsFacts) -> None:
    """Write the page, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    title = f"Training of {facts.request.output_model.name} from labels of patches"
    write_page(path, page(title, STYLE, list(_sections(title, facts))))


def figure_line(name: str, figures: ImageFigures, classes: tuple[str, ...]) -> str:
    """Return the most important figures as a line of text."""
    pooled = figures.pooled
    of_classes = ", ".join(
        f"{each} {value:.4f}" for each, value in zip(classes, pooled.iou[1:], strict=True)
    )
    return (
        f"  {name}: mean IoU {class_iou(pooled):.4f}, frequency weighted "
        f"{pooled.frequency_weighted_iou:.4f}, accuracy {pooled.accuracy:.4f} (IoU: {of_classes})"
    )


def _sections(title: str, facts: FromLabelsFacts) -> Iterator[Markup]:
    patches = facts.patches
    yield tag("header", tag("h1", title), tag("p", "histomics-deeplab"))
    had = [
        f"{name} in {sum(name in each.labels for each in patches.images)}"
        for name in patches.classes
    ]
    lead = f"Learnt from {len(patches.images):,} patches whose classes are known: "
    yield tag("p", lead + f"{listed(had)}.", class_="lead")
    yield from _final(facts)
    yield from _classification(facts)
    yield from _drawn(facts)
    yield from _second(facts)


def _final(facts: FromLabelsFacts) -> Iterator[Markup]:
    yield tag("h2", "How good it is")
    if not facts.figures:
        yield tag("p", "No patch has a true mask, so nobody knows.")
        return
    test = facts.patches.test
    count = len(next(iter(facts.figures.values())).of_each)
    chosen = "of which nothing was learnt or chosen" if test else "by which the best was chosen"
    said = f"Judged on {count:,} patches with true masks, {chosen}."
    yield tag("p", said)
    yield _table("Learnt from", facts.figures, facts)
    yield tag(
        "p",
        "Mean IoU is of the classes; in brackets, in 95 of 100 draws of as many patches.",
        class_="note",
    )


def _table(head: str, figures: Mapping[str, ImageFigures], facts: FromLabelsFacts) -> Markup:
    rows: list[list[Inside]] = []
    for name, each in figures.items():
        pooled, bounds = each.pooled, each.bounds(facts.request.seed)
        mean = as_score(class_iou(pooled))
        mean += f" ({as_score(bounds[0])} to {as_score(bounds[1])})" if bounds else ""
        values = (pooled.frequency_weighted_iou, pooled.accuracy, *pooled.iou[1:])
        rows.append([name, mean, *(as_score(float(value)) for value in values)])
    of_classes = (f"IoU {name}" for name in facts.patches.classes)
    columns = [head, "mean IoU", "frequency weighted IoU", "accuracy", *of_classes]
    return table(columns, rows)


def _classification(facts: FromLabelsFacts) -> Iterator[Markup]:
    yield tag("h2", "Stage 1: which classes a patch has")
    if facts.first is None:
        yield tag("p", f"{facts.classifier.name} had been trained before.")
        return
    if not facts.first.metrics:
        yield tag("p", "No patch was held out, so nobody knows how good the classifier is.")
        return
    rows = [[name, as_score(value)] for name, value in facts.first.metrics.items()]
    yield table(["Of patches held out", "figure"], rows)


def _second(facts: FromLabelsFacts) -> Iterator[Markup]:
    yield tag("h2", "Stage 2: the training of the segmenter")
    on = "true masks" if facts.patches.validation else "pseudo masks of patches held out"
    rows = [[name, as_score(value)] for name, value in facts.second.metrics.items()]
    yield table([f"Against {on}", "figure"], rows)


def _drawn(facts: FromLabelsFacts) -> Iterator[Markup]:
    classes = facts.patches.class_list
    yield tag("h2", "What was drawn")
    if facts.of_masks:
        yield _table("Pseudo masks against true masks", facts.of_masks, facts)
    yield tag("p", [(swatch(each), " ") for each in classes])
    for shown in _examples(facts):
        yield tag("p", f"{shown.name}: {listed(list(shown.labels))}.")
        figures = [
            tag("figure", _image(picture, f"{shown.name}: {head}"), tag("figcaption", head))
            for head, picture in shown.pictures.items()
        ]
        yield tag("div", figures, class_="gallery")


def _image(picture: Pixels, told: str) -> Markup:
    content = io.BytesIO()
    Image.fromarray(picture).save(content, "PNG")
    return image(content.getvalue(), "png", told)


@dataclass(frozen=True, slots=True)
class _Example:
    """A patch and what was drawn of it, pictures of one size by what they show."""

    name: str
    labels: tuple[str, ...]
    pictures: Mapping[str, Pixels]


def _examples(facts: FromLabelsFacts) -> Iterator[_Example]:
    """Yield the patches that are shown, those of most classes first."""
    images = sorted(facts.patches.images, key=lambda each: (-len(each.labels), each.name))
    bundle = load_bundle(facts.classifier)
    side, classes = bundle.card.config.crop_size, facts.patches.class_list
    taps = bundle.family.taps
    if taps is None:
        raise AssertionError  # it has drawn the pseudo masks
    *_, (name, layer) = taps(bundle.card.config, bundle.network).items()
    predict = activating_layers(bundle.network, {name: layer}, side=side, above_zero=True)
    for each in images[:SHOWN]:
        with Image.open(each.path) as opened:
            rgb = np.asarray(opened.convert("RGB"))
        pictures = {"as scanned": rgb}
        # Of the whole patch at once, as coarse as the classifier sees it.
        seen = np.asarray(cv2.resize(rgb, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
        activation = predict(seen[None])[name][0]
        for at, label in enumerate(facts.patches.classes):
            if label in each.labels:
                pictures[f"speaks for {label}"] = _heated(seen, activation[..., at])
        for called in facts.sets:
            labels = read_labels(
                mask_beside(each.path, facts.masks / called), facts.patches.classes, beyond=0
            )
            pictures[called] = _coloured(labels, classes)
        if facts.patches.truth_folder:
            truth = mask_beside(each.path, facts.patches.truth_folder)
            labels = read_labels(truth, facts.patches.classes, beyond=0)
            pictures["truth"] = _coloured(labels, classes)
        yield _Example(each.name, each.labels, {k: _shown(v) for k, v in pictures.items()})


def _heated(rgb: Pixels, activation: NDArray[np.float32]) -> Pixels:
    """Return tissue under what speaks for a class, (height, width, 3)."""
    most = float(activation.max())
    level = (255 * activation / most if most > 0 else 0 * activation).astype(np.uint8)
    heat = cv2.cvtColor(cv2.applyColorMap(level, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    return np.rint(STRENGTH * heat + (1 - STRENGTH) * rgb).astype(np.uint8)


def _coloured(labels: Labels, classes: ClassList) -> Pixels:
    """Return labels in the colours of their classes, (height, width, 3)."""
    colours = np.full((IGNORE + 1, 3), GROUND, np.uint8)
    for label, each in enumerate(classes, start=1):
        colours[label] = each.colour
    return colours[labels]


def _shown(picture: Pixels) -> Pixels:
    resized = cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)
    return np.asarray(resized, np.uint8)
