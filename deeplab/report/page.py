"""Pieces of an HTML page; what is not markup is escaped."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from pathlib import Path

from markupsafe import Markup

from deeplab.files import whole_file

VOID = frozenset({"img", "meta", "br"})
Inside = str | Iterable["Inside"]


def tag(name: str, /, *inside: Inside, **attributes: str) -> Markup:
    """An element; `_` stands for `-` in the names of attributes, and one at the end is dropped."""
    opened = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), _shown(value))
        for key, value in attributes.items()
    )
    if name in VOID:
        return Markup("<{}{}/>").format(name, opened)
    return Markup("<{}{}>{}</{}>").format(name, opened, joined(*inside), name)


def joined(*inside: Inside) -> Markup:
    """Markup as it is and texts escaped, one after the other."""
    parts = (_shown(part) if isinstance(part, str) else joined(*part) for part in inside)
    return Markup("").join(parts)


def _shown(text: str) -> str:
    """Text as it can be shown; what cannot, as a control character, is a blank."""
    if isinstance(text, Markup) or text.isprintable():
        return text
    return "".join(each if each.isprintable() else " " for each in text)


def table(head: Sequence[Inside], rows: Iterable[Sequence[Inside]], *, words: int = 1) -> Markup:
    """Return a table whose first `words` columns are words and whose others are numbers."""

    def cells(kind: str, row: Sequence[Inside]) -> list[Markup]:
        return [
            tag(kind, cell) if place < words else tag(kind, cell, class_="number")
            for place, cell in enumerate(row)
        ]

    body = [tag("tr", cells("td", row)) for row in rows]
    whole = tag("table", tag("thead", tag("tr", cells("th", head))), tag("tbody", body))
    return tag("div", whole, class_="table")


def image(content: bytes, kind: str, words: str) -> Markup:
    """Return a picture inside the page; `words` say what it shows to who does not see it."""
    data = base64.b64encode(content).decode("ascii")
    return tag("img", src=f"data:image/{kind};base64,{data}", alt=words)


def caveats(title: str, sentences: Sequence[Inside]) -> Markup:
    """A box of what a reader must know before trusting the figures; nothing where that is none."""
    if not sentences:
        return Markup()
    listed = tag("ul", [tag("li", sentence) for sentence in sentences])
    return tag("section", tag("h2", title), listed, class_="limits")


def write_page(path: Path, text: str) -> None:
    """Write a page, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    with whole_file(path) as draft:
        draft.write_text(text, encoding="utf-8")


def page(title: str, style: str, *inside: Inside) -> str:
    """Return a whole page that loads nothing from elsewhere, and may not."""
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", Markup(style)),  # noqa: S704  a sheet of ours
    )
    body = tag("body", tag("main", *inside))
    return Markup("<!DOCTYPE html>\n") + tag("html", head, body, lang="en")
