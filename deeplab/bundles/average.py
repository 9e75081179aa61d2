"""The mean of models that were trained apart, weight by weight."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np

from deeplab.bundles.card import Card, models_as_fact, slides_as_fact
from deeplab.bundles.learnt_appearance import LearntAppearance, appearance_facts
from deeplab.bundles.load import Bundle, load_bundle
from deeplab.bundles.weights import named_weights
from deeplab.errors import BundleError


def average_bundles(paths: Sequence[Path], shares: Sequence[float]) -> Bundle:
    """Return the weighted mean of models, statistics of the batch normalisations included.

    Args:
        paths: bundles or ancestor's models, two or more.
        shares: how much each counts, not all 0.

    Returns:
        A model whose card says what was averaged and claims no figures.

    Raises:
        BundleError: a file is no model, or not of the first one's network, classes or scale.
    """
    bundle = load_bundle(paths[0])
    cards = [bundle.card]
    sums = {
        name: shares[0] * variable.numpy().astype(np.float64)
        for name, variable in named_weights(bundle.network).items()
    }
    for path, share in zip(paths[1:], shares[1:], strict=True):
        bundle = load_bundle(path)
        check_alike(paths[0], cards[0], path, bundle.card)
        cards.append(bundle.card)
        for name, variable in named_weights(bundle.network).items():
            sums[name] += share * variable.numpy().astype(np.float64)
    for name, variable in named_weights(bundle.network).items():
        variable.assign((sums[name] / math.fsum(shares)).astype(np.float32))
    return replace(bundle, card=_card(paths, shares, cards))


def check_alike(first_path: Path, first: Card, path: Path, card: Card) -> None:
    """Refuse a model that has no mean with the first.

    Raises:
        BundleError: their networks, classes or scales differ; it says in what.
    """
    for what, one, other in _compared(first, card):
        if one != other:
            raise BundleError(
                path,
                f"cannot be averaged with {first_path.name}: its {what} is {other}, there it is "
                f"{one}; average models of one training recipe",
            )


def _compared(first: Card, card: Card) -> list[tuple[str, object, object]]:
    """Return what must be the same, in words, and what it is in each."""
    rows: list[tuple[str, object, object]] = [
        ("family", first.family, card.family),
        ("list of classes", ", ".join(first.classes.names), ", ".join(card.classes.names)),
        ("um per pixel", first.work_mpp, card.work_mpp),
    ]
    if first.family == card.family:
        rows += [
            (each.name, getattr(first.config, each.name), getattr(card.config, each.name))
            for each in fields(first.config)
            if each.name != "taps"  # which older cards do not name, and no weight depends on
        ]
    return rows


def _card(paths: Sequence[Path], shares: Sequence[float], cards: Sequence[Card]) -> Card:
    total = math.fsum(shares)
    ranges = [card.mpp_range for card in cards if card.mpp_range]
    members = {
        f"model {number}": f"{path.name}, share {share / total:.3f}, {card.trained_on or 'unknown'}"
        for number, (path, share, card) in enumerate(zip(paths, shares, cards, strict=True), 1)
    }
    return replace(
        cards[0],
        # Where all of them may be run.
        mpp_range=(max(low for low, _ in ranges), min(high for _, high in ranges))
        if len(ranges) == len(cards)
        else None,
        tile=max(card.tile for card in cards),
        halo=max(card.halo for card in cards),
        trained_on=f"the average of {len(cards)} models",
        training={
            **members,
            **slides_as_fact(id_ for card in cards for id_ in card.slides),
            **appearance_facts([LearntAppearance.from_card(card) for card in cards]),
            **models_as_fact(list(zip(paths, cards, strict=True))),
        },
        metrics={},
        demonstration=any(card.demonstration for card in cards),
        notice=" ".join(dict.fromkeys(card.notice for card in cards if card.notice)),
    )
