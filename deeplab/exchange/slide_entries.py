"""What in a folder is a slide: a file, or a folder that is one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from deeplab.exchange.beside import SLIDES, is_mask, names_beside, split_name
from deeplab.slides.dicom import holds_dicom, one_of_each_series
from deeplab.slides.ome_zarr import is_zarr


def is_slide_folder(path: Path) -> bool:
    """Return whether a folder is one slide: an OME-Zarr, or a DICOM series."""
    return path.is_dir() and (is_zarr(path) or holds_dicom(path))


def slide_folders(folder: Path) -> list[Path]:
    """Return the visible folders in a folder that are slides, by name."""
    there = (each for each in folder.iterdir() if not each.name.startswith("."))
    return sorted(each for each in there if is_slide_folder(each))


def slides_among(
    files: Sequence[Path],
    *,
    drawn: Collection[str],
    suffixes: Sequence[str],
    wanted: Path | None = None,
) -> list[Path]:
    """Return those of some files that are slides, each once.

    Of the files of a DICOM series one is taken: the `wanted` one, else one that a file is called
    after, else the first.

    Args:
        files: to choose from.
        drawn: plain names of files of annotations.
        suffixes: of these.
        wanted: one that is asked for.
    """
    slides = [p for p in files if split_name(p.name)[1] in SLIDES and not is_mask(p.name)]
    if wanted in slides:
        return one_of_each_series(slides, [wanted])
    called = [p for p in slides if {*names_beside(p.name, suffixes)} & {*drawn}]
    return one_of_each_series(slides, called)
