"""Batches end well whatever happens to servers, workers and the broker between them."""

import json
from collections import Counter
from datetime import timedelta
from random import Random

import pytest

pytest.importorskip("girder")

from fake_workers import CLASSES, TICK, FakeWorkers, ServerDied, as_task
from girder.constants import AccessType
from girder.exceptions import ValidationException
from girder.models.folder import Folder
from girder.models.item import Item
from girder.models.setting import Setting
from girder_jobs.constants import JobStatus
from girder_jobs.models.job import Job
from girder_large_image_annotation.models.annotation import Annotation
from pytest_girder.assertions import assertStatus, assertStatusOk

from girder_deeplab import driver
from girder_deeplab.models import MODEL_KEY
from girder_deeplab.results import ResultSet, find_sets, tell_slide
from girder_deeplab.runs import DONE, FAILED, LOCK, Batch, Run
from girder_deeplab.settings import DEFAULT_IMAGE, SettingKey

TROUBLE = {
    "no broker": 0.1,
    "server dies before the job is in the queue": 0.1,
    "broker fails after it has the job": 0.1,
    "server dies after the job is in the queue": 0.1,
    "broker restarts and forgets": 0.05,
    "worker killed": 0.08,
    "worker fails without a word of the task": 0.05,
    "delivered again": 0.4,
    "container goes on without its worker": 0.5,
    "revoked too late": 0.3,
}
pytestmark = pytest.mark.plugin("deeplab")


@pytest.fixture(autouse=True)
def address(server):
    """girder_worker, which follows every job, asks the server for its own address."""
    Setting().set("worker.api_url", "http://girder:8080/api/v1")


@pytest.fixture
def task(register):
    """SegmentWSI is registered."""
    return register("SegmentWSI")


def slides_in(folder, creator, number, name="S{}.svs"):
    made = [Item().createItem(name.format(n), creator, folder) for n in range(number)]
    for item in made:
        Item().update({"_id": item["_id"]}, {"$set": {"largeImage": {"fileId": item["_id"]}}})
    return made


def on_slide(slide):
    """What finds the layers of a slide."""
    return {"itemId": slide["_id"], "_active": {"$ne": False}}


def ask(server, path, user, method="GET", **params):
    as_text = {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in params.items()
    }
    return server.request(f"/deeplab/{path}", method=method, user=user, params=as_text)


def told(*asked, **params):
    answer = ask(*asked, **params)
    assertStatusOk(answer)
    return answer.json


@pytest.fixture
def clock(monkeypatch):
    """The time as the driver sees it when people ask something of it."""
    start = driver.now_utc()
    monkeypatch.setattr(driver, "now_utc", lambda: clock["workers"].now if clock else start)
    clock = {}
    return clock


def carry_on(workers, minutes):
    """Look at the batches each minute, also where the server dies meanwhile and comes back."""
    for _ in range(minutes):
        try:
            driver.advance(workers.now, workers)
        except ServerDied:
            # What it looked after is free again when its time is up.
            Batch().update({}, {"$set": {"lockedUntil": workers.now + LOCK}})
        workers.tick()


def carry_on_to_the_end(workers, batch_id):
    for _ in range(2000):
        carry_on(workers, 1)
        if Batch().load(batch_id, force=True)["state"] == "ended":
            return
    pytest.fail(f"the batch does not end: {Run().counts({'_id': batch_id})}")


def check_slides(batch_id):
    """Each slide of the batch has one whole set of layers, or none and a reason why."""
    for run in Run().find({"batchId": batch_id}):
        sets = find_sets(run["itemId"])
        if run["state"] == DONE:
            (only,) = sets
            assert sorted(each["annotation"]["name"] for each in only.layers) == sorted(CLASSES)
            assert only.run == run["kept"]
            assert (
                Job().load(run["jobId"], force=True)["deeplabLayers"] == run["layers"] == only.ids
            )
            jobs = {each["annotation"]["attributes"]["job"] for each in only.layers}
            assert jobs == {str(run["jobId"])}
        else:
            assert run["state"] == FAILED
            assert run["reason"]
            assert sets == []
    open_jobs = Job().find({"handler": "fake", "status": {"$in": [0, 1, 2]}})
    assert [job["_id"] for job in open_jobs] == []


