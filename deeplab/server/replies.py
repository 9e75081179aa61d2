"""What a server answers, read within limits and taken for what it is only after a look at it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from urllib3.exceptions import InvalidHeader
from urllib3.util import Retry

from deeplab.config.checks import is_girder_id
from deeplab.errors import AccessDeniedError, ServerError, UnknownIdError
from deeplab.names import shown_name

MESSAGE_BYTES = 2**16
PIECE_BYTES = 2**16  # a packed piece can be a thousand times as large
MOST_BYTES = 2**50  # of anything on a server
LONGEST_NAME, NAME_END = 10_000, 20  # letters
HELD_BYTES = 4 * 2**30  # of parsed JSON, about
# What CPython takes for a list, an object and a number.
LIST_BYTES, OBJECT_BYTES, NUMBER_BYTES = 90, 230, 32

_HALF_LETTER = re.compile(
    r"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)
HALF = 6  # letters of the escape of a letter's half


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered."""

    body: bytes
    content_type: str


class BusyError(Exception):
    """The server may answer another time, `asked_s` seconds from now where it said so."""

    def __init__(self, status: int, asked_s: float) -> None:
        super().__init__(status, asked_s)
        self.status, self.asked_s = status, asked_s


def refuse(response: requests.Response, what: str) -> None:
    """Raise unless the server has done what was asked of it.

    Raises:
        AccessDeniedError: the token has no right to it.
        UnknownIdError: there is no such thing.
        BusyError: it may be there another time.
        ServerError: anything else.
    """
    status = response.status_code
    if status == 200:
        return
    if status in {401, 403}:
        raise AccessDeniedError(
            what,
            f"the server refuses it ({status}): the token has expired or has no right to it; "
            "sign in again and start this again with the new token, or ask its owner for access",
        )
    if status == 429 or status >= 500:
        raise BusyError(status, _asked_s(response.headers.get("Retry-After", "")))
    # Girder answers 400 to an id that it does not know.
    kind = UnknownIdError if status in {400, 404} else ServerError
    raise kind(what, f"the server answered {status}{_message(response)}")


def _asked_s(asked: str) -> float:
    """Seconds to wait that a server asks for, as a number or as a date; 0 where it does not."""
    try:
        return Retry().parse_retry_after(asked[:100])
    except (InvalidHeader, ValueError, OverflowError):
        return 0.0


def _message(response: requests.Response) -> str:
    """Return the sentence that Girder sends with a refusal, made safe for a log."""
    try:
        told = parse_json(read_reply(response, MESSAGE_BYTES))
    except (ValueError, requests.exceptions.RequestException):
        return ""
    text = told.get("message") if isinstance(told, dict) else None
    return f" ({shown_name(' '.join(text[:200].split()))})" if isinstance(text, str) else ""


def read_reply(response: requests.Response, limit_bytes: int) -> Reply:
    """Return the reply whole.

    Raises:
        ValueError: it is longer than `limit_bytes`.
        requests.exceptions.RequestException: the connection broke, or the reply is too slow.
    """
    body = bytearray()
    for piece in response.iter_content(PIECE_BYTES):
        body += piece
        if len(body) > limit_bytes:
            raise ValueError(f"more than {limit_bytes:,} bytes")
    content_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return Reply(bytes(body), content_type)


def save_reply(response: requests.Response, path: Path, limit_bytes: int) -> None:
    """Write the body of a reply to a file.

    Raises:
        ValueError: it is longer than `limit_bytes`.
        requests.exceptions.RequestException: the connection broke, or the reply is too slow.
        OSError: the file cannot be written.
    """
    size_bytes = 0
    with path.open("wb") as file:
        for piece in response.iter_content(PIECE_BYTES):
            size_bytes += len(piece)
            if size_bytes > limit_bytes:
                raise ValueError(f"more than {limit_bytes:,} bytes")
            file.write(piece)


