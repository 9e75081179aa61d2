"""What an array's header claims is never made room for."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from deeplab.bundles.archive import open_archive
from deeplab.bundles.weight_members import read_weight, weight_member
from deeplab.errors import BundleError


def claiming(shape: tuple[int, ...], path: Path, content: bytes) -> Path:
    header = repr({"descr": "<f4", "fortran_order": False, "shape": shape}).encode()
    header = header.ljust(118 - 1) + b"\n"
    with zipfile.ZipFile(path, "w") as archive:
        raw = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + content
        archive.writestr(weight_member("a/kernel"), raw)
    return path


def test_an_array_is_read_as_its_header_says(tmp_path: Path):
    values = np.arange(6, dtype=np.float32)
    with open_archive(claiming((2, 3), tmp_path / "m.zip", values.tobytes())) as archive:
        found = read_weight(archive, "a/kernel", None)
    np.testing.assert_array_equal(found, values.reshape(2, 3))


@pytest.mark.parametrize(
    ("shape", "content"),
    [
        ((50_000, 50_000), b"\0" * 4),  # 10 GB
        ((2**32, 2**32), b""),  # in 64 bits these multiply to nothing
        ((0, 2**62), b""),
        ((-2, -3), b"\0" * 24),
    ],
)
def test_a_header_that_claims_what_is_not_there_is_one_sentence(tmp_path: Path, shape, content):
    with (
        open_archive(claiming(shape, tmp_path / "m.zip", content)) as archive,
        pytest.raises(BundleError, match="has a weight that is cut short: a/kernel"),
    ):
        read_weight(archive, "a/kernel", None)