@pytest.mark.parametrize("seed", range(50))
def test_every_slide_has_one_result_or_a_reason(server, user, folder, model, task, clock, seed):
    slides = slides_in(folder, user, 12)
    workers = FakeWorkers(Random(seed), user, driver.now_utc(), dict(TROUBLE))
    clock["workers"] = workers
    workers.broken = {slides[3]["_id"]}
    batch = told(
        server, "segment", user, "POST", folderId=str(folder["_id"]), modelId=str(model["_id"])
    )
    carry_on(workers, 2)
    Item().remove(slides[7])
    batch_id = Run().findOne({"itemId": slides[0]["_id"]})["batchId"]
    assert str(batch_id) == batch["_id"]
    carry_on_to_the_end(workers, batch_id)
    workers.trouble = {}
    while workers.executions or workers.queue:  # delivered twice, or running without their worker
        carry_on(workers, 1)
    carry_on(workers, 2)
    check_slides(batch_id)
    states = {run["itemId"]: run for run in Run().find({"batchId": batch_id})}
    assert states[slides[3]["_id"]]["reason"] == "a.svs: it is no slide"
    reason = states[slides[7]["_id"]]["reason"]
    assert reason in ("The slide is not there any more.", "a.svs: it is not there")
    job = Job().load(batch["jobId"], force=True)
    assert job["status"] == JobStatus.ERROR
    done = sum(run["state"] == DONE for run in states.values())
    assert done >= 8, Counter(run["reason"] for run in states.values())
    assert job["progress"]["message"] == f"{done} of 12 slides, {12 - done} failed"
    assert job["progress"]["current"] == job["progress"]["total"] == 12


@pytest.fixture
def workers(user, clock):
    """Workers without any trouble."""
    clock["workers"] = FakeWorkers(Random(1), user, driver.now_utc())
    return clock["workers"]


@pytest.fixture
def batch(server, user, folder, model, task, workers):
    """A batch of 6 slides that has just been asked for."""
    slides_in(folder, user, 6)
    asked = {"folderId": str(folder["_id"]), "modelId": str(model["_id"]), "atOnce": 3}
    return told(server, "segment", user, "POST", **asked)


def test_a_batch_shows_how_far_it_is(server, user, folder, model, batch, workers):
    assert batch["counts"] == {"waiting": 6, "starting": 0, "running": 0, "done": 0, "failed": 0}
    assert batch["title"] == "SegmentWSI on 6 slides"
    driver.advance(workers.now, workers)
    assert told(server, f"batch/{batch['_id']}", user)["counts"]["running"] == 3
    carry_on(workers, 4)
    shown = Job().load(batch["jobId"], force=True)
    assert shown["status"] == JobStatus.RUNNING
    assert shown["progress"]["message"].endswith("min left")
    carry_on_to_the_end(workers, Batch().findOne()["_id"])
    slides = told(server, f"batch/{batch['_id']}/slide", user, state="done", limit=4)
    assert [each["name"] for each in slides] == ["S0.svs", "S1.svs", "S2.svs", "S3.svs"]
    assert all(len(each["layers"]) == len(CLASSES) and each["jobId"] for each in slides)
    assert Job().load(batch["jobId"], force=True)["status"] == JobStatus.SUCCESS
    assert [each["_id"] for each in told(server, "batch", user)] == [batch["_id"]]
    (model_file,) = Item().childFiles(model)
    for asked in workers.asked:
        assert asked["inputModelFile"] == str(model_file["_id"])
        assert Item().load(asked["inputImageFile"], force=True)["folderId"] == folder["_id"]


def test_a_batch_is_cancelled_and_gone_on_with(server, user, batch, workers):
    carry_on(workers, 3)
    told(server, f"batch/{batch['_id']}/cancel", user, "PUT")
    carry_on(workers, 5)
    stopped = told(server, f"batch/{batch['_id']}", user)
    assert stopped["state"] == "cancelled"
    assert stopped["counts"]["waiting"] + stopped["counts"]["done"] == 6
    assert stopped["counts"]["waiting"] > 0
    assert Job().load(batch["jobId"], force=True)["status"] == JobStatus.CANCELED
    unfinished = [run["itemId"] for run in Run().find({"state": "waiting"})]
    assert not any(find_sets(each) for each in unfinished)
    again = told(server, f"batch/{batch['_id']}/resume", user, "PUT")
    assert again["jobId"] != batch["jobId"]
    carry_on_to_the_end(workers, Batch().findOne()["_id"])
    check_slides(Batch().findOne()["_id"])
    assert Job().load(again["jobId"], force=True)["status"] == JobStatus.SUCCESS
    assert ask(server, f"batch/{batch['_id']}/resume", user, "PUT").status.startswith("400")


