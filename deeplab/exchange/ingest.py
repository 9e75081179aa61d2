"""The flow of taking in: files beside the slides of a Girder server become their layers."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from deeplab.annotations.files import opened, read_file
from deeplab.annotations.formats.format import Format, Reading, lost
from deeplab.annotations.formats.table import READABLE, format_of, named
from deeplab.annotations.shapes import Annotations
from deeplab.config.convert_request import AUTO
from deeplab.config.ingest_request import IngestRequest
from deeplab.config.progress import Progress
from deeplab.errors import AnnotationError, OutputError, SourceError
from deeplab.exchange.beside import KINDS_BESIDE, split_name
from deeplab.exchange.choice import Choice
from deeplab.exchange.failures import Failures
from deeplab.exchange.files_on_server import FileOfSlide, FilesFound, find_files
from deeplab.exchange.glass import glass_of_item
from deeplab.exchange.label_images import LabelImages
from deeplab.exchange.layers import Fact, Origin, Replaced, layers_in_place, replace_layers
from deeplab.files import safe_name, scratch_folder
from deeplab.report.words import counted
from deeplab.server.folder_files import check_folder_writable, download_file
from deeplab.server.session import ServerLogin, Session
from deeplab.slides.facts import item_facts

log = logging.getLogger(__name__)

TASK = "IngestAperioXML"
MAX_BYTES = 8 * 2**30  # of one file
BY_NUMBER = ("mask", "instances", "hovernet", "mat")  # whose names may come from the request


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenIn:
    """What became of one file.

    Attributes:
        source: the file.
        title: of its format.
        counts: what is in each layer that was put there, in words, by its name in the file.
        replaced: what became of the slide's layers.
        remarks: what reading had to mend or leave out.
    """

    source: FileOfSlide
    title: str
    counts: dict[str, str]
    replaced: Replaced
    remarks: tuple[str, ...]

    def lines(self) -> Iterator[str]:
        """Yield what a person is told."""
        yield f"{self.source.slide.name}, from {self.source.name} ({self.title}):"
        done = self.replaced
        for name, called in done.posted.items():
            other = f', called "{called}"' if called != name else ""
            yield f"  {name}: {self.counts[name]}{other}"
        if done.present:
            yield f"  there already: {', '.join(done.present)}"
        if done.removed:
            yield f"  no longer there, as the file is another one: {', '.join(done.removed)}"
        if done.kept:
            yield f"  from the earlier file, but changed since, so kept: {', '.join(done.kept)}"
        if not done.posted and not done.present:
            yield "  no layer to put there"
        yield from (f"  {remark}" for remark in self.remarks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingested:
    """What was taken in, and what was not.

    Attributes:
        found: slides and files.
        taken: one for each file that was read.
        passed_over: names of files of another format than the one asked for.
        unknown: sentences about layers that were asked for and are in no file.
    """

    found: FilesFound
    taken: tuple[TakenIn, ...]
    passed_over: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    def summary(self) -> str:
        """Return a few lines for a person."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        new = sum(len(each.replaced.posted) for each in self.taken)
        slides = counted(len(self.found.slides), "slide")
        files = counted(len(self.found.files), "file")
        yield f"{slides}, {files} of annotations, {counted(new, 'new layer')}"
        for each in self.taken:
            yield from each.lines()
        yield from self.found.unclear
        if self.passed_over:
            yield f"of another format, so not taken: {', '.join(self.passed_over)}"
        bare = {each.name for each in self.found.slides}
        bare -= {each.slide.name for each in self.found.files}
        if bare:
            yield f"slides without such a file: {', '.join(sorted(bare))}"
        yield from self.unknown


def ingest(request: IngestRequest, progress: Progress) -> Ingested:
    """Take files of annotations in as `request` says; a second time does only what is left.

    Neither the files nor layers that others made are touched.

    Raises:
        SourceError: there is no slide or no file; or some files could not be taken, after all
            others were.
        ConfigError: there is no such format.
        AccessDeniedError, ServerError: the server refuses or fails.
    """
    if request.source_format != AUTO:
        named(request.source_format)
    login = ServerLogin(request.api_url, request.token)
    with Session(login) as session, scratch_folder() as shared:
        found = find_files(session, request.source, shared)
        if not found.files:
            raise SourceError("; ".join(found.unclear) or _nothing(found.slides[0].name))
        check_folder_writable(session, found.slides[0].folder_id)
        return _Ingestion(session, request).run(found, progress)


