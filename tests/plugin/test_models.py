"""Models are registered as they arrive, listed for who may read them, and filled in for folders."""

import hashlib
import io
import json
from pathlib import Path

import pytest

pytest.importorskip("girder")

from girder.constants import AccessType
from girder.models.collection import Collection
from girder.models.folder import Folder
from girder.models.item import Item
from girder.models.upload import Upload
from models_for_tests import CARD, packed, told, upload
from pytest_girder.assertions import assertStatus

from girder_deeplab.models import DEFAULT_NAME, MODEL_KEY, TASKS

DEMONSTRATION = Path(__file__).parents[2] / "deeplab/demonstration"
pytestmark = pytest.mark.plugin("deeplab")


@pytest.fixture
def folder(admin, fsAssetstore):  # noqa: N803  pytest-girder calls it so
    """An open folder in a collection."""
    collection = Collection().createCollection("Slides", creator=admin, public=True)
    return Folder().createFolder(
        collection, "liver", parentType="collection", creator=admin, public=True
    )


@pytest.fixture
def within(admin, folder):
    return Folder().createFolder(folder, "batch 1", creator=admin, public=True)


@pytest.fixture
def closed(admin, folder):
    return Folder().createFolder(folder, "closed", creator=admin, public=False)


def test_a_model_is_registered_when_it_arrives(server, admin, user, folder):
    content = packed()
    item = upload(content, folder, admin)
    upload(b"a slide", folder, admin, "slide.svs")
    upload(packed(None, readme="no card"), folder, admin, "other.zip")
    (model,) = told(server, "/deeplab/model", user)
    assert (model["_id"], model["name"]) == (str(item["_id"]), "model.zip")
    (file,) = Item().childFiles(item)
    assert model["fileId"] == str(file["_id"])
    assert (model["task"], model["family"], model["mpp"]) == ("SegmentWSI", "unet", 0.5)
    assert model["classes"] == CARD["classes"]
    assert model["metrics"] == [{"name": "held-out dice a.b", "value": 0.75}]
    assert model["finished"] == CARD["training"]["finished"]
    assert model["sha256"] == hashlib.sha256(content).hexdigest()
    alone = told(server, f"/deeplab/model/{item['_id']}", user)
    assert alone == {**model, "evaluations": [], "comparisons": [], "reportId": None}


@pytest.mark.parametrize("bundle", sorted(DEMONSTRATION.glob("*.zip")), ids=lambda path: path.stem)
def test_the_demonstration_models_are_models(server, admin, folder, bundle):
    upload(bundle.read_bytes(), folder, admin, bundle.name)
    (model,) = told(server, "/deeplab/model", admin)
    assert model["demonstration"]
    assert model["mpp"] == 0.4
    assert {each["name"] for each in model["classes"]} <= {"nuclei", "nucleus"}


def test_a_file_that_is_replaced_is_looked_at_again(server, admin, folder):
    item = upload(packed(), folder, admin)
    told(server, f"/deeplab/model/{item['_id']}/archived", admin, "PUT", archived=True)
    (file,) = Item().childFiles(item)

    def replace(content):
        new = Upload().createUploadToFile(file, user=admin, size=len(content))
        Upload().handleChunk(new, io.BytesIO(content), user=admin)

    replace(packed(CARD | {"family": "patch_classifier"}))
    (model,) = told(server, "/deeplab/model", admin)
    assert (model["task"], model["archived"]) == ("ClassifyPatches", False)
    replace(b"no zip any more")
    assert told(server, "/deeplab/model", admin) == []


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is no zip, or is damaged"),
        (b"PK\5\6", "is no zip, or is damaged"),
        (packed()[:-30], "is no zip, or is damaged"),
        (packed()[20:], "is damaged"),
        (packed(None, a="b"), "has no card.json"),
        (packed("{"), "is not JSON"),
        (packed("[" * 100_000), "is not JSON"),
        (packed("NaN"), "is not JSON"),
        (packed(b"\xff\xfe"), "is not JSON"),
        (packed([1]), "is not of the format"),
        (packed(CARD | {"format": "other"}), "is not of the format"),
        (packed(CARD | {"family": 3}), "without a family"),
        (packed(CARD | {"classes": []}), "without classes"),
        (packed(CARD | {"classes": [{"name": "a", "colour": "red"}]}), "no name or colour"),
        (packed(CARD | {"classes": [None]}), "no name or colour"),
        (packed(CARD | {"notice": "x" * 2**20}), "of more than 1 MiB"),
    ],
)
def test_what_is_no_model_is_said_in_a_sentence_and_never_stops_an_upload(
    server, admin, folder, content, why
):
    item = upload(content, folder, admin)
    answer = server.request(f"/deeplab/model/{item['_id']}", method="PUT", user=admin)
    assertStatus(answer, 400)
    assert why in answer.json["message"]
    assert MODEL_KEY not in Item().load(item["_id"], force=True).get("meta", {})


