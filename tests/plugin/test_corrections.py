"""Layers are marked as corrected, stay then, and are what the next training learns from."""

import json
from datetime import datetime, timezone

import pytest

pytest.importorskip("girder")

from fake_workers import as_task
from girder.constants import AccessType
from girder.models.folder import Folder
from girder.models.item import Item
from girder_large_image_annotation.models.annotation import Annotation
from pytest_girder.assertions import assertStatus, assertStatusOk

from girder_deeplab.marks import NEXT_REGIONS
from girder_deeplab.models import DEFAULT_KEY, MODEL_KEY
from girder_deeplab.results import keep_results

POINT = {"type": "point", "center": [1, 2, 0]}
pytestmark = pytest.mark.plugin("deeplab")


@pytest.fixture
def results(admin, user, folder):
    """A folder for results."""
    made = Folder().createFolder(folder, "results", creator=admin, public=True)
    return Folder().setUserAccess(made, user, AccessType.WRITE, save=True)


@pytest.fixture
def mark(server, user):
    """Marks a layer, or takes the mark off."""

    def ask(layer, *, corrected=True, who=user):
        return server.request(
            f"/deeplab/annotation/{layer['_id']}/corrected",
            method="PUT",
            user=who,
            params={"corrected": json.dumps(corrected)},
        )

    return ask


@pytest.fixture
def corrections(server, user):
    """Lists the corrected slides of a folder."""

    def ask(folder, who=user, **params):
        params["folderId"] = str(folder["_id"])
        return server.request("/deeplab/corrections", user=who, params=params)

    return ask


def attributes(layer):
    return Annotation().load(layer["_id"], force=True)["annotation"]["attributes"]


def there(slide):
    """Names of the layers on a slide."""
    query = {"itemId": slide["_id"], "_active": {"$ne": False}}
    return sorted(each["annotation"]["name"] for each in Annotation().find(query))


def test_a_mark_says_who_and_when_and_leaves_the_elements_alone(user, slides, mark):
    drawn = {"name": "gland", "elements": [dict(POINT)], "attributes": {"cli": "SegmentWSI"}}
    layer = Annotation().createAnnotation(slides[0], user, drawn)
    before = datetime.now(timezone.utc).replace(microsecond=0)  # noqa: UP017
    answer = mark(layer)
    assertStatusOk(answer)
    told = answer.json
    assert (told["_id"], told["name"], told["madeBy"]) == (str(layer["_id"]), "gland", "SegmentWSI")
    assert told["itemId"] == str(slides[0]["_id"])
    assert told["layers"] == [str(layer["_id"])]
    now = Annotation().load(layer["_id"], force=True)
    kept = now["annotation"]["attributes"]["corrected"]
    assert (kept["by"], kept["byId"]) == (user["login"], str(user["_id"]))
    assert before <= datetime.fromisoformat(kept["at"]) <= datetime.now(timezone.utc)  # noqa: UP017
    assert told["corrected"] == {**kept, "within": ""}
    assert now["updated"] > now["created"]
    assert now["updatedId"] == user["_id"]
    assert [each["type"] for each in now["annotation"]["elements"]] == ["point"]
    answer = mark(layer, corrected=False)
    assertStatusOk(answer)
    assert answer.json["corrected"] is None
    assert attributes(layer) == {"cli": "SegmentWSI"}


def test_a_layer_that_a_person_drew_without_attributes_can_be_marked(user, slides, mark):
    layer = Annotation().createAnnotation(slides[0], user, {"name": "gland", "elements": []})
    assertStatusOk(mark(layer))
    assert list(attributes(layer)) == ["corrected"]


def test_who_may_not_write_to_a_layer_cannot_mark_it(admin, user, slides, mark):
    layer = as_task(slides[0], admin, "", "a run", names=["gland"])[0]
    layer = Annotation().setUserAccess(layer, user, AccessType.READ, save=True)
    assertStatus(mark(layer), 403)
    assertStatus(mark(layer, who=None), 401)
    assert "corrected" not in attributes(layer)


def test_no_layer_is_marked_where_one_of_those_meant_may_not_be(admin, user, slides, mark):
    regions, gland = as_task(slides[0], user, "", "a run", names=[NEXT_REGIONS, "gland"])
    other = as_task(slides[0], admin, "", "a run", names=["stroma"])[0]
    Annotation().setUserAccess(other, user, AccessType.READ, save=True)
    assertStatus(mark(regions), 403)
    assert not any("corrected" in attributes(each) for each in (regions, gland, other))


def test_a_layer_that_is_not_there_any_more_cannot_be_marked(user, slides, mark):
    layer = as_task(slides[0], user, "", "a run", names=["gland"])[0]
    Annotation().remove(layer)
    answer = mark(layer)
    assertStatus(answer, 400)
    if Annotation().findOne({"_id": layer["_id"]}) is not None:  # as where history is kept
        assert answer.json["message"] == "The layer is an old version, or was deleted."


