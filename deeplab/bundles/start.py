"""Start a training from another model's weights, and say what was taken and what was not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from deeplab.bundles.archive import open_archive
from deeplab.bundles.card import Card
from deeplab.bundles.importers.deeplab_wsi import read_arguments
from deeplab.bundles.importers.keras_applications import is_keras_weights, read_keras_weights
from deeplab.bundles.importers.keras_deeplab import is_keras_deeplab, read_keras_deeplab
from deeplab.bundles.importers.tensor_files import is_tensor_file, open_tensor_file
from deeplab.bundles.importers.tf1_checkpoint import read_tf1_weights
from deeplab.bundles.importers.torch_deeplab import (
    is_torch_deeplab,
    read_torch_deeplab,
    takes_torch_deeplab,
)
from deeplab.bundles.importers.torch_encoders import read_encoder_weights
from deeplab.bundles.read import is_bundle, read_archived_card
from deeplab.bundles.weight_members import read_weight, weight_member
from deeplab.bundles.weights import Weights, named_weights
from deeplab.config.channels import RGB, Channels
from deeplab.config.classes import ClassList
from deeplab.config.families import with_channels
from deeplab.config.network import NetworkConfig
from deeplab.errors import BundleError
from deeplab.models.family import ENCODER
from deeplab.models.registry import family_of

BACKGROUND = "background"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedWeights:
    """What a network got from a model, by the names of its weights.

    Attributes:
        path: The model.
        taken: Weights that were taken.
        absent: Weights that the model has not.
        unfit: Weights that the model has in another shape, as sentences.
        skipped: Beginnings of the names of the layers that were to start fresh.
        classes: Classes whose logits were taken, the background included.
        fresh_classes: Classes whose logits start fresh, where those of others were taken.
    """

    path: Path
    taken: tuple[str, ...]
    absent: tuple[str, ...] = ()
    unfit: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    fresh_classes: tuple[str, ...] = ()

    def summary(self) -> str:
        """Return a line for the log."""
        parts = [f"{len(self.taken)} weights taken from {self.path}"]
        if self.classes:
            parts.append(f"logits taken of {', '.join(self.classes)}")
        for words, names in (
            ("logits fresh of", self.fresh_classes),
            ("fresh as asked", self.skipped),
            ("fresh because it has none", _layers_of(self.absent)),
            ("fresh because it has others", self.unfit),
        ):
            if names:
                more = f" and {len(names) - 8} more" if len(names) > 8 else ""
                parts.append(f"{words}: {', '.join(names[:8])}{more}")
        return "; ".join(parts)


def start_from(
    network: keras.Model,
    config: NetworkConfig,
    classes: ClassList,
    path: Path,
    *,
    fresh: Sequence[str],
) -> LoadedWeights:
    """Give a fresh network the weights of a model to train on from.

    Logits are taken class by class: those of the background, and of the classes of the same names
    as the model's. A model that does not name its classes must have as many.

    Args:
        network: Built from `config`.
        config: Its knobs.
        classes: What it is to learn.
        path: A bundle, an ancestor's model, an ImageNet checkpoint of the backbone, a weights file
            of a Keras application, or a file of PyTorch's with an encoder or a HoVer-Net.
        fresh: Beginnings of the names of the layers that take nothing: `Family.last_layers`.

    Raises:
        BundleError: the file is not a model, is of another family or backbone, or none of its
            weights fits.
    """
    skipped = tuple(fresh)
    wanted = {n: v for n, v in named_weights(network).items() if not n.startswith(skipped)}
    model = _read(network, config, path, wanted)
    if model.family:
        raise BundleError(
            path,
            f"is {model.family}, and the network to be trained is {config.describe()}; give it as "
            "the initial encoder (--initial_encoder) to take its encoder alone",
        )
    values, classes_taken = _with_classes_in_order(
        model, wanted, classes.names, family_of(config).logit_layers
    )
    unfit = _unfit(values, wanted)
    _check_backbone(unfit, path)
    taken = tuple(name for name in values if name not in unfit)
    if not taken:
        raise BundleError(path, "has no weights that fit the network to be trained")
    for name in taken:
        wanted[name].assign(values[name])
    return LoadedWeights(
        path=path,
        taken=taken,
        absent=tuple(name for name in wanted if name not in values),
        unfit=tuple(unfit.values()),
        skipped=skipped,
        classes=classes_taken,
        fresh_classes=tuple(n for n in classes.names if classes_taken and n not in classes_taken),
    )


def start_encoder(network: keras.Model, config: NetworkConfig, path: Path) -> LoadedWeights:
    """Give the encoder of a fresh network its weights from a file, and no other layer any.

    Args:
        network: Built from `config`.
        config: Its knobs.
        path: Of any kind that `start_from` takes.

    Raises:
        BundleError: the file has no such encoder, or not all of it.
    """
    wanted = {n: v for n, v in named_weights(network).items() if n.startswith(ENCODER)}
    if not wanted:
        raise BundleError(path, "has an encoder, and the network to be trained has none")
    values = _only(wanted, _read(network, config, path, wanted).weights)
    unfit = _unfit(values, wanted)
    _check_backbone(unfit, path)
    if absent := [name for name in wanted if name not in values]:
        raise BundleError(
            path,
            f"lacks {len(absent)} of the {len(wanted)} weights of the encoder {config.backbone}, "
            f"as {absent[0]}",
        )
    for name, value in values.items():
        wanted[name].assign(value)
    rest = tuple(n.partition(".")[0] for n in named_weights(network) if n not in wanted)
    return LoadedWeights(path=path, taken=tuple(values), skipped=tuple(dict.fromkeys(rest)))


def card_before(path: Path) -> Card | None:
    """Return the card of a model to start from; None: it is no bundle.

    Raises:
        BundleError: it cannot be read.
    """
    if is_tensor_file(path) or is_keras_weights(path) or not is_bundle(path):
        return None
    with open_archive(path) as archive:
        return read_archived_card(archive)


def _unfit(values: Weights, wanted: Mapping[str, keras.Variable]) -> dict[str, str]:
    """Return a sentence on each weight of another shape, by name."""
    return {
        name: f"{name} is {value.shape} there and {tuple(wanted[name].shape)} here"
        for name, value in values.items()
        if value.shape != tuple(wanted[name].shape)
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Model:
    """What was read of a model.

    Attributes:
        weights: under our names.
        names: of classes 1, 2, ...; None where it names none.
        family: what it is, where it is no network of the family to be trained; "": it is, or is
            an encoder that learnt something else.
    """

    weights: Weights
    names: tuple[str, ...] | None = None
    family: str = ""


def _read(
    network: keras.Model, config: NetworkConfig, path: Path, wanted: Mapping[str, keras.Variable]
) -> _Model:
    """Return the weights of a model; those that read colours, for the channels of the network.

    Raises:
        BundleError: it is no model, of another backbone, or of other channels that are no colours.
    """
    if config.channels.are_colours or _sees(path).names == config.channels.names:
        return _read_alike(network, config, path, wanted)
    # The first layers of a network of colours fit no other number of channels: its twin reads it.
    colours = with_channels(config, RGB)
    twin = family_of(config).build(colours)
    theirs = {name: v for name, v in named_weights(twin).items() if name in wanted}
    model = _read_alike(twin, colours, path, theirs)
    weights = {
        name: _over_channels(value, tuple(theirs[name].shape), tuple(wanted[name].shape))
        for name, value in model.weights.items()
    }
    return replace(model, weights=weights)


def _sees(path: Path) -> Channels:
    """Return the channels that a model was trained on: colours, but where a bundle says otherwise.

    Raises:
        BundleError: it cannot be read.
    """
    card = card_before(path)
    return card.config.channels if card else RGB


def _over_channels(
    value: NDArray[Any], colours: tuple[int, ...], channels: tuple[int, ...]
) -> NDArray[Any]:
    """Return a kernel (h, w, colours, n) for other channels; any other weight as it is.

    Each channel gets the mean of the colours' weights. Grey light in all channels then answers as
    it did in all colours.
    """
    fits = value.shape == colours and len(channels) == 4
    if not fits or colours == channels or colours[:2] != channels[:2]:
        return value
    mean = value.mean(axis=2, keepdims=True) * (colours[2] / channels[2])
    return np.broadcast_to(mean, channels).astype(value.dtype)


def _read_alike(
    network: keras.Model, config: NetworkConfig, path: Path, wanted: Mapping[str, keras.Variable]
) -> _Model:
    if is_tensor_file(path):
        with open_tensor_file(path) as tensors:
            if is_torch_deeplab(tensors) and takes_torch_deeplab(config):
                read = read_torch_deeplab(tensors, network)
            else:
                read = read_encoder_weights(tensors, network, config.backbone or "")
        return _Model(weights=_only(wanted, read))
    if is_keras_weights(path):
        backbone = _backbone(config, path)
        if is_keras_deeplab(path):
            read = read_keras_deeplab(path, network, backbone)
            return _Model(weights=_only(wanted, read))
        return _Model(weights=_only(wanted, read_keras_weights(path, network, backbone)))
    if not is_bundle(path):
        weights = _only(wanted, read_tf1_weights(path, network, _backbone(config, path)))
        arguments = read_arguments(path)
        return _Model(weights=weights, names=arguments.class_names if arguments else None)
    with open_archive(path) as archive:
        card = read_archived_card(archive)
        if card.config.backbone is None:
            raise BundleError(
                path,
                f"is {card.config.describe()}, and has not one backbone to begin with; give the "
                "model of a single network, as one of its members",
            )
        _check_channels(card.config, config, path)
        if card.config.backbone != config.backbone:
            raise BundleError(
                path,
                f"has the backbone {card.config.backbone}, where the network to be trained has "
                f"{config.backbone}; set backbone to {card.config.backbone}",
            )
        weights = {
            name: read_weight(archive, name, None)
            for name in wanted
            if weight_member(name) in archive.sizes
        }
    other = family_of(card.config) is not family_of(config)
    family = card.config.describe() if other else ""
    return _Model(weights=weights, names=card.classes.names, family=family)


def _check_channels(theirs: NetworkConfig, ours: NetworkConfig, path: Path) -> None:
    """Refuse a model of channels where the network to be trained sees others.

    Raises:
        BundleError: it is one.
    """
    if theirs.channels.names != ours.channels.names:
        seen, wanted = (", ".join(config.channels.names) for config in (theirs, ours))
        raise BundleError(
            path,
            f"sees the channels {seen}, and the network to be trained {wanted}; start from one of "
            "the same channels, or of colours (R, G, B)",
        )


def _backbone(config: NetworkConfig, path: Path) -> str:
    if config.backbone is None:
        raise BundleError(path, "is of a backbone, and the network to be trained has none")
    return config.backbone


def _only(wanted: Mapping[str, keras.Variable], weights: Weights) -> Weights:
    return {name: weights[name] for name in wanted if name in weights}


def _with_classes_in_order(
    model: _Model,
    wanted: Mapping[str, keras.Variable],
    names: tuple[str, ...],
    logit_layers: tuple[str, ...],
) -> tuple[Weights, tuple[str, ...]]:
    """Return the weights, logits in the order of `names`, and the classes for which there are any.

    Logits of a class that the model has not are those that the network has now. Without names in
    the model, or with the same ones, all is as it was, and no classes are told apart.
    """
    if model.names is None or model.names == names:
        return model.weights, ()
    theirs = {name: label for label, name in enumerate(model.names, start=1)}
    labels = {0: 0} | {theirs[n]: label for label, n in enumerate(names, start=1) if n in theirs}
    values = dict(model.weights)
    taken: tuple[str, ...] = ()
    for name, value in model.weights.items():
        now = wanted[name].numpy()
        if not name.startswith(logit_layers) or value.shape != (
            *now.shape[:-1],
            len(theirs) + 1,
        ):
            continue
        now[..., list(labels.values())] = value[..., list(labels)]
        values[name] = now
        taken = (BACKGROUND, *(name for name in names if name in theirs))
    return values, taken


def _check_backbone(unfit: Mapping[str, str], path: Path) -> None:
    sentences = [text for name, text in unfit.items() if name.startswith(ENCODER)]
    if sentences:
        raise BundleError(
            path,
            f"has a backbone of another width: {sentences[0]}; set depth_multiplier to its own",
        )


def _layers_of(names: Sequence[str]) -> tuple[str, ...]:
    """Return the layers of weights, each once, in order."""
    return tuple(dict.fromkeys(name.partition("/")[0] for name in names))
