"""Files of MXNet's arrays: all three layouts come back as they were, and damage is named."""

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from deeplab.bundles.importers.mxnet_file import TYPES
from deeplab.bundles.importers.tensor_files import is_tensor_file, open_tensor_file
from deeplab.errors import BundleError, CheckpointError

LAYOUTS = {"2015": None, "wide": 0xF993FAC8, "dense": 0xF993FAC9, "signed": 0xF993FACA}


def array_bytes(value: np.ndarray, layout: str) -> bytes:
    mark = LAYOUTS[layout]
    said = b"" if mark is None else struct.pack("<I", mark)
    if layout in ("dense", "signed"):
        said += struct.pack("<i", 0)
    said += struct.pack("<I", value.ndim)
    said += struct.pack(f"<{value.ndim}{'I' if mark is None else 'q'}", *value.shape)
    kind = TYPES.index(value.dtype.newbyteorder("<").str)
    return said + struct.pack("<iii", 1, 0, kind) + value.tobytes()


def file_bytes(arrays: dict[str, np.ndarray], layout: str = "2015") -> bytes:
    content = struct.pack("<QQQ", 0x112, 0, len(arrays))
    content += b"".join(array_bytes(value, layout) for value in arrays.values())
    content += struct.pack("<Q", len(arrays))
    return content + b"".join(struct.pack("<Q", len(n)) + n.encode() for n in arrays)


def read(path: Path) -> dict[str, np.ndarray]:
    assert is_tensor_file(path)
    with open_tensor_file(path) as tensors:
        return {name: tensors.read(name) for name in tensors.shapes}


ARRAYS = st.lists(
    st.sampled_from(["f4", "f8", "f2", "u1", "i4", "i1", "i8", "?"]).flatmap(
        lambda kind: st_numpy.arrays(kind, st_numpy.array_shapes(max_dims=4, max_side=3))
    ),
    max_size=4,
)


@settings(deadline=None)
@given(values=ARRAYS, layout=st.sampled_from(sorted(LAYOUTS)))
def test_arrays_come_back_as_they_were(tmp_path_factory, values, layout):
    arrays = {f"arg:a{at}": value for at, value in enumerate(values)}
    path = tmp_path_factory.mktemp("mxnet") / "a.params"
    path.write_bytes(file_bytes(arrays, layout))
    found = read(path)
    assert list(found) == list(arrays)
    for name, value in arrays.items():
        np.testing.assert_array_equal(found[name], value)
        assert found[name].dtype == value.dtype


GOOD = {"arg:a": np.arange(6, dtype=np.float32).reshape(2, 3), "aux:b": np.zeros(2, np.float32)}


def write(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "a.params"
    path.write_bytes(content)
    return path


def test_every_shorter_file_is_damaged_and_none_is_read_beyond_its_end(tmp_path: Path):
    whole = file_bytes(GOOD)
    for length in range(16, len(whole)):
        path = write(tmp_path, whole[:length])
        with pytest.raises(CheckpointError, match="is damaged"), open_tensor_file(path):
            pass


@settings(deadline=None)
@given(at=st.integers(16, len(file_bytes(GOOD)) - 1), byte=st.integers(0, 255))
def test_an_altered_byte_is_read_or_named(tmp_path_factory, at, byte):
    content = bytearray(file_bytes(GOOD))
    content[at] = byte
    path = write(tmp_path_factory.mktemp("mxnet"), bytes(content))
    try:
        read(path)
    except BundleError as error:
        assert "is damaged" in str(error)  # noqa: PT017  a good file is as welcome


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (struct.pack("<QQQ", 0x112, 0, 2**40), "claims 1,099,511,627,776 arrays"),
        (struct.pack("<QQQIi", 0x112, 0, 1, 0xF993FAC9, 1), "is not dense"),
        (struct.pack("<QQQI", 0x112, 0, 1, 17), "has 17 sides"),
        (struct.pack("<QQQIIIiii", 0x112, 0, 1, 2, 2, 2, 1, 0, 9), "numbers of type 9"),
        (
            struct.pack("<QQQIIIiii", 0x112, 0, 1, 2, 2**31, 2**31, 1, 0, 0),
            "larger than any of a network",
        ),
        (
            struct.pack("<QQQIIqqiii", 0x112, 0, 1, 0xF993FAC8, 2, -1, 2, 1, 0, 0),
            "a side below 0",
        ),
        (file_bytes(GOOD) + b"x", "goes on behind its last name"),
        (
            struct.pack("<QQQIIiiifQQ", 0x112, 0, 1, 1, 1, 1, 0, 0, 1.0, 1, 2**40),
            "a name is too long",
        ),
        (file_bytes({"a": GOOD["arg:a"], "b": GOOD["aux:b"]}).replace(b"b", b"a"), "one name for"),
    ],
)
def test_what_a_file_claims_is_not_believed(tmp_path: Path, content: bytes, sentence: str):
    path = write(tmp_path, content)
    with pytest.raises(CheckpointError, match=sentence), open_tensor_file(path):
        pass
