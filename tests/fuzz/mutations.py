"""Damaged copies of good files, each a function of the file and a seed."""

from __future__ import annotations

import io
import random
import re
import struct
import zipfile
from collections.abc import Callable

# Where parsers go wrong: ends of ranges, signs, what is no number, and far too much of one thing.
NUMBERS = (
    *(b"0", b"-1", b"1e308", b"-1e308", b"1e999", b"NaN", b"Infinity", b"null", b"true", b'""'),
    *(b"2147483648", b"-2147483649", b"18446744073709551616", b"0.1e-400", b"9" * 5000),
    *(b"[]", b"{}", b'"x"', b"[[[[[[[[[[]]]]]]]]]]", b"1,5", b"\xc3\x28"),
)
INTEGERS = (0, 1, 2, 3, 7, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000)
FORMATS = ("B", "<H", ">H", "<I", ">I", "<Q", ">Q")
NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")
TEXT = re.compile(rb'"[^"\\]{0,200}"')


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Return `data` damaged in one to eight places; a zip now and then inside one of its files."""
    if data[:2] == b"PK" and rng.random() < 0.6:
        return _mutate_member(data, rng)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        if data:
            data = rng.choice(KINDS)(data, rng)
    return data


def _flip_bits(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 4, 32))):
        changed[_early(len(data), rng)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _set_integer(data: bytes, rng: random.Random) -> bytes:
    layout = rng.choice(FORMATS)
    limit = 256 ** struct.calcsize(layout)
    packed = struct.pack(layout, rng.choice((*INTEGERS, limit - 1)) % limit)
    start = _early(len(data), rng)
    return (data[:start] + packed + data[start + len(packed) :])[: len(data)]


def _cut_end(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def _leave_out(data: bytes, rng: random.Random) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + data[end:]


def _repeat(data: bytes, rng: random.Random) -> bytes:
    start, end = _span(data, rng)
    return data[:end] + data[start:end] * rng.choice((1, 2, 50)) + data[end:]


def _exchange(data: bytes, rng: random.Random) -> bytes:
    start, end = _span(data, rng)
    place = rng.randrange(len(data))
    return data[:place] + data[start:end] + data[place + end - start :]


def _insert_noise(data: bytes, rng: random.Random) -> bytes:
    place = _early(len(data), rng)
    return data[:place] + rng.randbytes(rng.choice((1, 2, 8, 100))) + data[place:]


def _replace_number(data: bytes, rng: random.Random) -> bytes:
    return _replace(NUMBER, data, rng.choice(NUMBERS), rng)


def _replace_text(data: bytes, rng: random.Random) -> bytes:
    return _replace(TEXT, data, rng.choice((*NUMBERS, b'"%s"' % (b"a" * 100_000))), rng)


def _replace(pattern: re.Pattern[bytes], data: bytes, by: bytes, rng: random.Random) -> bytes:
    window = rng.randrange(max(1, len(data) - 4096))
    found = list(pattern.finditer(data, window, window + 8192))
    if not found:
        return _flip_bits(data, rng)
    start, end = rng.choice(found).span()
    return data[:start] + by + data[end:]


KINDS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    *(_flip_bits, _set_integer, _set_integer, _cut_end, _leave_out, _repeat, _exchange),
    *(_insert_noise, _replace_number, _replace_number, _replace_text),
)


def _mutate_member(data: bytes, rng: random.Random) -> bytes:
    """Damage one file in a zip; its check sum is right again, so that what reads it must cope."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(sorted(members))
    members[name] = mutate(members[name], rng)
    renamed = rng.choice((".", "../x", "/x", "x" * 300, "a\\b")) if rng.random() < 0.05 else name
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as to:
        for each, content in members.items():
            to.writestr(renamed if each == name else each, content)
    return packed.getvalue()


def _early(size: int, rng: random.Random) -> int:
    """A place in `size` bytes; half of the time among the first, where headers are."""
    return rng.randrange(min(size, 512) if rng.random() < 0.5 else size)


def _span(data: bytes, rng: random.Random) -> tuple[int, int]:
    start = rng.randrange(len(data))
    return start, min(len(data), start + rng.choice((1, 4, 16, 256, 4096)))
