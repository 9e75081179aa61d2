"""Checkpoints of TensorFlow 1 DeepLab, the ancestor's among them."""

from __future__ import annotations

import math
import re
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from deeplab.bundles.archive import open_archive
from deeplab.bundles.importers.tf1_architecture import GraphOptions
from deeplab.bundles.importers.tf1_names import NOT_OF_THE_NETWORK, tf1_name
from deeplab.bundles.importers.tf1_network import (
    TrainedNetwork,
    Variables,
    config_of,
    trained_network,
)
from deeplab.bundles.weights import named_weights
from deeplab.errors import CheckpointError
from deeplab.files import scratch_folder

# What TensorFlow raises on files that are cut short, altered or not checkpoints.
BROKEN = (tf.errors.OpError, ValueError, RuntimeError, LookupError)


def import_tf1_checkpoint(path: Path, options: GraphOptions | None = None) -> TrainedNetwork:
    """The network that a checkpoint belongs to, with its weights.

    Args:
        path: `<prefix>` or `<prefix>.index` of a checkpoint, or a folder or zip that has one.
        options: What the variables do not tell; None for the original's defaults.

    Raises:
        CheckpointError: there is no checkpoint, it is damaged, or it is of another network.
        BundleError: the zip is not safe to read.
    """
    with open_checkpoint(path) as variables:
        return trained_network(variables, config_of(variables, options or GraphOptions()))


def read_tf1_weights(
    path: Path, network: keras.Model, backbone: str
) -> dict[str, NDArray[np.float32]]:
    """The weights of a checkpoint under our names, as far as `network` has them.

    For training on: an ImageNet checkpoint, say, has the backbone only.

    Raises:
        CheckpointError: there is no checkpoint, it is damaged, or has none of these weights.
        BundleError: the zip is not safe to read.
    """
    with open_checkpoint(path) as variables:
        names = {name: tf1_name(name, backbone) for name in named_weights(network)}
        found = {name: variables.tensor(of) for name, of in names.items() if of in variables.shapes}
    if not found:
        raise CheckpointError(path, f"has no weights of {backbone}")
    return found


@contextmanager
def open_checkpoint(path: Path) -> Iterator[Variables]:
    """The variables of the checkpoint at `path`, to be read inside the block.

    Args:
        path: `<prefix>` or `<prefix>.index` of a checkpoint, or a folder or zip that has one.

    Raises:
        CheckpointError: there is no checkpoint, or it is damaged.
        BundleError: the zip is not safe to read.
    """
    with _checkpoint_prefix(path) as prefix:
        try:
            reader = tf.train.load_checkpoint(str(prefix))
            shapes: Mapping[str, Sequence[int]] = reader.get_variable_to_shape_map()
            types: Mapping[str, tf.DType] = reader.get_variable_to_dtype_map()
        except BROKEN as error:
            raise CheckpointError(path, _damaged(error)) from error
        claimed = sum(math.prod(shape) * types[name].size for name, shape in shapes.items())
        found = sum(
            file.stat().st_size
            for file in prefix.parent.iterdir()
            if file.name.startswith(f"{prefix.name}.data-")
        )
        if claimed > found:
            raise CheckpointError(
                path,
                f"is damaged or incomplete, copy it again: its variables take {claimed:,} bytes, "
                f"but its .data files have {found:,}",
            )

        def tensor(name: str) -> NDArray[np.float32]:
            try:
                return np.asarray(reader.get_tensor(name), np.float32)
            except BROKEN as error:
                raise CheckpointError(path, _damaged(error)) from error

        others = {name for name in shapes if NOT_OF_THE_NETWORK.search(name)}
        yield Variables(
            path=path,
            shapes={name: tuple(shapes[name]) for name in shapes if name not in others},
            tensor=tensor,
            others=tuple(sorted(others)),
        )


def _damaged(error: Exception) -> str:
    reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else "no reason given"
    return f"is damaged or incomplete, copy it again ({type(error).__name__}: {reason})"


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
