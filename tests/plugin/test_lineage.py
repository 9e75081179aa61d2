"""Where a layer comes from: back to models, slides and people, of which each sees what they may."""

import hashlib
from datetime import timedelta, timezone

import pytest

pytest.importorskip("girder")

from fake_workers import as_task
from girder.constants import AccessType
from girder.models.folder import Folder
from girder.models.item import Item
from girder.models.setting import Setting
from girder.models.user import User
from girder_jobs.models.job import Job
from girder_large_image_annotation.models.annotation import Annotation
from models_for_tests import CARD, packed, upload
from pytest_girder.assertions import assertStatus, assertStatusOk

from girder_deeplab.results import link_layers

GONE = "0f" * 12
ELSEWHERE = "ab" * 32  # the digest of a model that this server does not have
pytestmark = pytest.mark.plugin("deeplab")


def digest(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(autouse=True)
def api_url(settle):
    """Where workers find the server, without which no job can be made."""
    Setting().set("worker.api_url", "http://girder:8080/api/v1")


@pytest.fixture
def shelf(admin, folder):
    """A folder of models, which everyone may read."""
    return Folder().createFolder(folder, "models", creator=admin, public=True)


@pytest.fixture
def models(admin, slides, shelf, fsAssetstore):  # noqa: N803  pytest-girder calls it so
    """A model, and one that began with it and another of elsewhere."""
    first = packed(CARD | {"training": {"slides": str(slides[0]["_id"])}})
    ids = " ".join(str(each) for each in (slides[0]["_id"], slides[1]["_id"], GONE))
    training = {"slides": ids, "models": f"{digest(first)} {ELSEWHERE} none"}
    second = packed(CARD | {"training": training})
    made = zip(("first", "second"), (first, second), strict=True)
    return [upload(content, shelf, admin, f"{name}.zip") for name, content in made]


@pytest.fixture
def layer(user, slides, models):
    """A layer that the second model made on the third slide."""
    sha256 = models[1]["meta"]["deeplabModel"]["sha256"]
    return as_task(slides[2], user, "", "a run", names=["gland"], model=sha256)[0]


@pytest.fixture
def lineage(server, user):
    def ask(who=user, **params):
        params = {name: str(each["_id"]) for name, each in params.items()}
        return server.request("/deeplab/lineage", user=who, params=params)

    return ask


def told(answer):
    assertStatusOk(answer)
    return answer.json


def ids(documents):
    return [str(each["_id"]) for each in documents]


def test_a_layer_leads_to_its_job_its_models_and_the_slides_and_people_these_learnt_from(
    admin, user, slides, models, layer, lineage
):
    job = Job().createJob("a job", "x", user=user)
    link_layers([layer["_id"]], job["_id"])
    drawn = {"name": "gland", "elements": []}
    Annotation().createAnnotation(slides[0], user, drawn)
    mark = {"by": admin["login"], "byId": str(admin["_id"]), "at": "2026-11-30T06:00:00+00:00"}
    attributes = {"cli": "SegmentWSI", "corrected": mark}
    Annotation().createAnnotation(slides[1], user, {**drawn, "attributes": attributes})
    as_task(slides[1], user, "", "nobody has corrected it", names=["gland"])

    found = told(lineage(annotationId=layer))
    assert found["layer"]["_id"] == str(layer["_id"])
    assert (found["layer"]["name"], found["layer"]["madeBy"]) == ("gland", "SegmentWSI")
    assert found["layer"]["itemId"] == str(slides[2]["_id"])
    assert found["layer"]["createdBy"]["login"] == user["login"]
    assert found["job"]["_id"] == str(job["_id"])
    second, first, elsewhere = found["models"]
    assert (second["_id"], second["name"]) == (str(models[1]["_id"]), "second.zip")
    assert second["createdBy"]["_id"] == str(admin["_id"])
    assert ids(second["slides"]) == ids(slides[:2])
    assert second["otherSlides"] == 1
    people = {each["login"]: (each["drew"], each["corrected"]) for each in second["people"]}
    assert people == {user["login"]: (1, 0), admin["login"]: (0, 1)}
    assert (first["_id"], ids(first["slides"])) == (str(models[0]["_id"]), ids(slides[:1]))
    assert (second["layers"], second["otherLayers"]) == ([], 0)
    assert elsewhere == {"sha256": ELSEWHERE, "_id": None, "name": ""}
    assert told(lineage(itemId=models[1])) == {"models": found["models"]}


def test_the_layers_that_a_model_learnt_from_are_told_as_they_are_now(
    admin, user, slides, shelf, models, lineage
):
    drawn = {"name": "gland", "elements": []}
    kept, changed, gone = (Annotation().createAnnotation(slides[0], user, drawn) for _ in range(3))
    hidden = Annotation().createAnnotation(slides[0], admin, drawn, public=False)
    Annotation().setUserAccess(hidden, user, None, save=True)
    ids_of = [str(each["_id"]) for each in (kept, changed, gone, hidden)]
    later = (kept["updated"] + timedelta(minutes=1)).replace(tzinfo=timezone.utc)  # noqa: UP017
    facts = {"layers": " ".join([*ids_of, "none"]), "finished": later.isoformat()}
    model = upload(packed(CARD | {"training": facts}), shelf, admin, "learnt.zip")
    Annotation().remove(gone)
    set_ = {"$set": {"updated": kept["updated"] + timedelta(minutes=2)}}
    Annotation().update({"_id": changed["_id"]}, set_)
    (found,) = told(lineage(itemId=model))["models"]
    told_of = [(each["_id"], each["name"], each["changed"]) for each in found["layers"]]
    assert told_of == [(ids_of[0], "gland", False), (ids_of[1], "gland", True)]
    assert {each["itemId"] for each in found["layers"]} == {str(slides[0]["_id"])}
    assert found["otherLayers"] == 2


def test_what_one_may_not_read_is_counted_and_not_told(
    admin, user, folder, shelf, slides, models, layer, lineage
):
    job = Job().createJob("a job", "x", user=admin)
    link_layers([layer["_id"]], job["_id"])
    secret = Folder().createFolder(folder, "secret", creator=admin, public=False)
    Folder().setUserAccess(secret, user, None, save=True)
    hidden = {"name": "a secret", "elements": []}
    (gland,) = as_task(slides[1], admin, "", "another", names=["gland"])
    Annotation().createAnnotation(slides[1], admin, hidden)
    Item().move(slides[1], secret)
    Item().move(models[0], secret)

    found = told(lineage(annotationId=layer))
    assert found["job"] is None
    second, first, _ = found["models"]
    assert ids(second["slides"]) == ids(slides[:1])
    assert (second["otherSlides"], second["people"]) == (2, [])
    assert first == {"sha256": models[0]["meta"]["deeplabModel"]["sha256"], "_id": None, "name": ""}
    assert told(lineage(annotationId=layer, who=admin))["models"][1]["name"] == "first.zip"
    assertStatus(lineage(itemId=models[0]), 403)

    Folder().setPublic(shelf, public=False, save=True)
    Folder().setUserAccess(shelf, user, None, save=True)
    sha256 = models[1]["meta"]["deeplabModel"]["sha256"]
    (only,) = told(lineage(annotationId=layer))["models"]
    assert only == {"sha256": sha256, "_id": None, "name": f"{sha256}.zip"}, "as the layer says it"
    gland = Annotation().setPublic(Annotation().load(gland["_id"], force=True), public=False)
    Annotation().setUserAccess(gland, user, None, save=True)
    assertStatus(lineage(annotationId=gland), 403)
    assertStatus(lineage(annotationId=gland, who=None), 401)


def test_a_layer_that_a_person_drew_has_no_model(user, slides, lineage):
    drawn = {"name": "gland", "elements": []}
    layer = Annotation().createAnnotation(slides[0], user, drawn)
    found = told(lineage(annotationId=layer))
    assert (found["layer"]["madeBy"], found["job"], found["models"]) == ("", None, [])


def test_what_people_have_made_of_the_attributes_is_no_fault_of_the_server(user, slides, lineage):
    for attributes in ({"model": "a", "job": 3}, {"model": {"sha256": ["a"]}, "job": "a"}):
        told_so = {"name": "gland", "elements": [], "attributes": {**attributes, "corrected": {}}}
        layer = Annotation().createAnnotation(slides[0], user, told_so)
        found = told(lineage(annotationId=layer))
        assert (found["job"], found["models"]) == (None, [])


def test_a_lineage_is_of_one_layer_or_of_one_model(slides, layer, models, lineage):
    for params in ({}, {"annotationId": layer, "itemId": models[0]}):
        answer = lineage(**params)
        assertStatus(answer, 400)
        assert answer.json["message"] == "Give either annotationId or itemId."
    answer = lineage(itemId=slides[0])
    assertStatus(answer, 400)
    assert answer.json["message"] == "S0.svs is not registered as a model."


def test_people_who_may_not_be_seen_have_no_login(admin, user, slides, models, layer, lineage):
    Annotation().setUserAccess(layer, user, AccessType.READ, save=True)
    User().setPublic(User().load(admin["_id"], force=True), public=False, save=True)
    (second, *_) = told(lineage(itemId=models[1]))["models"]
    assert second["createdBy"] == {"_id": str(admin["_id"]), "login": None}
