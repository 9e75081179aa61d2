"""Text in tables that people open as spreadsheets."""

from __future__ import annotations

STARTS_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def safe_cell(text: str) -> str:
    """Text of a CSV cell; what a spreadsheet would take for a formula has an apostrophe before it.

    Names of slides and layers come from others: "=cmd|..." must stay a name (OWASP, CSV injection).
    """
    return f"'{text}" if text.startswith(STARTS_FORMULA) else text
