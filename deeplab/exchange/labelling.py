"""What the layers of a slide stand for: classes under any of their names, and what is not drawn."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Literal, Self

from deeplab.config.classes import IGNORE
from deeplab.config.train_request import SourceSettings

# Where pixels on which nothing is drawn are not judged: such labels are IGNORE, others 0.
Unjudged = Literal["nowhere", "on tissue", "outside of finished regions"]
BACKGROUND = "background"  # the layer of what is drawn as such
NEAR = 0.75  # share of letters in common (difflib) from which a name may be a misspelt one


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelling:
    """The rules by which layers become labels.

    Attributes:
        classes: of the labels 1, 2, ...; where they overlap the later wins.
        aliases: class, `ignore_class` or `untyped_layer`, by another name of it.
        ignore_class: drawn over all others as IGNORE; "": none.
        exhaustive_layer: bounds the regions in which what is not drawn is background; "": none.
        background_layer: of what is drawn as background, beneath all classes; "": none.
        untyped_layer: of objects whose class nobody knows; the classes are drawn over it; "": none.
        unannotated: without such a layer, what tissue is that nobody drew on.
    """

    classes: tuple[str, ...]
    aliases: Mapping[str, str] = field(default_factory=dict)
    ignore_class: str = "ignore"
    exhaustive_layer: str = ""
    untyped_layer: str = ""
    background_layer: str = ""
    unannotated: Literal["background", "ignore"] = "background"

    @classmethod
    def of(cls, request: SourceSettings) -> Self:
        """Return the rules that a request states."""
        aliases = (alias.partition("=") for alias in request.aliases)
        meanings = {other.strip(): name.strip() for other, _, name in aliases}
        labelled = dict(request.labelled_layers)
        names = (BACKGROUND, *request.classes)
        meanings |= {layer: names[label] for layer, label in labelled.items()}
        return cls(
            classes=request.classes,
            aliases=meanings,
            background_layer=BACKGROUND if 0 in labelled.values() else "",
            ignore_class=request.ignore_class,
            exhaustive_layer=request.exhaustive_layer,
            untyped_layer=request.untyped_layer,
            unannotated=request.unannotated,
        )

    @property
    def asked(self) -> tuple[str, ...]:
        """The names that mean something: the classes, and the layers of another meaning."""
        others = (
            self.ignore_class,
            self.exhaustive_layer,
            self.untyped_layer,
            self.background_layer,
        )
        return (*self.classes, *(name for name in others if name))

    @property
    def values(self) -> dict[str, int]:
        """Label by meaning, in the order in which shapes are drawn over each other."""
        values = {n: 0 for n in (self.exhaustive_layer, self.background_layer) if n}
        values |= {self.untyped_layer: IGNORE} if self.untyped_layer else {}
        values |= {name: label for label, name in enumerate(self.classes, start=1)}
        return values | ({self.ignore_class: IGNORE} if self.ignore_class else {})

    @property
    def unjudged(self) -> Unjudged:
        """Where what is not drawn is not background."""
        if self.exhaustive_layer:
            return "outside of finished regions"
        return "on tissue" if self.unannotated == "ignore" else "nowhere"

    def meaning(self, drawn: str) -> str:
        """Return which of the names asked for the name of a layer stands for; "": none.

        The name itself goes before an alias, and that before a name that differs in no more than
        case and blanks.
        """
        if drawn in self.asked:
            return drawn
        names = {**self.aliases, **dict(zip(self.asked, self.asked, strict=True))}
        if drawn in names:
            return names[drawn]
        alike = {meant for name, meant in names.items() if folded(name) == folded(drawn)}
        return alike.pop() if len(alike) == 1 else ""

    def idle_aliases(self, drawn: Collection[str]) -> tuple[str, ...]:
        """Return the aliases, each "name=class", whose name none of the layers `drawn` has."""
        there = {folded(name) for name in drawn}
        return tuple(
            f"{other}={name}" for other, name in self.aliases.items() if folded(other) not in there
        )

    def near(self, drawn: str) -> str:
        """Return the name asked for that the name of a layer may be a misspelling of; "": none."""
        return nearest(drawn, self.asked)


def folded(name: str) -> str:
    """Return a name without what people vary: case, blanks around and doubled, composed letters."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def nearest(name: str, others: tuple[str, ...]) -> str:
    """The one of `others` that is most like `name` but for case, blanks and dashes; "": none."""

    def bare(text: str) -> str:
        return folded(text.replace("_", " ").replace("-", " "))

    bared = {bare(other): other for other in reversed(others)}
    close = get_close_matches(bare(name), bared, 1, NEAR)
    return bared[close[0]] if close else ""
