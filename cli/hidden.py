"""What no message may show: tokens, passwords, and whatever looks like one."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from urllib.parse import quote

from deeplab.config.checks import is_girder_id

HIDDEN = "[hidden]"
LEAST = 3  # characters of a secret: a message without each of its "1" says nothing
NEAR = 0.75  # share of letters in common (difflib) from which a flag may be a misspelt one
_NAMES = ("girdertoken", "token", "apikey", "password", "secret")
# Girder's tokens have 64 letters and digits and its API keys 40; a JSON web token has two dots.
_LIKE_A_TOKEN = re.compile(r"[A-Za-z0-9]{36,}|eyJ[\w-]+\.[\w-]+\.[\w-]*")
_LIKE_A_FILE = re.compile(r".*\.[A-Za-z]\w{0,7}|.*[/\\].*", re.DOTALL)
_NAME_IN_FLAG = re.compile(r"-+\w*?(token|password|secret|api_?key)", re.IGNORECASE)
_IN_ADDRESS = re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s/?#'\"]*@", re.IGNORECASE)
_AFTER_ITS_NAME = re.compile(
    r"((?:token|password|secret|api_?key)['\"]?=['\"]?|girder-token['\"]?:\s*['\"]?)"
    r"(?!\[hidden\])[^\s'\"&;,)}\]]+",
    re.IGNORECASE,
)


class Secrets:
    """The secrets that a process was given on its command line, and texts without them.

    What stands where a token belongs is one, however its flag is misspelt, and so is a word that
    looks like one, wherever it stands. Names and passwords in addresses are hidden in any text.
    """

    def __init__(self, words: Sequence[str] = ()) -> None:
        self._known: set[str] = set()
        is_value = may_be_part = False  # of what the secret's flag before it asks for
        for word in words:
            name, sign, value = word.partition("=")
            if word.startswith("--") or (word.startswith("-") and not is_value):
                may_be_part = is_secret_name(name)
                is_value = may_be_part and not sign
                if may_be_part or _is_like_a_token(value):
                    self._learn(value)
                continue
            if is_value or _is_like_a_token(word) or (may_be_part and not is_harmless(word)):
                self._learn(word)
            is_value = False

    def learn(self, given: Mapping[str, str]) -> None:
        """Hide from now on the values of settings that are called as secrets are."""
        for name, value in given.items():
            if is_secret_name(name):
                self._learn(value)

    def hide(self, text: str) -> str:
        """Return the text without any of them."""
        for secret in sorted(self._known, key=len, reverse=True):
            text = text.replace(secret, HIDDEN)
        text = _IN_ADDRESS.sub(rf"\1{HIDDEN}@", text)
        return _AFTER_ITS_NAME.sub(rf"\1{HIDDEN}", text)

    def _learn(self, value: str) -> None:
        for part in (value, *value.split()):
            if len(part) >= LEAST:
                self._known |= {part, repr(part)[1:-1], quote(part, safe="")}


def is_secret_name(name: str) -> bool:
    """Return whether a flag or setting of this name, misspelt as it may be, asks for a secret."""
    bare = name.lower().replace("-", "").replace("_", "")
    return any(each in bare for each in _NAMES) or bool(get_close_matches(bare, _NAMES, 1, NEAR))


def bare_flag(flag: str) -> str:
    """Return a flag without the secret that is stuck to it, where it begins as that of one."""
    begun = _NAME_IN_FLAG.match(flag)
    return begun.group() if begun else flag


def is_harmless(word: str) -> bool:
    """Return whether a word without a flag is a file or could be the name of one, or an id."""
    if _is_like_a_token(word):
        return False
    return bool(_LIKE_A_FILE.fullmatch(word) or is_girder_id(word)) or os.path.lexists(word)


def _is_like_a_token(word: str) -> bool:
    return bool(_LIKE_A_TOKEN.fullmatch(word)) and not os.path.lexists(word)
