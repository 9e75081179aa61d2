"""Routes of batches: a task on many slides, how far it is, stopping it and going on."""

from __future__ import annotations

from collections.abc import Callable

from girder.api import access
from girder.api.describe import Description, autoDescribeRoute
from girder.api.rest import Resource, getApiUrl
from girder.constants import AccessType, SortDir, TokenScope
from girder.exceptions import ValidationException
from girder.models.folder import Folder
from girder.models.item import Item

from girder_deeplab import batches, driver
from girder_deeplab.cards import CLASSIFY, SEGMENT, Document
from girder_deeplab.paging import check_page
from girder_deeplab.runs import STATES, Batch


def _describe_start(what: str) -> Description:
    return (
        Description(f"{what}, on one slide, on several or on all of a folder.")
        .notes(
            "Returns a batch: it runs a job for each slide, survives restarts of the server and of "
            "workers, and has one job that shows how far it is."
        )
        .jsonParam(
            "itemIds", "Ids of slides, as a JSON list.", required=False, requireArray=True
        )
        .modelParam(
            "folderId", "All slides in this folder that you may write to.", model=Folder,
            level=AccessType.READ, paramType="query", destName="folder", required=False,
        )
        .param(
            "recursive", "And those in folders of it.", required=False, dataType="boolean",
            default=False,
        )
        .modelParam(
            "modelId", "Item of the model; otherwise the default of each slide's folder.",
            model=Item, level=AccessType.READ, paramType="query", destName="model", required=False,
        )
        .jsonParam(
            "options", "Options of the task as a JSON object, by the names in its form.",
            required=False, requireObject=True,
        )
        .param(
            "atOnce", "Jobs of it that may wait or run at the same time.", required=False,
            dataType="integer", default=4,
        )
        .errorResponse("There is no slide or no model, or an option is none of the task's.")
        .errorResponse("You may not write to a slide, or not read the folder or the model.", 403)
    )  # fmt: skip


def _on_slides(task: str, description: Description) -> Callable[..., Document]:
    """Return the handler that has a task run on slides."""

    @access.user(scope=TokenScope.DATA_WRITE)
    @autoDescribeRoute(description)
    def handler(  # noqa: PLR0913  what the route takes
        self: BatchRoutes,
        itemIds: list | None,
        folder: Document | None,
        recursive: bool,  # noqa: FBT001
        model: Document | None,
        options: Document | None,
        atOnce: int,
        region: list | None = None,
    ) -> Document:
        user = self.getCurrentUser()
        if (itemIds is None) == (folder is None):
            raise ValidationException("Give either itemIds or a folderId.")
        if not 1 <= atOnce <= batches.MOST_AT_ONCE:
            raise ValidationException(f"atOnce must be from 1 to {batches.MOST_AT_ONCE}.", "atOnce")
        slides = (
            batches.slides_of_ids(itemIds, user)
            if folder is None
            else batches.slides_in(folder, user, recursive=recursive)
        )
        asked = {**(options or {}), **({} if region is None else {"region": region})}
        by = batches.Handover(atOnce, getApiUrl())
        batch = batches.start_batch(task, slides, model, asked, user, by)
        return batches.batch_told(batch, user)

    return handler


class BatchRoutes(Resource):
    """Mixed into the plugin's resource."""

    def route_batches(self) -> None:
        """Add the routes."""
        self.route("POST", ("segment",), self.segment)
        self.route("POST", ("classify",), self.classify)
        self.route("GET", ("batch",), self.listBatches)
        self.route("GET", ("batch", ":id"), self.getBatch)
        self.route("GET", ("batch", ":id", "slide"), self.listSlides)
        self.route("PUT", ("batch", ":id", "cancel"), self.cancelBatch)
        self.route("PUT", ("batch", ":id", "resume"), self.resumeBatch)

    segment = _on_slides(
        SEGMENT,
        _describe_start("Segment slides").jsonParam(
            "region", "Where to look on the one slide, as the form of SegmentWSI takes it.",
            required=False, requireArray=True,
        ),
    )  # fmt: skip
    classify = _on_slides(CLASSIFY, _describe_start("Classify the patches of slides"))

    @access.user(scope=TokenScope.DATA_READ)
    @autoDescribeRoute(
        Description("List the batches that you may see, the newest first.").pagingParams(
            defaultSort="created", defaultSortDir=SortDir.DESCENDING
        )
    )
    def listBatches(self, limit: int, offset: int, sort: list) -> list:
        """The batches, each with `counts` of its slides in each state."""
        check_page(limit, offset, sort)
        user = self.getCurrentUser()
        return list(batches.find_batches(user, limit=limit, offset=offset, sort=sort))

    @access.user(scope=TokenScope.DATA_READ)
    @autoDescribeRoute(
        Description("Tell how far a batch is.")
        .modelParam("id", model=Batch, destName="batch", level=AccessType.READ)
        .errorResponse("You may not see the batch.", 403)
    )
    def getBatch(self, batch: Document) -> Document:
        """The batch, with `counts` of its slides in each state."""
        return batches.batch_told(batch, self.getCurrentUser())

    @access.user(scope=TokenScope.DATA_READ)
    @autoDescribeRoute(
        Description("List the slides of a batch and what became of each.")
        .notes("Of each: its state, its job, the layers on it and why it failed.")
        .modelParam("id", model=Batch, destName="batch", level=AccessType.READ)
        .param("state", "Only those of it.", required=False, enum=list(STATES))
        .pagingParams(defaultSort="_id")
        .errorResponse("You may not see the batch.", 403)
    )
    def listSlides(
        self, batch: Document, state: str | None, limit: int, offset: int, sort: list
    ) -> list:
        """The slides."""
        check_page(limit, offset, sort)
        return batches.runs_of(batch, state, limit=limit, offset=offset, sort=sort)

    @access.user(scope=TokenScope.DATA_WRITE)
    @autoDescribeRoute(
        Description("Stop a batch: what runs is cancelled, what has ended stays.")
        .modelParam("id", model=Batch, destName="batch", level=AccessType.WRITE)
        .errorResponse("You may not stop the batch.", 403)
    )
    def cancelBatch(self, batch: Document) -> Document:
        """The batch as it is then."""
        driver.cancel(batch)
        return self._batch_told(batch)

    @access.user(scope=TokenScope.DATA_WRITE)
    @autoDescribeRoute(
        Description("Go on with a batch that was cancelled or has ended.")
        .modelParam("id", model=Batch, destName="batch", level=AccessType.WRITE)
        .param(
            "failed", "Whether slides that failed are tried again, too.", required=False,
            dataType="boolean", default=True,
        )
        .errorResponse("The batch still runs, or nothing of it is left to run.")
        .errorResponse("You may not go on with the batch.", 403)
    )  # fmt: skip
    def resumeBatch(self, batch: Document, failed: bool) -> Document:  # noqa: FBT001
        """The batch as it is then."""
        driver.resume(batch, self.getCurrentUser(), failed=failed)
        return self._batch_told(batch)

    def _batch_told(self, batch: Document) -> Document:
        now = Batch().load(batch["_id"], force=True)
        return batches.batch_told(now, self.getCurrentUser())
