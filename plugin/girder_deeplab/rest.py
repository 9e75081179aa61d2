"""`/api/v1/deeplab`: what people, scripts and the web client ask of this plugin."""

from __future__ import annotations

from dataclasses import asdict

from docker.errors import DockerException
from girder.api import access
from girder.api.describe import Description, autoDescribeRoute
from girder.constants import AccessType, SortDir, TokenScope
from girder.exceptions import RestException
from girder.models.folder import Folder
from girder.models.item import Item
from girder.models.setting import Setting

from girder_deeplab import models
from girder_deeplab.cards import Document
from girder_deeplab.comparisons import comparisons_with
from girder_deeplab.evaluations import evaluations_told
from girder_deeplab.images import image_states
from girder_deeplab.pages import PageRoutes
from girder_deeplab.paging import check_page
from girder_deeplab.promotion import promote
from girder_deeplab.rest_batches import BatchRoutes
from girder_deeplab.rest_comparisons import ComparisonRoutes
from girder_deeplab.rest_corrections import CorrectionRoutes
from girder_deeplab.rest_tasks import TaskRoutes
from girder_deeplab.settings import SettingKey
from girder_deeplab.tables import FIGURES


class DeeplabResource(BatchRoutes, TaskRoutes, CorrectionRoutes, ComparisonRoutes, PageRoutes):
    """The plugin's routes."""

    def __init__(self) -> None:
        super().__init__()
        self.resourceName = "deeplab"
        self.route("GET", ("image",), self.listImages)
        self.route("GET", ("model",), self.listModels)
        self.route("GET", ("model", ":id"), self.getModel)
        self.route("PUT", ("model", ":id"), self.registerModel)
        self.route("PUT", ("model", ":id", "archived"), self.archiveModel)
        self.route("GET", ("default",), self.getDefault)
        self.route("PUT", ("default",), self.setDefault)
        self.route("DELETE", ("default",), self.removeDefault)
        self.route_batches()
        self.route_tasks()
        self.route_corrections()
        self.route_comparisons()
        self.route_pages()

    @access.admin
    @autoDescribeRoute(
        Description("List the configured images and whether their tasks are registered.")
        .notes("`available` is the id that Docker has, `registered` the id last registered.")
        .errorResponse("You are not a system administrator.", 403)
        .errorResponse("Docker does not answer on this server.", 503)
    )
    def listImages(self) -> list:
        """The state of each configured image."""
        try:
            states = image_states(Setting().get(SettingKey.IMAGES))
        except DockerException as error:
            raise RestException("Docker does not answer on this server.", code=503) from error
        return [asdict(state) for state in states]

    @access.public(scope=TokenScope.DATA_READ)
    @autoDescribeRoute(
        Description("List the models that you may read, the newest first.")
        .notes(
            "Of each model: its item, its file (what a task's inputModelFile takes), the task that "
            "uses it, classes, um per pixel at which it works, and figures on data held out."
        )
        .modelParam(
            "folderId", "Only models in this folder and in folders of it.", model=Folder,
            level=AccessType.READ, paramType="query", destName="folder", required=False,
        )
        .param("task", "Only models that it uses.", required=False, enum=list(models.TASKS))
        .param(
            "archived", "Also models that are archived.", required=False, dataType="boolean",
            default=False,
        )
        .pagingParams(defaultSort="created", defaultSortDir=SortDir.DESCENDING)
        .errorResponse("You may not read the folder.", 403)
    )  # fmt: skip
    def listModels(
        self,
        folder: Document | None,
        task: str | None,
        archived: bool,  # noqa: FBT001
        limit: int,
        offset: int,
        sort: list,
    ) -> list:
        """The models that the user may read."""
        check_page(limit, offset, sort)
        user = self.getCurrentUser()
        return list(
            models.find_models(
                user, folder, task=task, archived=archived, limit=limit, offset=offset, sort=sort
            )
        )

    @access.public(scope=TokenScope.DATA_READ)
    @autoDescribeRoute(
        Description("Tell what a model is, and how good evaluations found it.")
        .notes(
            "As in the list of models; and `evaluations`, the newest first, those whose tables you "
            "may read: each with the number of its slides, and of each class the mean of figures "
            "over these with its interval of 95 %; `comparisons` with other models, the newest "
            "first; and `reportId`, the file of the report of its training, where that lies beside "
            "it."
        )
        .modelParam("id", model=Item, level=AccessType.READ)
        .errorResponse("The item is not registered as a model.")
        .errorResponse("You may not read the item.", 403)
    )
    def getModel(self, item: Document) -> Document:
        """The model and its evaluations."""
        models.check_model(item)
        user = self.getCurrentUser()
        report = models.report_of(item)
        return {
            **models.model_told(item),
            "evaluations": evaluations_told(item, user),
            "comparisons": comparisons_with(item, user),
            "reportId": report and report["_id"],
        }

    @access.user(scope=TokenScope.DATA_WRITE)
    @autoDescribeRoute(
        Description("Register an item as a model: read what its file says of itself.")
        .notes("Files that are uploaded are registered by themselves; this is for older ones.")
        .modelParam("id", model=Item, level=AccessType.WRITE)
        .errorResponse("The item has no file that is a model.")
        .errorResponse("You may not write to the item.", 403)
    )
    def registerModel(self, item: Document) -> Document:
        """The model as it is registered."""
        return models.model_told(models.register(item))

    @access.user(scope=TokenScope.DATA_WRITE)
    @autoDescribeRoute(
        Description("Archive a model, so that it is no longer offered, or offer it again.")
        .notes("The item, its file and what was made with it stay as they are.")
        .modelParam("id", model=Item, level=AccessType.WRITE)
        .param("archived", "Whether it is archived.", dataType="boolean", required=True)
        .errorResponse("The item is not registered as a model.")
        .errorResponse("You may not write to the item.", 403)
    )
    def archiveModel(self, item: Document, archived: bool) -> Document:  # noqa: FBT001
        """The model as it is then."""
        return models.model_told(models.set_archived(item, archived=archived))

    @access.public(scope=TokenScope.DATA_READ)
    @autoDescribeRoute(
        Description("Tell which model a task uses for slides of a folder unless told otherwise.")
        .notes("null if neither the folder nor one that it is in says so.")
        .modelParam(
            "folderId", model=Folder, level=AccessType.READ, paramType="query", destName="folder"
        )
        .param("task", "Which uses the model.", enum=list(models.TASKS))
        .errorResponse("You may not read the folder.", 403)
    )
    def getDefault(self, folder: Document, task: str) -> Document | None:
        """The default model, and the id of the folder that says so."""
        return self._default(folder, task)

    @access.user(scope=TokenScope.DATA_WRITE)
    @autoDescribeRoute(
        Description("Make a model the default for slides of a folder and of the folders in it.")
        .notes(
            "The form of the task that uses it has it filled in then. Where the folder has another "
            "default, its own or that of a folder around it, the model must be better than that "
            "on slides that neither learnt from, on which both were evaluated with the same "
            "reference. Returns how they compare as `comparison`: the mean of the figure over "
            "classes and slides, the difference on the slides with its interval of 95 %, and the "
            "same for each class; null where there was no other default."
        )
        .modelParam(
            "folderId", model=Folder, level=AccessType.WRITE, paramType="query", destName="folder"
        )
        .modelParam(
            "modelId", "The item of the model.", model=Item, level=AccessType.READ,
            paramType="query", destName="item",
        )
        .param(
            "figure", "That decides which of two models is better.", required=False,
            enum=list(FIGURES), default="dice",
        )
        .param(
            "evenIfNotBetter", "Do it also where it is not known to be better.", required=False,
            dataType="boolean", default=False,
        )
        .errorResponse("The item is not registered as a model, or is archived.")
        .errorResponse("The model is not known to be better than the default now.")
        .errorResponse("You may not write to the folder, or not read the model.", 403)
    )  # fmt: skip
    def setDefault(
        self,
        folder: Document,
        item: Document,
        figure: str,
        evenIfNotBetter: bool,  # noqa: FBT001
    ) -> Document:
        """The default model, the id of the folder, and how it compares with the one before."""
        user = self.getCurrentUser()
        comparison = promote(folder, item, user, figure=figure, even_if_not_better=evenIfNotBetter)
        return {**_default_told(item, folder), "comparison": comparison}

    @access.user(scope=TokenScope.DATA_WRITE)
    @autoDescribeRoute(
        Description("Let a folder have the default model of the folders that it is in.")
        .modelParam(
            "folderId", model=Folder, level=AccessType.WRITE, paramType="query", destName="folder"
        )
        .param("task", "Which uses the model.", enum=list(models.TASKS))
        .errorResponse("You may not write to the folder.", 403)
    )
    def removeDefault(self, folder: Document, task: str) -> Document | None:
        """The default that the folder has then, and the id of the folder that says so."""
        return self._default(models.remove_default(folder, task), task)

    def _default(self, folder: Document, task: str) -> Document | None:
        found = models.default_model(folder, task, self.getCurrentUser())
        return found and _default_told(*found)


def _default_told(item: Document, folder: Document) -> Document:
    return {"model": models.model_told(item), "folderId": folder["_id"]}
