"""Patches with labels out of regions of slides that are named by the classes in them.

And patches with true masks, out of slides on which somebody has outlined everything in a region.
"""

from __future__ import annotations

import csv
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import shapely
from PIL import Image

from deeplab.annotations.raster.rasterize import ShapeIndex
from deeplab.annotations.shapes import Annotations, Area
from deeplab.config.from_labels_request import FromLabelsRequest
from deeplab.config.progress import Progress
from deeplab.data.centres import with_patients
from deeplab.data.export_patches import grid
from deeplab.errors import OutputError, SourceError
from deeplab.exchange.beside import split_name
from deeplab.exchange.labelled_images import BETWEEN
from deeplab.exchange.labelling import folded
from deeplab.exchange.samples import Sample, find_samples
from deeplab.files import safe_name, scratch_folder
from deeplab.geometry.frames import Level0Box, WorkBox, WorkFrame
from deeplab.report.words import counted
from deeplab.server.session import ServerLogin
from deeplab.slides.slide import Slide, open_slide
from deeplab.slides.tissue import tissue_mask
from deeplab.training.labelled_patches import IMAGES, MASKS, TEST, TRAIN, VAL

log = logging.getLogger(__name__)

PARTS = re.compile(r"[,;+]")  # between the classes in a region's name
NONE = "none"  # the name of a region that has none of the classes
TRUTH = "truth"  # of one in which all is outlined; gland-truth is the layer of a class in it
WIDEST = 1.5  # patches that a region of several classes may be wide: more of it may lack some
COVERED = 0.9  # of a patch in a region: its sides are those of work pixels, outlines' are not
MOST = 100_000  # patches; more take days to learn from and gigabytes to keep
LIST = "patches.csv"
COLUMNS = ("file", "label", "mpp", "patient")


@dataclass(frozen=True, slots=True)
class LabelledRegion:
    """A part of a slide and the classes that are in it; level-0 pixels."""

    area: Area
    classes: frozenset[str]


@dataclass(frozen=True, slots=True)
class OutlinedRegions:
    """Parts of a slide in which every class is outlined.

    Attributes:
        regions: these.
        outlines: a layer for each class that has some, in their order.
        values: of the pixels of each layer, from 1 on.
    """

    regions: tuple[LabelledRegion, ...]
    outlines: Annotations
    values: Mapping[str, int]


RegionsOfSlide = tuple[Sample, Sequence[LabelledRegion]]
OutlinesOfSlide = tuple[Sample, OutlinedRegions]


def cut_regions(
    request: FromLabelsRequest, progress: Progress
) -> tuple[FromLabelsRequest, tuple[str, ...]]:
    """Cut what is in the regions of slides into patches.

    Returns:
        The request to learn from them, and the ids of the Girder items that they are of, if they
        are of such.

    Patches stand side by side in a region; those of its last column and row are moved inwards. Of
    a region of several classes, which not every part of it may have, only the middle is taken.
    One without tissue is left out. A patch has the classes of all regions of one class that it
    lies in, too. They are kept in a folder of the work folder that is called after all that they
    depend on.

    Of a slide with regions in which all is outlined nothing is learnt; by its patches and their
    true masks the best model is chosen where its split is validation, else the models are judged.

    Raises:
        SourceError: no slide has such a region, a name is of no class, no patch fits in any, or a
            patient is learnt from and judges.
        ServerError, AnnotationError, SlideError, OutputError: as reading and writing do.
    """
    login = ServerLogin(request.api_url, request.token) if request.api_url else None
    found = with_patients(find_samples(request.source, classes=request.classes, login=login))
    slides: list[RegionsOfSlide] = []
    judged: list[OutlinesOfSlide] = []
    for sample in found.samples:
        drawn = sample.load()
        outlined = outlined_regions(drawn, request.classes)
        if outlined.regions and sample.split != "train":
            judged.append((sample, outlined))
        elif sample.split == "validation":
            why = f"its split is validation, and no layer {TRUTH} says where all is outlined"
            log.warning("%s is left out: %s", sample.name, why)
        elif regions := regions_of(drawn, sample.name, request.classes):
            slides.append((sample, regions))
    if not slides:
        raise SourceError(
            f"no slide of {request.source} has a region that is named by its classes; draw "
            f"rectangles in layers called after what is in them, as {', '.join(request.classes)} "
            f"or {NONE}"
        )
    _check_patients(slides, judged)
    folder = request.stage_folder("patches", _made_of(request, slides, judged))
    if folder.is_dir():
        log.info("regions were cut before: %s", folder)
    else:
        _cut(request, slides, judged, folder, progress)
    cut = replace(
        request,
        source=str(folder / TRAIN / LIST),
        labels="table",
        slide_mpp=request.work_mpp,
        api_url="",
        token="",
        checkpoint_folder="",
    )
    return cut, tuple(sample.slide for sample, _ in slides) if login else ()


