"""Graphs as OpenVINO reads them: converted once, in a process of its own, and kept.

TensorFlow is needed to convert a graph, and takes seconds to load and hundreds of megabytes as long
as its process lives. So another process converts, and what it wrote is kept for later runs, with
TensorFlow's answers on the trial: whether OpenVINO agrees can be told on any processor without it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import numpy as np

from deeplab import errors
from deeplab.errors import BundleError, DeviceError, OutputError
from deeplab.files import file_digest, scratch_folder
from deeplab.inference.predictor import GraphSpec
from deeplab.inference.stream import BatchMaps, Tiles
from deeplab.native_log import remarks_left_out

log = logging.getLogger(__name__)

CACHE_VARIABLE: Final = "DEEPLAB_CACHE"
CACHE_NAME: Final = "histomics-deeplab"  # in the user's folder of caches
GRAPH: Final = "graph.xml"
WEIGHTS: Final = "graph.bin"
ANSWERS: Final = "trial.npz"
_SIZES: Final = "sizes.json"  # of the files above: what lacks it, or has others, is not whole
_COMPILED: Final = ".blob"  # ends the names of graphs compiled for tiles of one size
MOST_COMPILED = 4  # sizes of tiles a graph
MOST_BYTES = 4 * 2**30  # of all that is kept; what was used longest ago goes first
PACKAGES = ("tensorflow", "keras", "openvino", "numpy")
_MAP: Final = "map "  # before the name of a map
_CONVERTER = "deeplab.inference.tensorflow_runtime"


@contextmanager
def converted(spec: GraphSpec) -> Iterator[Path]:
    """Give a folder with the graph, GRAPH, and TensorFlow's answers on the trial, ANSWERS.

    It is one of the cache where that can be used, else one that is gone afterwards. The cache is
    the folder that DEEPLAB_CACHE names, or the user's one; it may be read-only, or absent.

    Raises:
        BundleError, ConfigError: the model cannot be used, or not so.
        DeviceError: the process that converts was ended.
        OutputError: there is no room for temporary files.
    """
    kept = _kept_folder(spec)
    if kept and _is_whole(kept):
        with suppress(OSError):  # of a read-only cache nothing is ever removed
            os.utime(kept)
        yield kept
        return
    beside = kept.parent if kept and _can_keep(kept.parent) else None
    with scratch_folder(beside) as work:
        made = work / "made"
        made.mkdir()
        _convert(spec, made)
        sizes = {name: (made / name).stat().st_size for name in (GRAPH, WEIGHTS, ANSWERS)}
        (made / _SIZES).write_text(json.dumps(sizes))
        if kept and beside:
            made = _keep(made, kept)
        yield made


def is_kept(spec: GraphSpec) -> bool:
    """Return whether a graph is converted already, and agreed with TensorFlow on this processor."""
    kept = _kept_folder(spec)
    return kept is not None and _is_whole(kept) and bool(read_verdict(kept))


def check_keeps(spec: GraphSpec) -> None:
    """Make sure that the conversion of a graph would be kept.

    Raises:
        BundleError: the model is of several files.
        OutputError: the cache cannot be written.
    """
    kept = _kept_folder(spec)
    if kept is None and _cache_folder() is not None:
        raise BundleError(
            spec.model, "is of several files, which are converted for every run; import it first"
        )
    if kept is None or not (_is_whole(kept) or _can_keep(kept.parent)):
        folder = kept.parent if kept else Path(CACHE_NAME)
        raise OutputError(
            folder, f"nothing can be kept there; let {CACHE_VARIABLE} name another folder"
        )


def write_answers(folder: Path, tiles: Tiles, maps: BatchMaps) -> None:
    """Write the tiles of the trial and TensorFlow's maps of them."""
    arrays: dict[str, Any] = {_MAP + name: values for name, values in maps.items()}
    np.savez_compressed(folder / ANSWERS, tiles=tiles, **arrays)


def read_answers(folder: Path) -> tuple[Tiles, BatchMaps]:
    """Return the tiles of the trial and TensorFlow's maps of them."""
    with np.load(folder / ANSWERS, allow_pickle=False) as found:
        maps = {n.removeprefix(_MAP): found[n] for n in found.files if n.startswith(_MAP)}
        return found["tiles"], maps


