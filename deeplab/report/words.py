"""How a report says numbers, names and lists."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from markupsafe import Markup

from deeplab.config.classes import SlideClass, hex_colour
from deeplab.report.page import joined, tag

NOTHING = "–"
NAMED = 3  # of many, in a sentence about all of them


def counted(count: int, thing: str) -> str:
    """Return a count with its noun: "1 slide", "2 slides"."""
    return f"{count:,} {thing}" + ("" if count == 1 else "s")


def listed(names: Sequence[str]) -> str:
    """Return names, at least one, with an "and" before the last."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def said_once(remarks: Iterable[tuple[str, str]]) -> list[str]:
    """Return each remark once, behind the names of what it is about.

    Args:
        remarks: name and remark, in their order.
    """
    about: dict[str, dict[str, None]] = defaultdict(dict)
    for name, remark in remarks:
        about[remark][name] = None
    return [f"{_some([*names])}: {remark}" for remark, names in about.items()]


def _some(names: Sequence[str]) -> str:
    """Return the first of many names, and how many more there are."""
    if len(names) <= NAMED + 1:
        return listed(names)
    return f"{', '.join(names[:NAMED])} and {len(names) - NAMED:,} others"


def as_score(value: float) -> str:
    """Return a figure from 0 to 1."""
    return NOTHING if math.isnan(value) else f"{value:.3f}"


def as_percent(share: float) -> str:
    """Return a share of 1."""
    return NOTHING if math.isnan(share) else f"{100 * share:.1f} %"


def as_mm2(area_mm2: float) -> str:
    """Return an area in mm2, without its unit."""
    if math.isnan(area_mm2):
        return NOTHING
    return f"{area_mm2:.3g}" if area_mm2 < 100 else f"{area_mm2:,.0f}"


def described(words: Mapping[str, str]) -> Markup:
    """Return a list of names and what they are."""
    return tag("dl", [(tag("dt", name), tag("dd", text)) for name, text in words.items()])


def swatch(of: SlideClass) -> Markup:
    """Return the name of a class behind a spot of its colour."""
    return joined(
        tag("span", class_="swatch", style=f"background: {hex_colour(of.colour)}"), of.name
    )
