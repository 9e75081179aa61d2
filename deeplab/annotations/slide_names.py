"""Names of slides as files of annotations write them, and the slide that is meant."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import PureWindowsPath

_SUFFIX = re.compile(r"\.[a-z][a-z0-9]{0,7}")  # of a kind of file; a number is part of a name


class SlideNames:
    """Names, to find those by which a slide is meant."""

    def __init__(self, names: Sequence[str]) -> None:
        self._places = [_places_of(names, fold) for fold in _FOLDS]

    def find(self, slide: str) -> list[int]:
        """Places of the names that a slide is called by.

        To the letter; where none is, without folders, then without case, then without suffix.
        """
        for fold, places in zip(_FOLDS, self._places, strict=True):
            if found := places.get(fold(slide)):
                return found
        return []


def without_folder(name: str) -> str:
    """Return the last part of a name, whichever separators it has, its letters composed."""
    return PureWindowsPath(_composed(name)).name  # whose separators are both


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _folded(name: str) -> str:
    return without_folder(name).casefold()


def _folded_stem(name: str) -> str:
    path = PureWindowsPath(_folded(name))
    return path.stem if _SUFFIX.fullmatch(path.suffix) else path.name


_FOLDS = (_composed, without_folder, _folded, _folded_stem)


def _places_of(names: Sequence[str], fold: Callable[[str], str]) -> dict[str, list[int]]:
    places: dict[str, list[int]] = defaultdict(list)
    for at, name in enumerate(names):
        places[fold(name)].append(at)
    return dict(places)
