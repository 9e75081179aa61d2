"""What DeepLab-WSI (Histo-Cloud) wrote beside its checkpoints: `args.txt`, without TensorFlow."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from deeplab.bundles.archive import DAMAGED, archive_kind, open_archive
from deeplab.bundles.card import Card
from deeplab.bundles.checkpoint_files import is_checkpoint
from deeplab.config.classes import ClassList
from deeplab.config.deeplabv3plus import DeepLabV3PlusConfig
from deeplab.errors import BundleError, ConfigError

ARGUMENTS_NAME = "args.txt"
MAX_TEXT_BYTES = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepLabWsiArguments:
    """What DeepLab-WSI wrote beside a checkpoint: `args.txt`.

    Attributes:
        class_names: Names of classes 1, 2, ..., without the background.
        crop_size: Side of the training crops of the same image pooling, 16 k + 1.
    """

    class_names: tuple[str, ...]
    crop_size: int = 513


def deeplab_wsi_card(path: Path) -> Card | None:
    """Return what a model's `args.txt` tells of it; None without one.

    The config is the one that DeepLab-WSI's own tasks always used (xception_65); `load_bundle`
    looks at the weights themselves.

    Raises:
        BundleError: it is there but is not what DeepLab-WSI writes.
    """
    arguments = read_arguments(path)
    if arguments is None:
        return None
    try:
        return Card(
            config=DeepLabV3PlusConfig(
                label_count=len(arguments.class_names) + 1,
                backbone="xception_65",
                crop_size=arguments.crop_size,
            ),
            classes=ClassList.named(arguments.class_names),
            work_mpp=None,
        )
    except ConfigError as error:
        raise BundleError(path, f"has an args.txt in which {error}") from error


def read_arguments(path: Path) -> DeepLabWsiArguments | None:
    """Return the `args.txt` of an archive, a folder or beside a checkpoint; None without one.

    Raises:
        BundleError: it is there but is not what DeepLab-WSI writes.
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


def _arguments(text: bytes, path: Path) -> DeepLabWsiArguments:
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
    return DeepLabWsiArguments(
        class_names=tuple(named), crop_size=min(max((crop - 1) // 16 * 16 + 1, 33), 4097)
    )
