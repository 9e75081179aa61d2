"""The flow of a segmentation of one slide, or of each slide of a folder or a list."""

from __future__ import annotations

import csv
import logging
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from deeplab.config.checks import check_range
from deeplab.config.progress import Progress
from deeplab.config.requests import SEGMENT_OUTPUTS, SegmentRequest
from deeplab.errors import ConfigError, SourceError
from deeplab.exchange.beside import SLIDES, is_mask, is_picture, split_name
from deeplab.exchange.failures import Failures
from deeplab.exchange.samples import files_in, mpp_of, path_at, rows_of
from deeplab.exchange.slide_entries import is_slide_folder, slide_folders
from deeplab.files import check_spared
from deeplab.inference.predictors import Predictors
from deeplab.inference.segment import segment_slide
from deeplab.inference.segment_on_ray import segment_on_ray
from deeplab.inference.timings import Timings
from deeplab.names import shown_name
from deeplab.report.words import counted
from deeplab.slides.dicom import one_of_each_series

log = logging.getLogger(__name__)

NAME = "{slide}"  # in the name of a result: the name of its slide
LISTS = (".txt", ".csv")
STEPS = 1000  # of progress, for a slide of many


@dataclass(frozen=True, slots=True)
class SlideToSegment:
    """One slide of many.

    Attributes:
        path: of it.
        mpp: um per level-0 pixel that the list gives it; 0: none.
    """

    path: Path
    mpp: float = 0.0


def segment_each(request: SegmentRequest, progress: Progress, *, ran_s: float = 0.0) -> str:
    """Segment a slide, or each one of a folder or a list, and return a few lines for a person.

    The model is loaded once. A slide that fails is named, and the others are segmented.

    Args:
        request: its `slide` may be a folder of slides, a text file of one path a line, or a CSV
            with a column "slide" and, if wanted, "mpp". Then each result has "{slide}" in its name.
        progress: is told of all slides together.
        ran_s: seconds that a process ran before, for the timings of the first slide.

    Raises:
        ConfigError: results of several slides would have one name, or their tissue is in one mask.
        SourceError: there is no slide; or some could not be segmented, after the others were.
        DeviceError: there is no such cluster of Ray.
    """
    timings = Timings(ran_s)
    slides = None if request.api_url else find_slides(Path(request.slide))
    if slides is None:
        if request.ray:
            raise ConfigError("ray", request.ray, "left away where one slide is segmented")
        own = split_name(Path(request.slide).name)[0]
        return segment_slide(_with_name(request, own), progress, timings=timings).summary()
    requests = dict(_requests(request, slides))
    check_spared(
        [path for one in requests.values() for path in one.outputs], [s.path for s in slides]
    )
    left = {name: one for name, one in requests.items() if not (one.skip_done and _is_done(one))}
    done = len(requests) - len(left)
    if done:
        log.info("%s done before", counted(done, "slide"))
    if request.ray and left:
        said, problems = _on_ray(left, progress)
    else:
        said, problems = _here(left, progress, timings)
    if problems:
        raise SourceError(
            f"{len(problems)} of {len(requests)} slides could not be segmented: "
            + "; ".join(problems)
        )
    were = "was" if len(said) == 1 else "were"
    before = f", {counted(done, 'slide')} before" if done else ""
    return "\n".join([*said, f"{counted(len(said), 'slide')} {were} segmented{before}"])


def _is_done(request: SegmentRequest) -> bool:
    """Return whether all results of a slide are there: they are written whole or not at all."""
    return all(path.is_file() for path in request.outputs)


def _here(
    requests: Mapping[str, SegmentRequest], progress: Progress, timings: Timings
) -> tuple[list[str], list[str]]:
    """Segment slides one after the other; returns what was found, and why some were not."""
    failures, predictors, said = Failures(), Predictors(), list[str]()
    for index, (name, one) in enumerate(requests.items()):
        with failures.sparing(name):
            part = _part(progress, index, len(requests))
            taken = timings if index == 0 else Timings()
            said.append(segment_slide(one, part, predictors, taken).summary())
            log.info("%s", said[-1])
    return said, failures.sentences


def _on_ray(
    requests: Mapping[str, SegmentRequest], progress: Progress
) -> tuple[list[str], list[str]]:
    """Segment slides on a cluster; returns what was found, and why some were not."""
    said, problems = list[str](), list[str]()
    for end in segment_on_ray(requests, progress):
        if end.problem:
            log.warning("%s", end.problem)
            problems.append(end.problem)
        else:
            log.info("%s", end.found)
            said.append(end.found)
    return said, problems


def find_slides(path: Path) -> list[SlideToSegment] | None:
    """Return the slides of a folder or a list, in order; None where the path is one slide's.

    A slide that is there several times, by whatever path, is returned once; a line says so.

    Raises:
        SourceError: a list cannot be read, names what is not there or gives a slide two scales, or
            there is no slide.
    """
    if path.is_dir() and not is_slide_folder(path):
        slides = [SlideToSegment(each) for each in _in_folder(path)]
    elif path.suffix.lower() in LISTS and path.is_file():
        slides = list(_in_list(path))
    else:
        return None
    if not slides:
        raise SourceError(f"there is no slide in {path}")
    return _each_once(slides, path)


