"""What taking files of annotations in is asked to do: one frozen value, checked when it is made."""

from __future__ import annotations

from dataclasses import dataclass, field

from deeplab.config.checks import check_girder_id
from deeplab.config.convert_request import AUTO
from deeplab.config.paths import coerce_paths
from deeplab.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestRequest:
    """Put the files of annotations beside the slides of a Girder server on these as layers.

    Attributes:
        source: id of a folder, of one slide's item or of its file.
        classes: names of the layers to take; none: all.
        source_format: name of the only format to take; "auto": each that is known.
        value_names: names of the values or types 1, 2, ... where a file has numbers only.
        api_url: of the Girder server.
        token: for it, with the right to write there.
    """

    source: str
    classes: tuple[str, ...] = ()
    source_format: str = AUTO
    value_names: tuple[str, ...] = ()
    api_url: str = ""
    token: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        coerce_paths(self)
        if not self.api_url:
            raise ConfigError("api_url", self.api_url, "the address of the server with the slides")
        check_girder_id("source", self.source, "a folder or a slide")