def regions_of(
    annotations: Annotations, slide: str, classes: Sequence[str]
) -> tuple[LabelledRegion, ...]:
    """Return the shapes that are named by classes: by their group, else by their layer.

    Classes stand in a name with commas, semicolons or plus signs between them.

    Raises:
        SourceError: a name is of a class and of something else.
    """
    known = {folded(name): name for name in classes}
    regions = []
    for layer in annotations.layers:
        for shape in layer.shapes:
            name = str(shape.properties.get("group", layer.name))
            parts = [part.strip() for part in PARTS.split(name)]
            meant = frozenset(known[folded(part)] for part in parts if folded(part) in known)
            if folded(name) == NONE:
                regions.append(LabelledRegion(shape.polygon, frozenset()))
            elif meant:
                if strange := [part for part in parts if folded(part) not in known]:
                    raise SourceError(
                        f'{slide}: the region "{name}" names {strange[0] or "nothing"}, which is '
                        f"none of {', '.join(classes)}"
                    )
                regions.append(LabelledRegion(shape.polygon, meant))
    return tuple(regions)


def outlined_regions(annotations: Annotations, classes: Sequence[str]) -> OutlinedRegions:
    """Return the parts of a slide in which all is outlined, and the outlines of the classes."""
    names = {folded(name): name for name in annotations.names}
    bounds = annotations.layer(names[TRUTH]).shapes if TRUTH in names else ()
    labels = {folded(f"{name}-{TRUTH}"): label for label, name in enumerate(classes, start=1)}
    values = {names[name]: label for name, label in labels.items() if name in names}
    return OutlinedRegions(
        regions=tuple(LabelledRegion(shape.polygon, frozenset()) for shape in bounds),
        outlines=Annotations(tuple(map(annotations.layer, values))),
        values=values,
    )


def _check_patients(slides: Sequence[RegionsOfSlide], judged: Sequence[OutlinesOfSlide]) -> None:
    """Refuse a patient of whom slides are learnt from and others judge.

    Raises:
        SourceError: there is one.
    """
    learnt = {sample.patient: sample.name for sample, _ in slides if sample.patient}
    for sample, _ in judged:
        if sample.patient in learnt:
            raise SourceError(
                f"{sample.name} has regions {TRUTH}, which judge, and {learnt[sample.patient]} of "
                f"the same patient, {sample.patient}, is learnt from; leave one of them away, or "
                "let its split be train"
            )


def _made_of(
    request: FromLabelsRequest,
    slides: Sequence[RegionsOfSlide],
    judged: Sequence[OutlinesOfSlide],
) -> str:
    """Return what the patches depend on, as text."""
    sizes = f"{request.patch_size} {request.work_mpp} {request.slide_mpp}"
    said = [f"{TRAIN}/{LIST} {request.classes} {sizes}"]
    for sample, regions in slides:
        said.append(f"{sample.slide} {sample.name} {sample.mpp} {sample.patient}")
        said += [f"{sorted(each.classes)} {each.area.wkb_hex}" for each in regions]
    for sample, outlined in judged:
        said.append(f"{sample.slide} {sample.name} {sample.mpp} {sample.split} {TRUTH}")
        said += [each.area.wkb_hex for each in outlined.regions]
        for layer in outlined.outlines.layers:
            said += [f"{layer.name} {shape.polygon.wkb_hex}" for shape in layer.shapes]
    return "\n".join(said)


def _cut(
    request: FromLabelsRequest,
    slides: Sequence[RegionsOfSlide],
    judged: Sequence[OutlinesOfSlide],
    folder: Path,
    progress: Progress,
) -> None:
    """Write the patches of all slides and the table of them, in the published layout, all or none.

    Raises:
        SourceError: there is none, or there are too many.
    """
    rows: list[tuple[str, ...]] = []
    count = len(slides) + len(judged)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with scratch_folder(folder.parent) as scratch:
            begun = scratch / "patches"
            (begun / TRAIN).mkdir(parents=True)
            for number, (sample, regions) in enumerate(slides):
                progress("regions", number, count)
                with _opened(request, sample) as slide:
                    rows += _cut_slide(
                        request, sample, slide, regions, begun / TRAIN, taken=len(rows)
                    )
            if not rows:
                raise SourceError(
                    f"no patch of {request.patch_size} pixels at {request.work_mpp:g} um lies on "
                    "tissue in a region; draw larger ones, or choose a smaller patch_size"
                )
            with (begun / TRAIN / LIST).open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([COLUMNS, *rows])
            taken = 0
            for number, (sample, outlined) in enumerate(judged, start=len(slides)):
                progress("regions", number, count)
                with _opened(request, sample) as slide:
                    taken += _cut_outlined(request, sample, slide, outlined, begun, taken=taken)
            begun.rename(folder)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(folder, error.strerror or str(error)) from error
    progress("regions", count, count)


def _opened(request: FromLabelsRequest, sample: Sample) -> Slide:
    login = ServerLogin(request.api_url, request.token) if request.api_url else None
    return open_slide(sample.slide, mpp=sample.mpp or request.slide_mpp or None, server=login)


