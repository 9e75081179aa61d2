"""Files of annotations that are called after no slide and name the slides that they are about."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from functools import cached_property
from pathlib import Path

from deeplab.annotations.about_slides import slides_in
from deeplab.annotations.slide_names import SlideNames
from deeplab.errors import AnnotationError
from deeplab.exchange.beside import PACKED, plain_name, split_name
from deeplab.names import shown_name
from deeplab.report.words import listed

log = logging.getLogger(__name__)

_PLAIN = (".coco", ".json")
SHARED = (*_PLAIN, *(each + packed for each in _PLAIN for packed in PACKED), ".zip")


class SharedFile:
    """A file that may list slides; it is read when that is asked."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def slides(self) -> tuple[str, ...]:
        """What it lists, as it writes them; none where it is of another kind."""
        try:
            return slides_in(self.path)
        except AnnotationError as error:  # settings, a model, a table
            log.debug("%s lists no slides: %s", shown_name(self.path.name), error.problem)
            return ()

    @cached_property
    def _names(self) -> SlideNames:
        return SlideNames(self.slides)

    def lists(self, slide: str) -> bool:
        """Return whether one of its slides is called so."""
        return len(self._names.find(slide)) == 1


class SharedFiles:
    """Finds, of some files, those that list a slide."""

    def __init__(self, files: Iterable[SharedFile]) -> None:
        self._files = list(files)

    @classmethod
    def among(cls, paths: Iterable[Path]) -> SharedFiles:
        """Return those of some files that may list slides, by their names."""
        return cls(SharedFile(path) for path in paths if may_list_slides(path.name))

    def besides(self, called: Collection[str]) -> SharedFiles:
        """Return the others than those of these plain names."""
        return SharedFiles(f for f in self._files if plain_name(f.path.name) not in called)

    def of_several(self) -> SharedFiles:
        """Return those that list more than one slide."""
        return SharedFiles(file for file in self._files if len(file.slides) > 1)

    def of(self, slide: str) -> list[Path]:
        """Return the files that list a slide."""
        return [file.path for file in self._files if file.lists(slide)]

    @property
    def paths(self) -> list[Path]:
        """Return all of them."""
        return [file.path for file in self._files]

    @property
    def slides(self) -> Sequence[str]:
        """All that they list, each once."""
        return list(dict.fromkeys(name for file in self._files for name in file.slides))


def may_list_slides(name: str) -> bool:
    """Return whether a file of this name may be about several slides."""
    return split_name(name)[1] in SHARED


def listed_twice(files: Sequence[str]) -> str:
    """Return the sentence, as the end of one about a slide, on several files that list it."""
    return (
        f"is listed in {listed(files)}; which of them is meant is not clear: call the one after"
        " the slide"
    )
