"""Patients dealt out to folds, each of which is held out once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from deeplab.data.split import SplitCase, classes_of, groups_of, rank_of
from deeplab.errors import TrainingError


def deal(claims: Sequence[SplitCase], count: int, seed: int) -> list[int]:
    """Return the fold of each claim, 1 to `count`.

    What stays together (`SplitCase.keys`) is in one fold. The groups are dealt one by one, those
    with the rarest class first, each to the fold that has least of its classes and then the fewest
    slides. Equals go by a hash of patient and seed, so the order of the slides plays no part.

    Raises:
        TrainingError: there are fewer groups than folds, the user chose sides, or a class is drawn
            in one group only, so that nothing would be left to learn it from.
    """
    chosen = [claim.name for claim in claims if claim.side]
    if chosen:
        raise TrainingError(
            f"{chosen[0]} has a split, but of {count} folds each holds its patients out in turn; "
            "leave the column split away, or train without folds"
        )
    groups = sorted(groups_of(claims), key=lambda group: rank_of(group, seed))
    if len(groups) < count:
        raise TrainingError(
            f"there are {len(groups)} patients for {count} folds (a slide whose patient is not "
            "known counts as one); ask for no more folds than there are patients"
        )
    owners = Counter(label for group in groups for label in classes_of(group))
    for label, held in owners.items():
        if held == 1:
            name = next(claim.name for claim in claims if label in claim.classes)
            raise _unlearnable(name, label)
    folds = [_Fold(number) for number in range(1, count + 1)]

    def rarest(group: Sequence[SplitCase]) -> int:
        return min((owners[label] for label in classes_of(group)), default=len(groups))

    fold_of: dict[int, int] = {}
    for group in sorted(groups, key=rarest):
        fold = min(folds, key=lambda each: each.burden_of(group, owners))
        fold.take(group)
        fold_of.update({id(claim): fold.number for claim in group})
    for fold in folds:
        for label, held in fold.classes.items():
            if held == owners[label]:
                name = next(c.name for c in claims if label in c.classes)
                raise _unlearnable(name, label)
    return [fold_of[id(claim)] for claim in claims]


@dataclass(slots=True)
class _Fold:
    """What a fold has been dealt."""

    number: int
    slides: int = 0
    classes: Counter[int] = field(default_factory=Counter)  # groups that have each label

    def burden_of(
        self, group: Sequence[SplitCase], owners: Mapping[int, int]
    ) -> tuple[bool, float, int, int]:
        """Return what speaks against one group more; an empty fold has least against it.

        Args:
            group: that is to be dealt.
            owners: groups that have each label, in all.
        """
        own = classes_of(group)
        takes_all = any(self.classes[label] + 1 == owners[label] for label in own)
        share = sum(self.classes[label] / owners[label] for label in own)
        return takes_all, share, self.slides, self.number

    def take(self, group: Sequence[SplitCase]) -> None:
        """Add a group."""
        self.slides += len(group)
        self.classes.update(classes_of(group))


def _unlearnable(name: str, label: int) -> TrainingError:
    return TrainingError(
        f"class {label} is drawn on {name} and on slides that are held out with it, and on no "
        "others: nothing would be left to learn it from; draw it for another patient, or ask for "
        "other folds"
    )
