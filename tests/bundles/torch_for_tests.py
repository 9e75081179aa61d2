"""Write files as PyTorch does, opcode by opcode, so that neither it nor its classes are needed."""

import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

STORAGES = {"float32": "Float", "float64": "Double", "float16": "Half", "int64": "Long"}
BFLOAT16 = "BFloat16Storage"


def text(words: str) -> bytes:
    content = words.encode()
    return b"X" + struct.pack("<I", len(content)) + content


def integer(number: int) -> bytes:
    return b"\x8a\x08" + struct.pack("<q", number)


def numbers(*values: int) -> bytes:
    return b"(" + b"".join(map(integer, values)) + b"t"


def name(module: str, called: str) -> bytes:
    return f"c{module}\n{called}\n".encode()


def storage(key: int, kind: str, count: int, *, legacy: bool = False) -> bytes:
    told = text("storage") + name("torch", kind) + text(str(key)) + text("cpu") + integer(count)
    return b"(" + told + (b"N" if legacy else b"") + b"tQ"


def tensor(stored: bytes, shape, strides, offset: int = 0) -> bytes:
    view = stored + integer(offset) + numbers(*shape) + numbers(*strides)
    hooks = name("collections", "OrderedDict") + b")R"
    return name("torch._utils", "_rebuild_tensor_v2") + b"(" + view + b"\x89" + hooks + b"tR"


def of_array(key: int, array: np.ndarray, *, legacy: bool = False) -> bytes:
    kind = STORAGES[array.dtype.name] + "Storage"
    strides = [step // array.itemsize for step in np.empty(array.shape, array.dtype).strides]
    return tensor(storage(key, kind, array.size, legacy=legacy), array.shape, strides)


def table(entries: Mapping[str, bytes]) -> bytes:
    made = name("collections", "OrderedDict") + b")R"
    return made + b"(" + b"".join(text(n) + value for n, value in entries.items()) + b"u"


def network(kind: str, **tables: bytes) -> bytes:
    """A module: an object of a class whose state is its tables."""
    state = b"}(" + b"".join(text(n) + value for n, value in tables.items()) + b"u"
    return name("their.networks", kind) + b")\x81" + state + b"b"


def pickled(value: bytes) -> bytes:
    return b"\x80\x02" + value + b"."


def write_zip(path: Path, value: bytes, storages: Mapping[int, bytes], order: str = "little"):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("net/data.pkl", pickled(value))
        archive.writestr("net/byteorder", order)
        for key, content in storages.items():
            archive.writestr(f"net/data/{key}", content)
        archive.writestr("net/version", "3\n")
    return path


def write_legacy(path: Path, value: bytes, arrays: Mapping[int, np.ndarray]):
    machine = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}
    with path.open("wb") as file:
        for thing in (0x1950A86A20F9469CFC6C, 1001, machine):
            pickle.dump(thing, file, protocol=2)
        file.write(pickled(value))
        pickle.dump([str(key) for key in arrays], file, protocol=2)
        for array in arrays.values():
            file.write(struct.pack("<q", array.size) + array.tobytes())
    return path


def write_state(path: Path, state: Mapping[str, np.ndarray], *, wrap=None, legacy=False):
    """What `torch.save(state)` or `torch.save({wrap: state})` writes."""
    arrays = dict(enumerate(state.values()))
    entries = dict(zip(state, (of_array(k, a, legacy=legacy) for k, a in arrays.items()), strict=1))
    value = table(entries)
    if wrap is not None:
        value = table({wrap: value})
    if legacy:
        return write_legacy(path, value, arrays)
    return write_zip(path, value, {key: array.tobytes() for key, array in arrays.items()})
