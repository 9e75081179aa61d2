"""Weights in an HDF5 file of Keras', read by a process of its own that a damaged file may end."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeplab.bundles.archive import open_archive
from deeplab.bundles.foreign import KERAS_MEMBER, is_hdf5
from deeplab.errors import CheckpointError
from deeplab.files import scratch_folder

MAX_BYTES = 2**30
NUMBER_BYTES = 4  # of a weight as the reader gives it, float32
ENDED = "is damaged or incomplete, copy it again (it ends the reader)"
READER = Path(__file__).with_name("keras_h5.py")
READER_S = 60  # on a busy machine; it has few seconds of a processor for itself
REFUSED = 2  # its exit code when its output is a sentence
Shape = tuple[int, ...]


@contextmanager
def plain_hdf5(path: Path) -> Iterator[Path]:
    """The HDF5 file itself, taken out of a `.keras` for the time of the block.

    Raises:
        CheckpointError: it is larger than any that is taken.
        BundleError: it is a zip that is damaged or not safe.
    """
    if path.stat().st_size > MAX_BYTES:
        raise CheckpointError(
            path, "is larger than 1 GiB, which no network of Keras' that is taken is"
        )
    if is_hdf5(path):
        yield path
        return
    with open_archive(path) as archive, scratch_folder() as folder:
        archive.copy(KERAS_MEMBER, folder / KERAS_MEMBER)
        yield folder / KERAS_MEMBER


def list_weights(plain: Path, path: Path) -> dict[str, Shape]:
    """Return the shape of every weight of a file that lists its layers, as `<layer>/<weight>`.

    Args:
        plain: The HDF5 file.
        path: What errors call it by.

    Raises:
        CheckpointError: it was refused, or its reader did not end well or in time.
    """
    answer = read_apart(plain, {}, path)
    try:
        told: dict[str, list[int]] = json.loads(answer)
    except ValueError as error:
        raise CheckpointError(path, ENDED) from error
    return {name: tuple(shape) for name, shape in told.items()}


def read_named(plain: Path, shapes: Mapping[str, Shape], path: Path) -> dict[str, NDArray[Any]]:
    """Return weights of a file that lists its layers, by name, float32.

    Args:
        plain: The HDF5 file.
        shapes: Of the weights that are wanted, as listed.
        path: What errors call it by.

    Raises:
        CheckpointError: it was refused, or its reader did not end well or in time.
    """
    wanted = list(shapes.items())
    # What was never written takes no place in a file, and is read as zeros all the same.
    if sum(math.prod(shape) for _, shape in wanted) > MAX_BYTES // NUMBER_BYTES:
        raise CheckpointError(path, "claims to hold more than 1 GiB; it is damaged, or none")
    return split_weights(read_apart(plain, {"names": wanted}, path), wanted, path)


def split_weights(
    content: bytes, wanted: Sequence[tuple[str, Shape]], path: Path
) -> dict[str, NDArray[Any]]:
    """Return the weights that a reader gave one after the other, by name, float32.

    Raises:
        CheckpointError: they are not as many numbers as the shapes have.
    """
    count = sum(math.prod(shape) for _, shape in wanted)
    if len(content) != count * NUMBER_BYTES:
        raise CheckpointError(path, ENDED)
    numbers, weights, start = np.frombuffer(content, np.float32), {}, 0
    for name, shape in wanted:
        size = math.prod(shape)
        weights[name] = numbers[start : start + size].reshape(shape)
        start += size
    return weights


def read_apart(plain: Path, asked: Mapping[str, Any], path: Path) -> bytes:
    """Return what the reader of `keras_h5.py` answers to what it is asked of a file.

    Raises:
        CheckpointError: the file was refused, or the process did not end well or in time.
    """
    command = [sys.executable, "-P", str(READER)]  # -P: nothing is imported from beside it
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(  # noqa: S603  our own file
            command,
            input=json.dumps({**asked, "path": str(plain.absolute())}).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            timeout=READER_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CheckpointError(path, f"is damaged: {READER_S} s did not do to read it") from error
    if done.returncode == REFUSED:
        sentence = done.stdout.rpartition(b"\n")[2].decode(errors="replace")
        raise CheckpointError(path, sentence)
    if done.returncode:
        raise CheckpointError(path, ENDED)
    return done.stdout
