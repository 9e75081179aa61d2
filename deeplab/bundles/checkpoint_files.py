"""A TensorFlow checkpoint in the forms in which people hand it over, found without TensorFlow.

It is several files of one beginning, its prefix: `model.ckpt-7.index`, the data in one part or more
(`model.ckpt-7.data-00000-of-00001`) and perhaps `.meta`, which is not needed. TensorFlow asks for
the prefix, which no file is called; people give any of these files, the text file `checkpoint` that
names the newest, or a folder, zip or tar of them.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from deeplab.bundles.archive import Archive, damage_said, open_archive
from deeplab.bundles.card import CARD_NAME
from deeplab.errors import CheckpointError
from deeplab.files import scratch_folder

log = logging.getLogger(__name__)

MAX_TEXT_BYTES = 2**20
STATE_NAME = "checkpoint"  # the text file that names the newest one
SAVED_MODEL_NAME = "saved_model.pb"
STATE_BEGIN = b"model_checkpoint_path:"
STATE = re.compile(rb'^model_checkpoint_path:\s*"((?:[^"\\\n]|\\.)*)"', re.MULTILINE)
INDEX = ".index"
PART = re.compile(r"(?P<prefix>.+)\.(?:index|meta|data-\d{5}-of-\d{5})", re.DOTALL)
DATA = re.compile(r"\.data-(?P<number>\d{5})-of-(?P<count>\d{5})")
WHOLE = (
    "a checkpoint is its .index and all of its .data-... files: give them in one folder or one zip"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointFiles:
    """The files of one checkpoint.

    Attributes:
        index: Where which variable lies.
        data: The parts with the values, in their order.
    """

    index: Path
    data: tuple[Path, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Names:
    """The same by name, within a folder or an archive."""

    prefix: str
    data: tuple[str, ...]
    missing: str = ""

    @property
    def step(self) -> int:
        match = re.search(r"-(\d{1,18})$", self.prefix)
        return int(match[1]) if match else -1


def is_checkpoint(path: Path) -> bool:
    """Return whether a path is a folder, or a checkpoint by its prefix or by one of its files."""
    return path.is_dir() or _prefix_of(path) is not None


def index_beside(path: Path) -> Path | None:
    """The index of the checkpoint that `path`, its prefix or one of its files, is of, if there.

    Raises:
        CheckpointError: it is a file `checkpoint` that names none.
    """
    prefix = None if path.is_dir() else _prefix_of(path)
    index = path.with_name(f"{prefix}{INDEX}")
    return index if prefix is not None and index.is_file() else None


@contextmanager
def checkpoint_files(path: Path) -> Iterator[CheckpointFiles]:
    """The files of the checkpoint at `path`, unpacked for the time of the block where need be.

    Args:
        path: The prefix of a checkpoint, one of its files, the file `checkpoint` beside them, or a
            folder, zip or tar that holds one; of several the one of the highest step is taken, and
            the log says so.

    Raises:
        CheckpointError: there is none, or not all of it.
        BundleError: the archive is damaged or not safe to read.
    """
    if found := _on_disk(path):
        yield found
    else:
        with open_archive(path) as archive, scratch_folder() as folder:
            yield _unpack(archive, _newest(archive.sizes, path), folder)


def check_whole(path: Path) -> None:
    """Raise unless `checkpoint_files` finds a checkpoint; nothing is unpacked.

    Raises:
        CheckpointError: there is none, or not all of it.
        BundleError: the archive is damaged or not safe to read.
    """
    if not _on_disk(path):
        with open_archive(path) as archive:
            _newest(archive.sizes, path)


def _on_disk(path: Path) -> CheckpointFiles | None:
    """Return the files of a checkpoint that is not packed; None where `path` must be an archive."""
    if path.is_dir() or (path.name == SAVED_MODEL_NAME and path.is_file()):
        folder = path if path.is_dir() else path.parent
        names = [file.relative_to(folder).as_posix() for file in sorted(folder.rglob("*"))]
        return _in(folder, _newest(names, path))
    prefix = _prefix_of(path)
    if prefix is None:
        return None
    names = [file.name for file in path.absolute().parent.glob(f"{_literal(prefix)}.*")]
    return _in(path.parent, _whole(_of_prefix(prefix, names), path, is_beside=True))


def _prefix_of(path: Path) -> str | None:
    """The prefix, without its folder, of what is a part of a checkpoint by its name or content."""
    if path.with_name(path.name + INDEX).is_file():
        return path.name
    if not path.is_file():
        return None
    if match := PART.fullmatch(path.name):
        return match["prefix"]
    return _named_in(path)


def _named_in(path: Path) -> str | None:
    """The prefix that a file `checkpoint` names: its last name, for its folder is of elsewhere."""
    with damage_said(path), path.open("rb") as file:
        text = file.read(MAX_TEXT_BYTES)
    if path.name != STATE_NAME and not text.startswith(STATE_BEGIN):
        return None
    match = STATE.search(text)
    try:
        # Written as a C string: what is not ASCII is bytes of UTF-8 in octal digits.
        plain = match[1].decode("unicode_escape").encode("latin-1").decode() if match else ""
    except ValueError:
        plain = ""
    name = re.split(r"[/\\]+", plain)[-1]
    if name in ("", ".", "..") or not name.isprintable():
        raise CheckpointError(path, f"names no model_checkpoint_path; {WHOLE}")
    return name


def _newest(names: Collection[str], path: Path) -> _Names:
    """Return the checkpoint whose step is the highest, of those that are whole if any is."""
    kept = [name for name in names if not PurePosixPath(name).name.startswith("._")]  # macOS' own
    prefixes = [name.removesuffix(INDEX) for name in kept if name.endswith(INDEX)]
    if not prefixes:
        raise CheckpointError(path, _nothing(kept))
    found = [_of_prefix(prefix, kept) for prefix in prefixes]
    best = max(found, key=lambda one: (not one.missing, one.step))
    if len(found) > 1:
        log.info("%s holds %d checkpoints; %s is taken", path, len(found), best.prefix)
    return _whole(best, path, is_beside=False)


def _nothing(names: Collection[str]) -> str:
    """Return what to say of a folder or an archive without a checkpoint."""
    cards = [name for name in names if PurePosixPath(name).name == CARD_NAME]
    if cards:
        folder = PurePosixPath(cards[0]).parent
        return f"has its card.json in the folder {folder}; zip what is in that folder by itself"
    problem = "holds neither a card.json nor a checkpoint (model.ckpt-*.index)"
    data = [name for name in names if DATA.search(name)]
    inner = [n for n in names if n.endswith((".zip", ".tar", ".tar.gz", ".tgz"))]
    frozen = [name for name in names if name.endswith(".pb")]
    if data:
        return f"{problem}, only {data[0]} of one; {WHOLE}"
    if any(PurePosixPath(name).name == SAVED_MODEL_NAME for name in names):
        return f"{problem}; it is a SavedModel without variables, of which nothing can be imported"
    if frozen:
        return f"{problem}; its {frozen[0]} by itself: deeplab import-checkpoint {frozen[0]}"
    if inner:
        return f"{problem}; unpack it and give its {inner[0]}"
    return problem


def _of_prefix(prefix: str, names: Collection[str]) -> _Names:
    """Return what there is of the checkpoint of this prefix."""
    parts = {
        name: match
        for name in names
        if name.startswith(prefix) and (match := DATA.fullmatch(name.removeprefix(prefix)))
    }
    # Of a training that was begun anew with another number of parts those that are whole count.
    counts = sorted({int(match["count"]) for match in parts.values()} - {0}) or [1]
    lists = [
        [f"{prefix}.data-{number:05d}-of-{count:05d}" for number in range(count)]
        for count in counts
    ]
    wanted = min(lists, key=lambda names: any(name not in parts for name in names))
    missing = [name for name in wanted if name not in parts]
    if prefix + INDEX not in names:
        missing.insert(0, prefix + INDEX)
    return _Names(prefix=prefix, data=tuple(wanted), missing=missing[0] if missing else "")


def _whole(found: _Names, path: Path, *, is_beside: bool) -> _Names:
    if found.missing:
        where = "not beside it" if is_beside else "not there"
        problem = f"is part of a checkpoint whose {found.missing} is {where}; {WHOLE}"
        raise CheckpointError(path, problem)
    return found


def _in(folder: Path, names: _Names) -> CheckpointFiles:
    return CheckpointFiles(
        index=folder / (names.prefix + INDEX), data=tuple(folder / name for name in names.data)
    )


def _unpack(archive: Archive, names: _Names, folder: Path) -> CheckpointFiles:
    """Write the files of a checkpoint into `folder`, under names of our own."""
    files = CheckpointFiles(
        index=folder / "index", data=tuple(folder / f"data-{i}" for i in range(len(names.data)))
    )
    places = dict(zip((names.prefix + INDEX, *names.data), (files.index, *files.data), strict=True))
    for name in archive.sizes:  # in the order of the archive: a tar is read from front to end
        if name in places:
            archive.copy(name, places[name])
    return files


def _literal(text: str) -> str:
    """Return a text as a pattern of `glob` that stands for itself."""
    return re.sub(r"([*?\[])", r"[\1]", text)
