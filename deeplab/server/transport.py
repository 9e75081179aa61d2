"""HTTP connections to one server: replies must come in time, and the token goes nowhere else."""

from __future__ import annotations

import http.client
import io
import socket
import time
from collections.abc import Mapping
from http.cookiejar import DefaultCookiePolicy
from typing import Any, BinaryIO
from urllib.parse import SplitResult, urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection

from deeplab.names import shown_name

CONNECT_S, READ_S = 10.0, 60.0
TAKEN_BYTES_PER_S = 1e6  # the least; a server checks and stores what it was sent before it answers
LEAST_BYTES_PER_S = 1e4  # either way, after a time to begin
REDIRECTIONS = 5  # one after the other


class _Arriving(io.RawIOBase):
    """The bytes of one reply, whose time is limited as a whole and not only between two bytes."""

    def __init__(self, arriving: io.RawIOBase, connection: socket.socket) -> None:
        self._arriving, self._connection = arriving, connection
        self._begun_s, self._received_bytes = time.monotonic(), 0
        self._time_s = connection.gettimeout() or READ_S

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:  # noqa: ANN401  a buffer has no type in 3.11
        allowed_s = self._time_s + self._received_bytes / LEAST_BYTES_PER_S
        left_s = self._begun_s + allowed_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("the reply comes too slowly")
        self._connection.settimeout(min(left_s, self._time_s))
        count: int | None = self._arriving.readinto(buffer)
        self._received_bytes += count or 0
        return count

    def close(self) -> None:
        self._arriving.close()
        super().close()


class _Leaving(io.RawIOBase):
    """What is sent, in blocks that each have their time, and all of it has one as well.

    Bytes as they are would have to be away within the time for a connection, however many.
    """

    def __init__(self, content: BinaryIO) -> None:
        self._content, self._begun_s = content, time.monotonic()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401  a buffer has no type in 3.11
        allowed_s = READ_S + self._content.tell() / LEAST_BYTES_PER_S
        if time.monotonic() - self._begun_s > allowed_s:
            raise TimeoutError("the server takes it too slowly: timed out")
        block = self._content.read(len(buffer))
        buffer[: len(block)] = block
        return len(block)

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._content.seek(offset, whence)

    def tell(self) -> int:
        return self._content.tell()


class _TimedResponse(http.client.HTTPResponse):
    """A reply, headers and all, that must arrive in time."""

    def __init__(
        self, sock: socket.socket, debuglevel: int = 0, method: str | None = None, url: str = ""
    ) -> None:
        super().__init__(sock, debuglevel, method, url)
        self.fp = io.BufferedReader(_Arriving(self.fp.detach(), sock))


class _Connection(HTTPConnection):
    response_class = _TimedResponse


class _SecureConnection(HTTPSConnection):
    response_class = _TimedResponse


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class _Adapter(HTTPAdapter):
    """Connections of ours in the pools of requests, also behind a proxy."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  passed on
        super().init_poolmanager(*args, **kwargs)
        _use_timed(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> PoolManager:  # noqa: ANN401  passed on
        manager: PoolManager = super().proxy_manager_for(*args, **kwargs)
        _use_timed(manager)
        return manager


def _use_timed(manager: PoolManager) -> None:
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}


class _Requests(requests.Session):
    """Follows no redirection: it would send the token on, and read any reply to its end."""

    def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002  theirs
        return None


class ElsewhereError(Exception):
    """The server sends on to where the token must not go; its text ends a sentence on that."""


class Transport:
    """Sends requests with the token to the parts of one server; safe from many threads."""

    def __init__(self, api_url: str, token: str, *, connections: int) -> None:
        self._root = api_url.rstrip("/")
        self._http = _Requests()
        self._http.headers.update({"Girder-Token": token, "Accept": "*/*"})
        # Cookies are the one thing that threads would share, and Girder needs none.
        self._http.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        adapter = _Adapter(pool_connections=1, pool_maxsize=connections)
        self._http.mount("http://", adapter)
        self._http.mount("https://", adapter)

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        content: bytes | BinaryIO = b"",
        content_type: str = "",
    ) -> requests.Response:
        """Ask for `path` and return the reply, whose body is not read yet.

        A GET is sent on where the server says so, as long as that is the same server.

        Raises:
            ElsewhereError: the server sends on to another, or on and on.
            requests.exceptions.RequestException: no connection, or it broke or is too slow.
        """
        headers = {"Content-Type": content_type} if content_type else None
        sent = io.BytesIO(content) if isinstance(content, bytes) else content
        sent_bytes = _size_bytes(sent)
        url = f"{self._root}/{path}"
        for _ in range(REDIRECTIONS + 1):
            response = self._http.request(
                method,
                url,
                params=params,
                data=_Leaving(sent) if sent_bytes else None,
                headers=headers,
                timeout=(CONNECT_S, READ_S + sent_bytes / TAKEN_BYTES_PER_S),
                stream=True,
                allow_redirects=False,
            )
            if not response.is_redirect:
                return response
            with response:
                url, params = _sent_on(method, url, response.headers["Location"]), None
        raise ElsewhereError("the server sends on from one of its addresses to another, on and on")

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


def _sent_on(method: str, url: str, location: str) -> str:
    try:
        there, here = urlsplit(urljoin(url, location)), urlsplit(url)
        is_here = there.hostname == here.hostname and _is_as_safe(there, here)
        host = there.hostname
    except ValueError as error:
        raise ElsewhereError("the server sends on to what is no address") from error
    if is_here and method == "GET" and "@" not in there.netloc:
        return there.geturl()
    raise ElsewhereError(
        f"the server sends on to {shown_name(host or 'nowhere')[:100]}, which is not the address "
        "given, and the token does not go there; if that is the right server, give its address "
        "as girderApiUrl"
    )


def _is_as_safe(there: SplitResult, here: SplitResult) -> bool:
    """Return whether an address of the same host is the same door, or the one with encryption."""
    upgraded = (here.scheme, there.scheme) == ("http", "https")
    return upgraded or (there.scheme, there.port) == (here.scheme, here.port)


def _size_bytes(file: BinaryIO) -> int:
    size_bytes = file.seek(0, io.SEEK_END)
    file.seek(0)
    return size_bytes