def test_odd_values_of_a_card_become_none(server, admin, folder):
    odd = CARD | {
        "work_mpp": "x",
        "metrics": {"a": True, "b": "1", "c": 10**400, "d": 1},
        "training": [],
        "trained_on": "\ud800",
    }
    upload(packed(odd), folder, admin)
    (model,) = told(server, "/deeplab/model", admin)
    assert model["slides"] == []
    assert model["mpp"] is None
    assert model["metrics"] == [{"name": "d", "value": 1}]
    assert (model["finished"], model["trained_on"]) == ("", "?")


def test_a_model_has_the_report_that_lies_beside_it(server, admin, user, folder, within):
    item = upload(packed(), folder, admin, "glands 2.zip")
    path = f"/deeplab/model/{item['_id']}"
    upload(b"<html>", within, admin, "glands 2.html")
    upload(b"<html>", folder, admin, "glands.html")
    assert told(server, path, user)["reportId"] is None
    report = upload(b"<html>", folder, admin, "glands 2.html")
    (file,) = Item().childFiles(report)
    assert told(server, path, user)["reportId"] == str(file["_id"])


def test_an_older_item_is_registered_when_asked(server, admin, folder):
    item = upload(packed(), folder, admin)
    Item().deleteMetadata(item, [MODEL_KEY])
    assert told(server, "/deeplab/model", admin) == []
    told(server, f"/deeplab/model/{item['_id']}", admin, "PUT")
    assert len(told(server, "/deeplab/model", admin)) == 1


def test_models_are_listed_by_folder_task_and_for_who_may_read(
    server, admin, user, folder, within, closed
):
    classifier = packed(CARD | {"family": "patch_classifier"})
    items = {
        "open": upload(packed(), folder, admin, "open.zip"),
        "deep": upload(classifier, within, admin, "deep.zip"),
        "closed": upload(packed(), closed, admin, "closed.zip"),
    }

    def names(who, **params):
        return [model["name"] for model in told(server, "/deeplab/model", who, **params)]

    assert names(admin) == ["closed.zip", "deep.zip", "open.zip"]
    assert names(user) == ["deep.zip", "open.zip"]
    assert names(None) == ["deep.zip", "open.zip"]
    assert names(user, folderId=str(within["_id"])) == ["deep.zip"]
    assert names(user, task="SegmentWSI") == ["open.zip"]
    assert names(admin, limit=1, offset=1) == ["deep.zip"]
    assert names(admin, sort="name", sortdir=1) == ["closed.zip", "deep.zip", "open.zip"]
    archive = f"/deeplab/model/{items['open']['_id']}/archived"
    assert told(server, archive, admin, "PUT", archived=True)["archived"]
    assert names(user) == ["deep.zip"]
    assert names(user, archived=True) == ["deep.zip", "open.zip"]
    told(server, archive, admin, "PUT", archived=False)
    assert names(user) == ["deep.zip", "open.zip"]


def test_models_are_found_by_an_index(server, admin, folder):
    upload(packed(), folder, admin)
    found = Item().collection.find({f"meta.{MODEL_KEY}.task": {"$in": list(TASKS)}})
    assert "IXSCAN" in json.dumps(found.explain()["queryPlanner"]["winningPlan"])


