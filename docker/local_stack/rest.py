"""Girder's REST interface, as far as a stack's set-up and its tests need it."""

import base64
import json
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from local_stack.plan import StackError

TIMEOUT_S = 600  # as long as a server may take over one very large annotation


class RestError(StackError):
    """The server refused a request."""

    def __init__(self, request: str, status: int, reply: str) -> None:
        super().__init__(f"{request} was refused ({status}): {reply[:500]}")
        self.status = status


class GirderRest:
    """A session with one server; anonymous until `login`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.token = ""

    def login(self, name: str, password: str) -> None:
        """Open a session as this user.

        Raises:
            RestError: the server does not know the user.
        """
        secret = base64.b64encode(f"{name}:{password}".encode()).decode()
        reply = self.call(
            "GET", "user/authentication", headers={"Authorization": f"Basic {secret}"}
        )
        self.token = reply["authToken"]["token"]

    def get(self, path: str, /, **params: object) -> Any:
        """Return what the server answers at a path."""
        return self.call("GET", path, params)

    def post(self, path: str, /, **params: object) -> Any:
        """Make something."""
        return self.call("POST", path, params)

    def post_form(self, path: str, /, **params: str) -> Any:
        """Make something, with nothing of it in the address, which servers write to logs."""
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.call("POST", path, body=urllib.parse.urlencode(params).encode(), headers=kind)

    def put(self, path: str, /, **params: object) -> Any:
        """Change something."""
        return self.call("PUT", path, params)

    def delete(self, path: str, /, **params: object) -> Any:
        """Remove something."""
        return self.call("DELETE", path, params)

    def count_elements(self, item_id: str) -> int:
        """Return how many elements the annotations of an item have together."""
        found = self.get("annotation", itemId=item_id, limit=0)
        heads = [self.get(f"annotation/{each['_id']}", limit=1) for each in found]
        return sum(each["_elementQuery"]["count"] for each in heads)

    def call(
        self,
        method: str,
        path: str,
        params: dict[str, object] | None = None,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
    ) -> Any:
        """One request; lists and mappings among the parameters travel as JSON.

        Raises:
            RestError: the server refused it.
        """
        query = urllib.parse.urlencode({key: _as_text(v) for key, v in (params or {}).items()})
        request = urllib.request.Request(  # noqa: S310  the address is this stack's own
            f"{self.url}/api/v1/{path}?{query}",
            data=body or None,
            method=method,
            headers={"Girder-Token": self.token, **(headers or {})},
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
                reply = answer.read()
        except urllib.error.HTTPError as error:
            reply = error.read().decode(errors="replace")
            raise RestError(f"{method} {path}", error.code, reply) from None
        try:
            return json.loads(reply)
        except ValueError:
            return reply

    def upload(self, file: Path, folder_id: str) -> Any:
        """Put a file into a folder as an item of its own; returns the file's record."""
        content = file.read_bytes()
        return self.call(
            "POST",
            "file",
            {
                "parentType": "folder",
                "parentId": folder_id,
                "name": file.name,
                "size": len(content),
            },
            content,
            {"Content-Type": "application/octet-stream"},
        )


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
