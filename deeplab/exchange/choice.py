"""Which layers somebody asks for by name, and which of these names nothing has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from deeplab.exchange.labelling import folded, nearest


class Choice:
    """Layers asked for by name, whatever their case and blanks; without a name all are."""

    def __init__(self, asked: Sequence[str]) -> None:
        self._asked = tuple(asked)
        self._met: dict[str, None] = {}

    def of(self, names: Iterable[str]) -> frozenset[str]:
        """Return the names asked for, as they are and as these layers write them; none: all are."""
        names = tuple(names)
        self._met |= dict.fromkeys(names)
        folds = {folded(name) for name in self._asked}
        return frozenset(self._asked) | {name for name in names if folded(name) in folds}

    def unknown(self) -> Iterator[str]:
        """Yield a sentence for each name that no layer had."""
        met = {folded(name) for name in self._met}
        for name in self._asked:
            if folded(name) not in met:
                near = nearest(name, tuple(self._met))
                hint = f'; did you mean "{near}"?' if near else ""
                there = ", ".join(self._met) or "none at all"
                yield f'no layer is called "{name}"{hint} (there are: {there})'