def test_the_nearest_folder_that_says_it_has_the_default(server, admin, user, folder, within):
    first, second = (upload(packed(), folder, admin, f"{name}.zip") for name in ("a", "b"))
    asked = {"folderId": str(within["_id"]), "task": "SegmentWSI"}

    def default():
        found = told(server, "/deeplab/default", user, **asked)
        return found and (found["model"]["name"], found["folderId"])

    def choose(where, item):
        params = {"folderId": str(where["_id"]), "modelId": str(item["_id"])}
        params["evenIfNotBetter"] = True  # than that of the folder around: it was never compared
        told(server, "/deeplab/default", admin, "PUT", **params)

    assert default() is None
    choose(folder, first)
    assert default() == ("a.zip", str(folder["_id"]))
    choose(within, second)
    assert default() == ("b.zip", str(within["_id"]))
    assert told(server, "/deeplab/default", user, **asked | {"task": "ClassifyPatches"}) is None
    told(server, f"/deeplab/model/{second['_id']}/archived", admin, "PUT", archived=True)
    assert default() == ("a.zip", str(folder["_id"]))
    told(server, f"/deeplab/model/{second['_id']}/archived", admin, "PUT", archived=False)
    told(server, "/deeplab/default", admin, "DELETE", **asked)
    assert default() == ("a.zip", str(folder["_id"]))
    Item().remove(first)
    assert default() is None


def test_only_models_that_are_offered_become_a_default(server, admin, folder):
    item = upload(packed(), folder, admin)
    slide = upload(b"a slide", folder, admin, "slide.svs")
    told(server, f"/deeplab/model/{item['_id']}/archived", admin, "PUT", archived=True)
    for each, why in ((item, "is archived"), (slide, "is not registered as a model")):
        params = {"folderId": str(folder["_id"]), "modelId": str(each["_id"])}
        answer = server.request("/deeplab/default", method="PUT", user=admin, params=params)
        assertStatus(answer, 400)
        assert why in answer.json["message"]


def test_who_may_not_write_changes_nothing(server, admin, user, folder, closed):
    item, hidden = upload(packed(), folder, admin), upload(packed(), closed, admin)
    default = {"folderId": str(folder["_id"]), "task": "SegmentWSI"}
    asked = [
        ("PUT", f"/deeplab/model/{item['_id']}", {}),
        ("PUT", f"/deeplab/model/{item['_id']}/archived", {"archived": True}),
        ("PUT", "/deeplab/default", {**default, "modelId": str(item["_id"])}),
        ("DELETE", "/deeplab/default", default),
        ("GET", "/deeplab/model", {"folderId": str(closed["_id"])}),
        ("GET", "/deeplab/default", default | {"folderId": str(closed["_id"])}),
        ("GET", f"/deeplab/model/{hidden['_id']}", {}),
    ]
    for method, path, params in asked:
        assertStatus(server.request(path, method=method, user=user, params=params), 403)
    Folder().setUserAccess(folder, user, AccessType.WRITE, save=True)
    params = {"folderId": str(folder["_id"]), "modelId": str(hidden["_id"])}
    answer = server.request("/deeplab/default", method="PUT", user=user, params=params)
    assertStatus(answer, 403)


def test_the_form_of_a_task_is_given_the_default_of_the_slide_that_is_open(
    server, admin, user, folder, within, closed
):
    model = upload(packed(), closed, admin)
    slide = upload(b"a slide", within, admin, "slide.svs")
    params = {"folderId": str(folder["_id"]), "modelId": str(model["_id"])}
    told(server, "/deeplab/default", admin, "PUT", **params)
    form = {
        "type": "file",
        "name": DEFAULT_NAME.format("SegmentWSI"),
        "relative_path": "deeplab-default",
        "base_type": "item",
    }

    def filled_in(who, **more):
        return told(server, "/slicer_cli_web/path_match", who, **form | more)

    slide_id = str(slide["_id"])
    found = filled_in(admin, base_id=slide_id)
    (file,) = Item().childFiles(model)
    assert found["_id"] == str(file["_id"])
    assert found["_path"] == ["Slides", "liver", "closed", "model.zip", "model.zip"]
    assert filled_in(user, base_id=slide_id) is None, "who may not read the model has none"
    assert filled_in(None, base_id=slide_id) is None
    assert filled_in(admin) is None, "no slide is open"
    assert filled_in(admin, base_id="nonsense") is None
    other = DEFAULT_NAME.format("ClassifyPatches")
    assert filled_in(admin, base_id=slide_id, name=other) is None
    upload(b"", folder, admin, "other.txt")
    plain = {"type": "file", "name": r"other\.txt"}
    assert told(server, "/slicer_cli_web/path_match", admin, **plain)["name"] == "other.txt"


@pytest.mark.parametrize("task", TASKS)
def test_forms_ask_for_the_name_that_stands_for_the_default(task):
    spec = Path(__file__).parents[2] / "slicer_cli_spec" / f"{task}.xml"
    assert f'defaultNameMatch="{DEFAULT_NAME.format(task)}"' in spec.read_text()
