"""Making a model the default of a folder, where it is known to be better than the one before."""

from __future__ import annotations

from girder.constants import AccessType
from girder.exceptions import ValidationException
from girder.models.item import Item

from girder_deeplab import models
from girder_deeplab.cards import Document
from girder_deeplab.evaluations import Comparison, compare, slides_counted
from girder_deeplab.paired import BETTER, TOO_FEW, WORSE

ALL_THE_SAME = "evenIfNotBetter=true makes it the default all the same."


def promote(
    folder: Document, item: Document, user: Document, *, figure: str, even_if_not_better: bool
) -> Document | None:
    """Make a model the default of a folder; returns how it compares with the one that was.

    Args:
        folder: whose default, its own or that of a folder around it, is replaced.
        item: of the model.
        user: who asks, and whose right to read evaluations counts.
        figure: that decides, one of `tables.FIGURES`.
        even_if_not_better: whether it is done whatever the comparison says.

    Returns:
        What `Comparison.told` returns, with `modelId` and `modelName` of the model that was; None
        where there was no other, or none that the user may read.

    Raises:
        ValidationException: the item is no model, is archived, or is not known to be better.
    """
    models.check_offered(item)
    present = models.default_of_all(folder, item["meta"][models.MODEL_KEY]["task"])
    told = None
    if present is not None and present["_id"] != item["_id"]:
        told, objection = _compared(present, item, figure, user)
        if objection and not even_if_not_better:
            raise ValidationException(f"{objection}; {ALL_THE_SAME}", "modelId")
    models.set_default(folder, item)
    return told


def _compared(
    present: Document, item: Document, figure: str, user: Document
) -> tuple[Document | None, str]:
    """Return what is told of a comparison, and what speaks against the new model; "": nothing."""
    if not Item().hasAccess(present, user, AccessType.READ):
        return None, (
            f"Whether {item['name']} is better than the default now cannot be told, as that is a"
            " model which you may not read"
        )
    comparison = compare(present, item, figure, user)
    told = {
        "modelId": present["_id"],
        "modelName": present["name"],
        **comparison.told(),
    }
    return told, _objection(comparison, present["name"], item["name"])


def _objection(comparison: Comparison, old: str, new: str) -> str:
    whole, learnt = comparison.whole, comparison.learnt
    if whole is None:
        more = f" (but {slides_counted(learnt)} that one of them learnt from)" if learnt else ""
        return (
            f"Whether {new} is better than {old}, the default now, is not known: no evaluation that"
            f" you may read has both on the same slides with the same reference{more}; run POST"
            " deeplab/comparison on slides that neither learnt from"
        )
    if whole.verdict == BETTER:
        return ""
    said = {WORSE: "is worse", TOO_FEW: "was compared on too few slides to be called better"}
    is_what = said.get(whole.verdict, "is not shown to be better")
    more = f" ({learnt} more, that one of them learnt from, do not count)" if learnt else ""
    return f"{new} {is_what} than {old}, the default now: {comparison.summary()}{more}"
