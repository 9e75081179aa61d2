"""The page of a folder, and what HistomicsUI loads: static files, which ask the routes for all."""

from __future__ import annotations

from pathlib import Path

from girder.api import access
from girder.api.describe import Description, autoDescribeRoute
from girder.api.rest import Resource, setRawResponse, setResponseHeader
from girder.exceptions import RestException

FOLDER = Path(__file__).with_name("web")
PAGE, SCRIPT = "page.html", "histomicsui.js"
TYPES = {
    PAGE: "text/html",
    "page.css": "text/css",
    "page.js": "text/javascript",
    SCRIPT: "text/javascript",
}
HEADERS = {
    # All that the page loads and asks comes from this server, and nobody puts it into a frame.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


class PageRoutes(Resource):
    """Mixed into the plugin's resource."""

    def route_pages(self) -> None:
        """Add the routes."""
        self.route("GET", ("page",), self.getPage)
        self.route("GET", ("page", ":name"), self.getPageFile)

    @access.public
    @autoDescribeRoute(
        Description("The page of a folder, for a browser in which a user is logged in.")
        .param("folderId", "Whose models, batches and layers are shown.", required=False)
        .produces("text/html")
    )
    def getPage(self, folderId: str | None) -> bytes:  # noqa: ARG002  the page's script reads it
        """The page."""
        return _file(PAGE)

    @access.public
    @autoDescribeRoute(
        Description("A file that the page of a folder, or HistomicsUI, loads.")
        .param("name", "Of the file.", paramType="path")
        .produces(["text/css", "text/javascript"])
        .errorResponse("There is no such file.", 404)
    )
    def getPageFile(self, name: str) -> bytes:
        """The file."""
        return _file(name)


def _file(name: str) -> bytes:
    if name not in TYPES:
        raise RestException("There is no such file.", code=404)
    setRawResponse()
    for header, value in {"Content-Type": f"{TYPES[name]}; charset=utf-8", **HEADERS}.items():
        setResponseHeader(header, value)
    return (FOLDER / name).read_bytes()
