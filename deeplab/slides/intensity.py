"""Values of channels as bytes: the window of each, fixed or found on the slide itself."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeplab.config.channels import DARK, Window
from deeplab.errors import ChannelError

logger = logging.getLogger(__name__)

DEPTHS = (10, 12, 14)  # bits of cameras whose values are kept in 16
FAR_ABOVE = 4  # times what the camera can give: a window that ends there leaves 6 bits at most
COUNTED = (np.dtype(np.uint8), np.dtype(np.uint16))  # types whose values are counted one by one


class Values:
    """The values of one channel, seen in some of its tiles: a histogram, or all of them.

    Whole numbers of up to 16 bits are counted, others are kept.
    """

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype
        self._counts = np.zeros(256**dtype.itemsize if dtype in COUNTED else 0, np.int64)
        self._kept: list[NDArray[np.float64]] = []

    def add(self, samples: NDArray[Any]) -> None:
        """Take in some values; what is no number is passed over."""
        if self._counts.size:
            self._counts += np.bincount(samples.ravel(), minlength=self._counts.size)
        else:
            values = samples.ravel().astype(np.float64)
            self._kept.append(values[np.isfinite(values)])

    def quantile(self, share: float) -> float:
        """Return the least value that this share of all values do not exceed; 0 of none."""
        if not self._counts.size:
            kept = np.concatenate([*self._kept, np.empty(0)])
            return float(np.quantile(kept, share, method="inverted_cdf")) if kept.size else 0.0
        until = np.cumsum(self._counts)
        return float(np.searchsorted(until, max(1.0, share * float(until[-1]))))

    @property
    def camera_bits(self) -> int:
        """Bits of the camera where its values leave the upper ones of 16 empty; else 0."""
        if self.dtype != np.uint16:
            return 0
        needed = int(self.quantile(1.0)).bit_length()
        return next((bits for bits in DEPTHS if 8 < needed <= bits), 0)


def settle_window(slide: str, channel: str, wanted: Window, values: Values) -> Window:
    """Return the window of a channel in its own values.

    Args:
        slide: What errors call it.
        channel: Likewise.
        wanted: In values, or in percentiles of them.
        values: Of the channel on this slide.

    Raises:
        ChannelError: the window is one of 16 bits and the camera has fewer: all would be dark.
    """
    bits, most = values.camera_bits, values.quantile(1.0)
    if not wanted.percentiles:
        if bits and wanted.high >= FAR_ABOVE * 2**bits:
            raise ChannelError(
                slide,
                f"holds {bits}-bit values in 16-bit pixels of channel {channel} (at most "
                f"{most:.0f}), of which the intensity window {wanted} leaves nearly nothing; "
                f"give 0:{2**bits - 1}, or percentiles such as 0.5%:99.8%",
            )
        return wanted
    low, high = (values.quantile(each / 100) for each in (wanted.low, wanted.high))
    if high <= low:
        logger.warning("%s: channel %s is the same nearly everywhere", slide, channel)
        high = low + (1.0 if values.dtype.kind in "iu" else max(abs(low), 1.0))
    if bits:
        logger.info(
            "%s: channel %s holds %d-bit values (at most %.0f) in 16-bit pixels; its window is "
            "%.0f to %.0f",
            *(slide, channel, bits, most, low, high),
        )
    return Window(low, high)


@dataclass(frozen=True, slots=True)
class Scaling:
    """The bytes of the values of some channels: a table of each, or the windows themselves."""

    windows: tuple[Window, ...]
    tables: tuple[NDArray[np.uint8], ...]

    @classmethod
    def of(cls, windows: Sequence[Window], dtype: np.dtype[Any]) -> Scaling:
        """Return the scaling of values of one type."""
        if dtype not in COUNTED:
            return cls(tuple(windows), ())
        every = np.arange(256**dtype.itemsize)
        return cls(tuple(windows), tuple(_to_bytes(every, window) for window in windows))

    def to_bytes(self, samples: NDArray[Any]) -> NDArray[np.uint8]:
        """Return values (height, width, channels) as bytes of the same shape."""
        scaled = np.empty(samples.shape, np.uint8)
        for channel, window in enumerate(self.windows):
            values = samples[:, :, channel]
            table = self.tables[channel] if self.tables else None
            scaled[:, :, channel] = _to_bytes(values, window) if table is None else table[values]
        return scaled


def _to_bytes(values: NDArray[Any], window: Window) -> NDArray[np.uint8]:
    """Return values as bytes; what is no number is dark."""
    share = (values.astype(np.float64) - window.low) / (window.high - window.low)
    bounded = np.clip(np.nan_to_num(share, nan=DARK), 0, 1)
    return np.asarray(bounded * 255 + 0.5, np.uint8)


def values_of(parts: Iterable[NDArray[Any]], channels: int, dtype: np.dtype[Any]) -> list[Values]:
    """Return the values of each channel of some samples, (height, width, channels) each."""
    seen = [Values(dtype) for _ in range(channels)]
    for samples in parts:
        for channel, values in enumerate(seen):
            values.add(samples[:, :, channel])
    return seen