def test_the_next_run_of_the_model_replaces_no_marked_layer(user, slides, mark):
    slide = slides[0]
    gland, _stroma, _lumen = as_task(slide, user, "first", "r1")
    assertStatusOk(mark(gland))
    as_task(slide, user, "second", "r2")
    keep_results(slide["_id"], "second", user)
    assert there(slide) == ["gland", "gland", "lumen", "stroma"]
    assert "corrected" in attributes(gland)


def test_a_copy_of_a_marked_layer_is_a_persons_too(user, slides, mark):
    """It has the times of one that nobody has touched."""
    (gland,) = as_task(slides[0], user, "first", "r1", names=["gland"])
    assertStatusOk(mark(gland))
    told = {"name": "gland", "elements": [], "attributes": attributes(gland)}
    copy = Annotation().createAnnotation(slides[1], user, told)
    assert copy["created"] == copy["updated"]
    as_task(slides[1], user, "second", "r2", names=["gland"])
    keep_results(slides[1]["_id"], "second", user)
    assert there(slides[1]) == ["gland", "gland"]


def test_the_mark_of_regions_is_one_of_all_layers_of_their_run_within_them(user, slides, mark):
    slide = slides[0]
    layers = as_task(slide, user, "", "r1", names=["gland", "stroma", NEXT_REGIONS])
    (of_other_run,) = as_task(slide, user, "", "r2", names=["gland"])
    (elsewhere,) = as_task(slides[1], user, "", "r1", names=["gland"])
    gland, stroma, regions = layers
    assertStatusOk(mark(gland))
    answer = mark(regions)
    assertStatusOk(answer)
    assert set(answer.json["layers"]) == {str(each["_id"]) for each in (stroma, regions)}
    within = [attributes(each)["corrected"].get("within") for each in layers]
    assert within == [None, NEXT_REGIONS, NEXT_REGIONS], "what is corrected as a whole stays so"
    for other in (of_other_run, elsewhere):
        assert "corrected" not in attributes(other)
    assertStatusOk(mark(regions, corrected=False))
    assert [("corrected" in attributes(each)) for each in layers] == [True, False, False]


def test_the_pieces_of_a_layer_are_marked_together(user, slides, mark):
    def piece(number, layer="gland"):
        told = {"layer": layer, "number": number, "count": 2}
        name = f"{layer} ({number} of 2)"
        told = {"cli": "SegmentWSI", "run": "r1", "piece": told}
        return Annotation().createAnnotation(
            slides[0], user, {"name": name, "elements": [], "attributes": told}
        )

    first, second, other = piece(1), piece(2), piece(1, "stroma")
    assertStatusOk(mark(second))
    assert ["corrected" in attributes(each) for each in (first, second, other)] == [1, 1, 0]


def test_slides_with_corrected_layers_are_listed_with_who_and_when(
    user, folder, slides, model, mark, corrections
):
    assert corrections(folder).json == []
    (gland,) = as_task(slides[1], user, "", "r1", names=["gland"])
    as_task(slides[2], user, "", "r1", names=["gland"])
    assertStatusOk(mark(gland))
    (told,) = corrections(folder).json
    assert (told["_id"], told["name"], told["isNewer"]) == (str(slides[1]["_id"]), "S1.svs", None)
    (layer,) = told["layers"]
    assert (layer["_id"], layer["name"]) == (str(gland["_id"]), "gland")
    assert layer["corrected"]["by"] == user["login"]

    facts = model["meta"][MODEL_KEY]
    for finished, newer in (("2000-01-01T00:00:00+00:00", True), ("2999-01-01T00:00:00+00:00", 0)):
        Item().setMetadata(model, {MODEL_KEY: {**facts, "finished": finished}})
        (told,) = corrections(folder, modelId=str(model["_id"])).json
        assert told["isNewer"] == newer
    answer = corrections(folder, modelId=str(slides[0]["_id"]))
    assertStatus(answer, 400)
    assert answer.json["message"] == "S0.svs is not registered as a model."


def test_only_layers_that_one_may_read_are_listed(
    admin, user, folder, slides, model, mark, corrections
):
    (gland,) = as_task(slides[1], admin, "", "r1", names=["gland"])
    assertStatusOk(mark(gland, who=admin))
    gland = Annotation().setPublic(Annotation().load(gland["_id"], force=True), public=False)
    Annotation().setUserAccess(gland, user, None, save=True)
    assert corrections(folder).json == []
    assert len(corrections(folder, who=admin).json) == 1
    shelf = Folder().load(model["folderId"], force=True)
    Folder().setPublic(shelf, public=False, save=True)
    assertStatus(corrections(folder, modelId=str(model["_id"])), 403)
    Folder().setPublic(folder, public=False, save=True)
    Folder().setUserAccess(folder, user, None, save=True)
    assertStatus(corrections(folder), 403)
    assertStatus(corrections(folder, who=None), 401)


