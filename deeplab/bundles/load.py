"""Load a model: a bundle, or the ancestor's checkpoint. Checks come before weights."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import keras

from deeplab.bundles.archive import Archive, open_archive
from deeplab.bundles.card import CARD_NAME, Card
from deeplab.bundles.importers.deeplab_wsi import read_arguments
from deeplab.bundles.importers.tf1_architecture import GraphOptions
from deeplab.bundles.importers.tf1_checkpoint import import_tf1_checkpoint
from deeplab.bundles.read import is_bundle, read_archived_card
from deeplab.bundles.weight_members import read_weight, weight_member
from deeplab.bundles.weights import named_weights
from deeplab.config.classes import ClassList
from deeplab.errors import BundleError, ConfigError
from deeplab.models.family import Family
from deeplab.models.registry import family_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A model ready to use.

    `network` takes uint8 RGB (n, h, w, 3) and gives the maps of its family: for DeepLabV3+
    {"semantic_logits": float32 (n, h/s, w/s, classes)}.
    """

    card: Card
    family: Family
    network: keras.Model


def load_bundle(path: str | os.PathLike[str]) -> Bundle:
    """Return the model in a bundle, or in an ancestor's zip, folder or checkpoint.

    An ancestor's model says no um per pixel: its card's `work_mpp` is None.

    Raises:
        BundleError: it is not a model, is damaged, not safe to read, or does not fit its card.
        CheckpointError: the ancestor's checkpoint is of another network, or damaged.
    """
    path = Path(path)
    if not is_bundle(path):
        return _load_ancestor(path)
    with open_archive(path) as archive:
        card = read_archived_card(archive)
        family = family_of(card.config)
        network = _build(family, card, path)
        _check_members(network, archive)
        for name, variable in named_weights(network).items():
            variable.assign(read_weight(archive, name, tuple(variable.shape)))
    return Bundle(card=card, family=family, network=network)


def _build(family: Family, card: Card, path: Path) -> keras.Model:
    try:
        return family.build(card.config)
    except ConfigError as error:
        raise BundleError(path, f"has a card.json in which {error}") from error


def _check_members(network: keras.Model, archive: Archive) -> None:
    expected = {weight_member(name) for name in named_weights(network)} | {CARD_NAME}
    found = set(archive.sizes)
    for words, names in (("lacks", expected - found), ("has unknown files", found - expected)):
        if names:
            raise BundleError(
                archive.path, f"does not fit its card: it {words}, {len(names)}, as {min(names)}"
            )


def _load_ancestor(path: Path) -> Bundle:
    arguments = read_arguments(path)
    options = GraphOptions() if arguments is None else GraphOptions(crop_size=arguments.crop_size)
    trained = import_tf1_checkpoint(path, options)
    config = trained.config
    if arguments is None:
        names = tuple(f"class {label}" for label in range(1, config.label_count))
    else:
        names = arguments.class_names
    if len(names) != config.label_count - 1:
        raise BundleError(
            path,
            f"names {len(names)} classes in args.txt, but its network tells "
            f"{config.label_count - 1} from the background",
        )
    try:
        card = Card(config=config, classes=ClassList.named(names), work_mpp=None)
    except ConfigError as error:
        raise BundleError(path, f"has an args.txt in which {error}") from error
    card = replace(card, trained_on="DeepLab-WSI checkpoint")
    return Bundle(card=card, family=family_of(config), network=trained.network)
