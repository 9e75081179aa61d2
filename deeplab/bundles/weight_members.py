"""The weights in a bundle: one array of floats each, in NumPy's format."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from deeplab.bundles.archive import SMALL_BYTES, Archive
from deeplab.bundles.npy import NpyError, read_npy
from deeplab.errors import BundleError

MAX_WEIGHT_BYTES = 2**28  # the largest of any backbone has 20 MB
FLOATS = (np.dtype("<f4"), np.dtype("<f2"))


def weight_member(name: str) -> str:
    """Return the name in the zip of a weight's array."""
    return f"weights/{name}.npy"


def read_weight(archive: Archive, name: str, shape: tuple[int, ...] | None) -> NDArray[np.float32]:
    """Return one array of numbers, of the shape that is expected (None for any).

    Raises:
        BundleError: it is anything else.
    """
    path = archive.path
    # The size of the member, not what its header claims, bounds what is read.
    most = MAX_WEIGHT_BYTES if shape is None else SMALL_BYTES + 4 * math.prod(shape)
    content = archive.read(weight_member(name), most)
    try:
        array = read_npy(content)
    except NpyError as error:
        raise BundleError(path, f"has a weight that is {error}: {name}") from error
    if array.dtype not in FLOATS:
        raise BundleError(path, f"has a weight that is not made of floats: {name}")
    if shape not in (None, array.shape):
        raise BundleError(path, f"has {name} of shape {array.shape}, but its card means {shape}")
    if not np.isfinite(array).all():
        raise BundleError(path, f"has a weight that is not a finite number: {name}")
    return array.astype(np.float32)
