"""Who asks a Girder server, and how: open connections, patience, limits, no secrets in errors."""

from __future__ import annotations

import io
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, TypeVar
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from deeplab.errors import AccessDeniedError, ConfigError, ServerError, UnknownIdError

T = TypeVar("T")

JSON_BYTES = 512 * 2**20  # an annotation of 500,000 outlines has about 350 MB
MESSAGE_BYTES = 2**16
CONNECT_S, READ_S = 10.0, 60.0
TAKEN_BYTES_PER_S = 1e6  # the least; a server checks and stores what it was sent before it answers
BAD_ANSWERS = 3  # tries after which an answer that is not what was asked for is taken as final

_ID = re.compile(r"[0-9a-f]{24}")
_TOKEN = re.compile(r"[\x21-\x7e]*")
_BROKEN = (
    requests.exceptions.ConnectionError,
    requests.exceptions.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
)


@dataclass(frozen=True, slots=True)
class ServerLogin:
    """A Girder server and the right to use it.

    `api_url` ends in `/api/v1`; `token` is a Girder token and shows in no text made of this.
    """

    api_url: str
    token: str = field(repr=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.api_url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username:
            # The address is not repeated: it may hold a password.
            raise ConfigError("girderApiUrl", "another", "like https://host/api/v1, without a name")
        if not _TOKEN.fullmatch(self.token):
            raise ConfigError("girderToken", "(hidden)", "printable characters without blanks")

    @property
    def host(self) -> str:
        """The server's name, for messages."""
        return urlsplit(self.api_url).hostname or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a server that does not answer is asked again; waits double from try to try."""

    first_wait_s: float = 0.5
    longest_wait_s: float = 15.0
    total_s: float = 60.0

    def wait_s(self, tries: int, asked_s: float) -> float:
        """Seconds to wait after so many `tries`; at least what the server asks for."""
        grown = self.first_wait_s * 2.0 ** min(tries - 1, 30)
        return max(min(grown, self.longest_wait_s), asked_s)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered."""

    body: bytes
    content_type: str


class Session:
    """Requests to one server over connections that stay open; safe from many threads."""

    def __init__(
        self, login: ServerLogin, *, patience: Patience | None = None, connections: int = 8
    ) -> None:
        self.login, self.connections = login, connections
        self._patience = patience or Patience()
        self._root = login.api_url.rstrip("/")
        self._http = requests.Session()
        self._http.headers.update({"Girder-Token": login.token, "Accept": "*/*"})
        # Cookies are the one thing that threads would share, and Girder needs none.
        self._http.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        adapter = HTTPAdapter(pool_connections=1, pool_maxsize=connections)
        self._http.mount("http://", adapter)
        self._http.mount("https://", adapter)

    def get_json(self, path: str, what: str, params: Mapping[str, str] | None = None) -> Any:  # noqa: ANN401  JSON
        """The JSON at `path`; `what` names it in errors.

        Raises:
            AccessDeniedError: the token has no right to it.
            ServerError: the server refused, failed, or sent something else.
        """
        return self.get(path, what, params=params, limit_bytes=JSON_BYTES, check=_json)

    def get(
        self,
        path: str,
        what: str,
        *,
        params: Mapping[str, str] | None = None,
        limit_bytes: int,
        check: Callable[[Reply], T],
    ) -> T:
        """What `check` makes of the reply; it raises ValueError where the reply is not right.

        Raises:
            AccessDeniedError: the token has no right to it.
            ServerError: the server refused, failed, or sent something else.
        """

        def ask() -> T:
            with self._request("GET", path, params=params) as response:
                _refuse(response, what)
                return check(_reply(response, limit_bytes))

        return self._patiently(ask, what)

    def post_json(self, path: str, what: str, body: object) -> Any:  # noqa: ANN401  JSON
        """The JSON that answers a POST of `body`.

        It is sent again only where the server cannot have taken it the first time.

        Raises:
            AccessDeniedError: the token has no right to it.
            ServerError: the server refused or failed.
        """
        content = json.dumps(body, separators=(",", ":"), allow_nan=False).encode()
        return self._send(path, what, content=content, content_type="application/json")

    def post(self, path: str, what: str, *, params: Mapping[str, str], content: bytes = b"") -> Any:  # noqa: ANN401  JSON
        """The JSON that answers a POST of parameters, and of bytes where there are some.

        It is sent again only where the server cannot have taken it the first time.

        Raises:
            AccessDeniedError: the token has no right to it.
            ServerError: the server refused or failed.
        """
        kind = "application/octet-stream"
        return self._send(path, what, params=params, content=content, content_type=kind)

    def post_file(self, path: str, what: str, file: Path) -> Any:  # noqa: ANN401  JSON
        """The JSON that answers a POST of the JSON in `file`, which is read while it is sent.

        It is sent again only where the server cannot have taken it the first time.

        Raises:
            AccessDeniedError: the token has no right to it.
            ServerError: the server refused or failed.
            OSError: the file cannot be read.
        """
        return self._send(path, what, content=file, content_type="application/json")

    def put_json(self, path: str, what: str, body: object) -> None:
        """Set what is at `path`; asked twice it is the same, so a broken connection is no fault.

        Raises:
            AccessDeniedError: the token has no right to it.
            ServerError: the server refused or failed.
        """
        content = json.dumps(body, separators=(",", ":"), allow_nan=False).encode()

        def ask() -> None:
            kind = "application/json"
            with (
                _body(content) as told,
                self._request("PUT", path, content=told, content_type=kind) as response,
            ):
                _refuse(response, what)

        self._patiently(ask, what)

    def delete(self, path: str, what: str) -> None:
        """Remove what is at `path`.

        Raises:
            AccessDeniedError: the token has no right to it.
            UnknownIdError: it is not there, or no longer.
            ServerError: the server refused or failed.
        """

        def ask() -> None:
            with self._request("DELETE", path) as response:
                _refuse(response, what)

        self._patiently(ask, what)

    def download(
        self,
        path: str,
        what: str,
        *,
        to: Path,
        limit_bytes: int,
        params: Mapping[str, str] | None = None,
    ) -> None:
        """Write what is at `path` to the file `to`; not whole where this raises.

        Raises:
            AccessDeniedError: the token has no right to it.
            ServerError: the server refused or failed, or sent more than `limit_bytes`.
            OSError: the file cannot be written.
        """

        def ask() -> None:
            with self._request("GET", path, params=params) as response:
                _refuse(response, what)
                _to_file(response, to, limit_bytes)

        self._patiently(ask, what)

    def _send(
        self,
        path: str,
        what: str,
        *,
        params: Mapping[str, str] | None = None,
        content: bytes | Path,
        content_type: str,
    ) -> Any:  # noqa: ANN401  JSON
        def ask() -> Any:  # noqa: ANN401  JSON
            try:
                with _body(content) as body:
                    response = self._request(
                        "POST", path, params=params, content=body, content_type=content_type
                    )
            except (requests.exceptions.ConnectTimeout, requests.exceptions.SSLError):
                raise
            except _BROKEN as error:
                raise ServerError(what, "the connection broke while it was sent") from error
            with response:
                if response.status_code not in {429, 503} and response.status_code >= 500:
                    raise ServerError(what, f"the server failed ({response.status_code})")
                _refuse(response, what)
                try:
                    return _json(_reply(response, JSON_BYTES))
                except (ValueError, *_BROKEN) as error:
                    raise ServerError(what, "was sent, but the answer is not readable") from error

        return self._patiently(ask, what)

    def _request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        content: bytes | BinaryIO = b"",
        content_type: str = "",
    ) -> requests.Response:
        headers = {"Content-Type": content_type} if content_type else None
        sent_bytes = len(content) if isinstance(content, bytes) else _size_bytes(content)
        return self._http.request(
            method,
            f"{self._root}/{path}",
            params=params,
            data=content,
            headers=headers,
            timeout=(CONNECT_S, READ_S + sent_bytes / TAKEN_BYTES_PER_S),
            stream=True,
            allow_redirects=False,  # the token must not travel to another server
        )

    def _patiently(self, ask: Callable[[], T], what: str) -> T:
        begun, tries, bad = time.monotonic(), 0, 0
        while True:
            tries += 1
            asked_s = 0.0
            try:
                return ask()
            except _BusyError as error:
                asked_s, cause = error.asked_s, f"it says {error.status}"
            except requests.exceptions.SSLError as error:
                raise ServerError(
                    what, f"the certificate of {self.login.host} is not trusted here"
                ) from error
            except _BROKEN as error:
                cause = _cause(error)
            except ValueError as error:
                bad, cause = bad + 1, str(error)
                if bad >= BAD_ANSWERS:
                    raise ServerError(what, f"{self.login.host} sent {error}") from error
            wait_s = self._patience.wait_s(tries, asked_s)
            if time.monotonic() - begun + wait_s > self._patience.total_s:
                raise ServerError(
                    what, f"{self.login.host} did not answer after {tries} tries ({cause})"
                )
            time.sleep(wait_s)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class _BusyError(Exception):
    """The server may answer another time."""

    def __init__(self, status: int, asked_s: float) -> None:
        super().__init__(status, asked_s)
        self.status, self.asked_s = status, asked_s


