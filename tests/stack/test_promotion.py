"""A model becomes a folder's default by what evaluations on the server say, as jobs wrote them."""

import pytest

from local_stack.rest import RestError
from tests.stack.running_site import JOB_STATUS, log
from tests.stack.test_annotation_tasks import draw

SLIDES = 3
LAYER, TASK = "nuclei", "SegmentWSI"


@pytest.fixture(scope="module")
def slides(site):
    """A folder of slides on which a person has drawn."""
    folder_id = site.folder("promotion")
    for number in range(SLIDES):
        item_id = site.upload_slide(f"judged-{number}.svs", folder_id)
        draw(site, item_id, LAYER, (1025 + 20 * number, 1425, 150, 150))
    return folder_id


@pytest.fixture(scope="module")
def models(site, model_id):
    """Items of the demonstration model, and of one that answers the same but is another file."""
    first = site.girder.get(f"file/{model_id}")["itemId"]
    folder_id = site.folder("models to compare")
    for name in ("a.zip", "b.zip"):
        site.girder.post(f"item/{first}/copy", folderId=folder_id, name=name)
    site.run(
        "AverageModels",
        inputFolder=folder_id,
        models=["a.zip", "b.zip"],
        weights=[1, 1],
        output_model="mean.zip",
        output_model_folder=folder_id,
    )
    (second,) = site.girder.get("item", folderId=folder_id, name="mean.zip")
    return first, second["_id"]


def test_a_model_that_is_no_better_stays_out_until_told(site, slides, models):
    girder, (old, new) = site.girder, models
    default = {"folderId": slides, "modelId": new}
    girder.put("deeplab/default", folderId=slides, modelId=old)
    with pytest.raises(RestError, match="no evaluation that you may read has both"):
        girder.put("deeplab/default", **default)
    comparison = girder.post("deeplab/comparison", **default)
    job, _ = site.wait({"_id": comparison["jobId"]})
    assert JOB_STATUS[job["status"]] == "success", log(job)
    told = girder.get(f"deeplab/comparison/{comparison['_id']}")
    assert [told] == girder.get("deeplab/comparison", folderId=slides)
    assert (told["state"], told["comparison"]["slides"]) == ("ended", SLIDES)
    assert job["progress"]["message"].endswith(f"on {SLIDES} slides held out")
    for model in models:
        of_model = girder.get(f"deeplab/model/{model}")
        assert told in of_model["comparisons"]
        (table,) = [each for each in of_model["evaluations"] if each["folderId"] == slides]
        assert table["slides"] == SLIDES
        (dice,) = [each["value"] for each in table["figures"] if each["figure"] == "dice"]
        assert 0 < dice < 1
    with pytest.raises(RestError, match="is not shown to be better .* on 3 slides held out"):
        girder.put("deeplab/default", **default)
    assert girder.get("deeplab/default", folderId=slides, task=TASK)["model"]["_id"] == old
    done = girder.put("deeplab/default", **default, evenIfNotBetter="true")
    assert done["comparison"]["slides"] == SLIDES
    assert abs(done["comparison"]["difference"]) < 0.01
    assert girder.get("deeplab/default", folderId=slides, task=TASK)["model"]["_id"] == new
    assert site.leftovers() == []
