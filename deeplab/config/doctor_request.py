"""What is to be looked at where tasks are to run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from deeplab.config.checks import check_girder_id
from deeplab.config.paths import coerce_paths
from deeplab.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorRequest:
    """Look whether this machine, and this server, let tasks run.

    Attributes:
        slide: path; with `api_url` the id of a Girder item or of its file; "": none.
        model: bundle; None: none.
        gpu: whether a GPU must be there.
        api_url: of the Girder server; "": none.
        token: for it.
    """

    slide: str = ""
    model: Path | None = None
    gpu: bool = False
    api_url: str = ""
    token: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        coerce_paths(self)
        if self.slide and self.api_url:
            check_girder_id("slide", self.slide, "an item or a file")
        if self.token and not self.api_url:
            raise ConfigError("token", "given", "given with api_url, the server that it is for")
