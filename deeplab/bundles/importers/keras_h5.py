"""Read weights out of an HDF5 file, as a process of its own.

HDF5's library ends the process, or never comes back, on files that are damaged in some way or
other. So this file is run and not imported: it takes JSON on its standard input (the file, and the
layers or the names that are wanted) and gives the weights on its standard output, float32, one
after the other; asked for neither, it gives the names and shapes of all weights as JSON. With exit
code 2 the output is a sentence about the file.

An HDF5 file may come from anywhere: no link in it is followed, nothing is unpacked, and nothing is
read that has not the size of the weight it is for.
"""

from __future__ import annotations

import json
import resource
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

CPU_S = 8  # such a file takes a tenth of a second
MEMORY_BYTES = 3 * 2**30  # of addresses, the interpreter's and its libraries' with them
MAX_LAYERS = 2000
COUNT = "count"  # of the pixels that a layer of normalisation has seen: no weight
REFUSED = 2

Slot = tuple[str, list[tuple[str, list[int]]]]  # kind of layer; our names of its weights, shapes


class RefusalError(Exception):
    """The file cannot be used; its text says why, after the file's name."""


def main() -> int:
    """Answer what standard input asks for and return the exit code."""
    _limit(resource.RLIMIT_CPU, CPU_S)
    _limit(resource.RLIMIT_AS, MEMORY_BYTES)
    _limit(resource.RLIMIT_CORE, 0)
    asked = json.load(sys.stdin)
    import h5py  # noqa: PLC0415  within the limits

    out = sys.stdout.buffer
    try:
        with h5py.File(asked["path"], "r") as file:
            if "slots" in asked:
                for content in read_weights(file, asked["slots"], asked["application"]):
                    out.write(content)
            elif "names" in asked:
                datasets = dict(_datasets(file))
                for name, shape in asked["names"]:
                    out.write(_content(datasets[name], name, tuple(shape)))
            else:
                out.write(json.dumps({n: list(d.shape) for n, d in _datasets(file)}).encode())
    except RefusalError as error:
        return _refuse(str(error))
    # What h5py raises on files that are cut short or altered.
    except (OSError, LookupError, RuntimeError, ValueError, TypeError, MemoryError) as error:
        reason = str(error).strip().partition("\n")[0][:200] or "no reason given"
        kind = type(error).__name__
        return _refuse(f"is damaged or incomplete, copy it again ({kind}: {reason})")
    return 0


def _refuse(sentence: str) -> int:
    # Behind weights that were given already; the exit code says that they do not count.
    sys.stdout.buffer.write(b"\n" + sentence.encode(errors="replace"))
    return REFUSED


def _limit(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, hard))


def read_weights(file: Any, slots: Sequence[Slot], application: str) -> Iterator[bytes]:  # noqa: ANN401  h5py has no types
    """Yield the weights of the wanted layers, in order.

    Raises:
        RefusalError: the file is of another network or width, or not safe to read.
    """
    layers = _numbered_layers(file, slots) if "layers" in file else _named_layers(file)
    # Behind the backbone come the layers of ImageNet's classes, of which some are always there.
    if [len(layer) for layer in layers[: len(slots)]] != [len(weights) for _, weights in slots]:
        raise RefusalError(
            f"has not the layers of Keras' {application}, the only application that can start "
            "this backbone"
        )
    for datasets, (_, weights) in zip(layers, slots, strict=False):
        for dataset, (name, shape) in zip(datasets, weights, strict=True):
            yield _content(dataset, name, tuple(shape))


def _numbered_layers(file: Any, slots: Sequence[Slot]) -> list[list[Any]]:  # noqa: ANN401
    """Return the weights of the layers of a Keras 3 file, which numbers the layers of each kind."""
    seen: Counter[str] = Counter()
    layers = []
    for kind, weights in slots:
        number = seen[kind]
        seen[kind] += 1
        name = f"layers/{kind}{f'_{number}' if number else ''}/vars"
        names = [f"{name}/{index}" for index in range(len(weights))]
        layers.append([weight for name in names if (weight := _inside(file, name)) is not None])
    return layers


def _named_layers(file: Any) -> list[list[Any]]:  # noqa: ANN401
    """The weights of the layers of an older file, which lists its layers and their weights."""
    root = file["model_weights"] if _inside(file, "model_weights") is not None else file
    layers = []
    for layer in _texts(root, "layer_names"):
        listed = _texts(root[layer], "weight_names") if _inside(root, layer) is not None else []
        names = [n for n in listed if PurePosixPath(n).name.removesuffix(":0") != COUNT]
        weights = [weight for n in names if (weight := _inside(root, f"{layer}/{n}")) is not None]
        if weights:
            layers.append(weights)
    return layers


def _datasets(file: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    """Yield the weights of a file that lists its layers, each as `<layer>/<weight>`, once."""
    import h5py  # noqa: PLC0415

    root = file["model_weights"] if _inside(file, "model_weights") is not None else file
    seen = set()
    for layer in _texts(root, "layer_names"):
        group = _inside(root, layer)
        for name in _texts(group, "weight_names") if group is not None else []:
            short = f"{layer}/{PurePosixPath(name).name.removesuffix(':0')}"
            dataset = _inside(group, name)
            if isinstance(dataset, h5py.Dataset) and short not in seen:
                seen.add(short)
                yield short, dataset


def _texts(group: Any, name: str) -> list[str]:  # noqa: ANN401
    """Return a list of names that is attached to a group; empty without one."""
    import h5py  # noqa: PLC0415

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


def _inside(group: Any, name: str) -> Any:  # noqa: ANN401
    """A member by its path, if every step of it is in this very file and is no link, else None."""
    import h5py  # noqa: PLC0415

    found = group
    for part in PurePosixPath(name).parts:
        link = found.get(part, getlink=True) if isinstance(found, h5py.Group) else None
        if not isinstance(link, h5py.HardLink):
            return None
        found = found[part]
    return found


def _content(dataset: Any, name: str, shape: tuple[int, ...]) -> bytes:  # noqa: ANN401
    """Return one weight.

    Raises:
        RefusalError: it is not of this shape, or not plain finite floats.
    """
    import h5py  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    if not isinstance(dataset, h5py.Dataset) or dataset.dtype not in (np.dtype("<f4"), "<f2"):
        raise RefusalError(f"has for {name} something that is not made of floats")
    if dataset.shape != shape:
        raise RefusalError(
            f"is of another width: for {name} it has {dataset.shape}, where the network has "
            f"{shape}; set depth_multiplier to its alpha, or backbone to its size"
        )
    # Chunks may be packed, or lie elsewhere; Keras writes each weight in one piece.
    if dataset.chunks or dataset.external or dataset.is_virtual:
        raise RefusalError(f"has for {name} a weight that is not stored as Keras does")
    value = np.asarray(dataset[()], np.float32)
    if not np.isfinite(value).all():
        raise RefusalError(f"has for {name} a weight that is not a finite number")
    return value.tobytes()


if __name__ == "__main__":
    sys.exit(main())