def test_a_batch_is_cancelled_among_the_jobs(server, user, batch, workers):
    carry_on(workers, 3)
    Job().cancelJob(Job().load(batch["jobId"], force=True))
    carry_on(workers, 5)
    assert told(server, f"batch/{batch['_id']}", user)["state"] == "cancelled"


def test_what_failed_is_tried_again(server, user, batch, workers):
    broken = Run().findOne({"name": "S2.svs"})["itemId"]
    workers.broken = {broken}
    carry_on(workers, 2)
    assert ask(server, f"batch/{batch['_id']}/resume", user, "PUT").status.startswith("400")
    carry_on_to_the_end(workers, Batch().findOne()["_id"])
    (failed,) = told(server, f"batch/{batch['_id']}/slide", user, state="failed")
    assert (failed["name"], failed["reason"]) == ("S2.svs", "a.svs: it is no slide")
    assert ask(server, f"batch/{batch['_id']}/resume", user, "PUT", failed=False).status.startswith(
        "400"
    )
    workers.broken = set()
    told(server, f"batch/{batch['_id']}/resume", user, "PUT")
    carry_on_to_the_end(workers, Batch().findOne()["_id"])
    check_slides(Batch().findOne()["_id"])
    assert len(workers.asked) == 7


def test_a_job_whose_worker_is_always_lost_is_run_three_times(server, user, batch, workers):
    workers.trouble = {"worker killed": 1.0}
    carry_on_to_the_end(workers, Batch().findOne()["_id"])
    runs = told(server, f"batch/{batch['_id']}/slide", user)
    assert {run["state"] for run in runs} == {"failed"}
    lost = "The worker that had it was lost; it was run 3 times. The log of its job says more."
    assert {run["reason"] for run in runs} == {lost}
    assert len(workers.asked) == 6 * 3


def test_a_job_that_always_fails_without_a_word_is_run_three_times(server, user, batch, workers):
    workers.trouble = {"worker fails without a word of the task": 1.0}
    carry_on_to_the_end(workers, Batch().findOne()["_id"])
    runs = told(server, f"batch/{batch['_id']}/slide", user)
    assert {run["state"] for run in runs} == {"failed"}
    assert runs[0]["reason"].startswith("It failed without a word of the task; it was run 3 times.")
    assert len(workers.asked) == 6 * 3


def test_a_job_in_a_long_queue_is_waited_for(server, user, batch, workers):
    workers.queue = [object()]  # of somebody else: nothing is taken from it
    workers.tick = lambda: setattr(workers, "now", workers.now + TICK)
    carry_on(workers, 300)
    assert len(workers.asked) == 3
    assert told(server, f"batch/{batch['_id']}", user)["counts"]["running"] == 3


def test_another_server_does_not_disturb(server, user, batch, workers):
    other = Batch().lock(Batch().findOne()["_id"], workers.now)
    driver.advance(workers.now + LOCK - timedelta(seconds=1), workers)
    assert workers.asked == []
    driver.advance(workers.now + LOCK, workers)
    assert len(workers.asked) == 3
    assert not Batch().keep_lock(other, workers.now)


def test_a_slide_that_may_no_longer_be_written_to_fails(
    server, user, admin, folder, batch, workers
):
    Folder().setUserAccess(folder, user, None, save=True)
    carry_on_to_the_end(workers, Batch().findOne()["_id"])
    runs = told(server, f"batch/{batch['_id']}/slide", user)
    assert {run["reason"] for run in runs} == {"The slide may not be written to any more."}


