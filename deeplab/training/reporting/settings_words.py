"""What was asked of a training, in words that need no manual."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from deeplab.bundles.card import Card
from deeplab.config.train_request import AUGMENTATIONS, OF_COLOURS_ONLY, TrainRequest
from deeplab.models.registry import family_of

NOT_TOLD = {"token", "api_url", "plan"}  # which has a table of its own


def settings_in_words(request: TrainRequest, card: Card) -> Mapping[str, str]:
    """Return the settings that a reader may ask for, under headings."""
    return {
        "Network": card.config.describe(),
        **_channels(card),
        "Begun with": _start(request),
        "Patches": _patches(request, card),
        "Unannotated tissue": _unannotated(request),
        "Changes to patches": _augmentation(request),
        "Loss": _loss(request, card),
        "Companion": _companion(request),
        "Descent": _descent(request),
        "Validation": _validation(request),
    }


def all_settings(request: TrainRequest) -> Mapping[str, str]:
    """Return every setting and its value, but those that are secret, and the plan."""
    return {
        each.name: _shown(getattr(request, each.name))
        for each in fields(request)
        if each.name not in NOT_TOLD
    }


def _channels(card: Card) -> Mapping[str, str]:
    """Return what the network is shown, where that is not colours."""
    channels = card.config.channels
    if channels.are_colours:
        return {}
    pairs = zip(channels.names, channels.windows, strict=True)
    return {"Channels": ", ".join(f"{name} within {window}" for name, window in pairs)}


def _start(request: TrainRequest) -> str:
    if request.initial_encoder:
        return f"the encoder of {request.initial_encoder.name}, and random weights"
    if request.initial_model is None:
        return "random weights"
    head = "with" if request.init_last_layer else "without"
    return f"the weights of {request.initial_model.name}, {head} the layers of its classes"


def _patches(request: TrainRequest, card: Card) -> str:
    side = card.config.crop_size
    scale = f"{request.work_mpp:g} µm per pixel"
    if request.wsi_downsample:
        scale = f"{_listed(request.wsi_downsample)} times the slides' full resolution"
    return f"{side} × {side} pixels at {scale}, {request.batch_size} a step{_places(request)}"


def _places(request: TrainRequest) -> str:
    if request.data_sampler == "surf":
        share = f"{100 * request.batch_tumor_ratio:g} % on contours of the classes"
        return f"; {share}, the rest on contours of tissue"
    if request.data_sampler == "radboud":
        return "; each label as often, and of each label each annotation"
    return ""


def _unannotated(request: TrainRequest) -> str:
    if request.exhaustive_layer:
        regions = (
            f"background inside the regions of “{request.exhaustive_layer}”, ignored elsewhere"
        )
        if not request.corrected_only:
            return regions
        return f"{regions}; on slides without such regions, {_without_regions(request)}"
    return _without_regions(request)


def _without_regions(request: TrainRequest) -> str:
    if request.unannotated == "background":
        return "taken for background"
    return "ignored; glass is background"


def _augmentation(request: TrainRequest) -> str:
    none_of = OF_COLOURS_ONLY if request.channels else ()
    strong = [(kind, request.strength(kind)) for kind in AUGMENTATIONS if kind not in none_of]
    told = [f"{kind} {strength:g}" for kind, strength in strong if strength]
    strengths = " (strengths from 0 to 1)" if told else ""
    told = (["flips and quarter turns"] if request.augment_flip else []) + told
    return ", ".join(told) + strengths if told else "none"


def _loss(request: TrainRequest, card: Card) -> str:
    return family_of(card.config).loss(card.config, request).describe()


def _companion(request: TrainRequest) -> str:
    if request.companion == "none":
        return "none"
    activation = {"relu": "ReLU", "gelu": "GELU"}[request.companion_activation]
    return (
        f"an {request.companion} ({activation}) that learns by Adam, learning rate up to "
        f"{request.companion_learning_rate:g}, to give the labels from the rows of the network's "
        "logits; its cross entropy is added to the loss, and the model has nothing of it"
    )


def _descent(request: TrainRequest) -> str:
    method = {"adamw": "AdamW", "momentum": f"momentum {request.momentum:g}"}[request.optimizer]
    said = (
        f"{request.steps:,} steps of {method}, learning rate up to {request.learning_rate:g} and "
        f"down by the policy “{request.learning_policy}”, weight decay {request.weight_decay:g}"
    )
    if request.freeze_encoder_steps:
        said += f"; the encoder stays as it is for {request.freeze_encoder_steps:,} steps, then"
        said += " the learning rate begins anew"
    if request.ema_decay:
        said += f"; the model is a moving average of the weights ({request.ema_decay:g})"
    if request.rematerialisation:
        said += "; maps were computed again in the backward pass (rematerialisation)"
    return said + ("" if request.precision == "float32" else f"; computed in {request.precision}")


def _validation(request: TrainRequest) -> str:
    said = f"every {request.validate_every:,} steps; the {request.keep} model is kept"
    if request.early_stopping:
        said += f"; ended after {request.early_stopping} validations without a better one"
    return said


def _listed(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    if isinstance(value, Path):
        return value.name
    return "" if value is None else str(value)
