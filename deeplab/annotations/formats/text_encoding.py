"""The encoding of files of text that are not in UTF-8, as they are read all the same."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

WINDOWS = "windows-1252"  # of Western Europe and America: what most files without UTF-8 are in
LATIN = "iso-8859-1"  # has all bytes
NOT_WINDOWS = bytes([0x81, 0x8D, 0x8F, 0x90, 0x9D])  # which have no letter there
HEAD_BYTES = 1 << 10
PIECE_BYTES = 1 << 20
DECLARED = re.compile(rb"""<\?xml[^>]*?\sencoding\s*=\s*["']([\w.:-]+)["']""")
MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before that of UTF-16, which it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def text_encoding(path: Path) -> str:
    """The encoding that a file is in by its first bytes, else UTF-8 or what it may be instead.

    An encoding that XML declares is taken for true, but UTF-16 of a file of single bytes.

    Raises:
        OSError: it cannot be read.
    """
    return _look(path).encoding


def encoding_remark(path: Path) -> str:
    """Return what is to be said of a file whose encoding is not said by itself; "": nothing.

    Raises:
        OSError: it cannot be read.
    """
    found = _look(path)
    if not found.is_guess:
        return ""
    return (
        f"the text is not UTF-8 and was read in the code page {found.encoding}; where names look"
        " wrong, save the file as UTF-8"
    )


class Utf8Bytes:
    """The bytes of a file of another encoding, in UTF-8."""

    def __init__(self, file: BinaryIO, encoding: str) -> None:
        self._file = file
        self._decoder = codecs.getincrementaldecoder(encoding)()

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes; none at the end.

        Raises:
            UnicodeDecodeError: they are not in that encoding.
        """
        while True:
            found = self._file.read(size)
            text = self._decoder.decode(found, final=not found)
            if text or not found:
                return text.encode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class _Found:
    encoding: str
    is_guess: bool = False


def _look(path: Path) -> _Found:
    facts = path.stat()
    return _encoding(path, facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=64)
def _encoding(path: Path, _size: int, _changed_ns: int) -> _Found:
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        for mark, encoding in MARKS.items():
            if head.startswith(mark):
                return _Found(encoding)
        if b"\0" in head[:2]:
            return _Found("utf-16be" if head[:1] == b"\0" else "utf-16le")
        declared = DECLARED.search(head)
        if declared and not declared[1].lower().startswith((b"utf", b"us-ascii")):
            return _Found(declared[1].decode("ascii", "replace"))
        file.seek(0)
        return _of_bytes(file)


def _of_bytes(file: BinaryIO) -> _Found:
    decoder = codecs.getincrementaldecoder("utf-8")()
    is_guess = False
    while True:
        piece = file.read(PIECE_BYTES)
        try:
            if not is_guess:
                decoder.decode(piece, final=not piece)
        except UnicodeDecodeError:
            is_guess = True
        if is_guess and any(byte in piece for byte in NOT_WINDOWS):
            return _Found(LATIN, is_guess=True)
        if not piece:
            return _Found(WINDOWS if is_guess else "utf-8", is_guess)
