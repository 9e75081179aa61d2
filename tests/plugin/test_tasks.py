"""A training, an evaluation and measurements are asked for by folder, and told what is missing."""

import json

import pytest

pytest.importorskip("girder")

from fake_workers import as_task
from girder.constants import AccessType
from girder.models.folder import Folder
from girder.models.item import Item
from girder_large_image_annotation.models.annotation import Annotation
from pytest_girder.assertions import assertStatus, assertStatusOk

from girder_deeplab import tasks
from girder_deeplab.models import MODEL_KEY
from girder_deeplab.settings import DEFAULT_IMAGE

pytestmark = pytest.mark.plugin("deeplab")
POINT = {"type": "point", "center": [1, 2, 0]}


@pytest.fixture
def drawn(user, folder, slides):
    """Three slides, two of them with layers of a person and one with those of a task."""
    for slide in slides[:2]:
        for name, number in (("Gland ", 2), ("stroma", 1)):
            Annotation().createAnnotation(
                slide, user, {"name": name, "elements": [dict(POINT) for _ in range(number)]}
            )
    as_task(slides[1], user, "", "a run", names=["gland"])
    return slides


@pytest.fixture
def results(admin, user, folder):
    """A folder for results."""
    made = Folder().createFolder(folder, "results", creator=admin, public=True)
    return Folder().setUserAccess(made, user, AccessType.WRITE, save=True)


def ask(server, user, path, **params):
    as_text = {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in params.items()
    }
    method = "GET" if path == "census" else "POST"
    return server.request(f"/deeplab/{path}", method=method, user=user, params=as_text)


def test_the_census_says_which_layers_there_are(server, user, folder, drawn):
    hidden = {"name": "hidden", "elements": []}
    of_other = Annotation().createAnnotation(drawn[2], user, hidden)
    Annotation().remove(of_other)
    answer = ask(server, user, "census", folderId=str(folder["_id"]))
    assertStatusOk(answer)
    assert answer.json == {
        "slides": 3,
        "annotatedSlides": 2,
        "layers": [
            {"name": "Gland ", "madeBy": "", "slides": 2, "elements": 4},
            {"name": "gland", "madeBy": "SegmentWSI", "slides": 1, "elements": 0},
            {"name": "stroma", "madeBy": "", "slides": 2, "elements": 2},
        ],
    }


@pytest.mark.parametrize(
    ("path", "task", "files"),
    [
        ("train", "TrainNetwork", {"output_model": "a.zip", "output_report": "a.html"}),
        ("evaluate", "EvaluateSegmentation", {"output_report": "a.html", "output_table": "a.csv"}),
        (
            "features",
            "ExtractFeaturesFromAnnotations",
            {"output_workbook": "a.xlsx", "output_report": "a.html"},
        ),
    ],
)
def test_a_task_is_asked_for_by_folder(
    server, user, folder, drawn, results, register, started, path, task, files
):
    register(task)
    answer = ask(
        server, user, path, folderId=str(folder["_id"]), classes=["gland", "stroma"],
        outputFolderId=str(results["_id"]), name="a",
    )  # fmt: skip
    assertStatusOk(answer)
    assert answer.json["title"] == "a job"
    ((name, params),) = started
    assert name == task
    assert params["inputFolder"] == str(folder["_id"])
    assert json.loads(params["classes"]) == ["gland", "stroma"]
    for parameter, file in files.items():
        assert params[parameter] == file
        assert params[f"{parameter}_folder"] == str(results["_id"])
    assert params["girderApiUrl"] == ""  # the server fills it in


def test_a_training_goes_on_from_a_model(
    server, user, folder, drawn, results, register, started, model
):
    register("TrainNetwork")
    answer = ask(
        server, user, "train", folderId=str(folder["_id"]), classes=["gland"],
        outputFolderId=str(results["_id"]), name="a", modelId=str(model["_id"]),
        options={"steps": 100},
    )  # fmt: skip
    assertStatusOk(answer)
    ((_, params),) = started
    (file,) = Item().childFiles(model)
    assert params["inputModelFile"] == str(file["_id"])
    assert params["steps"] == "100"