def read_verdict(folder: Path) -> str | None:
    """Return what was found on this kind of processor before: a precision, or "" for none.

    None where nothing was.
    """
    try:
        found = json.loads(_verdict_file(folder).read_text())["precision"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if found in ("bf16", "f32", "") else None


def keep_verdict(folder: Path, precision: str) -> None:
    """Write what was found on this kind of processor, where the folder can be written."""
    told = json.dumps({"precision": precision, "processor": processor()})
    _keep_file(_verdict_file(folder), told.encode())


def read_compiled(folder: Path, kind: str) -> bytes | None:
    """Return what `keep_compiled` wrote of this kind on this kind of processor, if it did."""
    file = _compiled_file(folder, kind)
    try:
        content = file.read_bytes()
    except OSError:
        return None
    with suppress(OSError):  # a read-only cache
        os.utime(file)
    return content


def keep_compiled(folder: Path, kind: str, content: bytes) -> None:
    """Write a graph as compiled for tiles of one size, where the folder can be written.

    Of several the one used longest ago is removed.

    Args:
        folder: with the graph.
        kind: what it was compiled for.
        content: as OpenVINO exports it.
    """
    _keep_file(_compiled_file(folder, kind), content)
    with suppress(OSError):
        files = sorted(folder.glob(f"*{_COMPILED}"), key=lambda file: file.stat().st_mtime)
        for file in files[:-MOST_COMPILED]:
            file.unlink()


def _keep_file(file: Path, content: bytes) -> None:
    draft = file.with_suffix(f".{os.getpid()}")
    with suppress(OSError):
        draft.write_bytes(content)
        draft.replace(file)


@cache
def processor() -> str:
    """Return the kind of this machine's processor, with what it can do, as far as is known."""
    told = {"model name": platform.machine(), "flags": ""}
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = (part.strip() for part in line.partition(":"))
            if name in told:
                told[name] = value
    return f"{told['model name']} {hashlib.sha256(told['flags'].encode()).hexdigest()[:8]}"


def _verdict_file(folder: Path) -> Path:
    return folder / f"verdict-{_digest(processor())}.json"


def _compiled_file(folder: Path, kind: str) -> Path:
    return folder / f"{_digest(processor() + kind)}{_COMPILED}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _kept_folder(spec: GraphSpec) -> Path | None:
    """Return where a graph is kept, or would be; None where it cannot be."""
    digest, folder = file_digest(spec.model), _cache_folder()
    if not digest or folder is None:
        return None
    told = spec.to_json() | {"model": digest, "code": _code_digest(), "packages": _versions()}
    return folder / hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:32]


def _cache_folder() -> Path | None:
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named).absolute()
    if named := os.environ.get("XDG_CACHE_HOME"):
        return Path(named).absolute() / CACHE_NAME
    try:
        return Path.home() / ".cache" / CACHE_NAME
    except RuntimeError:  # a user without a home
        return None


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):  # it may come under another name, as tensorflow-cpu
            found[name] = version(name)
    return found


@cache
def _code_digest() -> str:
    """Return a digest of this package's source: another one may make another graph."""
    found = hashlib.sha256()
    package = Path(errors.__file__).parent
    for path in sorted(package.rglob("*.py")):
        found.update(path.relative_to(package).as_posix().encode())
        found.update(path.read_bytes())
    return found.hexdigest()


def _is_whole(folder: Path) -> bool:
    try:
        sizes = json.loads((folder / _SIZES).read_text())
        return bool(sizes) and all(
            (folder / name).stat().st_size == size for name, size in sizes.items()
        )
    except (OSError, ValueError, AttributeError):
        return False


def _can_keep(folder: Path) -> bool:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


def _keep(made: Path, kept: Path) -> Path:
    """Move what was made to where it is kept, and return where it is."""
    try:
        if kept.exists() and not _is_whole(kept):
            shutil.rmtree(kept)
        made.rename(kept)
    except OSError:  # another process was faster
        return made
    _make_room(kept)
    return kept


def _make_room(newest: Path) -> None:
    """Remove what was used longest ago until no more is kept than may be."""
    entries = []
    for folder in newest.parent.iterdir():
        with suppress(OSError):
            if (folder / _SIZES).is_file():
                size = sum(path.stat().st_size for path in folder.iterdir())
                entries.append((folder != newest, folder.stat().st_mtime, size, folder))
    entries.sort(key=lambda entry: (entry[0], -entry[1]))
    held = 0
    for _, _, size, folder in entries:
        held += size
        if held > MOST_BYTES and folder != newest:
            shutil.rmtree(folder, ignore_errors=True)


def _convert(spec: GraphSpec, folder: Path) -> None:
    """Convert here where TensorFlow is loaded already, else in another process."""
    log.info("converting %s for OpenVINO", spec.model.name)
    if "tensorflow" in sys.modules:
        from deeplab.inference.tensorflow_runtime import convert  # noqa: PLC0415

        convert(spec, folder)
        return
    with remarks_left_out():
        done = subprocess.run(  # noqa: S603  our own words, and JSON
            [sys.executable, "-P", "-m", _CONVERTER, json.dumps(spec.to_json()), str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            check=False,
        )
    if done.returncode == 0:
        return
    said = done.stdout.decode(errors="replace").strip().rpartition("\n")[2]
    with suppress(ValueError):
        name, *facts = json.loads(said)
        kind = getattr(errors, str(name), None)
        if isinstance(kind, type) and issubclass(kind, errors.DeeplabError):
            raise kind(*facts)
    how = f"signal {-done.returncode}" if done.returncode < 0 else f"status {done.returncode}"
    raise DeviceError(
        f"the process that converts {spec.model.name} for OpenVINO was ended ({how}); "
        "is there enough memory? Choose the runtime tensorflow to go without it"
    )