@pytest.fixture
def train(server, user, folder, results, register):
    """Asks for a training on the corrections of the folder."""
    register("TrainNetwork")

    def ask(**params):
        asked = {"folderId": folder, "outputFolderId": results}
        ids = {name: str(each["_id"]) for name, each in asked.items()}
        as_text = {k: v if isinstance(v, str) else json.dumps(v) for k, v in params.items()}
        return server.request(
            "/deeplab/train", method="POST", user=user, params={"name": "a", **ids, **as_text}
        )

    return ask


@pytest.fixture
def default(admin, folder, model):
    """The model, as one of gland and stroma that is the default of the folder."""
    classes = [{"name": name, "colour": "#009e73"} for name in ("gland", "stroma")]
    told = {**model["meta"][MODEL_KEY], "classes": classes}
    model = Item().setMetadata(model, {MODEL_KEY: told})
    Folder().setMetadata(folder, {DEFAULT_KEY: {"SegmentWSI": str(model["_id"])}})
    return model


def test_one_request_trains_on_corrections_and_goes_on_from_the_default(
    user, slides, default, mark, train, started
):
    gland, _ = as_task(slides[0], user, "", "r1", names=["Gland", "stroma"])
    Annotation().createAnnotation(slides[0], user, {"name": "stroma", "elements": []})
    assertStatusOk(mark(gland))
    assertStatusOk(train(corrected=True))
    ((_, params),) = started
    assert params["corrected_only"] == params["init_last_layer"] == "true"
    assert (params["hours"], params["exhaustive_layer"]) == ("1", NEXT_REGIONS)
    assert json.loads(params["classes"]) == ["gland", "stroma"]
    (file,) = Item().childFiles(default)
    assert params["inputModelFile"] == str(file["_id"])


def test_what_is_asked_for_goes_before_what_a_training_on_corrections_has(
    user, slides, default, mark, train, started
):
    gland, _ = as_task(slides[0], user, "", "r1", names=["gland", "stroma"])
    assertStatusOk(mark(gland))
    asked = {"hours": 8, "init_last_layer": False, "exhaustive_layer": "done"}
    assertStatusOk(train(corrected=True, classes=["gland"], options=asked))
    ((_, params),) = started
    assert (params["hours"], params["init_last_layer"]) == ("8", "false")
    assert params["exhaustive_layer"] == "done"
    assert json.loads(params["classes"]) == ["gland"]


def test_what_a_training_on_corrections_lacks_is_said(
    user, folder, slides, default, mark, train, started
):
    def refused(sentence, **params):
        answer = train(**params)
        assertStatus(answer, 400)
        assert answer.json["message"] == sentence

    refused("classes must be given, unless corrected is true.")
    gland, _ = as_task(slides[0], user, "", "r1", names=["gland", "stroma"])
    refused("No slide of the folder has a layer that is marked as corrected.", corrected=True)
    assertStatusOk(mark(gland))
    drawn = {"name": "stroma", "elements": []}
    Annotation().createAnnotation(slides[1], user, drawn)  # a slide on which nothing is marked
    refused("No slide of the folder has a layer stroma; there are: gland.", corrected=True)
    Folder().setMetadata(folder, {DEFAULT_KEY: None})
    refused("The folder liver has no default model to go on from; choose a model.", corrected=True)
    facts = {**default["meta"][MODEL_KEY], "classes": "gland"}
    Item().setMetadata(default, {MODEL_KEY: facts})
    sentence = "glands.zip does not say its classes."
    refused(sentence, corrected=True, modelId=str(default["_id"]))
    assert started == []


def test_a_marked_layer_is_a_persons_in_the_census_and_no_prediction(
    server, user, folder, slides, default, results, register, mark, started
):
    register("EvaluateSegmentation")
    facts = {**default["meta"][MODEL_KEY], "sha256": "abc"}
    Item().setMetadata(default, {MODEL_KEY: facts})
    gland, regions = as_task(slides[0], user, "", "r1", names=["gland", NEXT_REGIONS])
    asked = {"folderId": folder, "outputFolderId": results, "modelId": default}
    params = {name: str(each["_id"]) for name, each in asked.items()}
    params |= {"classes": '["gland"]', "name": "a"}

    def evaluate():
        return server.request("/deeplab/evaluate", method="POST", user=user, params=params)

    assertStatusOk(mark(regions))
    assertStatusOk(evaluate())  # within regions the layers are the model's as before
    assertStatusOk(mark(gland))
    Annotation().remove(regions)
    answer = evaluate()
    assertStatus(answer, 400)
    assert "No slide of the folder has a layer that glands.zip made" in answer.json["message"]
    answer = server.request("/deeplab/census", user=user, params={"folderId": str(folder["_id"])})
    assert [(each["name"], each["madeBy"]) for each in answer.json["layers"]] == [("gland", "")]
