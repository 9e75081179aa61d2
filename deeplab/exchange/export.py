"""The flow of giving out: annotations of slides become files of one format, in a zip or bare."""

from __future__ import annotations

import logging
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from deeplab.annotations.formats.format import Format, Trait, Writing, lost
from deeplab.annotations.formats.table import FORMATS, format_to_write, named
from deeplab.annotations.shapes import Annotations
from deeplab.config.convert_request import AUTO
from deeplab.config.export_annotations_request import ExportAnnotationsRequest
from deeplab.config.progress import Progress
from deeplab.errors import ConfigError, SourceError
from deeplab.exchange.choice import Choice
from deeplab.exchange.failures import Failures
from deeplab.exchange.layers import ORIGIN
from deeplab.exchange.packed import ZIP, pack
from deeplab.exchange.samples import Found, LeftOut, Sample, find_samples
from deeplab.files import check_spared, check_writable, safe_name, scratch_folder, whole_file
from deeplab.geometry.frames import Mpp
from deeplab.report.words import counted
from deeplab.server.session import ServerLogin
from deeplab.slides.facts import slide_facts

log = logging.getLogger(__name__)

USUAL = "imagescope"  # in a zip, where nothing else is asked for

Put = Callable[[Path], object]  # puts a file in its place


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The file of one slide.

    Attributes:
        slide: its name.
        file: name of the file.
        counts: what is in each layer, in words.
        remarks: what reading had to mend or leave out.
        lost: what the annotations had and the format cannot carry.
    """

    slide: str
    file: str
    counts: tuple[str, ...]
    remarks: tuple[str, ...]
    lost: tuple[Trait, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What was written, and of which slides nothing.

    Attributes:
        output: the file or the zip of files.
        title: of the format.
        written: one for each slide.
        left_out: the other slides, and why.
        unknown: sentences about layers that were asked for and are nowhere.
    """

    output: Path
    title: str
    written: tuple[Written, ...]
    left_out: tuple[LeftOut, ...]
    unknown: tuple[str, ...]

    def summary(self) -> str:
        """Return a few lines for a person."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"annotations of {counted(len(self.written), 'slide')} as {self.title}: {self.output}"
        for each in self.written:
            yield f"{each.slide}, in {each.file}:"
            yield from (f"  {count}" for count in each.counts)
            yield from (f"  {remark}" for remark in each.remarks)
            if each.lost:
                yield f"  not in it, as {self.title} cannot carry them: {', '.join(each.lost)}"
        for left in self.left_out:
            yield f"{left.name} {left.why}"
        yield from self.unknown


def export_annotations(request: ExportAnnotationsRequest, progress: Progress) -> Exported:
    """Write the annotations of slides as `request` says; asked again, the same bytes.

    One slide is held at a time, on disk, however many shapes it has.

    Raises:
        SourceError: there is no such source, no annotated slide in it, or no layer asked for; or
            some slides could not be written, all of which it names, after all others were.
        ConfigError: there is no such format, or one file is asked for and there are more slides.
        AccessDeniedError, ServerError, OutputError: as named.
    """
    check_writable(request.output)
    format_ = _format(request)
    login = ServerLogin(request.api_url, request.token) if request.api_url else None
    found = find_samples(request.source, classes=request.value_names, login=login)
    check_spared([request.output], [*found.files, Path(request.source)])
    export = _Export(request, format_, login)
    with _place(request.output, found) as put:
        export.run(found, put, progress)
    return export.done(found)


class _Export:
    """One run over slides, and what it meets."""

    def __init__(
        self, request: ExportAnnotationsRequest, format_: Format, login: ServerLogin | None
    ) -> None:
        self._request, self._format, self._login = request, format_, login
        self._choice = Choice(request.classes)
        self._written: list[Written] = []
        self._left_out: list[LeftOut] = []
        self._failures = Failures()
        self._names: set[str] = set()
        self._zipped = request.output.suffix.lower() == ZIP

    def run(self, found: Found, put: Put, progress: Progress) -> None:
        """Write the slides one by one.

        Raises:
            SourceError: not one could be written.
        """
        samples = sorted(found.samples, key=lambda sample: (sample.name, sample.slide))
        for number, sample in enumerate(samples):
            progress("give out", number, len(samples))
            with self._failures.sparing(sample.name):
                self._write(sample, put)
        progress("give out", len(samples), len(samples))
        if not self._written:
            failed = self._failures.sentences
            said = failed or list(self._choice.unknown()) or ["no slide has a layer"]
            raise SourceError(("nothing was written: " if failed else "") + "; ".join(said))

    def done(self, found: Found) -> Exported:
        """Return what was done.

        Raises:
            SourceError: some slides could not be written, after all others were.
        """
        done = Exported(
            output=self._request.output,
            title=self._format.title,
            written=tuple(self._written),
            left_out=(*found.left_out, *self._left_out),
            unknown=tuple(self._choice.unknown()),
        )
        if failed := self._failures.sentences:
            log.info("%s", done.summary())
            raise SourceError(
                f"{len(failed)} of {len(found.samples)} slides could not be written: "
                + "; ".join(failed)
            )
        return done

    def _write(self, sample: Sample, put: Put) -> None:
        with scratch_folder() as folder:
            annotations = self._chosen(sample.load(folder))
            if not annotations.layers:
                self._left_out.append(LeftOut(sample.name, "has none of these layers"))
                return
            facts = slide_facts(sample.slide, server=self._login)
            mpp = Mpp.square(sample.mpp) if sample.mpp else facts.mpp
            annotations = replace(annotations, mpp=mpp or annotations.mpp)
            path = folder / "written" / self._name(sample.name)
            writing = Writing(
                width_level0=facts.width_level0,
                height_level0=facts.height_level0,
                mask_mpp=self._request.mask_mpp,
            )
            self._format.write(path, annotations, writing)
            put(path)
            self._written.append(
                Written(
                    slide=sample.name,
                    file=path.name if self._zipped else self._request.output.name,
                    counts=tuple(f"{layer.name}: {layer.contents}" for layer in annotations.layers),
                    remarks=annotations.remarks,
                    lost=tuple(lost(annotations, self._format)),
                )
            )

    def _chosen(self, annotations: Annotations) -> Annotations:
        """Return the layers asked for, without the marks by which we know our own on the server."""
        only = self._choice.of(annotations.names)
        attributes = {key: each for key, each in annotations.attributes.items() if key != ORIGIN}
        layers = tuple(each for each in annotations.layers if not only or each.name in only)
        return replace(annotations, layers=layers, attributes=attributes)

    def _name(self, slide: str) -> str:
        """Return a name of a file that no other slide of this run has, on no system."""
        suffix = _suffix(self._format, self._request.output)
        name, number = safe_name(slide), 1
        while f"{name}{suffix}".casefold() in self._names:
            number += 1
            name = f"{safe_name(slide)} ({number})"
        self._names.add(f"{name}{suffix}".casefold())
        return name + suffix


def _format(request: ExportAnnotationsRequest) -> Format:
    suffix = request.output.suffix.lower()
    known = sorted({ZIP, *(suffix for each in FORMATS for suffix in each.suffixes)})
    if suffix not in known:
        raise ConfigError("output", str(request.output), f"a file of type {', '.join(known)}")
    if request.output_format != AUTO:
        return named(request.output_format)
    return named(USUAL) if suffix == ZIP else format_to_write(request.output)


def _suffix(format_: Format, output: Path) -> str:
    """Return the suffix of the format's files, by which they are found beside their slides."""
    own = output.suffix.lower()
    if own in format_.suffixes:
        return own
    return format_.infix + format_.suffixes[0]


@contextmanager
def _place(output: Path, found: Found) -> Iterator[Put]:
    """Yield what puts files into the zip `output`, or one file to `output` itself."""
    if output.suffix.lower() != ZIP:
        if len(found.samples) > 1:
            raise ConfigError(
                "output", str(output), f"a .zip, as there are {len(found.samples)} slides"
            )
        with whole_file(output) as part:
            yield lambda path: shutil.copyfile(path, part)
        return
    with whole_file(output) as part, zipfile.ZipFile(part, "w") as archive:
        yield lambda path: pack(archive, path, path.name)
