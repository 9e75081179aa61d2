"""Slides with several label masks each: a folder for each set, called as the slides are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from deeplab.errors import SourceError
from deeplab.exchange.samples import Found, LeftOut, Sample


class Find(Protocol):
    """Finds slides with annotations in a folder of their own."""

    def __call__(self, source: str, *, annotations: Path | None) -> Found:
        """See `find_samples`."""


def find_label_sets(find: Find, source: str, folder: Path, sets: Sequence[str]) -> Found:
    """Return the slides of a source that have annotations in every set.

    Args:
        find: finds the slides of one set.
        source: of the slides.
        folder: that has a folder for each set.
        sets: names of these; the slides' own annotations are of the first.

    Raises:
        SourceError: a folder is not there, or no slide has annotations in it.
        ConfigError: as `find` does.
    """
    first, *further = (find(source, annotations=folder / name) for name in sets)
    others = [{sample.name: sample for sample in found.samples} for found in further]
    samples: list[Sample] = []
    left_out = list(first.left_out)
    for sample in first.samples:
        named = dict(zip(sets[1:], (each.get(sample.name) for each in others), strict=True))
        there = {name: other for name, other in named.items() if other}
        missing = [str(folder / name) for name in named if name not in there]
        if missing:
            left_out.append(LeftOut(sample.name, f"has no annotation in {missing[0]}"))
            continue
        files = [file for other in there.values() for file in other.files]
        samples.append(
            replace(
                sample,
                files=tuple(dict.fromkeys([*sample.files, *files])),
                label_sets={name: other.load for name, other in there.items()},
            )
        )
    if not samples:
        raise SourceError(f"no slide of {source} has annotations in all of {', '.join(sets)}")
    return Found(samples, left_out)