def test_layers_of_the_same_model_are_replaced_but_never_a_persons(
    server, user, folder, model, task, workers
):
    (slide,) = slides_in(folder, user, 1)
    before = as_task(slide, user, "", "older run")
    edited = Annotation().load(before[1]["_id"], force=True)
    Annotation().updateAnnotation(edited, user)
    of_region = as_task(slide, user, "", "of a region", regions="((1, 2), (3, 4))")
    of_other = as_task(slide, user, "", "of another", model="def")
    drawn = Annotation().createAnnotation(slide, user, {"name": "gland", "elements": []})
    asked = {"itemIds": [str(slide["_id"])], "modelId": str(model["_id"])}
    batch = told(server, "segment", user, "POST", **asked)
    assert batch["title"] == "SegmentWSI on S0.svs"
    carry_on_to_the_end(workers, Batch().findOne()["_id"])
    there = {layer["_id"] for layer in Annotation().find(on_slide(slide))}
    new = set(Run().findOne()["layers"])
    assert there == new | {edited["_id"], drawn["_id"]} | {each["_id"] for each in of_other}
    assert not there & {each["_id"] for each in of_region}
    found = Item().load(slide["_id"], force=True)["meta"]["deeplabFound"]
    assert list(found) == ["SegmentWSI"]
    assert found["SegmentWSI"]["classes"] == [
        {"name": name, "count": 2, "area_mm2": 0.5} for name in CLASSES
    ]
    assert found["SegmentWSI"]["model"] == "abc.zip"
    again = {**asked, "region": [1, 2, 30, 40]}
    told(server, "segment", user, "POST", **again)
    assert Run().findOne({"state": "waiting"}) is not None


@pytest.mark.parametrize(
    "found",
    [
        None,
        "many",
        [{"name": "a"}],
        [{"name": "a", "count": -1, "area_mm2": 1.0}],
        [{"name": "a", "count": 1, "area_mm2": float("nan")}],
        [{"name": "a", "count": True, "area_mm2": "1"}, 7],
    ],
)
def test_a_slide_says_nothing_that_is_no_count(user, folder, found):
    (slide,) = slides_in(folder, user, 1)
    kept = ResultSet("run", "", ("SegmentWSI", "abc"), "()", as_task(slide, user, "", "run"))
    kept.layers[0]["annotation"]["attributes"]["found"] = found
    tell_slide(slide, kept, user)
    assert "deeplabFound" not in Item().load(slide["_id"], force=True).get("meta", {})


def from_the_form(user, slide, run, kind=f"{DEFAULT_IMAGE}#SegmentWSI", **layers):
    """A job that was started in the form of the task, and what it put on the slide."""
    job = Job().createJob("Segment a slide", kind, user=user, handler="fake")
    params = {"_original_params": {"inputImageFile": str(slide["_id"])}}
    job = Job().updateJob(job, status=JobStatus.RUNNING, otherFields=params)
    made = as_task(slide, user, "", run, **layers)
    Job().updateJob(job, status=JobStatus.SUCCESS)
    return job, [layer["_id"] for layer in made]


def test_a_run_from_the_form_replaces_the_one_before(server, user, folder, workers):
    (slide,) = slides_in(folder, user, 1)
    drawn = Annotation().createAnnotation(slide, user, {"name": "gland", "elements": []})
    jobs = []
    for run, layers in [
        ("first", {}),
        ("of another model", {"model": "def"}),
        ("of a region", {"regions": "((1, 2), (3, 4))"}),
        ("second", {}),
    ]:
        jobs.append(from_the_form(user, slide, run, **layers))
        driver.advance(workers.now, workers)
    for job, ids in jobs:
        assert Job().load(job["_id"], force=True)["deeplabLayers"] == ids
    there = {layer["_id"] for layer in Annotation().find(on_slide(slide))}
    assert there == {drawn["_id"], *jobs[1][1], *jobs[3][1]}


def test_runs_from_the_form_that_overlap_replace_nothing(server, user, folder, workers):
    (slide,) = slides_in(folder, user, 1)
    _, first = from_the_form(user, slide, "first")
    driver.advance(workers.now, workers)
    other = Job().createJob("Segment", f"{DEFAULT_IMAGE}#SegmentWSI", user=user, handler="fake")
    params = {"_original_params": {"inputImageFile": str(slide["_id"])}}
    Job().updateJob(other, status=JobStatus.RUNNING, otherFields=params)
    _, second = from_the_form(user, slide, "second")
    driver.advance(workers.now, workers)
    assert {layer["_id"] for layer in Annotation().find(on_slide(slide))} == {*first, *second}


