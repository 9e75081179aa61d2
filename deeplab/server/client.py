"""The parts of a Girder server as girder_client knows them, asked for over a session of ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO, Protocol
from urllib.parse import parse_qsl

from girder_client import GirderClient

from deeplab.errors import AccessDeniedError, ServerError, UnknownIdError
from deeplab.server.replies import Told

PIECE_BYTES = 16 * 2**20  # Girder refuses less than 5 MiB, but for the last piece
TRIES = 5  # to send one piece
MOST_PAGES = 2000  # of a list: 100,000 things

Json = Any  # whatever a server answers


class Asks(Protocol):
    """What the client needs of a session."""

    def get_json(self, path: str, what: str, params: Mapping[str, str] | None = None) -> Json:
        """Return the JSON at `path`."""

    def post(
        self, path: str, what: str, *, params: Mapping[str, str], content: bytes = b""
    ) -> Json:
        """Return the JSON that answers a POST."""

    def put_json(self, path: str, what: str, body: object) -> None:
        """Set what is at `path`."""

    def delete(self, path: str, what: str) -> None:
        """Remove what is at `path`."""


class Client(GirderClient):  # type: ignore[misc]  # it has no types
    """Names, pages and uploads as girder_client makes them; what asks is a session.

    All that it does goes through `sendRestRequest`. A piece of an upload that does not arrive is
    sent again from where the server has it.
    """

    def __init__(self, session: Asks, what: str) -> None:
        super().__init__(apiUrl="/")  # not used: the session knows the address
        self.MAX_CHUNK_SIZE = PIECE_BYTES
        self._asks, self._what = session, what
        self._pages, self._last_page = 0, list[Json]()

    def sendRestRequest(  # noqa: N802, PLR0913  the one door of girder_client
        self,
        method: str,
        path: str,
        parameters: Mapping[str, object] | None = None,
        data: BinaryIO | None = None,
        files: object = None,  # noqa: ARG002
        json: object = None,
        headers: object = None,  # noqa: ARG002
        jsonResp: object = None,  # noqa: ARG002, N803
    ) -> Json:
        """Return the JSON that answers a request of girder_client.

        Raises:
            AccessDeniedError: the token has no right to it.
            ServerError: the server refused, failed, or sent something else.
        """
        query = {key: str(each) for key, each in (parameters or {}).items() if each is not None}
        if method == "GET":
            told = self._asks.get_json(path, self._what, query)
            return self._page(told) if "limit" in query else told
        if method == "PUT":
            return self._asks.put_json(path, self._what, json)
        if method == "DELETE":
            return self._asks.delete(path, self._what)
        if data is None:
            told = self._asks.post(path, self._what, params=query)
            Told.of(told, self._what, "an upload").id("_id")  # which is to stand in a query
            return told
        return self._send_piece(dict(parse_qsl(path.partition("?")[2])), data.read())

    def _page(self, told: Json) -> list[Json]:
        """Return a page of a list; girder_client asks for the next one as long as they are full."""
        if not isinstance(told, list):
            raise ServerError(self._what, "the server's answer is not a list")
        self._pages += 1
        if self._pages > MOST_PAGES or (told and told == self._last_page):
            raise ServerError(self._what, "the server's list has no end")
        self._last_page = told
        return told

    def _send_piece(self, query: Mapping[str, str], piece: bytes) -> Json:
        """Return what answers a piece of an upload; only its id, where the answer was lost."""
        upload, begin = {"_id": query["uploadId"]}, int(query["offset"])
        sent_bytes, failures = 0, 0
        while sent_bytes < len(piece):
            place = {**query, "offset": str(begin + sent_bytes)}
            try:
                told = self._asks.post(
                    "file/chunk", self._what, params=place, content=piece[sent_bytes:]
                )
            except (AccessDeniedError, UnknownIdError):
                raise
            except ServerError:
                failures += 1
                if failures == TRIES:
                    raise
                sent_bytes = self._received(upload["_id"], begin, len(piece))
            else:
                return {**upload, **Told.of(told, self._what, "a file or an upload").parts}
        return upload

    def _received(self, upload_id: str, begin: int, piece_bytes: int) -> int:
        """Return how much of a piece the server has; all, where the upload is at its end."""
        try:
            told = self._asks.get_json("file/offset", self._what, {"uploadId": upload_id})
        except UnknownIdError:
            return piece_bytes
        answer = Told.of(told, self._what, "the state of an upload")
        return answer.count("offset", least=begin, most=begin + piece_bytes) - begin