def _cut_slide(
    request: FromLabelsRequest,
    sample: Sample,
    slide: Slide,
    regions: Sequence[LabelledRegion],
    folder: Path,
    *,
    taken: int,
) -> list[tuple[str, ...]]:
    """Write the patches of a slide, and return their rows of the table."""
    frame = slide.frame(request.work_mpp)
    rows: list[tuple[str, ...]] = []
    for name, box, classes in _named_patches(request, sample, slide, regions, taken=taken):
        Image.fromarray(slide.read(frame, box)).save(folder / name, format="PNG")
        labels = BETWEEN.join(each for each in request.classes if each in classes)
        rows.append((name, labels, f"{request.work_mpp:.6g}", sample.patient or sample.name))
    log.info("%s: %s patches in %s", sample.name, f"{len(rows):,}", counted(len(regions), "region"))
    return rows


def _cut_outlined(
    request: FromLabelsRequest,
    sample: Sample,
    slide: Slide,
    outlined: OutlinedRegions,
    folder: Path,
    *,
    taken: int,
) -> int:
    """Write the patches of a slide with their true masks, and return how many there are.

    What is outlined as nothing has the value after those of the classes.
    """
    frame = slide.frame(request.work_mpp)
    index = ShapeIndex(outlined.outlines, outlined.values)
    part = folder / (VAL if sample.split == "validation" else TEST)
    count = 0
    for name, box, _ in _named_patches(request, sample, slide, outlined.regions, taken=taken):
        for called in (IMAGES, MASKS):
            (part / called).mkdir(parents=True, exist_ok=True)
        labels = index.draw(box, frame, ground=len(request.classes) + 1)
        Image.fromarray(slide.read(frame, box)).save(part / IMAGES / name, format="PNG")
        Image.fromarray(labels - 1).save(part / MASKS / name, format="PNG")
        count += 1
    log.info("%s: %s patches with true masks", sample.name, f"{count:,}")
    return count


def _named_patches(
    request: FromLabelsRequest,
    sample: Sample,
    slide: Slide,
    regions: Sequence[LabelledRegion],
    *,
    taken: int,
) -> Iterator[tuple[str, WorkBox, frozenset[str]]]:
    """Yield the patches of a slide that lie on tissue: the names of their files, boxes, classes.

    Raises:
        SourceError: there are too many, with those of the slides before.
    """
    frame, tissue = slide.frame(request.work_mpp), tissue_mask(slide)
    fitting = [each for each in regions if _fits(each, frame, request.patch_size)]
    if unfit := len(regions) - len(fitting):
        log.warning(
            "%s: %s left out: smaller than a patch, or of several classes and more than %g times "
            "as wide, as not every part of it may have all of them",
            sample.name, counted(unfit, "region"), WIDEST,
        )  # fmt: skip
    stem = f"{safe_name(split_name(sample.name)[0])}-{taken}"  # slides of two folders share names
    for box, classes in _patches(frame, fitting, request.patch_size):
        if not tissue.touches(frame, box):
            continue
        if taken == MOST:
            raise SourceError(
                f"the regions of {request.source} hold more than {MOST:,} patches; draw less, or "
                "choose a larger patch_size"
            )
        taken += 1
        yield f"{stem}-{box.x}-{box.y}.png", box, classes


def _box(region: LabelledRegion, frame: WorkFrame) -> WorkBox:
    x, y, right, bottom = region.area.bounds
    return frame.to_work(Level0Box(x, y, right - x, bottom - y)).intersection(frame.box)


def _fits(region: LabelledRegion, frame: WorkFrame, side: int) -> bool:
    box = _box(region, frame)
    is_small = len(region.classes) < 2 or max(box.width, box.height) <= WIDEST * side
    return is_small and min(box.width, box.height) >= side


def _patches(
    frame: WorkFrame, regions: Sequence[LabelledRegion], side: int
) -> Iterator[tuple[WorkBox, frozenset[str]]]:
    """Yield each patch that lies in a region of a slide, once, with its classes."""
    tree = shapely.STRtree([region.area for region in regions])
    seen = set()
    # What a region of several classes says is of its middle, so that this comes first.
    for region in sorted(regions, key=lambda each: -len(each.classes)):
        area = _box(region, frame)
        if len(region.classes) > 1:
            left, top = area.x + (area.width - side) // 2, area.y + (area.height - side) // 2
            area = WorkBox(left, top, side, side)
        for box in grid(area, side):
            if box in seen:
                continue
            seen.add(box)
            at = frame.to_level0(box)
            square = shapely.box(at.x0, at.y0, at.x0 + at.width, at.y0 + at.height)
            around = [
                each
                for each in map(regions.__getitem__, sorted(tree.query(square)))
                if (each is region or len(each.classes) < 2)
                and square.intersection(each.area).area >= COVERED * square.area
            ]
            if around:
                yield box, frozenset().union(*(each.classes for each in around))
