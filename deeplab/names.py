"""Names of files as text that everything can write: terminals, tables, JSON and pages."""

from __future__ import annotations

import re

# Also what turns the direction of the letters behind it, in which a name would look like another.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_NO_BYTE = re.compile("[\ud800-\udc7f\udd00-\udfff]")  # surrogates of no byte: broken JSON has them


def shown_name(name: str) -> str:
    r"""Return the name of a file as people read it: one line, in characters that all can write.

    A byte that is no UTF-8 and a control character are written as their numbers: "m\xfcller.svs".
    Names are shown so everywhere: in messages, tables and reports.
    """
    return _CONTROL.sub(_escaped, without_surrogates(name))


def without_surrogates(text: str) -> str:
    """Return a text as `shown_name` writes it, but its lines and tabs stay.

    Python keeps bytes of a name that it cannot read as surrogates, which no file and no terminal
    takes; under an ASCII locale these are the bytes of good UTF-8.
    """
    if text.isascii():
        return text
    whole = _NO_BYTE.sub(_escaped, text)
    return whole.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _escaped(found: re.Match[str]) -> str:
    code = ord(found.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
