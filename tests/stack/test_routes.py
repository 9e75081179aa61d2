"""What the plugin does for a folder, asked for by REST alone, and done by real jobs."""

import pytest

from tests.slides_for_tests import tissue, write_tiff
from tests.stack.running_site import JOB_STATUS
from tests.stack.test_annotation_tasks import draw

LAYER, TASK = "nuclei", "SegmentWSI"
DRAWN = (20, 20, 120, 90)


@pytest.fixture(scope="module")
def model(site, model_id):
    """Item of a copy of the demonstration model, which is registered anew."""
    girder = site.girder
    folder_id = site.folder("a shelf")
    first = girder.get(f"file/{model_id}")["itemId"]
    item = girder.post(f"item/{first}/copy", folderId=folder_id, name="shelved.zip")
    assert girder.put(f"deeplab/model/{item['_id']}")["task"] == TASK
    return item["_id"]


@pytest.fixture(scope="module")
def slides(site, model, tmp_path_factory):
    """A folder of two slides on which a person has drawn and the model has found something."""
    girder = site.girder
    folder_id = site.folder("routes")
    ids = []
    for number in range(2):
        path = tmp_path_factory.mktemp("slides") / f"route {number}.tiff"
        write_tiff(path, tissue(600, 500)[0], compression="deflate")
        ids.append(girder.upload(path, folder_id)["itemId"])
        draw(site, ids[-1], LAYER, DRAWN)
    batch = girder.post("deeplab/segment", folderId=folder_id, modelId=model, atOnce=1)
    path = f"deeplab/batch/{batch['_id']}"
    girder.put(f"{path}/cancel")
    stopped, _ = site.wait({"_id": batch["jobId"]})
    assert JOB_STATUS[stopped["status"]] == "cancelled"
    assert girder.get(path)["state"] == "cancelled"
    again = girder.put(f"{path}/resume")
    site.succeed({"_id": again["jobId"]})
    assert girder.get(path)["counts"]["done"] == 2
    (listed,) = [each for each in girder.get("deeplab/batch") if each["_id"] == batch["_id"]]
    assert listed["state"] == "ended"
    assert {each["itemId"] for each in girder.get(f"{path}/slide")} == set(ids)
    return folder_id, ids


def test_an_administrator_sees_that_the_tasks_are_those_of_the_image(site):
    (image,) = site.girder.get("deeplab/image")
    assert image["registered"] == image["available"]


def test_a_model_is_archived_and_offered_again(site, model):
    girder = site.girder
    for archived in (True, False):
        told = girder.put(f"deeplab/model/{model}/archived", archived=archived)
        assert told["archived"] == archived
        offered = {each["_id"] for each in girder.get("deeplab/model")}
        assert (model in offered) != archived


def test_layers_are_judged_and_measured_by_folder(site, slides, model):
    girder, (folder_id, _) = site.girder, slides
    asked = {"folderId": folder_id, "outputFolderId": folder_id, "classes": [LAYER]}
    site.succeed(girder.post("deeplab/evaluate", **asked, name="judged", modelId=model))
    evaluations = girder.get(f"deeplab/model/{model}")["evaluations"]
    # Others are of the file of which this one is a copy.
    (told,) = [each for each in evaluations if each["folderId"] == folder_id]
    assert (told["name"], told["slides"]) == ("judged.csv", 2)
    site.succeed(girder.post("deeplab/features", **asked, name="measured"))
    names = {each["name"] for each in girder.get("item", folderId=folder_id)}
    assert {"judged.html", "measured.xlsx", "measured.html"} <= names


def test_a_mark_is_listed_and_leads_back_to_job_and_model(site, slides, model):
    girder, (folder_id, (first, _)) = site.girder, slides
    found = girder.get("annotation", itemId=first, limit=0)
    (layer,) = [
        each
        for each in found
        if each["annotation"]["name"] == LAYER
        and each["annotation"].get("attributes", {}).get("cli") == TASK
    ]
    marked = girder.put(f"deeplab/annotation/{layer['_id']}/corrected", corrected=True)
    assert marked["corrected"]["by"] == "admin"
    (slide,) = girder.get("deeplab/corrections", folderId=folder_id)
    assert [each["_id"] for each in slide["layers"]] == [layer["_id"]]
    told = girder.get("deeplab/lineage", annotationId=layer["_id"])
    assert told["layer"]["corrected"]["by"] == "admin"
    assert told["job"]["_id"] == layer["annotation"]["attributes"]["job"]
    sha256 = girder.get(f"deeplab/model/{model}")["sha256"]
    assert [each["sha256"] for each in told["models"]] == [sha256]
    girder.put(f"deeplab/annotation/{layer['_id']}/corrected", corrected=False)
    assert girder.get("deeplab/corrections", folderId=folder_id) == []
    assert site.leftovers() == []
