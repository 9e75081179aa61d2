"""Look at a model without loading it, and without TensorFlow."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from deeplab.bundles.archive import open_archive
from deeplab.bundles.card import Card, card_from_json
from deeplab.config.classes import ClassList
from deeplab.config.models import DeepLabV3PlusConfig
from deeplab.errors import BundleError, ConfigError

CARD_NAME = "card.json"
ARGUMENTS_NAME = "args.txt"
MAX_TEXT_BYTES = 2**20


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
            return card_from_json(read_text(archive, CARD_NAME, path), path)
    arguments = read_arguments(path)
    if arguments is None:
        raise BundleError(path, "has neither a card.json nor an args.txt that names its classes")
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


def is_bundle(path: Path) -> bool:
    """Whether a path is a zip with a card.

    Raises:
        BundleError: it does not exist, is a frozen graph, or a zip that is damaged or not safe.
    """
    if path.is_dir() or path.with_name(path.name + ".index").exists():
        return False
    if path.suffix == ".index" and path.exists():
        return False
    if path.suffix == ".pb" and path.exists():
        raise BundleError(path, "is a frozen graph; make a model of it: deeplab import-checkpoint")
    with open_archive(path) as archive:
        return CARD_NAME in archive.namelist()


def read_text(archive: zipfile.ZipFile, name: str, path: Path) -> bytes:
    """The content of a small member.

    Raises:
        BundleError: it is longer than a megabyte.
    """
    if archive.getinfo(name).file_size > MAX_TEXT_BYTES:
        raise BundleError(path, f"has a {name} of more than 1 MiB")
    return archive.read(name)


def read_arguments(path: Path) -> AncestorArguments | None:
    """The ancestor's `args.txt` of a zip, a folder or beside a checkpoint; None without one.

    Raises:
        BundleError: it is there but is not what the ancestor writes.
    """
    if (path.is_file() and path.suffix == ".zip") or zipfile.is_zipfile(path):
        with open_archive(path) as archive:
            names = [n for n in archive.namelist() if PurePosixPath(n).name == ARGUMENTS_NAME]
            text = read_text(archive, min(names, key=len), path) if names else None
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
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
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
            path, f"names {len(parts)} compartments in args.txt, but num_classes is {count}"
        )
    # Image pooling saw (crop - 1) // 16 + 1 cells; the next smaller 16 k + 1 sees as many.
    return AncestorArguments(
        class_names=tuple(named), crop_size=min(max((crop - 1) // 16 * 16 + 1, 33), 4097)
    )
