"""Whether both sides call things by the same names: else all is missed, which is seldom meant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from deeplab.config.evaluate_request import BACKGROUND
from deeplab.exchange.labelling import Labelling, folded, nearest
from deeplab.report.words import listed

NAMED = 8  # layers that a sentence names


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnNames:
    """The names of the layers of both sides that could be of classes, as they were drawn."""

    reference: tuple[str, ...] = ()
    prediction: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, reference: Iterable[str], prediction: Iterable[str], rules: Labelling
    ) -> DrawnNames:
        """Return the names without those of what is ignored, of regions and of the background."""
        others = {rules.ignore_class, rules.exhaustive_layer}

        def kept(names: Iterable[str]) -> tuple[str, ...]:
            return tuple(
                name
                for name in dict.fromkeys(names)
                if rules.meaning(name) not in others - {""} and folded(name) != BACKGROUND
            )

        return cls(reference=kept(reference), prediction=kept(prediction))

    def with_more(self, other: DrawnNames) -> DrawnNames:
        """Return the names of both."""
        return DrawnNames(
            reference=tuple(dict.fromkeys((*self.reference, *other.reference))),
            prediction=tuple(dict.fromkeys((*self.prediction, *other.prediction))),
        )

    def problem(self, rules: Labelling, asked: Sequence[str]) -> str:
        """Return the sentence where no name is on both sides; "": there is one, or nothing to say.

        Args:
            rules: say what the names mean.
            asked: the classes that were named; where all names are of these, that is meant.
        """
        drawn, predicted = (
            {*map(rules.meaning, side)} for side in (self.reference, self.prediction)
        )
        known = (drawn | predicted) - {""}
        is_meant = {*asked} >= drawn | predicted
        if not (self.reference and self.prediction) or drawn & known & predicted or is_meant:
            return ""
        if asked and not known & {*asked}:
            return ""  # the classes are on neither side, which is another sentence
        return (
            "no layer of the prediction has the name of one of the reference: the reference has"
            f" {listed(self.reference[:NAMED])}, the prediction {listed(self.prediction[:NAMED])};"
            f' if they are the same, say so: --aliases "{self._alias(rules, asked)}"'
        )

    def _alias(self, rules: Labelling, asked: Sequence[str]) -> str:
        """Return the alias that would make the likeliest pair of names one."""
        own, others = self.reference, self.prediction
        if asked and not any(rules.meaning(name) in asked for name in own):
            own, others = others, own
        classes = tuple(rules.meaning(name) or name for name in own)
        pairs = [(name, nearest(name, classes)) for name in others]
        name, meant = next((pair for pair in pairs if pair[1]), (others[0], classes[0]))
        alias = f"{name.strip()}={meant}"
        return f'""{alias}""' if "," in alias else alias
