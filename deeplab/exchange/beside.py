"""Which files are about a slide: the rule of names, on a disk and on a server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

PICTURES = {".png", ".jpg", ".jpeg"}
SLIDES = {
    *(".svs", ".tif", ".tiff", ".ndpi", ".scn", ".mrxs", ".vms", ".vmu", ".bif", ".svslide"),
    *(".qptiff", ".dcm", ".czi", *PICTURES),
}
MASK = ".mask"  # slide.mask.png holds label values
MASKS = (".png", ".tif", ".tiff")


def plain_name(name: str) -> str:
    """A name whose suffix is in small letters; the rest of it is taken to the letter."""
    stem, suffix = split_name(name)
    return stem + suffix


def split_name(name: str) -> tuple[str, str]:
    """What stands before the last dot of a name, and the suffix in small letters."""
    # Only the end is looked at: on a server a slash is a letter like any other.
    suffix = PurePath(name.rpartition("/")[2]).suffix
    return name.removesuffix(suffix), suffix.lower()


def is_mask(name: str) -> bool:
    """Whether a file of this name holds label values, and is no slide."""
    stem, suffix = split_name(name)
    return stem.endswith(MASK) and suffix in MASKS


def names_beside(slide: str, suffixes: Sequence[str]) -> list[str]:
    """The plain names that files of annotations of a slide can have, the preferred first.

    Args:
        slide: its name; dots in it are part of it.
        suffixes: of the files besides masks, those of the preferred first.
    """
    stem, suffix = split_name(slide)
    names = [stem, slide] if suffix in SLIDES else [slide]
    beside = [name + MASK + each for name in names for each in MASKS]
    return beside + [name + each for name in names for each in suffixes]