def test_a_job_that_ended_before_its_server_came_back_is_not_run_again(
    server, user, batch, workers
):
    workers.trouble = {"server dies after the job is in the queue": 1.0}
    with pytest.raises(ServerDied):
        driver.advance(workers.now, workers)
    workers.trouble = {}
    for _ in range(8):
        workers.tick()
    (job,) = Job().find({"handler": "fake"})
    assert job["status"] == JobStatus.SUCCESS
    workers.now += LOCK
    carry_on_to_the_end(workers, Batch().findOne()["_id"])
    assert len(workers.asked) == 6
    check_slides(Batch().findOne()["_id"])


@pytest.mark.parametrize("kind", [f"{DEFAULT_IMAGE}#TrainNetwork", "other:latest#SegmentWSI", "x"])
def test_jobs_of_other_tasks_are_left_alone(server, user, folder, workers, kind):
    (slide,) = slides_in(folder, user, 1)
    _, first = from_the_form(user, slide, "first")
    driver.advance(workers.now, workers)
    job, second = from_the_form(user, slide, "second", kind=kind)
    driver.advance(workers.now, workers)
    assert {layer["_id"] for layer in Annotation().find(on_slide(slide))} == {*first, *second}
    assert "deeplabLayers" not in Job().load(job["_id"], force=True)


def test_the_defaults_of_folders_are_used(server, user, admin, folder, model, task, workers):
    within = Folder().createFolder(folder, "batch 1", creator=admin, public=True)
    Folder().setUserAccess(within, user, AccessType.WRITE, save=True)
    closed = Folder().createFolder(folder, "closed", creator=admin, public=True)
    slides_in(folder, user, 1, "a{}.svs")
    slides_in(within, user, 1, "b{}.svs")
    Folder().setUserAccess(closed, user, AccessType.READ, save=True)
    slides_in(closed, admin, 1, "c{}.svs")
    Item().createItem("no slide.txt", admin, folder)
    asked = {"folderId": str(folder["_id"]), "recursive": True}
    answer = ask(server, "segment", user, "POST", **asked)
    assertStatus(answer, 400)
    assert "The folder liver has no default model; choose a model." in answer.json["message"]
    assert Run().findOne() is None
    put = {"folderId": str(folder["_id"]), "modelId": str(model["_id"])}
    told(server, "default", admin, "PUT", **put)
    batch = told(server, "segment", user, "POST", **asked)
    names = [each["name"] for each in told(server, f"batch/{batch['_id']}/slide", user)]
    assert names == ["a0.svs", "b0.svs"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"min_area": 3}, "min_area is no option of this task."),
        ({"girderToken": "x"}, "girderToken is no option of this task."),
        ({"inputModelFile": "x"}, "inputModelFile is a file, which cannot be an option here."),
        ({"output_table": "x"}, "output_table is a file, which cannot be an option here."),
        ({"batch_size": 0}, "batch_size must be at least 1, but is 0."),
        ({"batch_size": 1.5}, "batch_size must be a whole number, but is 1.5."),
        ({"heatmap_um": "a"}, "heatmap_um must be a number, but is 'a'."),
        ({"save_heatmap": "yes"}, "save_heatmap must be true or false, but is 'yes'."),
        ({"tissue": "on"}, "tissue must be one of auto, off, but is 'on'."),
        ({"channels": "DAPI"}, "channels must be a list of texts, but is 'DAPI'."),
        ({"region": [1, "2"]}, "region must be a list of numbers, but is [1, '2']."),
    ],
)
def test_options_that_the_task_does_not_have_start_nothing(
    server, user, folder, model, task, options, sentence
):
    slides_in(folder, user, 1)
    answer = ask(
        server, "segment", user, "POST", folderId=str(folder["_id"]), modelId=str(model["_id"]),
        options=options,
    )  # fmt: skip
    assertStatus(answer, 400)
    assert answer.json["message"] == sentence
    assert Batch().findOne() is None
    assert Job().findOne() is None


