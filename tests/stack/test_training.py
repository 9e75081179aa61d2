"""The loop of a lab: draw, train, segment, correct, train again; and what a cancelled training leaves."""

import json
import time
import zipfile

import pytest

from tests.stack.running_site import JOB_STATUS, JOB_TIMEOUT_S, log

CLASSES = ["tumour", "stroma"]
TINY = {
    "classes": CLASSES,
    "batch_size": 1,
    "patch_size": 65,
    "slow_start_step": 1,
    "aspp_filters": 16,
    "decoder_filters": 16,
    "depth_multiplier": 0.25,
    "atrous_rates": [1],
    "validation_fraction": 0.5,
    "work_mpp": 1,
}
NUCLEI = {
    "classes": CLASSES,
    "network": "hovernet",
    "network_options": ["decoder_width=8"],
    "depth_multiplier": 0.25,
    "batch_size": 1,
    "patch_size": 64,
    "steps": 2,
    "slow_start_step": 1,
    "validate_every": 2,
    "validation_fraction": 0.5,
    "work_mpp": 1,
}


@pytest.fixture(scope="module")
def slides(site):
    """A folder of two slides with layers as HistomicsUI keeps them."""
    folder_id = site.folder("training")
    ids = [site.upload_slide(f"train-{number}.svs", folder_id) for number in range(2)]
    for number, item_id in enumerate(ids):
        post_layers(site, item_id, [squares("tumour", number), squares("stroma", number + 5)])
    return folder_id, ids


def test_a_training_is_asked_for_by_folder(site, slides):
    folder_id, _ = slides
    results = site.folder("asked for")
    census = site.girder.get("deeplab/census", folderId=folder_id)
    assert [layer["name"] for layer in census["layers"]] == ["stroma", "tumour"]
    options = {name: value for name, value in TINY.items() if name != "classes"} | {"steps": 2}
    job = site.girder.post(
        "deeplab/train",
        folderId=folder_id,
        classes=CLASSES,
        outputFolderId=results,
        name="asked",
        options=options,
    )
    job, _ = site.wait(job)
    assert JOB_STATUS[job["status"]] == "success", log(job)
    (model,) = site.girder.get("deeplab/model", folderId=results)
    assert [each["name"] for each in model["classes"]] == CLASSES


def test_corrected_layers_train_the_next_model(site, slides):
    folder_id, (first_slide, _) = slides
    results = site.folder("results")

    def train(name, **more):
        outputs = {"output_model": f"{name}.zip", "output_model_folder": results}
        outputs |= {"output_report": f"{name}.html", "output_report_folder": results}
        given = {"inputFolder": folder_id, "checkpoint_folder": results, "steps": 4, "keep": "last"}
        return site.run("TrainNetwork", **TINY, **given, validate_every=2, **outputs, **more)

    job, progress = train("one")
    assert progress, log(job)
    assert names(site, results) == ["one.html", "one.zip"], "no checkpoint is left"
    page = site.girder.get(f"item/{item(site, results, 'one.html')}/download")
    assert b"Training of one.zip" in page
    assert card(site, results, "one.zip")["training"]["steps"] == 4

    model_id = site.file_id(item(site, results, "one.zip"))
    site.run(
        "SegmentWSI",
        inputImageFile=site.file_id(first_slide),
        inputModelFile=model_id,
        region=[200, 300, 900, 800],
        min_area_um2=0,
    )
    found = site.girder.get("annotation", itemId=first_slide, limit=0)
    ours = [one for one in found if one["annotation"].get("attributes")]
    assert {one["annotation"]["name"] for one in ours} == set(CLASSES)
    for one in ours:  # a person redraws what the model got wrong
        corrected = squares(one["annotation"]["name"], 9)
        site.girder.call(
            "PUT",
            f"annotation/{one['_id']}",
            body=json.dumps(corrected).encode(),
            headers={"Content-Type": "application/json"},
        )

    job, _ = train("two", inputModelFile=model_id, init_last_layer=True)
    assert "weights taken from" in log(job), log(job)
    assert names(site, results) == ["one.html", "one.zip", "two.html", "two.zip"]
    assert [c["name"] for c in card(site, results, "two.zip")["classes"]] == CLASSES

    site.run(
        "AverageModels",
        inputFolder=results,
        models=["one.zip", "two.zip"],
        weights=[3, 1],
        output_model="mean.zip",
        output_model_folder=results,
    )
    training = card(site, results, "mean.zip")["training"]
    assert training["model 1"].startswith("one.zip, share 0.750")
    assert site.leftovers() == []


