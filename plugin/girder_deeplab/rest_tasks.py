"""Routes of single tasks: training, evaluation, measuring, and what a folder has for them."""

from __future__ import annotations

from dataclasses import dataclass

from girder.api import access
from girder.api.describe import Description, autoDescribeRoute
from girder.api.rest import Resource
from girder.constants import AccessType, TokenScope
from girder.exceptions import ValidationException
from girder.models.folder import Folder
from girder.models.item import Item

from girder_deeplab import models, tasks
from girder_deeplab.batches import READABLE
from girder_deeplab.cards import Document
from girder_deeplab.census import check_classes, take_census

TRAIN, EVALUATE, MEASURE = "TrainNetwork", "EvaluateSegmentation", "ExtractFeaturesFromAnnotations"
MOST_NAME = 200  # letters


def _describe(what: str, of: str) -> Description:
    return (
        Description(what)
        .notes("Returns the job. Its results go to the output folder, under the name given.")
        .modelParam(
            "folderId", of, model=Folder, level=AccessType.READ, paramType="query",
            destName="folder",
        )
        .jsonParam("classes", "Names of layers, as a JSON list.", requireArray=True)
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


@dataclass(frozen=True)
class _Asked:
    """What each of the tasks is asked with."""

    folder: Document
    classes: list
    output: Document
    name: str
    options: Document | None


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
        _describe("Train a network.", "Slides with layers.").modelParam(
            "modelId", "Item of a model to start from.", model=Item, level=AccessType.READ,
            paramType="query", destName="model", required=False,
        )
    )  # fmt: skip
    def train(
        self,
        folder: Document,
        classes: list,
        output: Document,
        name: str,
        options: Document | None,
        model: Document | None,
    ) -> Document:
        """The job."""
        start_from = {} if model is None else {"inputModelFile": _file_of(model)}
        results = {"output_model": ".zip", "output_report": ".html"}
        given = {"checkpoint_folder": str(output["_id"]), **start_from}
        return self._start_task(
            TRAIN, _Asked(folder, classes, output, name, options), results, given
        )

    @access.user(scope=TokenScope.DATA_WRITE)
    @autoDescribeRoute(
        _describe(
            "Evaluate layers that a task made.", "Slides with layers that people and a task made."
        )
    )
    def evaluate(
        self,
        folder: Document,
        classes: list,
        output: Document,
        name: str,
        options: Document | None,
    ) -> Document:
        """The job."""
        results = {"output_report": ".html", "output_table": ".csv"}
        given = {"inputImageFile": _some_slide(folder)}
        return self._start_task(
            EVALUATE, _Asked(folder, classes, output, name, options), results, given
        )

    @access.user(scope=TokenScope.DATA_WRITE)
    @autoDescribeRoute(_describe("Measure the objects of layers.", "Slides with layers."))
    def measure(
        self,
        folder: Document,
        classes: list,
        output: Document,
        name: str,
        options: Document | None,
    ) -> Document:
        """The job."""
        results = {"output_workbook": ".xlsx", "output_report": ".html"}
        given = {"inputImageFile": _some_slide(folder)}
        return self._start_task(
            MEASURE, _Asked(folder, classes, output, name, options), results, given
        )

    def _start_task(
        self, task_name: str, asked: _Asked, results: dict[str, str], given: dict[str, str]
    ) -> Document:
        user = self.getCurrentUser()
        options = asked.options or {}
        if not asked.name.strip() or len(asked.name) > MOST_NAME or "/" in asked.name:
            raise ValidationException("name must be the name of a file.", "name")
        task = tasks.find_task(task_name, user)
        params = tasks.read_options(task, {"classes": asked.classes, **options})
        if not options.get("aliases"):  # which say what a class is called on the slides
            check_classes(take_census(asked.folder, user), asked.classes)
        for parameter, ending in results.items():
            params[parameter] = f"{asked.name}{ending}"
            params[f"{parameter}_folder"] = str(asked.output["_id"])
        params.update(given, inputFolder=str(asked.folder["_id"]))
        return tasks.start(task, params, user)


def _file_of(model: Document) -> str:
    models.check_model(model)
    return str(models.model_told(model)["fileId"])


def _some_slide(folder: Document) -> str:
    """Return the file of a slide of a folder, which the form asks for beside the folder."""
    slide = next(iter(Folder().childItems(folder, filters=READABLE, limit=1)), None)
    if slide is None:
        raise ValidationException("The folder has no slide.", "folderId")
    return str(slide["largeImage"]["fileId"])
