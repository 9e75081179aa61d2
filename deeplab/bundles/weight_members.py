"""The weights in a bundle: one array of floats each, in NumPy's format."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deeplab.errors import BundleError

MAX_HEADER_BYTES = 1024


def weight_member(name: str) -> str:
    """The name in the zip of a weight's array."""
    return f"weights/{name}.npy"


def read_weight(
    archive: zipfile.ZipFile, name: str, shape: tuple[int, ...] | None, path: Path
) -> NDArray[np.float32]:
    """One array of numbers, of the shape that is expected (None for any).

    Raises:
        BundleError: it is anything else.
    """
    member = archive.getinfo(weight_member(name))
    with archive.open(member) as stream:
        try:
            version = np.lib.format.read_magic(stream)
            if version != (1, 0):
                raise ValueError(f"npy version {version}")  # noqa: TRY301  one way out
            found, fortran, kind = np.lib.format.read_array_header_1_0(
                stream, max_header_size=MAX_HEADER_BYTES
            )
        except ValueError as error:
            raise BundleError(path, f"has a weight that is no array: {name}") from error
        if fortran or kind not in (np.dtype("<f4"), np.dtype("<f2")):
            raise BundleError(path, f"has a weight that is not made of floats: {name}")
        if shape not in (None, found):
            raise BundleError(path, f"has {name} of shape {found}, but its card means {shape}")
        # The size of the member, not what its header claims, bounds what is read.
        data = stream.read(member.file_size)
        if min(found, default=1) < 1 or math.prod(found) * kind.itemsize != len(data):
            raise BundleError(path, f"has a weight that is cut short: {name}")
    array = np.frombuffer(data, kind).reshape(found).astype(np.float32)
    if not np.isfinite(array).all():
        raise BundleError(path, f"has a weight that is not a finite number: {name}")
    return array
