"""Write a bundle: a zip with `card.json` and an array `weights/<layer>/<weight>.npy` for each."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
from numpy.typing import NDArray

from deeplab.bundles.card import CARD_NAME, Card, card_to_json
from deeplab.bundles.weight_members import weight_member
from deeplab.bundles.weights import named_weights
from deeplab.errors import BundleError
from deeplab.files import whole_file

Stored = Literal["float32", "float16"]


def save_bundle(
    network: keras.Model,
    card: Card,
    path: str | os.PathLike[str],
    *,
    stored: Stored = "float32",
) -> None:
    """Save a network's weights and its card. The same weights and card give the same bytes.

    Nothing that runs is in the file: who loads it builds the network from the card's config.

    Args:
        network: Whose weights are saved.
        card: What is to be known of it.
        path: Of the file.
        stored: How numbers lie in the file; float16 halves it. Whatever it is, who loads them
            computes in float32, with the numbers as they were rounded.

    Raises:
        BundleError: a weight is too large for float16.
        OutputError: the file cannot be written.
    """
    path = Path(path)
    with whole_file(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        _add(archive, CARD_NAME, card_to_json(card).encode())
        for name, variable in named_weights(network).items():
            buffer = io.BytesIO()
            array = _rounded(variable.numpy(), stored, name, path)
            np.lib.format.write_array(buffer, array, allow_pickle=False)
            _add(archive, weight_member(name), buffer.getvalue())


def _rounded(array: NDArray[Any], stored: Stored, name: str, path: Path) -> NDArray[Any]:
    if stored == "float32":
        return array
    # What would overflow is told in a sentence instead.
    with np.errstate(over="ignore"):
        half = array.astype(np.float16)
    if not np.isfinite(half).all():
        raise BundleError(path, f"cannot be written in float16, for which {name} is too large")
    return half


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    member = zipfile.ZipInfo(name)  # dated 1980: no clock in the bytes
    # Stored as it is: trained weights shrink by 7 %, which is not worth the time; weights that are
    # all alike would shrink so much that the file looked like a bomb to whoever opens it.
    member.compress_type = zipfile.ZIP_STORED
    member.external_attr = 0o644 << 16
    archive.writestr(member, content)