def test_options_arrive_as_slicer_cli_web_takes_them(server, user, folder, model, task, workers):
    slides_in(folder, user, 1)
    options = {"min_area_um2": 5, "save_heatmap": True, "tissue": "off", "channels": ["DAPI"]}
    told(
        server, "segment", user, "POST", folderId=str(folder["_id"]), modelId=str(model["_id"]),
        options=options, region=[0, 0, 5, 5],
    )  # fmt: skip
    driver.advance(workers.now, workers)
    (asked,) = workers.asked
    wanted = {"min_area_um2": "5", "save_heatmap": "true", "tissue": "off"}
    assert {key: asked[key] for key in wanted} == wanted
    assert json.loads(asked["channels"]) == ["DAPI"]
    assert json.loads(asked["region"]) == [0, 0, 5, 5]


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({}, "Give either itemIds or a folderId."),
        ({"itemIds": ["x"], "folderId": "FOLDER"}, "Give either itemIds or a folderId."),
        ({"itemIds": []}, "There is no slide that you may write to."),
        ({"itemIds": [3]}, "itemIds must be a list of ids."),
        ({"folderId": "EMPTY"}, "There is no slide that you may write to."),
        ({"folderId": "FOLDER", "atOnce": 0}, "atOnce must be from 1 to 64."),
        ({"folderId": "FOLDER", "region": [0, 0, 5, 5]}, "A region is of one slide"),
    ],
)
def test_what_cannot_be_a_batch_is_said(server, user, admin, folder, model, task, asked, sentence):
    slides_in(folder, user, 2)
    empty = Folder().createFolder(folder, "empty", creator=admin, public=True)
    ids = {"FOLDER": str(folder["_id"]), "EMPTY": str(empty["_id"])}
    params = {key: ids.get(value, value) if isinstance(value, str) else value
              for key, value in asked.items()}  # fmt: skip
    answer = ask(server, "segment", user, "POST", modelId=str(model["_id"]), **params)
    assertStatus(answer, 400)
    assert sentence in answer.json["message"]
    assert Batch().findOne() is None


def test_a_model_of_another_task_is_refused(server, user, folder, model, task):
    slides_in(folder, user, 1)
    Item().setMetadata(model, {MODEL_KEY: {"task": "ClassifyPatches", "archived": False}})
    answer = ask(
        server, "segment", user, "POST", folderId=str(folder["_id"]), modelId=str(model["_id"])
    )
    assertStatus(answer, 400)
    assert answer.json["message"] == "glands.zip is a model for ClassifyPatches."


def test_an_item_that_is_no_model_is_refused(server, user, folder, task):
    (slide,) = slides_in(folder, user, 1)
    answer = ask(
        server, "segment", user, "POST", folderId=str(folder["_id"]), modelId=str(slide["_id"])
    )
    assertStatus(answer, 400)
    assert answer.json["message"] == "S0.svs is not registered as a model."


def test_who_has_no_right_is_refused_everywhere(server, user, admin, folder, model, task, workers):
    (slide,) = slides_in(folder, admin, 1)
    of_admin = {"itemIds": [str(slide["_id"])], "modelId": str(model["_id"])}
    batch = told(server, "segment", admin, "POST", **of_admin)["_id"]
    Folder().setUserAccess(folder, user, AccessType.READ, save=True)
    assertStatus(ask(server, "segment", user, "POST", **of_admin), 403)
    for path, method in [
        (f"batch/{batch}", "GET"),
        (f"batch/{batch}/slide", "GET"),
        (f"batch/{batch}/cancel", "PUT"),
        (f"batch/{batch}/resume", "PUT"),
    ]:
        assertStatus(ask(server, path, user, method), 403)
        assertStatus(ask(server, path, None, method), 401)
    assert told(server, "batch", user) == []
    for path in ("segment", "classify"):
        assertStatus(ask(server, path, None, "POST", **of_admin), 401)


@pytest.mark.parametrize("value", [0, -1, True, "15", None])
def test_the_time_of_silence_is_a_number(server, value):
    with pytest.raises(ValidationException, match="must be more than 0"):
        Setting().set(SettingKey.LEASE_MINUTES, value)
