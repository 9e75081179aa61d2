"""Arrays in NumPy's format, out of files from anywhere.

NumPy's own reader evaluates the header as Python; one that only looks like what NumPy writes is as
good, and nothing is made room for that the file does not hold.
"""

from __future__ import annotations

import math
import re
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

MAGIC = b"\x93NUMPY\x01\x00"
MAX_HEADER_BYTES = 1024
MAX_DIMENSIONS = 16
KINDS = {np.dtype(kind).str: np.dtype(kind) for kind in "?bBhHiIqQefd"}  # little-endian
HEADER = re.compile(
    rb"\{'descr': '([^']{1,20})', 'fortran_order': (True|False), 'shape': \(([-\d, ]*)\),? ?\} *\n"
)
SHAPE = re.compile(rb"(?:-?\d{1,19}, ?)*(?:-?\d{1,19})?")  # of which each way on is a comma's


class NpyError(ValueError):
    """The bytes are no array of plain numbers."""


def read_npy(content: bytes, *, orders: Literal["C", "CF"] = "C") -> NDArray[Any]:
    """Return the array that is written in `content`, which it shares.

    Args:
        content: Of a file in NumPy's format.
        orders: Of the numbers in it that are taken: only rows first, or columns first, too.

    Raises:
        NpyError: it is none of numbers or truth values in such an order, or `content` holds more or
            less than its header claims.
    """
    length = int.from_bytes(content[len(MAGIC) : len(MAGIC) + 2], "little")
    start = len(MAGIC) + 2 + length
    header = HEADER.fullmatch(content[len(MAGIC) + 2 : start])
    if not content.startswith(MAGIC) or length > MAX_HEADER_BYTES or header is None:
        raise NpyError("no array")
    if not SHAPE.fullmatch(header[3]):
        raise NpyError("no array")
    kind = KINDS.get(header[1].decode(errors="replace"))
    is_by_columns = header[2] == b"True"
    if kind is None or (is_by_columns and orders == "C"):
        raise NpyError("not made of plain numbers")
    shape = tuple(int(side) for side in re.findall(rb"-?\d+", header[3]))
    size = len(content) - start
    if len(shape) > MAX_DIMENSIONS or min(shape, default=1) < 1:
        raise NpyError("cut short")
    if math.prod(shape) * kind.itemsize != size:
        raise NpyError("cut short")
    order: Literal["C", "F"] = "F" if is_by_columns else "C"
    return np.frombuffer(content, kind, offset=start).reshape(shape, order=order)
