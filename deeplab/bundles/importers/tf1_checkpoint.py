"""Checkpoints of TensorFlow 1 DeepLab, the ancestor's among them."""

from __future__ import annotations

import re
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from deeplab.bundles.archive import open_archive
from deeplab.bundles.importers.tf1_architecture import GraphOptions, Shape, infer_config
from deeplab.bundles.importers.tf1_names import NAMES, NOT_OF_THE_NETWORK, tf1_name
from deeplab.bundles.weights import named_weights
from deeplab.config.models import DeepLabV3PlusConfig
from deeplab.errors import CheckpointError, ConfigError
from deeplab.files import scratch_folder
from deeplab.models.registry import family_of

# What TensorFlow raises on files that are cut short, altered or not checkpoints.
BROKEN = (tf.errors.OpError, ValueError, RuntimeError, LookupError)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedNetwork:
    """A network with the weights of a checkpoint, and the knobs it was found to have."""

    config: DeepLabV3PlusConfig
    network: keras.Model


def import_tf1_checkpoint(path: Path, options: GraphOptions | None = None) -> TrainedNetwork:
    """The network that a checkpoint belongs to, with its weights.

    Args:
        path: `<prefix>` or `<prefix>.index` of a checkpoint, or a folder or zip that has one.
        options: What the variables do not tell; None for the original's defaults.

    Raises:
        CheckpointError: there is no checkpoint, it is damaged, or it is of another network.
        BundleError: the zip is not safe to read.
    """
    with _checkpoint_prefix(path) as prefix:
        reader = _Reader(prefix, path)
        try:
            config = infer_config(reader.shapes, options or GraphOptions(), path)
        except ConfigError as error:
            raise CheckpointError(path, f"is of a network that cannot be built: {error}") from error
        network = family_of(config).build(config)
        _assign(network, config.backbone, reader, path)
    return TrainedNetwork(config=config, network=network)


def read_tf1_weights(
    path: Path, network: keras.Model, backbone: str
) -> dict[str, NDArray[np.float32]]:
    """The weights of a checkpoint under our names, as far as `network` has them.

    For training on: an ImageNet checkpoint, say, has the backbone only.

    Raises:
        CheckpointError: there is no checkpoint, it is damaged, or has none of these weights.
        BundleError: the zip is not safe to read.
    """
    with _checkpoint_prefix(path) as prefix:
        reader = _Reader(prefix, path)
        names = {name: tf1_name(name, backbone) for name in named_weights(network)}
        found = {name: reader.tensor(of) for name, of in names.items() if of in reader.shapes}
    if not found:
        raise CheckpointError(path, f"has no weights of {backbone}")
    return found


class _Reader:
    """The variables of one checkpoint; `shown` is what errors call it."""

    def __init__(self, prefix: Path, shown: Path) -> None:
        self._shown = shown
        try:
            self._reader = tf.train.load_checkpoint(str(prefix))
            shapes = self._reader.get_variable_to_shape_map()
        except BROKEN as error:
            raise CheckpointError(shown, _damaged(error)) from error
        self.shapes: dict[str, Shape] = {
            name: tuple(shape)
            for name, shape in shapes.items()
            if not NOT_OF_THE_NETWORK.search(name)
        }

    def tensor(self, name: str) -> NDArray[np.float32]:
        """The value of a variable."""
        try:
            return np.asarray(self._reader.get_tensor(name), np.float32)
        except BROKEN as error:
            raise CheckpointError(self._shown, _damaged(error)) from error


def _damaged(error: Exception) -> str:
    reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else "no reason given"
    return f"is damaged or incomplete, copy it again ({type(error).__name__}: {reason})"


def _assign(network: keras.Model, backbone: str, reader: _Reader, path: Path) -> None:
    """Give the network every variable of the checkpoint; one too many or too few is an error."""
    weights = {tf1_name(name, backbone): v for name, v in named_weights(network).items()}
    missing = sorted(set(weights) - set(reader.shapes))
    left_over = sorted(
        name
        for name in set(reader.shapes) - set(weights)
        if not name.startswith(tuple(f"{scope}/" for scope in NAMES[backbone].classifier))
    )
    if missing or left_over:
        raise CheckpointError(path, _difference(backbone, missing, left_over))
    for name, variable in weights.items():
        if reader.shapes[name] != tuple(variable.shape):
            raise CheckpointError(
                path,
                f"has {name} of shape {reader.shapes[name]}, where {backbone} has "
                f"{tuple(variable.shape)}",
            )
        variable.assign(reader.tensor(name))


def _difference(backbone: str, missing: list[str], left_over: list[str]) -> str:
    parts = []
    for words, names in (("lacks", missing), ("has beside it", left_over)):
        if names:
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            parts.append(f"{words} {', '.join(names[:5])}{more}")
    return f"does not fit DeepLabV3+ with {backbone}: it {'; it '.join(parts)}"


@contextmanager
def _checkpoint_prefix(path: Path) -> Iterator[Path]:
    """The prefix of the checkpoint at `path`, unpacked for the time of the block if zipped."""
    if path.is_dir():
        yield _newest([str(p) for p in sorted(path.rglob("*.index"))], path)
    elif path.suffix == ".index" and path.exists():
        yield path.with_suffix("")
    elif path.with_name(path.name + ".index").exists():
        yield path
    else:
        with open_archive(path) as archive, scratch_folder() as folder:
            yield _unpack(archive, folder, path)


def _unpack(archive: zipfile.ZipFile, folder: Path, path: Path) -> Path:
    """Write the files of the newest checkpoint in a zip into `folder`, under a name of our own."""
    names = [name for name in archive.namelist() if not PurePosixPath(name).name.startswith("._")]
    prefix = str(_newest([name for name in names if name.endswith(".index")], path))
    for name in names:
        suffix = name.removeprefix(prefix)
        if re.fullmatch(r"\.index|\.data-\d{5}-of-\d{5}", suffix) and name.startswith(prefix):
            with archive.open(name) as source, (folder / f"model{suffix}").open("wb") as target:
                shutil.copyfileobj(source, target, 2**20)
    return folder / "model"


def _newest(indices: list[str], path: Path) -> Path:
    """The prefix whose step, the number at its end, is the highest."""
    if not indices:
        raise CheckpointError(
            path, "holds neither a card.json nor a checkpoint (model.ckpt-*.index)"
        )
    prefixes = [index.removesuffix(".index") for index in indices]

    def step(prefix: str) -> int:
        match = re.search(r"-(\d{1,18})$", prefix)
        return int(match[1]) if match else -1

    return Path(max(prefixes, key=step))
