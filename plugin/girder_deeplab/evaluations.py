"""Evaluations of models among the items of Girder: the tables that tasks and people put there."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from math import isnan
from statistics import fmean

from girder.constants import AccessType, SortDir
from girder.exceptions import ValidationException
from girder.models.item import Item

from girder_deeplab import models
from girder_deeplab.cards import Document
from girder_deeplab.paired import TOO_FEW, Difference, difference
from girder_deeplab.tables import FIGURES, Slide, may_be_table, read_table
from girder_deeplab.uploads import forget, when_uploaded

EVALUATION_KEY = "deeplabEvaluation"  # of an item's metadata: what its table says, in short
MOST_TABLES = 50  # of a model that are looked at, the newest
FEW_SLIDES = 10  # with which intervals are mostly too narrow
Classes = Mapping[str, float]  # a figure of a slide, of each class


def make_index() -> None:
    """Let the few tables among millions of items be found without looking at each."""
    Item().ensureIndex((f"meta.{EVALUATION_KEY}.model", {"sparse": True}))


def _note(item: Document, file: Document) -> None:
    """Note what a table that has arrived says and of which model, else forget that it was one."""
    table = read_table(file)
    if table is None:
        forget(item, EVALUATION_KEY)
        return
    slides = len({item_id for item_id, _ in table.values})
    told = {"model": table.model, "slides": slides, "figures": table.means}
    Item().setMetadata(item, {EVALUATION_KEY: told})


register_uploaded = when_uploaded(may_be_table, _note, "an evaluation")


def evaluations_told(model: Document, user: Document | None) -> list[Document]:
    """Return what is told of the evaluations of a model whose tables a user may read.

    The newest comes first; of each its item, the number of slides, and the means over these of
    figures of classes, with their intervals.
    """
    return [
        {
            **{key: item[key] for key in ("_id", "name", "folderId", "created")},
            **{key: item["meta"][EVALUATION_KEY].get(key) for key in ("slides", "figures")},
        }
        for item in _tables_of(model, user)
        if isinstance(item["meta"][EVALUATION_KEY], dict)  # people may change metadata
    ]


def _tables_of(model: Document, user: Document | None) -> Iterator[Document]:
    """Return the items of the tables of a model that a user may read, the newest first."""
    try:
        sha256 = models.digest_of(model)
    except ValidationException:
        return iter(())
    return Item().findWithPermissions(
        {f"meta.{EVALUATION_KEY}.model": sha256},
        user=user,
        level=AccessType.READ,
        limit=MOST_TABLES,
        sort=[("created", SortDir.DESCENDING), ("_id", SortDir.DESCENDING)],
    )


@dataclass(frozen=True)
class Comparison:
    """How a new model compares with an old one.

    Attributes:
        figure: by which.
        whole: of the mean over classes; None: there are no slides to compare them on.
        by_class: of each class alone.
        learnt: number of slides that do not count, as one of the models learnt from them.
        remarks: what limits it, a sentence each.
    """

    figure: str
    whole: Difference | None
    by_class: Mapping[str, Difference]
    learnt: int
    remarks: tuple[str, ...]

    def summary(self) -> str:
        """Return in words how the new model differs from the old one; `whole` is there."""
        found = self.whole
        bounds = (
            "" if found.verdict == TOO_FEW else f" ({found.low:+.3f} to {found.high:+.3f}, 95 %)"
        )
        return (
            f"{FIGURES[self.figure]} {found.new:.3f} after {found.old:.3f}, a difference of"
            f" {found.change:+.3f}{bounds} on {slides_counted(found.slides)} held out"
        )

    def told(self) -> Document:
        """Return it as the routes tell it."""
        return {
            "figure": self.figure,
            **(_told(self.whole) if self.whole else {"slides": 0, "verdict": None}),
            "classes": [{"name": name, **_told(each)} for name, each in self.by_class.items()],
            "learntSlides": self.learnt,
            "remarks": list(self.remarks),
        }


def slides_counted(number: int) -> str:
    """Return a number of slides in words."""
    return "1 slide" if number == 1 else f"{number} slides"


def _told(found: Difference) -> Document:
    numbers = {"old": found.old, "new": found.new, "difference": found.change}
    bounds = {"low": found.low, "high": found.high}
    known = {name: None if isnan(bound) else bound for name, bound in bounds.items()}
    return {"slides": found.slides, **numbers, **known, "verdict": found.verdict}


def compare(old: Document, new: Document, figure: str, user: Document | None) -> Comparison:
    """Return how two models compare on slides that neither has learnt from.

    What counts of a slide is its newest evaluation, of those in which both models were held
    against the same reference.

    Args:
        old: item of a model.
        new: of another.
        figure: one of `tables.FIGURES`.
        user: as far as they may read the tables.
    """
    first, second = (_values_of(each, figure, user) for each in (old, new))
    both: dict[str, Slide] = {}
    for slide in second:
        if first.get(slide, {}).keys() & second[slide].keys():
            both.setdefault(slide[0], slide)
    learnt = {item_id for each in (old, new) for item_id in models.slides_of(each)}
    held_out = [slide for item_id, slide in both.items() if item_id not in learnt]
    pairs = [(first[slide], second[slide]) for slide in held_out]
    names = dict.fromkeys(name for before, after in pairs for name in before if name in after)
    return Comparison(
        figure=figure,
        whole=_difference(pairs, names) if pairs else None,
        by_class={name: _difference(pairs, [name]) for name in names},
        learnt=len(both) - len(held_out),
        remarks=tuple(_remarks((old, new), len(held_out))),
    )


def _values_of(model: Document, figure: str, user: Document | None) -> dict[Slide, Classes]:
    """Return a figure of each slide on which a model was evaluated, the newest first."""
    found: dict[Slide, Classes] = {}
    for item in _tables_of(model, user):
        for file in filter(may_be_table, Item().childFiles(item)):
            table = read_table(file)
            if table is None or table.model != models.digest_of(model):
                continue
            for slide, values in table.values.items():
                own = {name: value for (name, metric), value in values.items() if metric == figure}
                if own:
                    found.setdefault(slide, own)
    return found


def _difference(pairs: list[tuple[Classes, Classes]], names: Collection[str]) -> Difference:
    """Return the difference of the mean over those of some classes that both models have."""
    old, new = [], []
    for before, after in pairs:
        common = [name for name in names if name in before and name in after]
        if common:
            old.append(fmean(before[name] for name in common))
            new.append(fmean(after[name] for name in common))
    return difference(old, new)


def _remarks(both: tuple[Document, Document], slides: int) -> Iterator[str]:
    if 1 < slides < FEW_SLIDES:
        yield f"The difference rests on {slides} slides; its interval is then mostly too narrow."
    for model in both:
        if not models.slides_of(model):
            yield (
                f"Which slides of this server {model['name']} learnt from, if any, is not known:"
                " they may be among those that count."
            )
