"""Jobs of tasks over all slides of a folder: training, evaluating, measuring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from girder.exceptions import ValidationException
from girder.models.folder import Folder

from girder_deeplab import models, tasks
from girder_deeplab.batches import READABLE
from girder_deeplab.cards import Document
from girder_deeplab.census import check_classes, check_segmented, take_census

TRAIN, EVALUATE, MEASURE = "TrainNetwork", "EvaluateSegmentation", "ExtractFeaturesFromAnnotations"
# What a task writes, by the names in its form, and how it ends.
ENDINGS = {
    TRAIN: {"output_model": ".zip", "output_report": ".html"},
    EVALUATE: {"output_report": ".html", "output_table": ".csv"},
    MEASURE: {"output_workbook": ".xlsx", "output_report": ".html"},
}
MOST_NAME = 200  # letters


@dataclass(frozen=True)
class Place:
    """Where the results of a job go: a folder, and their name without an ending."""

    folder: Document
    name: str

    def params(self, task_name: str) -> dict[str, str]:
        """Return the parameters that say so, by what slicer_cli_web calls them.

        Raises:
            ValidationException: the name cannot be that of a file.
        """
        if not self.name.strip() or len(self.name) > MOST_NAME or "/" in self.name:
            raise ValidationException("name must be the name of a file.", "name")
        told = {}
        for parameter, ending in ENDINGS[task_name].items():
            told[parameter] = f"{self.name}{ending}"
            told[f"{parameter}_folder"] = str(self.folder["_id"])
        return told


def start_on_folder(
    task_name: str,
    folder: Document,
    options: Document,
    given: Mapping[str, str],
    place: Place,
    user: Document,
    api_url: str,
) -> Document:
    """Give a job over the slides of a folder to the workers, and return it.

    Args:
        task_name: of the task.
        folder: of the slides.
        options: of the task, by the names in its form, with `classes`.
        given: what no option can say.
        place: of the results.
        user: whose job it is.
        api_url: of this server as its users call it.

    Raises:
        ValidationException: a class is on no slide, or an option is none of the task's.
        RestException, AccessException: slicer_cli_web refuses.
        OSError, KombuError: the broker does not answer.
    """
    task = tasks.find_task(task_name, user)
    params = tasks.read_options(task, options)
    corrected_only = params.get("corrected_only") == "true"
    aliased = bool(options.get("aliases"))  # which say what a class is called on the slides
    if corrected_only or not aliased:
        census = take_census(folder, user, corrected_only=corrected_only)
        if corrected_only and not census["layers"]:
            raise ValidationException(
                "No slide of the folder has a layer that is marked as corrected.", "folderId"
            )
        if not aliased:
            check_classes(census, options["classes"])
    params.update(given, **place.params(task_name), inputFolder=str(folder["_id"]))
    return tasks.start(task, params, user, api_url)


def start_on_layers(
    task_name: str,
    folder: Document,
    options: Document,
    model: Document | None,
    place: Place,
    user: Document,
    api_url: str,
) -> Document:
    """Give a job that looks at the layers of a folder's slides to the workers, and return it.

    Args:
        task_name: `EVALUATE` or `MEASURE`.
        folder: as `start_on_folder` takes it.
        options: likewise.
        model: item of the model whose layers are looked at, of those of several; None: there is
            one model only.
        place: as `start_on_folder` takes it.
        user: likewise.
        api_url: likewise.

    Raises:
        ValidationException: as `start_on_folder` does; the folder has no slide, the item is no
            model, or has made no layer there.
        RestException, AccessException, OSError, KombuError: as `start_on_folder` does.
    """
    given = {"inputImageFile": _some_slide(folder)}
    if model is not None:
        models.check_model(model)
        given["model"] = models.digest_of(model)
        check_segmented(folder, model["name"], given["model"], user)
    return start_on_folder(task_name, folder, options, given, place, user, api_url)


def _some_slide(folder: Document) -> str:
    """Return the file of a slide of a folder, which the form asks for beside the folder."""
    slide = next(iter(Folder().childItems(folder, filters=READABLE, limit=1)), None)
    if slide is None:
        raise ValidationException("The folder has no slide.", "folderId")
    return str(slide["largeImage"]["fileId"])
