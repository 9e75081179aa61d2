"""Which files are about a slide: the rule of names, on a disk and on a server."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import PurePath

PICTURES = {".png", ".jpg", ".jpeg"}
SLIDES = {
    *(".svs", ".tif", ".tiff", ".ndpi", ".scn", ".mrxs", ".vms", ".vmu", ".bif", ".svslide"),
    *(".qptiff", ".dcm", ".czi", ".zarr", ".zarr.zip", *PICTURES),
}
COMPOUND = (".ome",)  # before the suffix of a slide; its files may be called without it
# slide.mask.png holds label values, slide.instances.tif numbers of objects, slide.types.tif their
# types; none of them is a slide.
MASK, INSTANCES, TYPES = ".mask", ".instances", ".types"
MASKS = (".png", ".tif", ".tiff")
PACKED = (".gz", ".zip")
# What may hold annotations of a slide, the preferred first.
PLAIN = (
    *(".xml", ".geojson", ".json", ".anot", ".coco", ".hovernet", ".mat"),
    *(".annotations", ".ndpa"),
)
ANNOTATIONS = (*PLAIN, *(each + packed for each in PLAIN for packed in PACKED), ".zip")
KINDS_BESIDE = (
    f"{', '.join(PLAIN)}, each also with {' or '.join(PACKED)} behind it, .zip, or"
    f" {MASK} or {INSTANCES} before {', '.join(MASKS)}"
)


def plain_name(name: str) -> str:
    """Return a name whose suffix is in small letters; the rest of it is taken to the letter.

    Letters with accents are of one character each, as macOS does not write them.
    """
    stem, suffix = split_name(unicodedata.normalize("NFC", name))
    return stem + suffix


def split_name(name: str) -> tuple[str, str]:
    """Return what stands before the suffix of a name, and the suffix in small letters.

    The suffix is what stands behind the last dot, and before that what is packed: `.xml.gz`, and
    `.zarr.zip`, which is a slide.
    """
    stem, suffix = _split(name)
    if suffix in PACKED:
        inner, before = _split(stem)
        if before in PLAIN or before + suffix in SLIDES:
            return inner, before + suffix
    return stem, suffix


def _split(name: str) -> tuple[str, str]:
    # Only the end is looked at: on a server a slash is a letter like any other.
    suffix = PurePath(name.rpartition("/")[2]).suffix
    return name.removesuffix(suffix), suffix.lower()


def is_mask(name: str) -> bool:
    """Return whether a file of this name holds labels or numbers of objects, and is no slide."""
    stem, suffix = split_name(name)
    return stem.endswith((MASK, INSTANCES, TYPES)) and suffix in MASKS


def tells_types(name: str, there: Collection[str]) -> bool:
    """Return whether a file of this name tells the types of objects of one that is there.

    Args:
        name: of the file.
        there: plain names of the files beside it.
    """
    stem, suffix = split_name(name)
    if not stem.endswith(TYPES) or suffix not in MASKS:
        return False
    of = unicodedata.normalize("NFC", stem.removesuffix(TYPES))
    return any(of + infix + each in there for infix in (INSTANCES, MASK, "") for each in MASKS)


def without_infix(stem: str) -> str:
    """Return what a slide is called, of the name before the suffix of its mask."""
    for infix in (MASK, INSTANCES):
        stem = stem.removesuffix(infix)
    return stem


def names_beside(slide: str, suffixes: Sequence[str]) -> list[str]:
    """Return the plain names that files of annotations of a slide can have, the preferred first.

    Args:
        slide: its name; dots in it are part of it.
        suffixes: of the files besides masks, those of the preferred first.
    """
    slide = unicodedata.normalize("NFC", slide)
    stem, suffix = split_name(slide)
    names = [stem, slide] if suffix in SLIDES else [slide]
    if suffix in SLIDES:
        names[1:1] = [stem[: -len(each)] for each in COMPOUND if stem.lower().endswith(each)]
    infixes = (INSTANCES, MASK)  # objects tell classes, too
    beside = [name + infix + each for infix in infixes for name in names for each in MASKS]
    return beside + [name + each for name in names for each in suffixes]


def slides_by_file(slides: Iterable[str], suffixes: Sequence[str]) -> Mapping[str, list[str]]:
    """Return the slides that a file may be about, by its plain name; several where it is unclear.

    A file that is called after a slide in full is about that one. A picture of a slide, which has
    its name too, is not meant where there is the slide.

    Args:
        slides: their names.
        suffixes: of the files besides masks.
    """
    by_stem: dict[str, list[str]] = defaultdict(list)
    in_full: dict[str, list[str]] = defaultdict(list)
    for slide in dict.fromkeys(slides):
        for name in names_beside(slide, suffixes):
            if name != plain_name(slide):  # a picture can be a mask, but not its own
                full = unicodedata.normalize("NFC", slide)
                (in_full if name.startswith(full) else by_stem)[name].append(slide)
    for name, several in by_stem.items():
        by_stem[name] = [each for each in several if not is_picture(each)] or several
    return {**by_stem, **in_full}


def is_picture(name: str) -> bool:
    """Return whether a file of this name may be a picture of a slide rather than the slide."""
    return split_name(name)[1] in PICTURES


def unclear(file: str, slides: Sequence[str]) -> str:
    """Return the sentence on a file that may be about several slides."""
    stem, suffix = split_name(file)
    ending = stem.removeprefix(without_infix(stem)) + suffix
    return (
        f"{file} was not taken, as it may be about {' or '.join(slides)}; name it after one of"
        f" them in full, as {slides[0]}{ending}"
    )
