"""Look at a model without loading it, and without TensorFlow."""

from __future__ import annotations

import os
from pathlib import Path

from deeplab.bundles.archive import Archive, open_archive
from deeplab.bundles.card import CARD_NAME, Card, card_from_json
from deeplab.bundles.checkpoint_files import check_whole, is_checkpoint
from deeplab.bundles.foreign import refuse_foreign
from deeplab.bundles.importers.deeplab_wsi import deeplab_wsi_card
from deeplab.config.families import Task, task_of
from deeplab.config.network import NetworkConfig
from deeplab.errors import BundleError

MAX_TEXT_BYTES = 2**20
LEAST_BYTES = 2  # of a weight, in half precision
MAX_WEIGHT_RATIO = 20  # to which all weights together may be packed: those of a pruned network are


def read_card_for(task: Task, path: Path) -> Card:
    """Read the card of a model that a task is to use.

    Raises:
        BundleError: the file is not a model that can be used here, or is one for another task.
    """
    card = read_card(path)
    used_by = task_of(card.config)
    if used_by != task:
        command = f"deeplab {used_by}"
        raise BundleError(path, f"is {card.config.describe()}; it is used by {command}")
    return card


def read_card(path: str | os.PathLike[str]) -> Card:
    """Return the card of a bundle, or what can be said of DeepLab-WSI's model before it is loaded.

    Raises:
        BundleError: it is not a model, or one of DeepLab-WSI's without `args.txt`.
    """
    path = Path(path)
    if is_bundle(path):
        with open_archive(path) as archive:
            return read_archived_card(archive)
    card = deeplab_wsi_card(path)
    if card is None:
        check_whole(path)
        raise BundleError(
            path,
            "has neither a card.json nor an args.txt that names its classes; make a model of it: "
            "deeplab import-checkpoint",
        )
    return card


def read_archived_card(archive: Archive) -> Card:
    """The card in a bundle that is open; nothing need be built of one that asks for absurd sizes.

    Raises:
        BundleError: it is no card, or the weights beside it cannot be those of its network.
    """
    card = card_from_json(archive.read(CARD_NAME, MAX_TEXT_BYTES), archive.path)
    held = sum(size for name, size in archive.sizes.items() if name != CARD_NAME)
    most = MAX_WEIGHT_RATIO * archive.path.stat().st_size
    check_held(card.config, min(held, most), archive.path)
    return card


def check_held(config: NetworkConfig, held_bytes: int, path: Path) -> None:
    """Raise unless weights of so many bytes can be all of a network's, before it is built.

    Raises:
        BundleError: its widest layers alone have more.
    """
    if config.least_weight_count * LEAST_BYTES > held_bytes:
        raise BundleError(
            path,
            f"is of a network with more than {config.least_weight_count:,} weights, but holds "
            f"{held_bytes:,} bytes; it is damaged, or none",
        )


def is_bundle(path: Path) -> bool:
    """Return whether a path is a zip with a card, and not the model of another program.

    Raises:
        BundleError: it does not exist, is damaged or not safe, or is nothing that can be used as it
            is; the sentence says what to do with it.
    """
    refuse_foreign(path)
    if is_checkpoint(path):
        return False
    with open_archive(path) as archive:
        return CARD_NAME in archive.sizes
