"""Who asks a Girder server, and where it is."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ServerLogin:
    """A Girder server and the right to use it.

    `api_url` ends in `/api/v1`; `token` is a Girder token and shows in no text made of this.
    """

    api_url: str
    token: str = field(repr=False)
