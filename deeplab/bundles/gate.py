"""A model that segments and a classifier of what its patches have, in one bundle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deeplab.bundles.card import LAYERS, MAX_TILE, Card, models_as_fact, slides_as_fact
from deeplab.bundles.load import load_bundle
from deeplab.bundles.read import read_card
from deeplab.bundles.save import save_bundle
from deeplab.bundles.weights import named_weights
from deeplab.config.families import gate_config
from deeplab.config.gate_request import GateRequest
from deeplab.errors import BundleError, ConfigError
from deeplab.files import check_spared, check_writable
from deeplab.models.family import member_scope
from deeplab.models.registry import family_of


@dataclass(frozen=True, slots=True, kw_only=True)
class GateResult:
    """A model with a gate that was written."""

    output: Path
    card: Card

    def summary(self) -> str:
        """Return a few lines for a person."""
        return f"written to {self.output}: {self.card.config.describe()}"


def make_gate(request: GateRequest) -> GateResult:
    """Write the model with a gate that `request` asks for, whole or not at all.

    Raises:
        BundleError: a file is no model, or they do not go together.
        OutputError: the result cannot be written.
    """
    check_writable(request.output)
    paths = (request.model, request.classifier)
    check_spared([request.output], paths)
    segmenter, classifier = map(read_card, paths)
    _check_alike(request, segmenter, classifier)
    card = _card(request, segmenter, classifier)
    network = family_of(card.config).build(card.config)
    wanted = named_weights(network)
    for number, path in enumerate(paths, start=1):
        for name, variable in named_weights(load_bundle(path).network).items():
            wanted[f"{member_scope(number)}/{name}"].assign(variable)
    save_bundle(network, card, request.output)
    return GateResult(output=request.output, card=card)


def _check_alike(request: GateRequest, segmenter: Card, classifier: Card) -> None:
    """Refuse two models that do not look at one thing.

    Raises:
        BundleError: they are of the wrong kinds, or of other classes or another scale.
    """
    for path, card, answer, what in (
        (request.model, segmenter, "labels", "gives every pixel a class"),
        (request.classifier, classifier, "patch", "classifies patches"),
    ):
        if family_of(card.config).answer != answer:
            raise BundleError(path, f"is not of a network that {what}")
    for what, one, other in (
        ("list of classes", *(", ".join(c.classes.names) for c in (segmenter, classifier))),
        ("um per pixel", segmenter.work_mpp, classifier.work_mpp),
    ):
        if one != other:
            raise BundleError(
                request.classifier,
                f"cannot be the gate of {request.model.name}: its {what} is {other}, there it is "
                f"{one}; train both stages alike",
            )


def _card(request: GateRequest, segmenter: Card, classifier: Card) -> Card:
    """Return the card of a model with a gate, which claims no figures.

    Raises:
        BundleError: the networks do not go together.
    """
    try:
        config = gate_config(segmenter.config, classifier.config, request.threshold)
    except ConfigError as error:
        raise BundleError(request.model, f"cannot have this gate: {error}") from error
    halo = config.tiling.whole(max(segmenter.halo, config.tiling.margin))
    return Card(
        config=config,
        classes=segmenter.classes,
        work_mpp=segmenter.work_mpp,
        mpp_range=segmenter.mpp_range,
        halo=halo,
        tile=config.tiling.side_with(halo, most=MAX_TILE),
        trained_on=segmenter.trained_on,
        training={
            # Its layers are its own: of a model that is made of others, each of those tells them.
            **{name: fact for name, fact in segmenter.training.items() if name != LAYERS},
            "gate": f"{request.classifier.name}, {classifier.trained_on or 'unknown'}",
            **slides_as_fact((*segmenter.slides, *classifier.slides)),
            **models_as_fact(((request.model, segmenter), (request.classifier, classifier))),
        },
        versions=segmenter.versions,
        demonstration=segmenter.demonstration or classifier.demonstration,
        notice=" ".join(dict.fromkeys(c.notice for c in (segmenter, classifier) if c.notice)),
    )
