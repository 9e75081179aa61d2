"""Look at a model without loading it, and without TensorFlow."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from deeplab.bundles.archive import DAMAGED, Archive, archive_kind, open_archive
from deeplab.bundles.card import Card, card_from_json
from deeplab.bundles.checkpoint_files import check_whole, is_checkpoint
from deeplab.bundles.foreign import refuse_foreign
from deeplab.config.classes import ClassList
from deeplab.config.models import DeepLabV3PlusConfig, ModelConfig
from deeplab.errors import BundleError, ConfigError

CARD_NAME = "card.json"
ARGUMENTS_NAME = "args.txt"
MAX_TEXT_BYTES = 2**20
LEAST_BYTES = 2  # of a weight, in half precision
MAX_WEIGHT_RATIO = 20  # to which all weights together may be packed: those of a pruned network are


@dataclass(frozen=True, slots=True, kw_only=True)
class AncestorArguments:
    """What DeepLab-WSI wrote beside a checkpoint: `args.txt`.

    Attributes:
        class_names: Names of classes 1, 2, ..., without the background.
        crop_size: Side of the training crops of the same image pooling, 16 k + 1.
    """

    class_names: tuple[str, ...]
    crop_size: int = 513


def read_card(path: Path) -> Card:
    """The card of a bundle, or what can be said of an ancestor's model before it is loaded.

    For an ancestor's zip or folder the config is the one its own tasks always used (xception_65);
    `load_bundle` looks at the weights themselves.

    Raises:
        BundleError: it is not a model, or an ancestor's model without `args.txt`.
    """
    if is_bundle(path):
        with open_archive(path) as archive:
            return read_archived_card(archive)
    arguments = read_arguments(path)
    if arguments is None:
        check_whole(path)
        raise BundleError(
            path,
            "has neither a card.json nor an args.txt that names its classes; make a model of it: "
            "deeplab import-checkpoint",
        )
    try:
        return Card(
            config=DeepLabV3PlusConfig(
                label_count=len(arguments.class_names) + 1,
                backbone="xception_65",
                crop_size=arguments.crop_size,
            ),
            classes=ClassList.named(arguments.class_names),
            mpp_work=None,
        )
    except ConfigError as error:
        raise BundleError(path, f"has an args.txt in which {error}") from error


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


def check_held(config: ModelConfig, held_bytes: int, path: Path) -> None:
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
    """Whether a path is a zip with a card, and not the model of another program.

    Raises:
        BundleError: it does not exist, is damaged or not safe, or is nothing that can be used as it
            is; the sentence says what to do with it.
    """
    refuse_foreign(path)
    if is_checkpoint(path):
        return False
    with open_archive(path) as archive:
        return CARD_NAME in archive.sizes


def read_arguments(path: Path) -> AncestorArguments | None:
    """The ancestor's `args.txt` of an archive, a folder or beside a checkpoint; None without one.

    Raises:
        BundleError: it is there but is not what the ancestor writes.
    """
    if path.is_file() and not is_checkpoint(path) and archive_kind(path):
        with open_archive(path) as archive:
            names = [n for n in archive.sizes if PurePosixPath(n).name == ARGUMENTS_NAME]
            text = archive.read(min(names, key=len), MAX_TEXT_BYTES) if names else None
    else:
        folder = path if path.is_dir() else path.parent
        found = sorted(folder.glob(f"**/{ARGUMENTS_NAME}" if path.is_dir() else ARGUMENTS_NAME))
        if found and found[0].stat().st_size > MAX_TEXT_BYTES:
            raise BundleError(path, f"has an {ARGUMENTS_NAME} of more than 1 MiB")
        text = found[0].read_bytes() if found else None
    return None if text is None else _arguments(text, path)


def _arguments(text: bytes, path: Path) -> AncestorArguments:
    try:
        value = json.loads(text)
        count = int(value["num_classes"])
        names = value["compartments"]
        crop = int(value.get("patch_size", 513))
    except DAMAGED as error:
        raise BundleError(
            path, "has an args.txt without num_classes and compartments in JSON"
        ) from error
    parts = names.split(",") if isinstance(names, str) else names
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        raise BundleError(path, "has an args.txt whose compartments are not names")
    # num_classes counts the background, which compartments may name or leave out.
    named = [part.strip() for part in parts][1 if len(parts) == count else 0 :]
    if len(named) != count - 1:
        raise BundleError(
            path,
            f"names {len(parts)} compartments in args.txt, but num_classes is {str(count)[:9]}",
        )
    # Image pooling saw (crop - 1) // 16 + 1 cells; the next smaller 16 k + 1 sees as many.
    return AncestorArguments(
        class_names=tuple(named), crop_size=min(max((crop - 1) // 16 * 16 + 1, 33), 4097)
    )
