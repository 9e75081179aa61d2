"""Who asks a Girder server, and how: open connections, patience, limits, no secrets in errors."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, TypeVar
from urllib.parse import urlsplit

import requests
import urllib3

from deeplab.config.checks import is_girder_id
from deeplab.errors import ConfigError, ServerError, UnreachableError
from deeplab.server.client import Client
from deeplab.server.replies import BusyError, Reply, parse_json, read_reply, refuse, save_reply
from deeplab.server.transport import ElsewhereError, Transport

T = TypeVar("T")

JSON_BYTES = 2**25  # of what is no annotation; the metadata of fifty items are a small part of it
BAD_ANSWERS = 3  # tries after which an answer that is not what was asked for is taken as final

_TOKEN = re.compile(r"[\x21-\x7e]*")
_BROKEN = (
    requests.exceptions.ConnectionError,
    requests.exceptions.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
    urllib3.exceptions.HTTPError,
)


@dataclass(frozen=True, slots=True)
class ServerLogin:
    """A Girder server and the right to use it.

    `api_url` ends in `/api/v1`; `token` is a Girder token and shows in no text made of this.
    """

    api_url: str
    token: str = field(repr=False)

    def __post_init__(self) -> None:
        if not _is_address(self.api_url):
            # The address is not repeated: it may hold a password or a token.
            raise ConfigError(
                "girderApiUrl", "another", "like https://host/api/v1, without a name or a token"
            )
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


class Session:
    """Requests to one server over connections that stay open; safe from many threads."""

    def __init__(
        self, login: ServerLogin, *, patience: Patience | None = None, connections: int = 8
    ) -> None:
        self.login, self.connections = login, connections
        self._patience = patience or Patience()
        self._transport = Transport(login.api_url, login.token, connections=connections)

    def girder(self, what: str) -> Client:
        """Return the client that knows the parts of Girder; `what` names the asked one in errors.

        Its methods raise what `get_json` and `post` raise.
        """
        return Client(self, what)

    def get_json(self, path: str, what: str, params: Mapping[str, str] | None = None) -> Any:  # noqa: ANN401  JSON
        """Return the JSON at `path`; `what` names it in errors.

        Raises:
            AccessDeniedError: the token has no right to it.
            ServerError: the server refused, failed, or sent something else.
        """
        return self.get(path, what, params=params, limit_bytes=JSON_BYTES, check=parse_json)

    def get(
        self,
        path: str,
        what: str,
        *,
        params: Mapping[str, str] | None = None,
        limit_bytes: int,
        check: Callable[[Reply], T],
    ) -> T:
        """Return what `check` makes of the reply; it raises ValueError where that is not right.

        Raises:
            AccessDeniedError: the token has no right to it.
            ServerError: the server refused, failed, or sent something else.
        """

        def ask() -> T:
            with self._transport.request("GET", path, params=params) as response:
                refuse(response, what)
                return check(read_reply(response, limit_bytes))

        return self._patiently(ask, what)

    def post_json(self, path: str, what: str, body: object) -> Any:  # noqa: ANN401  JSON
        """Return the JSON that answers a POST of `body`.

        It is sent again only where the server cannot have taken it the first time.

        Raises:
            AccessDeniedError: the token has no right to it.
            ServerError: the server refused or failed.
        """
        content = json.dumps(body, separators=(",", ":"), allow_nan=False).encode()
        return self._send(path, what, content=content, content_type="application/json")

    def post(self, path: str, what: str, *, params: Mapping[str, str], content: bytes = b"") -> Any:  # noqa: ANN401  JSON
        """Return the JSON that answers a POST of parameters, and of bytes where there are some.

        It is sent again only where the server cannot have taken it the first time.

        Raises:
            AccessDeniedError: the token has no right to it.
            ServerError: the server refused or failed.
        """
        kind = "application/octet-stream"
        return self._send(path, what, params=params, content=content, content_type=kind)

    def post_file(self, path: str, what: str, file: Path) -> Any:  # noqa: ANN401  JSON
        """Return the JSON that answers a POST of the JSON in `file`, read while it is sent.

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
                self._transport.request("PUT", path, content=told, content_type=kind) as response,
            ):
                refuse(response, what)

        self._patiently(ask, what)

    def delete(self, path: str, what: str) -> None:
        """Remove what is at `path`.

        Raises:
            AccessDeniedError: the token has no right to it.
            UnknownIdError: it is not there, or no longer.
            ServerError: the server refused or failed.
        """

        def ask() -> None:
            with self._transport.request("DELETE", path) as response:
                refuse(response, what)

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
            with self._transport.request("GET", path, params=params) as response:
                refuse(response, what)
                save_reply(response, to, limit_bytes)

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
                    response = self._transport.request(
                        "POST", path, params=params, content=body, content_type=content_type
                    )
            except (requests.exceptions.ConnectTimeout, requests.exceptions.SSLError):
                raise
            except _BROKEN as error:
                raise ServerError(what, "the connection broke while it was sent") from error
            with response:
                if response.status_code not in {429, 503} and response.status_code >= 500:
                    raise ServerError(what, f"the server failed ({response.status_code})")
                refuse(response, what)
                try:
                    return parse_json(read_reply(response, JSON_BYTES))
                except (ValueError, *_BROKEN) as error:
                    raise ServerError(what, "was sent, but the answer is not readable") from error

        return self._patiently(ask, what)

    def _patiently(self, ask: Callable[[], T], what: str) -> T:
        begun, tries, bad = time.monotonic(), 0, 0
        while True:
            tries += 1
            asked_s = 0.0
            try:
                return ask()
            except BusyError as error:
                asked_s, cause = error.asked_s, f"it says {error.status}"
            except requests.exceptions.SSLError as error:
                raise ServerError(
                    what, f"the certificate of {self.login.host} is not trusted here"
                ) from error
            except ElsewhereError as error:
                raise ServerError(what, str(error)) from error
            except _BROKEN as error:
                cause = _cause(error)
            except requests.exceptions.RequestException as error:
                problem = f"{self.login.host} does not answer as a server does"
                raise ServerError(what, problem) from error
            except ValueError as error:
                bad, cause = bad + 1, str(error)
                if bad >= BAD_ANSWERS:
                    raise ServerError(what, f"{self.login.host} sent {error}") from error
            wait_s = self._patience.wait_s(tries, asked_s)
            if time.monotonic() - begun + wait_s > self._patience.total_s:
                kind = ServerError if self._is_well() else UnreachableError
                raise kind(what, f"{self.login.host} did not answer after {tries} tries ({cause})")
            time.sleep(wait_s)

    def _is_well(self) -> bool:
        """Return whether the server answers to something else, for which it asks its database."""
        try:
            with self._transport.request("GET", "user/me") as response:
                return response.status_code < 500
        except (ElsewhereError, requests.exceptions.RequestException, urllib3.exceptions.HTTPError):
            return False

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def girder_id(name: str, value: str) -> str:
    """Return `value`, if it is a Girder id: then it may stand in a path.

    Raises:
        ConfigError: it is not 24 hexadecimal digits.
    """
    if not is_girder_id(value):
        raise ConfigError(name, value, "a Girder id of 24 hexadecimal digits")
    return value


def _is_address(api_url: str) -> bool:
    """Return whether it is the address of a server and nothing more."""
    try:
        parts = urlsplit(api_url)
        has_port = parts.port != 0
    except ValueError:
        return False
    more = "@" in parts.netloc or parts.query or parts.fragment
    is_plain = api_url.isprintable() and not any(c.isspace() for c in api_url)
    is_server = parts.scheme in {"http", "https"} and bool(parts.hostname) and has_port
    return is_server and is_plain and not more


@contextmanager
def _body(content: bytes | Path) -> Iterator[bytes | BinaryIO]:
    """Yield what is sent: bytes, or a file that is open at its beginning."""
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as file:
        yield file


def _cause(error: Exception) -> str:
    if isinstance(error, requests.exceptions.Timeout) or "timed out" in str(error):
        return "it takes too long"
    return "no connection, or it broke"
