"""The head of a JPEG XL: its size, and how much it holds beside three colours.

ISO/IEC 18181-1, annex D: fields of some bits each, the lowest first.
"""

from __future__ import annotations

from dataclasses import dataclass

LONGEST = 64  # bytes in which all that is read here stands
# Width to height, by a number of 3 bits from 1 on.
RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
# Fields of which 2 bits say where to begin and how many bits to add.
SIDE = ((1, 9), (1, 13), (1, 18), (1, 30))
EXTRA = ((0, 0), (1, 0), (2, 4), (1, 12))
INTEGER_BITS = ((8, 0), (10, 0), (12, 0), (1, 6))
FLOAT_BITS = ((32, 0), (16, 0), (24, 0), (1, 6))


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What the head states: pixels, channels beside the colours, and whether frames follow."""

    width: int
    height: int
    extra: int
    is_animated: bool


class _Bits:
    def __init__(self, raw: bytes) -> None:
        self._bits, self._left = int.from_bytes(raw, "little"), 8 * len(raw)

    def take(self, count: int) -> int:
        """Return the next bits as a number.

        Raises:
            ValueError: there are no more.
        """
        self._left -= count
        if self._left < 0:
            raise ValueError("the head is cut short")
        taken = self._bits & ((1 << count) - 1)
        self._bits >>= count
        return taken

    def choose(self, kinds: tuple[tuple[int, int], ...]) -> int:
        """Return a number of one of four lengths."""
        start, count = kinds[self.take(2)]
        return start + self.take(count)


def read_head(raw: bytes) -> Head:
    """Return what a codestream states, from behind its first two bytes on.

    Raises:
        ValueError: it is cut short, or holds a preview of itself.
    """
    bits = _Bits(raw[:LONGEST])
    width, height = _size(bits)
    if bits.take(1):  # all else is as usual
        return Head(width=width, height=height, extra=0, is_animated=False)
    is_animated = False
    if bits.take(1):
        bits.take(3)  # orientation
        if bits.take(1):
            _size(bits)  # at which it is meant to be shown
        if bits.take(1):
            raise ValueError("it holds a preview")
        is_animated = bool(bits.take(1))
    if is_animated:  # how fast is stated next
        return Head(width=width, height=height, extra=0, is_animated=True)
    if bits.take(1):
        bits.choose(FLOAT_BITS)
        bits.take(4)
    else:
        bits.choose(INTEGER_BITS)
    bits.take(1)  # whether 16 bits suffice to decode
    return Head(width=width, height=height, extra=bits.choose(EXTRA), is_animated=False)


def _size(bits: _Bits) -> tuple[int, int]:
    is_small = bits.take(1)
    height = _side(bits, is_small)
    ratio = bits.take(3)
    if not ratio:
        return _side(bits, is_small), height
    above, below = RATIOS[ratio - 1]
    return height * above // below, height


def _side(bits: _Bits, is_small: int) -> int:
    return 8 * (bits.take(5) + 1) if is_small else bits.choose(SIDE)
