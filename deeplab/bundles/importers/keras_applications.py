"""Weights files of `keras.applications`, to train on from.

Of its networks only those are taken whose layers are ours. MobileNetV2 is: the same convolutions,
normalisations (epsilon 1e-3), activations and scale of the input (-1 to 1). Before a stride Keras
pads sides of an even length at their ends only, where our networks pad both ends; sides of odd
length, as all maps of a tile of 32 k + 1 have, it pads as ours do. There the features are the same;
elsewhere they lie half a pixel aside, which training on makes up for.

An HDF5 file may come from anywhere: no link in it is followed, nothing is unpacked, and nothing is
read that has not the size of the weight it is for.
"""

from __future__ import annotations

import shutil
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType

import h5py
import keras
import numpy as np
from numpy.typing import NDArray

from deeplab.bundles.archive import open_archive
from deeplab.errors import CheckpointError
from deeplab.files import scratch_folder

# By our backbone: the application whose layers it has, one after the other, without branches.
APPLICATIONS: Mapping[str, str] = MappingProxyType({"mobilenet_v2": "MobileNetV2"})
# By the beginning of our backbone's name: what differs in the application of that name.
DIFFERENCES: Mapping[str, str] = MappingProxyType(
    {
        "mobilenet_v3": "has twice the channels in its last blocks",
        "resnet": "strides in other layers, and its convolutions have biases",
        "xception": "pools where ours strides, and normalises half as often",
    }
)
SIGNATURE = b"\x89HDF\r\n\x1a\n"
MEMBER = "model.weights.h5"  # of a `.keras` file, which is a zip
MAX_BYTES = 2**30
MAX_LAYERS = 2000
FLOATS = (np.dtype("<f4"), np.dtype("<f2"))
KINDS: Mapping[type[keras.layers.Layer], str] = MappingProxyType(
    {
        keras.layers.Conv2D: "conv2d",
        keras.layers.DepthwiseConv2D: "depthwise_conv2d",
        keras.layers.BatchNormalization: "batch_normalization",
    }
)
NORM = ("gamma", "beta", "moving_mean", "moving_variance")  # in the order of every Keras file
# What h5py raises on files that are cut short or altered.
BROKEN = (OSError, LookupError, RuntimeError, ValueError, TypeError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A layer of ours that wants weights.

    Attributes:
        kind: What Keras 3 calls such layers in a `.weights.h5`, before it numbers them.
        weights: Our names and the shapes, in Keras' order.
    """

    kind: str
    weights: tuple[tuple[str, tuple[int, ...]], ...]


def is_keras_weights(path: Path) -> bool:
    """Whether a path is an HDF5 file, or a zip that Keras 3 put one in.

    Raises:
        BundleError: it is a zip that is damaged or not safe.
    """
    return _is_hdf5(path) or (zipfile.is_zipfile(path) and _is_keras_zip(path))


def _is_hdf5(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(SIGNATURE)) == SIGNATURE


def _is_keras_zip(path: Path) -> bool:
    with open_archive(path) as archive:
        return MEMBER in archive.namelist()


def read_keras_weights(
    path: Path, network: keras.Model, backbone: str
) -> dict[str, NDArray[np.float32]]:
    """The weights of an application under our names, which are those of the backbone.

    Args:
        path: As `save_weights` writes it (`.weights.h5`), as `save` does (`.keras`, `.h5`), or as
            Keras offers it for download (`.h5`); with or without the layers of ImageNet's classes.
        network: Whose backbone they are for.
        backbone: Its row of the table of backbones.

    Raises:
        CheckpointError: the file is of another network or width, damaged or not safe to read.
    """
    if backbone not in APPLICATIONS:
        raise CheckpointError(path, _no_application(backbone))
    if path.stat().st_size > MAX_BYTES:
        raise CheckpointError(path, "is larger than 1 GiB, which no Keras application is")
    slots = _slots(network)
    with _opened(path) as file:
        layers = _numbered_layers(file, slots) if "layers" in file else _named_layers(file)
        # Behind the backbone come the layers of ImageNet's classes, of which some are always there.
        counts = [len(layer) for layer in layers[: len(slots)]]
        if counts != [len(slot.weights) for slot in slots]:
            raise CheckpointError(
                path,
                f"has not the layers of Keras' {APPLICATIONS[backbone]}, the only application "
                f"that can start {backbone}",
            )
        return {
            name: _read(dataset, name, shape, path)
            for datasets, slot in zip(layers, slots, strict=False)
            for dataset, (name, shape) in zip(datasets, slot.weights, strict=True)
        }


def _no_application(backbone: str) -> str:
    sentence = (
        f"is a Keras weights file, which can start {' or '.join(APPLICATIONS)} only, not {backbone}"
    )
    for beginning, difference in DIFFERENCES.items():
        if backbone.startswith(beginning):
            return f"{sentence}: Keras' network of that name {difference}"
    return sentence


def _slots(network: keras.Model) -> list[Slot]:
    """The layers of the backbone that have weights, in order."""
    slots = []
    for layer in network.layers:
        if layer.name.startswith("backbone.") and layer.weights:
            shapes = {weight.name: tuple(weight.shape) for weight in layer.weights}
            names = NORM if set(shapes) == set(NORM) else tuple(shapes)
            weights = tuple((f"{layer.name}/{name}", shapes[name]) for name in names)
            slots.append(Slot(kind=KINDS[type(layer)], weights=weights))
    return slots


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    try:
        with _unzipped(path) as plain, h5py.File(plain, "r") as file:
            yield file
    except BROKEN as error:
        reason = str(error).strip().partition("\n")[0][:200] or "no reason given"
        raise CheckpointError(
            path, f"is damaged or incomplete, copy it again ({type(error).__name__}: {reason})"
        ) from error


@contextmanager
def _unzipped(path: Path) -> Iterator[Path]:
    """The HDF5 file itself, for the time of the block."""
    if _is_hdf5(path):
        yield path
        return
    with open_archive(path) as archive, scratch_folder() as folder:
        with archive.open(MEMBER) as source, (folder / MEMBER).open("wb") as target:
            shutil.copyfileobj(source, target, 2**20)
        yield folder / MEMBER


def _numbered_layers(file: h5py.File, slots: Sequence[Slot]) -> list[list[h5py.Dataset]]:
    """The weights of the layers of a Keras 3 file, which numbers the layers of each kind."""
    seen: Counter[str] = Counter()
    layers = []
    for slot in slots:
        number = seen[slot.kind]
        seen[slot.kind] += 1
        name = f"layers/{slot.kind}{f'_{number}' if number else ''}/vars"
        names = [f"{name}/{index}" for index in range(len(slot.weights))]
        layers.append([weight for name in names if (weight := _inside(file, name)) is not None])
    return layers


def _named_layers(file: h5py.File) -> list[list[h5py.Dataset]]:
    """The weights of the layers of an older file, which lists its layers and their weights."""
    root = file["model_weights"] if _inside(file, "model_weights") is not None else file
    layers = []
    for layer in _texts(root, "layer_names"):
        names = _texts(root[layer], "weight_names") if _inside(root, layer) is not None else []
        weights = [weight for n in names if (weight := _inside(root, f"{layer}/{n}")) is not None]
        if weights:
            layers.append(weights)
    return layers


def _texts(group: h5py.Group, name: str) -> list[str]:
    """A list of names that is attached to a group; empty without one."""
    if name not in group.attrs:
        return []
    kind = group.attrs.get_id(name).dtype
    size = group.attrs.get_id(name).shape
    if size == (0,):
        return []
    if (kind.kind != "S" and not h5py.check_string_dtype(kind)) or len(size) != 1:
        raise ValueError(f"{name} is no list of names")
    if size[0] > MAX_LAYERS:
        raise ValueError(f"{name} lists {size[0]} names")
    return [n.decode() if isinstance(n, bytes) else str(n) for n in group.attrs[name]]


def _inside(group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset | None:
    """A member by its path, if every step of it is in this very file and is no link."""
    found = group
    for part in PurePosixPath(name).parts:
        link = found.get(part, getlink=True) if isinstance(found, h5py.Group) else None
        if not isinstance(link, h5py.HardLink):
            return None
        found = found[part]
    return found


def _read(
    dataset: h5py.Dataset, name: str, shape: tuple[int, ...], path: Path
) -> NDArray[np.float32]:
    """One weight.

    Raises:
        CheckpointError: it is not of this shape, or not plain finite floats.
    """
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype not in FLOATS:
        raise CheckpointError(path, f"has for {name} something that is not made of floats")
    if dataset.shape != shape:
        raise CheckpointError(
            path,
            f"is of another width: for {name} it has {dataset.shape}, where the network has "
            f"{shape}; set depth_multiplier to the alpha of the file",
        )
    # Chunks may be packed, or lie elsewhere; Keras writes each weight in one piece.
    if dataset.chunks or dataset.external or dataset.is_virtual:
        raise CheckpointError(path, f"has for {name} a weight that is not stored as Keras does")
    value = np.asarray(dataset[()], np.float32)
    if not np.isfinite(value).all():
        raise CheckpointError(path, f"has for {name} a weight that is not a finite number")
    return value