def parse_json(reply: Reply) -> Any:  # noqa: ANN401  JSON
    """Return what the JSON of a reply says.

    Halves of letters in it become the mark of a lost one, and NaN becomes None.

    Raises:
        ValueError: it is no JSON, or would take too much memory.
    """
    body = reply.body
    lists, objects, numbers = (body.count(sign) for sign in (b"[", b"{", b","))
    if lists * LIST_BYTES + objects * OBJECT_BYTES + numbers * NUMBER_BYTES > HELD_BYTES:
        raise ValueError("more lists and numbers than there is memory for")
    try:
        text = _HALF_LETTER.sub(_whole_letter, body.decode())
        return json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise ValueError("something that is not JSON") from error


def _whole_letter(found: re.Match[str]) -> str:
    return found[0] if len(found[0]) != HALF else r"\ufffd"


def _no_number(_name: str) -> None:
    """Return None for NaN and Infinity, which are no JSON; what holds one is still read."""


@dataclass(frozen=True, slots=True)
class Told:
    """One thing as a server tells of it: a JSON object whose parts are checked one by one.

    Attributes:
        parts: of the object.
        what: was asked for, for errors.
        kind: what it should be, as "an item".
    """

    parts: Mapping[str, Any]
    what: str
    kind: str

    @classmethod
    def of(cls, told: object, what: str, kind: str) -> Told:
        """Return the thing.

        Raises:
            ServerError: `told` is no object.
        """
        if not isinstance(told, dict):
            raise ServerError(what, f"the server's answer is not {kind}")
        return cls(told, what, kind)

    def id(self, key: str) -> str:
        """Return the Girder id under `key`, which may stand in a path.

        Raises:
            ServerError: there is none.
        """
        value = self.parts.get(key)
        if not isinstance(value, str) or not is_girder_id(value):
            raise self._odd(key)
        return value

    def name(self, key: str = "name") -> str:
        """Return the name under `key` as it can be shown, not empty and not without end.

        Raises:
            ServerError: there is none.
        """
        name = shown_name(self.string(key))
        if len(name) > LONGEST_NAME:  # its end tells what kind of file it is
            name = name[: LONGEST_NAME - NAME_END - 1] + "…" + name[-NAME_END:]
        return name if name.strip() else f"(no name, {self.what})"

    def string(self, key: str) -> str:
        """Return the text under `key` as it is.

        Raises:
            ServerError: there is none.
        """
        value = self.parts.get(key)
        if not isinstance(value, str):
            raise self._odd(key)
        return value

    def count(self, key: str, *, least: int = 0, most: int = MOST_BYTES) -> int:
        """Return the whole number under `key`.

        Raises:
            ServerError: there is none, or it is out of range.
        """
        value = self.parts.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self._odd(key)
        return value

    def size_bytes(self) -> int:
        """Return the size of a file or of an item; Girder leaves that of an empty one out.

        Raises:
            ServerError: it is no number of bytes.
        """
        return self.count("size") if self.parts.get("size") is not None else 0

    def text(self, key: str) -> str:
        """Return the text under `key` on one line; "" where there is none."""
        value = self.parts.get(key)
        return shown_name(value) if isinstance(value, str) else ""

    def part(self, key: str) -> Told:
        """Return the object under `key`.

        Raises:
            ServerError: there is none.
        """
        return Told.of(self.parts.get(key), self.what, self.kind)

    def _odd(self, key: str) -> ServerError:
        return ServerError(
            self.what, f"the server's answer is not {self.kind}: its {key} is not right"
        )


def each_told(told: object, what: str, kind: str) -> Iterator[Told]:
    """Yield the things of a list.

    Raises:
        ServerError: `told` is no list, or not one of objects.
    """
    if not isinstance(told, list):
        raise ServerError(what, f"the server's answer is not a list of {kind}")
    for each in told:
        yield Told.of(each, what, f"a list of {kind}")
