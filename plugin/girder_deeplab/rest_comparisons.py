"""Routes of comparisons of an old model with a new one, on slides that neither learnt from."""

from __future__ import annotations

from girder.api import access
from girder.api.describe import Description, autoDescribeRoute
from girder.api.rest import Resource, getApiUrl
from girder.constants import AccessType, SortDir, TokenScope
from girder.models.folder import Folder
from girder.models.item import Item

from girder_deeplab.cards import Document
from girder_deeplab.comparisons import (
    ModelComparison,
    comparison_told,
    comparisons_of,
    old_model,
    start_comparison,
)
from girder_deeplab.paging import check_page


class ComparisonRoutes(Resource):
    """Mixed into the plugin's resource."""

    def route_comparisons(self) -> None:
        """Add the routes."""
        self.route("POST", ("comparison",), self.compareModels)
        self.route("GET", ("comparison",), self.listComparisons)
        self.route("GET", ("comparison", ":id"), self.getComparison)

    @access.user(scope=TokenScope.DATA_WRITE)
    @autoDescribeRoute(
        Description("Compare a model with another on slides that neither learnt from.")
        .notes(
            "Both segment the slides of the folder that have layers which people drew or marked as "
            "corrected, and are evaluated there; the layers of the errors of both stay on the "
            "slides, and the reports and tables go to the folder. Returns the comparison: its job "
            "shows how far it is, and it tells the figures at its end."
        )
        .modelParam(
            "folderId", "Of the slides.", model=Folder, level=AccessType.WRITE, paramType="query",
            destName="folder",
        )
        .modelParam(
            "modelId", "Item of the new model.", model=Item, level=AccessType.READ,
            paramType="query", destName="model",
        )
        .modelParam(
            "oldModelId", "Item of the old one; if not given, the folder's default.", model=Item,
            level=AccessType.READ, paramType="query", destName="old", required=False,
        )
        .errorResponse("There is no default, or no slide is held out and has such layers.")
        .errorResponse("You may not write to the folder, or not read a model.", 403)
    )  # fmt: skip
    def compareModels(self, folder: Document, model: Document, old: Document | None) -> Document:
        """The comparison."""
        user = self.getCurrentUser()
        old = old or old_model(folder, user, None)
        return comparison_told(start_comparison(folder, old, user, getApiUrl(), new=model), user)

    @access.public(scope=TokenScope.DATA_READ)
    @autoDescribeRoute(
        Description("List the comparisons on the slides of a folder, the newest first.")
        .modelParam(
            "folderId", model=Folder, level=AccessType.READ, paramType="query", destName="folder"
        )
        .pagingParams(defaultSort="created", defaultSortDir=SortDir.DESCENDING)
        .errorResponse("You may not read the folder.", 403)
    )
    def listComparisons(self, folder: Document, limit: int, offset: int, sort: list) -> list:
        """The comparisons."""
        check_page(limit, offset, sort)
        query = {"folderId": folder["_id"]}
        user = self.getCurrentUser()
        return list(comparisons_of(user, query, limit=limit, offset=offset, sort=sort))

    @access.public(scope=TokenScope.DATA_READ)
    @autoDescribeRoute(
        Description("Tell how far a comparison is, and how the models compare once it has ended.")
        .modelParam("id", model=ModelComparison, destName="comparison", level=AccessType.READ)
        .errorResponse("You may not see the comparison.", 403)
    )
    def getComparison(self, comparison: Document) -> Document:
        """The comparison."""
        return comparison_told(comparison, self.getCurrentUser())
