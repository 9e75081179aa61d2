"""Models whose probabilities are averaged, at every pixel or of a patch, in one bundle.

Unlike the mean of models (`average.py`), which is one network with averaged weights, an ensemble
keeps all networks and costs as much as they do together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from types import MappingProxyType

from deeplab.bundles.card import MAX_TILE, Card, Fact, models_as_fact, slides_as_fact
from deeplab.bundles.learnt_appearance import (
    LearntAppearance,
    appearance_facts,
    facts_to_tell,
)
from deeplab.bundles.load import load_bundle
from deeplab.bundles.read import read_card
from deeplab.bundles.save import save_bundle
from deeplab.bundles.weights import named_weights
from deeplab.config.ensemble_request import EnsembleRequest
from deeplab.config.families import ensemble_config
from deeplab.config.network import compare_answers
from deeplab.errors import BundleError, ConfigError
from deeplab.evaluation.patch_tally import THRESHOLD, thresholds_of
from deeplab.files import check_spared, check_writable
from deeplab.models.family import member_scope
from deeplab.models.registry import family_of

NOTHING_MORE: Mapping[str, Fact] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleResult:
    """An ensemble that was written."""

    output: Path
    card: Card

    def summary(self) -> str:
        """Return a few lines for a person."""
        lines = [f"written to {self.output}: {self.card.config.describe()}"]
        told = facts_to_tell(self.card.training)
        lines += [f"  {name}: {value}" for name, value in told.items()]
        return "\n".join(lines)


def make_ensemble(request: EnsembleRequest) -> EnsembleResult:
    """Write the ensemble that `request` asks for, whole or not at all.

    Raises:
        BundleError: a file is no model, or does not answer as the first one does.
        OutputError: the result cannot be written.
    """
    check_writable(request.output)
    check_spared([request.output], request.models)
    card = save_ensemble(request.models, request.output)
    return EnsembleResult(output=request.output, card=card)


def save_ensemble(
    paths: Sequence[Path], output: Path, *, facts: Mapping[str, Fact] = NOTHING_MORE
) -> Card:
    """Write the ensemble of models, two or more, and return its card.

    Args:
        paths: of the models.
        output: the bundle to write.
        facts: to be told in the card beside the members.

    Raises:
        BundleError: a file is no model, or does not answer as the first one does.
        OutputError: it cannot be written.
    """
    cards = [read_card(path) for path in paths]
    for path, card in zip(paths, cards, strict=True):
        _check_alike(paths[0], cards[0], path, card)
    card = _card(paths, cards, facts)
    network = family_of(card.config).build(card.config)
    wanted = named_weights(network)
    for number, path in enumerate(paths, start=1):
        for name, variable in named_weights(load_bundle(path).network).items():
            wanted[f"{member_scope(number)}/{name}"].assign(variable)
    save_bundle(network, card, output)
    return card


def _check_alike(first_path: Path, first: Card, path: Path, card: Card) -> None:
    """Refuse a model whose probabilities cannot be averaged with the first one's.

    Raises:
        BundleError: its answers are of another kind, or of other classes or places.
    """
    if family_of(card.config).answer == "objects":
        raise BundleError(path, "is of a network that finds objects, which have no mean")
    for what, one, other in (
        ("list of classes", ", ".join(first.classes.names), ", ".join(card.classes.names)),
        ("um per pixel", first.work_mpp, card.work_mpp),
        *compare_answers(first.config, card.config),
    ):
        if one != other:
            raise BundleError(
                path,
                f"cannot be joined with {first_path.name}: its {what} is {other}, there it is "
                f"{one}; join models that answer alike",
            )


def _card(paths: Sequence[Path], cards: Sequence[Card], facts: Mapping[str, Fact]) -> Card:
    """Return the card of an ensemble, which claims no figures but keeps the mean thresholds.

    Raises:
        BundleError: a member is several networks itself, or there are too many.
    """
    try:
        config = ensemble_config(tuple(card.config for card in cards))
    except ConfigError as error:
        raise BundleError(paths[0], f"cannot be joined with the others: {error}") from error
    ranges = [card.mpp_range for card in cards if card.mpp_range]
    halo = config.tiling.whole(max(card.halo for card in cards))
    return Card(
        config=config,
        classes=cards[0].classes,
        work_mpp=cards[0].work_mpp,
        # Where all of them may be run.
        mpp_range=(max(low for low, _ in ranges), min(high for _, high in ranges))
        if len(ranges) == len(cards)
        else None,
        halo=halo,
        tile=config.tiling.side_with(halo, most=MAX_TILE),
        trained_on=f"{len(cards)} models, whose probabilities are averaged",
        training=dict(facts)
        | {
            f"member {number}": f"{path.name}, {card.trained_on or 'unknown'}"
            for number, (path, card) in enumerate(zip(paths, cards, strict=True), start=1)
        }
        | slides_as_fact(id_ for card in cards for id_ in card.slides)
        | models_as_fact(list(zip(paths, cards, strict=True)))
        | appearance_facts([LearntAppearance.from_card(card) for card in cards]),
        metrics=_mean_thresholds(cards),
        versions=cards[0].versions,
        demonstration=any(card.demonstration for card in cards),
        notice=" ".join(dict.fromkeys(card.notice for card in cards if card.notice)),
    )


def _mean_thresholds(cards: Sequence[Card]) -> dict[str, float]:
    """Return the mean threshold of each class of which all members keep one, as figures."""
    names = cards[0].classes.names
    kept = [thresholds_of(card.metrics, names) for card in cards]
    means = {}
    for name, values in zip(names, zip(*kept, strict=True), strict=True):
        known = [value for value in values if value is not None]
        if len(known) == len(cards):
            means[f"{THRESHOLD} {name}"] = fmean(known)
    return means
