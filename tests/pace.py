"""Bounds of time that a slow or busy machine keeps, too: they grow with what a loop takes on it."""

import time

ADDITIONS = 1_000_000
USUAL_S = 0.05  # that so many take where nothing else runs on a processor of 2020


def at_this_pace(seconds: float) -> float:
    """Return a bound that is `seconds` on a usual machine, for this one as it is now.

    What it holds takes many times as long when it is wrong; it measures no speed.
    """
    began, total = time.monotonic(), 0
    for number in range(ADDITIONS):
        total += number
    return seconds * max(1.0, (time.monotonic() - began) / USUAL_S)
