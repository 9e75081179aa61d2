"""Routes of single tasks: training, evaluation, measuring, and what a folder has for them."""

from __future__ import annotations

from collections.abc import Callable

from girder.api import access
from girder.api.describe import Description, autoDescribeRoute
from girder.api.rest import Resource, getApiUrl
from girder.constants import AccessType, TokenScope
from girder.exceptions import ValidationException
from girder.models.folder import Folder
from girder.models.item import Item

from girder_deeplab import models
from girder_deeplab.cards import SEGMENT, Document
from girder_deeplab.census import take_census
from girder_deeplab.comparisons import (
    check_comparable,
    comparison_told,
    old_model,
    start_comparison,
)
from girder_deeplab.folder_tasks import (
    EVALUATE,
    MEASURE,
    TRAIN,
    Place,
    start_on_folder,
    start_on_layers,
)
from girder_deeplab.marks import NEXT_REGIONS

# How a training goes on from a model on corrections, where nothing else is asked for: with a plan,
# which takes network and um per pixel from the model, and with what that knows of its classes.
GOING_ON = {"hours": 1, "init_last_layer": True, "exhaustive_layer": NEXT_REGIONS}


def _describe(what: str, of: str, *, classes: str = "") -> Description:
    """Return the description of a task over a folder; `classes`: what they are if not given."""
    said = f"Names of layers, as a JSON list{classes and f'; if not given, {classes}'}."
    return (
        Description(what)
        .notes("Returns the job. Its results go to the output folder, under the name given.")
        .modelParam(
            "folderId", of, model=Folder, level=AccessType.READ, paramType="query",
            destName="folder",
        )
        .jsonParam("classes", said, requireArray=True, required=not classes)
        .modelParam(
            "outputFolderId", "Where the results go.", model=Folder, level=AccessType.WRITE,
            paramType="query", destName="output",
        )
        .param("name", "Of the results, without an ending.")
        .jsonParam(
            "options", "Options of the task as a JSON object, by the names in its form.",
            required=False, requireObject=True,
        )
        .errorResponse("A class is on no slide, or an option is none of the task's.")
        .errorResponse("You may not read the folder, or not write to the output folder.", 403)
    )  # fmt: skip


def _on_layers(task_name: str, description: Description) -> Callable[..., Document]:
    """Return the handler that has a task look at the layers of a folder's slides."""

    @access.user(scope=TokenScope.DATA_WRITE)
    @autoDescribeRoute(description)
    def handler(
        self: TaskRoutes,
        folder: Document,
        classes: list,
        output: Document,
        name: str,
        options: Document | None,
        model: Document | None = None,
    ) -> Document:
        return start_on_layers(
            task_name,
            folder,
            {"classes": classes, **(options or {})},
            model,
            Place(output, name),
            self.getCurrentUser(),
            getApiUrl(),
        )

    return handler


class TaskRoutes(Resource):
    """Mixed into the plugin's resource."""

    def route_tasks(self) -> None:
        """Add the routes."""
        self.route("GET", ("census",), self.getCensus)
        self.route("POST", ("train",), self.train)
        self.route("POST", ("evaluate",), self.evaluate)
        self.route("POST", ("features",), self.measure)

    @access.public(scope=TokenScope.DATA_READ)
    @autoDescribeRoute(
        Description("Tell which layers the slides of a folder have.")
        .notes("By name and by who made them; slides in folders of it are not looked at.")
        .modelParam(
            "folderId", model=Folder, level=AccessType.READ, paramType="query", destName="folder"
        )
        .errorResponse("You may not read the folder.", 403)
    )
    def getCensus(self, folder: Document) -> Document:
        """The census."""
        return take_census(folder, self.getCurrentUser())

    @access.user(scope=TokenScope.DATA_WRITE)
    @autoDescribeRoute(
        _describe(
            "Train a network.", "Slides with layers.", classes="on corrections, those of the model"
        )
        .modelParam(
            "modelId",
            "Item of a model to start from; on corrections, if not given, the folder's default.",
            model=Item, level=AccessType.READ, paramType="query", destName="model", required=False,
        )
        .param(
            "corrected", "Learn only from slides with corrected layers, going on from a model.",
            required=False, dataType="boolean", default=False,
        )
        .modelParam(
            "compareFolderId",
            "Slides that it does not learn from: on these the model is compared, when it is "
            "there, with the folder's default, or else with the model that it started from. The "
            "comparison is told as `comparison` of the job.",
            model=Folder, level=AccessType.WRITE, paramType="query", destName="held_out",
            required=False,
        )
        .errorResponse("There is nothing to compare the model with.")
    )  # fmt: skip
    def train(  # noqa: PLR0913  what the route takes
        self,
        folder: Document,
        classes: list | None,
        output: Document,
        name: str,
        options: Document | None,
        model: Document | None,
        corrected: bool,  # noqa: FBT001
        held_out: Document | None,
    ) -> Document:
        """The job."""
        user = self.getCurrentUser()
        asked = dict(options or {})
        if corrected:
            model = model or models.need_default(folder, SEGMENT, user, "to go on from")
            classes = models.classes_of(model) if classes is None else classes
            asked = {**GOING_ON, **asked, "corrected_only": True}
        if classes is None:
            raise ValidationException("classes must be given, unless corrected is true.", "classes")
        given = {"checkpoint_folder": str(output["_id"])}
        if model is not None:
            given["inputModelFile"] = str(models.file_of(model)["_id"])
        old = held_out and old_model(folder, user, model)
        if old is not None:
            check_comparable(held_out, old, user, f"{name}.zip")
        place = Place(output, name)
        job = start_on_folder(
            TRAIN, folder, {"classes": classes, **asked}, given, place, user, getApiUrl()
        )
        if old is None:
            return job
        comparison = start_comparison(held_out, old, user, getApiUrl(), training=job, place=place)
        return {**job, "comparison": comparison_told(comparison, user)}

    evaluate = _on_layers(
        EVALUATE,
        _describe(
            "Evaluate layers that a task made.", "Slides with layers that people and a task made."
        ).modelParam(
            "modelId", "Item of the model whose layers are judged, of those of several.",
            model=Item, level=AccessType.READ, paramType="query", destName="model", required=False,
        ),
    )  # fmt: skip
    measure = _on_layers(
        MEASURE,
        _describe("Measure the objects of layers.", "Slides with layers."),
    )