def test_an_evaluation_is_of_the_model_that_is_named(
    server, user, folder, drawn, results, register, started, model
):
    register("EvaluateSegmentation")
    asked = {"folderId": str(folder["_id"]), "outputFolderId": str(results["_id"])}
    asked |= {"classes": ["gland"], "name": "a"}
    answer = ask(server, user, "evaluate", **asked, modelId=str(drawn[0]["_id"]))
    assertStatus(answer, 400)
    assert answer.json["message"] == "S0.svs is not registered as a model."
    answer = ask(server, user, "evaluate", **asked, modelId=str(model["_id"]))
    assertStatus(answer, 400)
    assert "glands.zip cannot be read from where the server keeps it" in answer.json["message"]
    facts = model["meta"][MODEL_KEY]
    Item().setMetadata(model, {MODEL_KEY: {**facts, "sha256": "of another"}})
    answer = ask(server, user, "evaluate", **asked, modelId=str(model["_id"]))
    assertStatus(answer, 400)
    said = "No slide of the folder has a layer that glands.zip made; have it segment them first."
    assert answer.json["message"] == said
    assert started == []
    Item().setMetadata(model, {MODEL_KEY: {**facts, "sha256": "abc"}})  # as the layers have it
    assertStatusOk(ask(server, user, "evaluate", **asked, modelId=str(model["_id"])))
    ((_, params),) = started
    assert params["model"] == "abc", "and not its name, which others may have"


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (
            {"classes": ["lumen"]},
            "No slide of the folder has a layer lumen; there are: gland, stroma.",
        ),
        ({"classes": [3]}, "classes must be a list of texts, but is [3]."),
        ({"name": " "}, "name must be the name of a file."),
        ({"name": "../a"}, "name must be the name of a file."),
        ({"options": {"steps": 0}}, "steps must be at least 1, but is 0."),
        ({"options": {"output_model": "b.zip"}}, "output_model is a file"),
    ],
)
def test_what_a_training_cannot_be_is_said(
    server, user, folder, drawn, results, register, started, changed, sentence
):
    register("TrainNetwork")
    asked = {"folderId": str(folder["_id"]), "outputFolderId": str(results["_id"])}
    answer = ask(server, user, "train", **{**asked, "classes": ["gland"], "name": "a", **changed})
    assertStatus(answer, 400)
    assert sentence in answer.json["message"]
    assert started == []


def test_a_class_may_be_called_otherwise_on_the_slides(
    server, user, folder, drawn, results, register, started
):
    register("TrainNetwork")
    answer = ask(
        server, user, "train", folderId=str(folder["_id"]), classes=["epithelium"],
        outputFolderId=str(results["_id"]), name="a", options={"aliases": ["gland=epithelium"]},
    )  # fmt: skip
    assertStatusOk(answer)
    assert len(started) == 1


def test_an_empty_folder_cannot_be_evaluated(server, user, results, register, started):
    register("EvaluateSegmentation")
    answer = ask(
        server, user, "evaluate", folderId=str(results["_id"]), classes=["gland"],
        outputFolderId=str(results["_id"]), name="a",
    )  # fmt: skip
    assertStatus(answer, 400)
    assert answer.json["message"] == "The folder has no slide."


def test_a_task_that_is_not_registered_is_said(server, user, folder, drawn, results):
    answer = ask(
        server, user, "train", folderId=str(folder["_id"]), classes=["gland"],
        outputFolderId=str(results["_id"]), name="a",
    )  # fmt: skip
    assertStatus(answer, 400)
    assert answer.json["message"] == "There is no task TrainNetwork that you may run."


@pytest.mark.parametrize("path", ["train", "evaluate", "features"])
def test_who_may_not_write_the_results_is_refused(
    server, user, admin, folder, drawn, results, register, started, path
):
    register("TrainNetwork")
    Folder().setUserAccess(results, user, AccessType.READ, save=True)
    asked = {"folderId": str(folder["_id"]), "outputFolderId": str(results["_id"])}
    asked |= {"classes": ["gland"], "name": "a"}
    assertStatus(ask(server, user, path, **asked), 403)
    assertStatus(ask(server, None, path, **asked), 401)
    Folder().setPublic(folder, public=False, save=True)
    Folder().setUserAccess(folder, user, None, save=True)
    assertStatus(ask(server, user, path, **asked), 403)
    assertStatus(ask(server, user, "census", folderId=str(folder["_id"])), 403)
    assert started == []


def test_the_image_of_the_setting_is_used(server, user, register):
    register("TrainNetwork")
    assert tasks.find_task("TrainNetwork", user).image == DEFAULT_IMAGE
