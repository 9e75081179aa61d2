"""Which slides are held out: whole patients, and never the last one that has a class."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from deeplab.errors import TrainingError

Side = Literal["train", "validation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitCase:
    """What decides on which side a slide goes.

    Attributes:
        name: of the slide.
        patient: whose slides stay together; "": not known.
        file: the real path or the id of what is read; the same file stays together, too.
        side: that the user chose; "": none.
        classes: labels that are drawn on it.
    """

    name: str
    patient: str = ""
    file: str = ""
    side: Side | Literal[""] = ""
    classes: frozenset[int] = frozenset()

    @property
    def keys(self) -> Iterator[Hashable]:
        """Claims that share one of these stay together."""
        yield ("file", self.file or self.name)
        if self.patient:
            yield ("patient", self.patient)


def sides(claims: Sequence[SplitCase], fraction: float, seed: int) -> list[Side]:
    """Return the side of each claim: what the user chose, else drawn.

    Where the user named slides for validation none is added. Else the groups that stay together
    are taken for it in the order of a hash of patient and seed, so that a slide that is added
    later does not move the others, until there are `fraction` of them. A group stays where no
    other to learn from has one of its classes.

    Raises:
        TrainingError: a patient or a file is on both sides by the user's choice, or nothing is
            left to learn from.
    """
    groups = groups_of(claims)
    chosen = {number: _chosen(group) for number, group in enumerate(groups)}
    held = {number for number, side in chosen.items() if side == "validation"}
    free = sorted(
        (n for n, side in chosen.items() if not side), key=lambda n: rank_of(groups[n], seed)
    )
    wanted = 0 if held else round(fraction * len(free))
    learn = [classes_of(group) for n, group in enumerate(groups) if n not in held]
    for number in free:
        own = classes_of(groups[number])
        others = [*learn]
        others.remove(own)
        if len(held) < wanted and others and own <= frozenset().union(*others):
            held.add(number)
            learn = others
    if claims and not learn:
        raise TrainingError(
            "all slides are held out for validation; give some of them the split train"
        )
    side_of = {id(c): n for n, group in enumerate(groups) for c in group}
    return ["validation" if side_of[id(claim)] in held else "train" for claim in claims]


def groups_of(claims: Sequence[SplitCase]) -> list[list[SplitCase]]:
    """Return the claims that stay together, each group in its order."""
    group_of: dict[Hashable, list[SplitCase]] = {}
    for claim in claims:
        known = {id(group_of[key]): group_of[key] for key in claim.keys if key in group_of}
        merged = [*(each for group in known.values() for each in group), claim]
        for key in {key for each in merged for key in each.keys}:
            group_of[key] = merged
    return list({id(group): group for group in group_of.values()}.values())


def _chosen(group: Sequence[SplitCase]) -> Side | Literal[""]:
    first = {claim.side: claim for claim in reversed(group) if claim.side}
    if len(first) == 2:
        one, other = first["train"], first["validation"]
        if one.patient and one.patient == other.patient:
            raise TrainingError(
                f"patient {one.patient} is in both splits; put all slides of a patient in one"
            )
        raise TrainingError(
            f"{one.name} and {other.name} are in both splits, but are the same file or of one "
            "patient; put both in one"
        )
    return next(iter(first), "")


def classes_of(group: Sequence[SplitCase]) -> frozenset[int]:
    """Return the labels that are drawn on some slide of a group."""
    return frozenset().union(*(claim.classes for claim in group))


def rank_of(group: Sequence[SplitCase], seed: int) -> bytes:
    """Return where a group stands in an order that depends on its patient and the seed alone."""
    name = min(claim.patient or claim.name for claim in group)
    return hashlib.sha256(f"{seed}/{name}".encode()).digest()
