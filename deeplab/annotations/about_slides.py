"""The slides that a file of annotations says it is about: pictures of COCO, files in a zip."""

from __future__ import annotations

from pathlib import Path

from deeplab.annotations.formats.coco import pictures_of
from deeplab.annotations.formats.table import READ_SUFFIXES, format_of
from deeplab.annotations.formats.unpack import files_in_zip, slide_of_member, unpacked
from deeplab.annotations.slide_names import SlideNames, without_folder

COCO = "coco"


def slides_in(path: Path) -> tuple[str, ...]:
    """Return the names of the slides that a file is about, each once; none where it names none.

    A zip of several files is about the slides that these are called after; where one is called
    after the zip, that is what is in it.

    Raises:
        AnnotationError: it cannot be read, or is of no kind that is known.
        OutputError: there is no room to unpack it.
    """
    members = [slide_of_member(name) for name in files_in_zip(path, READ_SUFFIXES)]
    if len(members) > 1:
        own = SlideNames(members).find(path.name)
        return () if own else tuple(dict.fromkeys(members))
    with unpacked(path, "", READ_SUFFIXES) as file:
        listed = pictures_of(file) if format_of(file).name == COCO else members
    return tuple(dict.fromkeys(map(without_folder, listed)))