def test_nuclei_are_learnt_from_live_annotations(site, slides):
    folder_id, _ = slides
    results = site.folder("nuclei")
    outputs = {"output_model": "nuclei.zip", "output_model_folder": results}
    outputs |= {"output_report": "nuclei.html", "output_report_folder": results}
    site.run("TrainNetwork", inputFolder=folder_id, **NUCLEI, **outputs)
    assert names(site, results) == ["nuclei.html", "nuclei.zip"]
    made = card(site, results, "nuclei.zip")
    assert (made["family"], made["config"]["type_count"]) == ("hovernet", 2)
    assert [each["name"] for each in made["classes"]] == CLASSES
    assert "pq" in made["metrics"]
    page = site.girder.get(f"item/{item(site, results, 'nuclei.html')}/download").decode()
    assert "HoVer-Net (light) on mobilenet_v2, 2 types" in page


def test_a_census_trains_and_writes_nothing(site, slides):
    folder_id, _ = slides
    results = site.folder("census")
    job, _ = site.run(
        "TrainNetwork",
        inputFolder=folder_id,
        output_model="none.zip",
        output_model_folder=results,
        dry_run=True,
        **TINY,
    )
    assert "train-0.svs" in log(job)
    assert names(site, results) == []


def test_a_cancelled_training_goes_on_in_the_next_job(site, slides):
    folder_id, _ = slides
    results = site.folder("cancelled")
    given = {
        "inputFolder": folder_id,
        "checkpoint_folder": results,
        "output_model": "never.zip",
        "output_model_folder": results,
        "steps": 100_000,
        "validate_every": 100_000,
    }

    def cancelled():
        job = wait_for_steps(site, site.start("TrainNetwork", **TINY, **given))
        site.girder.put(f"job/{job['_id']}/cancel")
        job, _ = site.wait(job)
        assert JOB_STATUS[job["status"]] == "cancelled", log(job)
        assert site.leftovers() == []
        (name,) = names(site, results)
        assert name.startswith("deeplab-checkpoint-")
        return name, log(job)

    first, _ = cancelled()
    second, said = cancelled()
    assert f"going on from {first}" in said
    assert second > first, "it has more steps"


def wait_for_steps(site, job):
    """The job once it takes steps."""
    deadline = time.monotonic() + JOB_TIMEOUT_S
    while True:
        job = site.girder.get(f"job/{job['_id']}")
        message = str((job.get("progress") or {}).get("message", ""))
        if message.startswith("train:"):
            return job
        assert JOB_STATUS.get(job["status"], "queued") in ("queued", "running"), log(job)
        assert time.monotonic() < deadline, f"no step is taken: {log(job)}"
        time.sleep(0.3)


def names(site, folder_id):
    return sorted(item["name"] for item in site.girder.get("item", folderId=folder_id))


def item(site, folder_id, name):
    (found,) = site.girder.get("item", folderId=folder_id, name=name)
    return found["_id"]


def card(site, folder_id, name):
    """The card of a model that a job has put into a folder."""
    bundle = site.running.plan.data / name
    bundle.write_bytes(site.girder.get(f"item/{item(site, folder_id, name)}/download"))
    with zipfile.ZipFile(bundle) as archive:
        return json.loads(archive.read("card.json"))


def post_layers(site, item_id, layers):
    site.girder.call(
        "POST",
        f"annotation/item/{item_id}",
        body=json.dumps(layers).encode(),
        headers={"Content-Type": "application/json"},
    )


def squares(name, offset):
    """An annotation of three squares in dense tissue."""
    corners = [(300 + 500 * k + 20 * offset, 400 + 300 * k) for k in range(3)]
    return {
        "name": name,
        "elements": [
            {
                "type": "polyline",
                "closed": True,
                "group": name,
                "points": [[x, y, 0], [x + 200, y, 0], [x + 200, y + 200, 0], [x, y + 200, 0]],
            }
            for x, y in corners
        ],
    }