def girder_id(name: str, value: str) -> str:
    """`value`, if it is a Girder id: then it may stand in a path.

    Raises:
        ConfigError: it is not 24 hexadecimal digits.
    """
    if not _ID.fullmatch(value):
        raise ConfigError(name, value, "a Girder id of 24 hexadecimal digits")
    return value


@contextmanager
def _body(content: bytes | Path) -> Iterator[bytes | BinaryIO]:
    """What is sent: bytes, or a file that is open at its beginning."""
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as file:
        yield file


def _size_bytes(file: BinaryIO) -> int:
    size_bytes = file.seek(0, io.SEEK_END)
    file.seek(0)
    return size_bytes


def _refuse(response: requests.Response, what: str) -> None:
    status = response.status_code
    if status == 200:
        return
    if status in {401, 403}:
        raise AccessDeniedError(
            what,
            f"the server refuses it ({status}): the token has expired or has no right to it; "
            "sign in again, or ask its owner for access",
        )
    if status == 429 or status >= 500:
        asked = response.headers.get("Retry-After", "")
        raise _BusyError(status, float(asked) if asked.isascii() and asked.isdigit() else 0.0)
    # Girder answers 400 to an id that it does not know.
    kind = UnknownIdError if status in {400, 404} else ServerError
    raise kind(what, f"the server answered {status}{_message(response)}")