class _Ingestion:
    """One run over files, and what it meets."""

    def __init__(self, session: Session, request: IngestRequest) -> None:
        self._session, self._request = session, request
        self._choice = Choice(request.classes)
        self._taken: list[TakenIn] = []
        self._passed_over: list[str] = []
        self._failures = Failures()

    def run(self, found: FilesFound, progress: Progress) -> Ingested:
        for number, source in enumerate(found.files):
            progress("take in", number, len(found.files))
            with self._failures.sparing(source.name):
                self._try(source)
        progress("take in", len(found.files), len(found.files))
        done = Ingested(
            found=found,
            taken=tuple(self._taken),
            passed_over=tuple(self._passed_over),
            unknown=tuple(self._choice.unknown()),
        )
        if failed := self._failures.sentences:
            log.info("%s", done.summary())
            raise SourceError(
                f"{len(failed)} of {len(found.files)} files could not be taken in: "
                + "; ".join(failed)
            )
        if done.unknown and not any(each.replaced.names for each in self._taken):
            raise SourceError("; ".join(done.unknown))
        return done

    def _try(self, source: FileOfSlide) -> None:
        if taken := self._take(source):
            self._taken.append(taken)
        else:
            self._passed_over.append(source.name)

    def _take(self, source: FileOfSlide) -> TakenIn | None:
        """Puts the layers of a file on its slide; None where the file is of another format."""
        if in_place := self._in_place(source):
            return in_place
        with scratch_folder() as folder:
            path = source.at_hand or self._fetch(source, folder)
            with opened(path, source.slide.name) as file:
                format_ = _format(file, self._request.source_format)
                if format_ is None:
                    return None
                annotations = self._read(file, format_, source, folder)
            only = self._choice.of(annotations.names)
            replaced = replace_layers(
                self._session,
                source.slide.id,
                annotations,
                _origin(source, path, format_, self._request.value_names, annotations.names),
                only=only,
            )
            return TakenIn(
                source=source,
                title=format_.title,
                counts={name: annotations.layer(name).contents for name in replaced.posted},
                replaced=replaced,
                remarks=(*annotations.remarks, *_lost(annotations)),
            )

    def _in_place(self, source: FileOfSlide) -> TakenIn | None:
        """Return what a file brought before, if it is the same and all of that is still there."""
        if self._request.value_names or self._request.source_format != AUTO:
            return None
        origin = Origin(task=TASK, source=_place(source), facts=_facts(source))
        told = layers_in_place(self._session, source.slide.id, origin)
        titles = {each.name: each.title for each in READABLE}
        names = told[0].get("layers") if told else None
        title = titles.get(str(told[0].get("format"))) if told else None
        if not isinstance(names, list) or title is None:
            return None
        only = self._choice.of(map(str, names))
        wanted = tuple(name for name in map(str, names) if not only or name in only)
        if not {str(each.get("layer")) for each in told}.issuperset(wanted):
            return None
        return TakenIn(
            source=source,
            title=title,
            counts={},
            replaced=Replaced(present=wanted),
            remarks=(),
        )

    def _fetch(self, source: FileOfSlide, folder: Path) -> Path:
        path = folder / safe_name(source.file.name)
        try:
            download_file(self._session, source.file, path, limit_bytes=MAX_BYTES)
        except OSError as error:
            raise OutputError(path, error.strerror or str(error)) from error
        return path

    def _read(self, path: Path, format_: Format, source: FileOfSlide, folder: Path) -> Annotations:
        facts = item_facts(self._session, source.slide.id)
        reading = Reading(
            classes=self._request.value_names,
            spill=folder,
            width_level0=facts.width_level0,
            height_level0=facts.height_level0,
            mpp=facts.mpp,
            slide=source.slide.name,
            glass=partial(glass_of_item, self._session, source.slide.id),
            label_image=LabelImages(self._session, folder),
        )
        return read_file(path, reading, known=format_).annotations


def _nothing(slide: str) -> str:
    name, _ = split_name(slide)
    return (
        "there is no file of annotations; it must lie in the folder of its slide and be called"
        f" after it, for {slide} as {name}.xml or {slide}.xml; looked for: {KINDS_BESIDE}"
    )


def _format(path: Path, asked: str) -> Format | None:
    """Return the format to read a file as; None where it is of another one than is asked for."""
    if asked == AUTO:
        return format_of(path)
    wanted = named(asked)
    if not wanted.has_suffix(path.suffix.lower()):
        return None
    try:
        found = format_of(path)
    except AnnotationError:
        return wanted  # which may be one that cannot be told by the content
    return wanted if found == wanted else None


def _place(source: FileOfSlide) -> str:
    return f"{source.item.name}/{source.file.name}"


def _lost(annotations: Annotations) -> Iterator[str]:
    """Yield what layers of HistomicsUI cannot say of `annotations`."""
    format_ = named("histomicsui")
    if missing := lost(annotations, format_):
        yield f"not in the layers, as {format_.title} cannot carry them: {', '.join(missing)}"


def _facts(source: FileOfSlide) -> dict[str, Fact]:
    """Return what Girder says of a file; other content is never of the same time."""
    return {
        "file": source.file.name,
        "file_id": source.file.id,
        "file_bytes": source.file.size_bytes,
        "file_created": source.file.created,
    }


def _origin(
    source: FileOfSlide,
    path: Path,
    format_: Format,
    value_names: Sequence[str],
    layers: tuple[str, ...],
) -> Origin:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    if format_.name in BY_NUMBER:
        digest.update("\n".join(value_names).encode())
    return Origin(
        task=TASK,
        source=_place(source),
        digest=digest.hexdigest(),
        facts={**_facts(source), "format": format_.name, "layers": layers},
    )