def _each_once(slides: Sequence[SlideToSegment], where: Path) -> list[SlideToSegment]:
    """Return one entry of each slide, rather a file than a link, with the scale of any of them."""
    entries: dict[Path, list[SlideToSegment]] = defaultdict(list)
    for slide in slides:
        entries[slide.path.resolve()].append(slide)
    kept: list[SlideToSegment] = []
    for file in one_of_each_series(entries):
        chosen = next((e for e in entries[file] if not e.path.is_symlink()), entries[file][0])
        scales = sorted({entry.mpp for entry in entries[file] if entry.mpp})
        if len(scales) > 1:
            told = " and ".join(f"{mpp:g}" for mpp in scales)
            raise SourceError(f"{where} gives {chosen.path} {told} um per pixel; give it one")
        kept.append(replace(chosen, mpp=scales[0] if scales else 0.0))
    chosen_paths = Counter(slide.path for slide in kept)
    again = (Counter(slide.path for slide in slides) - chosen_paths).elements()
    if names := ", ".join(shown_name(str(path)) for path in again):
        log.warning("slides that are there already were passed over: %s", names)
    return kept


def _in_folder(folder: Path) -> list[Path]:
    files = [p for p in files_in(folder) if split_name(p.name)[1] in SLIDES and not is_mask(p.name)]
    slides = {split_name(p.name)[0] for p in files if not is_picture(p.name)}
    pictures = [p for p in files if is_picture(p.name) and split_name(p.name)[0] in slides]
    if pictures:
        names = ", ".join(shown_name(p.name) for p in pictures)
        log.warning("pictures of slides that are here, too, were passed over: %s", names)
    kept = [path for path in files if path not in pictures]
    return sorted([*one_of_each_series(kept), *slide_folders(folder)])


def _in_list(path: Path) -> Iterator[SlideToSegment]:
    """Yield the slides that a list names, by paths from its own folder."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        table = rows_of(text)
        is_table = "slide" in (table.fieldnames or ())
        rows = list(table) if is_table else [{"slide": line} for line in text.splitlines()]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{path} is not a list that can be read: text in UTF-8") from error
    for number, row in enumerate(rows, start=2 if is_table else 1):
        if not (name := row["slide"].strip()):
            continue
        where, slide = f"{path} line {number}", path_at(path.parent / name)
        if not (slide.is_file() or is_slide_folder(slide)):
            raise SourceError(f"{where}: there is no file {slide}")
        mpp = mpp_of(row.get("mpp", "").strip(), where)
        check_range(f"mpp in {where}", mpp, 0, 1000)
        yield SlideToSegment(slide, mpp)


def _requests(
    request: SegmentRequest, slides: Sequence[SlideToSegment]
) -> Iterator[tuple[str, SegmentRequest]]:
    """Yield what is asked of each slide, by what messages call it.

    Raises:
        ConfigError: a result has not the name of its slide in its own, or all have one tissue mask.
    """
    for field in SEGMENT_OUTPUTS:
        path = getattr(request, field)
        if path and NAME not in str(path):
            shape = path.with_name(f"{NAME}{path.suffix or '.anot'}")
            raise ConfigError(field, path, f"a name with {NAME} in it for several slides: {shape}")
    if (mask := request.tissue_mask) and not mask.is_dir() and len(slides) > 1:
        raise ConfigError("tissue_mask", mask, "a folder of masks, called as the slides")
    for slide, name in zip(slides, names_of([slide.path for slide in slides]), strict=True):
        one = replace(request, slide=str(slide.path), slide_mpp=slide.mpp or request.slide_mpp)
        yield shown_name(str(slide.path)), _with_name(one, name)


def names_of(paths: Sequence[Path]) -> list[str]:
    """Return a name for the results of each slide, no two alike.

    It is what stands before the slide's suffix; with the suffix, then with as many of its folders
    as are needed, where another slide would have the same.
    """
    chosen = [0] * len(paths)
    choices = [list(_choices(path, index)) for index, path in enumerate(paths)]
    while True:
        names = [own[at] for own, at in zip(choices, chosen, strict=True)]
        counts = Counter(name.casefold() for name in names)
        if max(counts.values(), default=1) == 1:
            return names
        for index, name in enumerate(names):
            last = len(choices[index]) - 1
            chosen[index] = min(last, chosen[index] + (counts[name.casefold()] > 1))


def _choices(path: Path, index: int) -> Iterator[str]:
    """Yield names for the results of a slide, the last of which no other slide can have."""
    yield split_name(path.name)[0]
    yield path.name
    parts = path.absolute().parts[1:]
    for count in range(2, len(parts) + 1):
        yield "_".join(parts[-count:])
    yield "_".join([*parts, str(index)])


def _with_name(request: SegmentRequest, name: str) -> SegmentRequest:
    """Put the name of a slide into those of its results."""
    given = {field: path for field in SEGMENT_OUTPUTS if (path := getattr(request, field))}
    named: dict[str, Any] = {f: Path(str(path).replace(NAME, name)) for f, path in given.items()}
    return replace(request, **named)


def _part(progress: Progress, index: int, count: int) -> Progress:
    """Return what tells of one slide as a part of all."""

    def tell(stage: str, done: int, total: int) -> None:
        if stage == "segment" and total:
            progress("segment", index * STEPS + done * STEPS // total, count * STEPS)

    return tell