def _message(response: requests.Response) -> str:
    """The sentence that Girder sends with a refusal, made safe for a log."""
    try:
        told = _json(_reply(response, MESSAGE_BYTES))
    except (ValueError, *_BROKEN):
        return ""
    text = told.get("message") if isinstance(told, dict) else None
    if not isinstance(text, str):
        return ""
    return " (" + "".join(c if c.isprintable() else " " for c in text[:200]) + ")"


def _reply(response: requests.Response, limit_bytes: int) -> Reply:
    body = bytearray()
    for piece in response.iter_content(2**16):
        body += piece
        if len(body) > limit_bytes:
            raise ValueError(f"more than {limit_bytes:,} bytes")
    content_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return Reply(bytes(body), content_type)


def _to_file(response: requests.Response, path: Path, limit_bytes: int) -> None:
    size_bytes = 0
    with path.open("wb") as file:
        for piece in response.iter_content(2**20):
            size_bytes += len(piece)
            if size_bytes > limit_bytes:
                raise ValueError(f"more than {limit_bytes:,} bytes")
            file.write(piece)


def _json(reply: Reply) -> Any:  # noqa: ANN401  JSON
    try:
        return json.loads(reply.body)
    except (ValueError, RecursionError) as error:
        raise ValueError("something that is not JSON") from error


def _cause(error: Exception) -> str:
    if isinstance(error, requests.exceptions.Timeout):
        return "it takes too long"
    return "no connection, or it broke"
