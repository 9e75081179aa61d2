"""Routes of single tasks: training, evaluation, measuring, and what a folder has for them."""

from __future__ import annotations

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
from girder_deeplab.census import check_classes, check_segmented, take_census

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
        given = {"checkpoint_folder": str(output["_id"])}
        if model is not None:
            given["inputModelFile"] = str(models.file_of(model)["_id"])
        results = {"output_model": ".zip", "output_report": ".html"}
        return _start(
            self, TRAIN, folder, {"classes": classes, **(options or {})}, given,
            _places(results, output, name),
        )  # fmt: skip

    @access.user(scope=TokenScope.DATA_WRITE)
    @autoDescribeRoute(
        _describe(
            "Evaluate layers that a task made.", "Slides with layers that people and a task made."
        ).modelParam(
            "modelId", "Item of the model whose layers are judged, of those of several.",
            model=Item, level=AccessType.READ, paramType="query", destName="model", required=False,
        )
    )  # fmt: skip
    def evaluate(
        self,
        folder: Document,
        classes: list,
        output: Document,
        name: str,
        options: Document | None,
        model: Document | None,
    ) -> Document:
        """The job."""
        given = {"inputImageFile": _some_slide(folder)}
        if model is not None:
            models.check_model(model)
            given["model"] = models.digest_of(model)
            check_segmented(folder, model["name"], given["model"], self.getCurrentUser())
        results = {"output_report": ".html", "output_table": ".csv"}
        return _start(
            self, EVALUATE, folder, {"classes": classes, **(options or {})}, given,
            _places(results, output, name),
        )  # fmt: skip

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
        given = {"inputImageFile": _some_slide(folder)}
        results = {"output_workbook": ".xlsx", "output_report": ".html"}
        return _start(
            self, MEASURE, folder, {"classes": classes, **(options or {})}, given,
            _places(results, output, name),
        )  # fmt: skip


def _places(results: dict[str, str], output: Document, name: str) -> dict[str, str]:
    """Return the parameters that say where results go, by what slicer_cli_web calls them."""
    if not name.strip() or len(name) > MOST_NAME or "/" in name:
        raise ValidationException("name must be the name of a file.", "name")
    places = {}
    for parameter, ending in results.items():
        places[parameter] = f"{name}{ending}"
        places[f"{parameter}_folder"] = str(output["_id"])
    return places


def _start(
    asking: Resource,
    task_name: str,
    folder: Document,
    options: Document,
    given: dict[str, str],
    places: dict[str, str],
) -> Document:
    """Give a job over the slides of a folder to the workers, and return it."""
    user = asking.getCurrentUser()
    task = tasks.find_task(task_name, user)
    params = tasks.read_options(task, options)
    if not options.get("aliases"):  # which say what a class is called on the slides
        check_classes(take_census(folder, user), options["classes"])
    params.update(given, **places, inputFolder=str(folder["_id"]))
    return tasks.start(task, params, user)


def _some_slide(folder: Document) -> str:
    """Return the file of a slide of a folder, which the form asks for beside the folder."""
    slide = next(iter(Folder().childItems(folder, filters=READABLE, limit=1)), None)
    if slide is None:
        raise ValidationException("The folder has no slide.", "folderId")
    return str(slide["largeImage"]["fileId"])
