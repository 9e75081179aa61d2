"""The files of one side of a comparison, and the slides that they are about."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from deeplab.annotations.slide_names import SlideNames
from deeplab.errors import SourceError
from deeplab.exchange.beside import (
    ANNOTATIONS,
    KINDS_BESIDE,
    MASKS,
    SLIDES,
    is_mask,
    names_beside,
    plain_name,
    slides_by_file,
    split_name,
    unclear,
    without_infix,
)
from deeplab.exchange.samples import files_in
from deeplab.exchange.shared_files import SharedFiles, listed_twice
from deeplab.names import shown_name

# Of several files of a slide the first is its annotation; a picture alone is a mask.
SUFFIXES = (*ANNOTATIONS, *reversed(MASKS))


@dataclass(frozen=True, slots=True)
class FilesOfSide:
    """The files of the reference or of the prediction.

    Attributes:
        folder: where they lie.
        files: of annotations.
        shared: those that may be about several slides.
    """

    folder: Path
    files: Sequence[Path]
    shared: SharedFiles

    @classmethod
    def of(cls, path: Path) -> Self:
        """Return the files in a folder, or the one that is about several slides.

        Raises:
            SourceError: there is none.
        """
        files = _annotations_in(path) if path.is_dir() else [path]
        return cls(path if path.is_dir() else path.parent, files, SharedFiles.among(files))

    def without(self, slides: Collection[Path]) -> Self:
        """Return the side without files that are slides."""
        return replace(self, files=[path for path in self.files if path not in slides])

    def by_slide(
        self, slides: Sequence[str], absent: Sequence[str], left_out: dict[str, str]
    ) -> dict[str, Path]:
        """Return the file about each slide; what is unclear is left out, and said.

        A file that is called after the slide goes before one that lists it.

        Args:
            slides: those at hand.
            absent: those that are not, as far as files tell.
            left_out: why, by name; this adds to it.
        """
        about = slides_by_file([*slides, *absent], SUFFIXES)
        found = _by_slide(self.files, about, left_out)
        shared = self.shared.besides(about)
        several = shared.of_several()
        for slide in (each for each in (*slides, *absent) if each not in found):
            listing = (shared if slide in slides else several).of(slide)
            if len(listing) > 1:
                names = [shown_name(path.name) for path in listing]
                left_out[shown_name(slide)] = listed_twice(names)
            elif listing:
                found[slide] = listing[0]
        return found


def absent_slides(sides: Sequence[FilesOfSide], slides: Collection[str]) -> list[str]:
    """Return the names of slides that are not at hand, as their files of annotations tell them."""
    about = slides_by_file(slides, SUFFIXES)
    several = [side.shared.besides(about).of_several() for side in sides]
    listed: list[str] = []
    for shared in several:
        known = SlideNames([*slides, *listed])
        listed += [name for name in shared.slides if not known.find(name)]
    about = slides_by_file([*slides, *listed], SUFFIXES)
    are_shared = {path for each in several for path in each.paths}
    are_shared |= {path for side in sides for slide in slides for path in side.shared.of(slide)}
    names = {
        _stem(path.name)
        for side in sides
        for path in side.files
        if plain_name(path.name) not in about and path not in are_shared
    }
    # `a.svs.xml` tells more than `a.xml`.
    told = {split_name(name)[0] for name in names if split_name(name)[1] in SLIDES}
    return [*listed, *sorted(names - told)]


def called(slide: str, path: Path) -> str:
    """Return the name of a slide that may not be at hand: its file's, where that is its alone."""
    is_own = plain_name(path.name) in names_beside(slide, SUFFIXES)
    return shown_name(path.name if is_own else slide)


def _stem(name: str) -> str:
    """Return the name of a file of annotations without what says that it is one."""
    stem, _ = split_name(name)
    return without_infix(stem) if is_mask(name) else stem


def _annotations_in(folder: Path) -> list[Path]:
    """Return the files of annotations in a folder, by name."""
    found = [path for path in files_in(folder) if split_name(path.name)[1] in SUFFIXES]
    if not found:
        raise SourceError(
            f"the folder {folder} holds no annotations; looked for: {KINDS_BESIDE},"
            f" {', '.join(MASKS)}"
        )
    return found


def _by_slide(
    files: Sequence[Path], about: Mapping[str, list[str]], left_out: dict[str, str]
) -> dict[str, Path]:
    """Return the file about each slide, of several the preferred; what is unclear is left out."""
    by_name = {plain_name(path.name): path for path in reversed(files)}
    for name, path in by_name.items():
        if len(about.get(name, ())) > 1:
            others = [shown_name(slide) for slide in about[name]]
            left_out[shown_name(path.name)] = f"has none: {unclear(shown_name(path.name), others)}"
    clear = {slide for several in about.values() for slide in several}
    found: dict[str, Path] = {}
    for slide in sorted(clear):
        for name in names_beside(slide, SUFFIXES):
            if name in by_name and about.get(name) == [slide]:
                found.setdefault(slide, by_name[name])
    return found
