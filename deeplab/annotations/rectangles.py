"""Rectangles that say something of a place on a slide, as HistomicsUI shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from deeplab.annotations.shapes import Property
from deeplab.config.classes import Rgb
from deeplab.geometry.frames import Level0Box

LINE_WIDTH = 4  # pixels of the screen: a frame is to be seen on the whole slide, too


@dataclass(frozen=True, slots=True, kw_only=True)
class Rectangle:
    """A place and what is said of it.

    Attributes:
        box: level-0 pixels.
        text: its label.
        properties: shown beside it.
    """

    box: Level0Box
    text: str
    properties: Mapping[str, Property] = field(default_factory=dict)


def rectangle_annotation(
    name: str,
    colour: Rgb,
    rectangles: Sequence[Rectangle],
    *,
    description: str,
    attributes: Mapping[str, object],
) -> dict[str, Any]:
    """Return one annotation of HistomicsUI: frames that can be seen through, each with its text."""
    red, green, blue = colour
    return {
        "name": name,
        "description": description,
        "attributes": dict(attributes),
        "elements": [
            {
                "type": "rectangle",
                "center": [
                    round(each.box.x0 + each.box.width / 2, 2),
                    round(each.box.y0 + each.box.height / 2, 2),
                    0,
                ],
                "width": round(each.box.width, 2),
                "height": round(each.box.height, 2),
                "rotation": 0,
                "lineColor": f"rgb({red}, {green}, {blue})",
                "lineWidth": LINE_WIDTH,
                "fillColor": f"rgba({red}, {green}, {blue}, 0)",
                "group": name,
                "label": {"value": each.text},
                "user": dict(each.properties),
            }
            for each in rectangles
        ],
    }
