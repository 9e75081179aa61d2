"""The flow of a conversion: a file of one format in, a file of another out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from deeplab.annotations.files import read_file
from deeplab.annotations.formats.format import Format, Reading, Trait, Writing, lost, not_at_hand
from deeplab.annotations.formats.pixelmap import only_image
from deeplab.annotations.formats.table import format_to_write, named
from deeplab.config.convert_request import AUTO, ConvertRequest
from deeplab.files import check_writable, scratch_folder
from deeplab.geometry.frames import Mpp


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """What was written, and what is not in it.

    Attributes:
        output: the file.
        source_format: title of the format that was read.
        output_format: title of the format that was written.
        layers: what is in each, in words.
        remarks: what reading had to mend or leave out.
        lost: what the annotations had and the new format cannot carry.
    """

    output: Path
    source_format: str
    output_format: str
    layers: dict[str, str]
    remarks: tuple[str, ...]
    lost: tuple[Trait, ...]

    def summary(self) -> str:
        """Return a few lines for a person."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"{self.source_format} to {self.output_format}: {self.output}"
        yield from (f"  {name}: {contents}" for name, contents in self.layers.items())
        yield from self.remarks
        if self.lost:
            yield f"not in it, as {self.output_format} cannot carry them: {', '.join(self.lost)}"


def convert(request: ConvertRequest) -> Converted:
    """Convert a file as `request` says; shapes lie on disk meanwhile, however many there are.

    Raises:
        AnnotationError: the file is not what it claims to be, or cannot be of the other format.
        ConfigError: there is no such format.
        OutputError: the result or the work files cannot be written.
    """
    check_writable(request.output)
    known, output = _formats(request)
    with scratch_folder() as spill:
        mpp = Mpp.square(request.slide_mpp) if request.slide_mpp else None
        read = read_file(request.source, _reading(request, mpp, spill), known=known)
        annotations = read.annotations
        if mpp:
            annotations = replace(annotations, mpp=mpp)
        output.write(request.output, annotations, _writing(request))
        return Converted(
            output=request.output,
            source_format=read.format.title,
            output_format=output.title,
            layers={layer.name: layer.contents for layer in annotations.layers},
            remarks=annotations.remarks,
            lost=tuple(lost(annotations, output)),
        )


def _reading(request: ConvertRequest, mpp: Mpp | None, spill: Path) -> Reading:
    image = request.label_image
    return Reading(
        classes=request.classes,
        spill=spill,
        width_level0=request.slide_width,
        height_level0=request.slide_height,
        mpp=mpp,
        image=request.image,
        label_image=only_image(image, request.source) if image else not_at_hand,
    )


def _writing(request: ConvertRequest) -> Writing:
    return Writing(
        width_level0=request.slide_width,
        height_level0=request.slide_height,
        mask_mpp=request.mask_mpp,
        object_type=request.object_type,
    )


def _formats(request: ConvertRequest) -> tuple[Format | None, Format]:
    """Return the format to read, where somebody said it, and the one to write."""
    read, written = request.source_format, request.output_format
    output = format_to_write(request.output) if written == AUTO else named(written)
    return (None if read == AUTO else named(read)), output
