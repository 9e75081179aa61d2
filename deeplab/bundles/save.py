"""Write a bundle: a zip with `card.json` and an array `weights/<layer>/<weight>.npy` for each."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import keras
import numpy as np

from deeplab.bundles.card import CARD_NAME, Card, card_to_json
from deeplab.bundles.weight_members import weight_member
from deeplab.bundles.weights import named_weights
from deeplab.files import whole_file


def save_bundle(network: keras.Model, card: Card, path: Path) -> None:
    """Save a network's weights and its card. The same weights and card give the same bytes.

    Nothing that runs is in the file: who loads it builds the network from the card's config.

    Raises:
        OutputError: the file cannot be written.
    """
    with whole_file(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        _add(archive, CARD_NAME, card_to_json(card).encode())
        for name, variable in named_weights(network).items():
            buffer = io.BytesIO()
            array = variable.numpy()
            np.lib.format.write_array(buffer, array, allow_pickle=False)
            _add(archive, weight_member(name), buffer.getvalue())


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    member = zipfile.ZipInfo(name)  # dated 1980: no clock in the bytes
    # Stored as it is: trained weights shrink by 7 %, which is not worth the time; weights that are
    # all alike would shrink so much that the file looked like a bomb to whoever opens it.
    member.compress_type = zipfile.ZIP_STORED
    member.external_attr = 0o644 << 16
    archive.writestr(member, content)
