"""An old model is compared with a new one by itself, whatever happens to jobs in between."""

import json
from datetime import timedelta
from random import Random

import pytest

pytest.importorskip("girder")

from fake_workers import FakeWorkers
from girder.constants import AccessType
from girder.models.folder import Folder
from girder.models.item import Item
from girder.models.setting import Setting
from girder_jobs.constants import JobStatus
from girder_jobs.models.job import Job
from girder_large_image_annotation.models.annotation import Annotation
from models_for_tests import CARD, packed, table, upload
from pytest_girder.assertions import assertStatus, assertStatusOk

from girder_deeplab import comparisons, driver
from girder_deeplab.comparisons import ModelComparison
from girder_deeplab.models import set_default
from girder_deeplab.runs import Batch, Run

pytestmark = pytest.mark.plugin("deeplab")


@pytest.fixture(autouse=True)
def site(server, register, fsAssetstore):  # noqa: N803  pytest-girder calls it so
    """The tasks are registered, and files can be uploaded."""
    Setting().set("worker.api_url", "http://girder:8080/api/v1")
    for name in ("SegmentWSI", "EvaluateSegmentation", "TrainNetwork"):
        register(name)


def model_file(name, slides=()):
    training = {"slides": " ".join(str(each["_id"]) for each in slides)} if slides else {}
    return packed(CARD | {"trained_on": name, "training": training})


@pytest.fixture
def shelf(admin, user, folder):
    """A folder for models, in which the user may put some."""
    made = Folder().createFolder(folder, "models", creator=admin, public=True)
    return Folder().setUserAccess(made, user, AccessType.WRITE, save=True)


@pytest.fixture
def old(admin, shelf, folder):
    """The default model of the folder of slides."""
    item = upload(model_file("old"), shelf, admin, "old.zip")
    set_default(folder, item)
    return item


@pytest.fixture
def new(admin, shelf, slides):
    """A model that has learnt from the first slide."""
    return upload(model_file("new", slides[:1]), shelf, admin, "new.zip")


@pytest.fixture
def drawn(user, slides):
    """Three slides on which a person has drawn what the models find."""
    for slide in slides:
        Annotation().createAnnotation(slide, user, {"name": "Gland", "elements": []})
    return slides


@pytest.fixture
def workers(user):
    return FakeWorkers(Random(0), user, driver.now_utc() + timedelta(minutes=1))


@pytest.fixture
def compare(server, user, folder):
    """Asks for a comparison."""

    def ask(new, who=user, where=folder, **params):
        params |= {"folderId": str(where["_id"]), "modelId": str(new["_id"])}
        return server.request("/deeplab/comparison", method="POST", user=who, params=params)

    return ask


def carry_on(workers, minutes=1):
    for _ in range(minutes):
        driver.advance(workers.now, workers)
        comparisons.advance(workers.now, workers)
        workers.tick()


def now_of(told):
    return ModelComparison().load(told["_id"], force=True)


def job_of(told):
    return Job().load(told["jobId"], force=True)


def end(job_id, status=JobStatus.SUCCESS, log=None):
    job = Job().load(job_id, force=True)
    if job["status"] != JobStatus.RUNNING:
        job = Job().updateJob(job, status=JobStatus.RUNNING)
    Job().updateJob(job, status=status, log=log)


def carry_on_to_evaluations(told, workers):
    for _ in range(20):
        carry_on(workers)
        if None not in now_of(told)["evaluationIds"]:
            return now_of(told)["evaluationIds"]
    pytest.fail(f"it is {now_of(told)['state']} still: {now_of(told)['reason']}")


def evaluate(told, pair, values, slides, folder, user):
    """End the evaluations of both models with tables of theirs."""
    for job_id, model, value in zip(now_of(told)["evaluationIds"], pair, values, strict=True):
        content = table(model, {str(each["_id"]): value for each in slides})
        upload(content, folder, user, f"{model['name']}.csv")
        end(job_id)


def test_two_models_are_compared_on_slides_that_neither_learnt_from(
    server, user, folder, old, new, drawn, workers, started, compare
):
    answer = compare(new)
    assertStatusOk(answer)
    told = answer.json
    assert (told["title"], told["state"]) == ("Comparison of new.zip with old.zip", "segmenting")
    carry_on(workers)
    batches = [Batch().load(each, force=True) for each in now_of(told)["batchIds"]]
    assert [each["title"] for each in batches] == ["SegmentWSI on 2 slides"] * 2
    for batch in batches:
        on = {run["itemId"] for run in Run().find({"batchId": batch["_id"]})}
        assert on == {each["_id"] for each in drawn[1:]}
    assert job_of(told)["progress"]["message"] == "segmenting: 0 of 4"
    evaluations = carry_on_to_evaluations(told, workers)
    assert [(name, params["output_table"]) for name, params in started] == [
        ("EvaluateSegmentation", "old evaluated.csv"),
        ("EvaluateSegmentation", "new evaluated.csv"),
    ]
    digests = [each["meta"]["deeplabModel"]["sha256"] for each in (old, new)]
    assert [params["model"] for _, params in started] == digests
    assert {params["classes"] for _, params in started} == {'["gland"]'}
    carry_on(workers, 3)
    assert now_of(told)["evaluationIds"] == evaluations
    assert job_of(told)["progress"]["message"] == "evaluating"
    evaluate(told, (old, new), (0.5, 0.7), drawn, folder, user)
    carry_on(workers)
    done = now_of(told)
    assert (done["state"], done["reason"]) == ("ended", None)
    assert done["comparison"]["slides"] == 2
    assert done["comparison"]["difference"] == pytest.approx(0.2)
    job = job_of(told)
    assert job["status"] == JobStatus.SUCCESS
    assert job["progress"]["message"].startswith("Dice 0.700 after 0.500, a difference of +0.200")
    assert job["progress"]["message"].endswith("on 2 slides held out")
    for path in (f"model/{new['_id']}", f"model/{old['_id']}"):
        (of_model,) = server.request(f"/deeplab/{path}", user=user).json["comparisons"]
        assert of_model["comparison"]["difference"] == pytest.approx(0.2)
    of_folder = server.request(
        "/deeplab/comparison", user=user, params={"folderId": str(folder["_id"])}
    ).json
    of_one = server.request(f"/deeplab/comparison/{told['_id']}", user=user).json
    assert of_folder == [of_one] == [of_model]
    carry_on(workers, 3)
    assert Batch().collection.count_documents({}) == 2
    assert len(started) == 2


def train(server, user, folder, shelf, held_out, **params):
    params |= {"folderId": str(folder["_id"]), "outputFolderId": str(shelf["_id"])}
    params |= {
        "name": params.get("name", "next"),
        "classes": '["Gland"]',
        "compareFolderId": str(held_out["_id"]),
    }
    return server.request("/deeplab/train", method="POST", user=user, params=params)


@pytest.fixture
def training(server, user, folder, old, shelf, drawn, started):
    """A training whose model is to be compared, as its job is told."""
    answer = train(server, user, folder, shelf, folder)
    assertStatusOk(answer)
    return answer.json


def test_a_comparison_waits_for_the_training_that_makes_its_model(
    user, shelf, drawn, training, workers
):
    told = training["comparison"]
    assert (told["state"], told["newId"]) == ("training", None)
    carry_on(workers, 3)
    assert job_of(told)["progress"]["message"] == "waits for the training"
    upload(packed(CARD | {"trained_on": "else"}), shelf, user, "other.zip")
    model = upload(model_file("next", drawn[:2]), shelf, user, "next.zip")
    end(training["_id"])
    carry_on(workers, 2)
    assert now_of(told)["newId"] == model["_id"]
    (runs, _) = (list(Run().find({"batchId": each})) for each in now_of(told)["batchIds"])
    assert [each["itemId"] for each in runs] == [drawn[2]["_id"]]


@pytest.mark.parametrize(
    ("status", "log", "why"),
    [
        (JobStatus.ERROR, "error: no slide has layers\n", "failed: no slide has layers"),
        (JobStatus.ERROR, "Traceback\n", "The training failed."),
        (JobStatus.CANCELED, None, "The training was cancelled."),
        (JobStatus.SUCCESS, None, "The training has left no next.zip."),
    ],
)
def test_a_comparison_says_why_there_is_no_model(training, workers, status, log, why):
    end(training["_id"], status, log)
    carry_on(workers, 5)
    told = training["comparison"]
    assert now_of(told)["state"] == "failed"
    assert now_of(told)["reason"].endswith(why)
    assert job_of(told)["status"] == JobStatus.ERROR
    assert job_of(told)["progress"]["message"] == now_of(told)["reason"]


def test_where_nothing_is_held_out_it_is_said_at_once(
    server, user, folder, old, new, slides, shelf, started, compare, admin
):
    no_layer = "no slide has a layer of gland that a person drew or marked as corrected"
    for answer in (compare(new), train(server, user, folder, shelf, folder)):
        assertStatus(answer, 400)
        assert (
            answer.json["message"] == f"Models cannot be compared in the folder liver: {no_layer}."
        )
    Annotation().createAnnotation(slides[0], user, {"name": "gland", "elements": []})
    answer = compare(new)
    assertStatus(answer, 400)
    assert (
        "the models have learnt from every slide on which gland is drawn"
        in (answer.json["message"])
    )
    other = packed(CARD | {"classes": [{"name": "nucleus", "colour": "#009e73"}]})
    answer = compare(upload(other, shelf, admin, "other.zip"))
    assert "has a layer of a class that both models have" in answer.json["message"]
    answer = compare(old)
    assert answer.json["message"] == "old.zip cannot be compared with itself."
    assert started == []
    assert ModelComparison().findOne({}) is None


def test_models_of_one_name_are_not_compared(
    server, user, folder, shelf, old, drawn, started, compare, admin
):
    same = upload(model_file("new"), folder, admin, "old.zip")
    why = "Both models are called old.zip, so that nobody could tell their errors apart"
    for answer in (compare(same), train(server, user, folder, shelf, folder, name="old")):
        assertStatus(answer, 400)
        assert answer.json["message"].startswith(why)
    assert started == []


def test_without_a_default_both_models_are_named(folder, new, old, drawn, compare):
    Folder().deleteMetadata(folder, ["deeplabDefaultModels"])
    answer = compare(new)
    assertStatus(answer, 400)
    assert answer.json["message"] == (
        "The folder liver has no default model to compare with; choose a model."
    )
    assertStatusOk(compare(new, oldModelId=str(old["_id"])))


def test_an_evaluation_that_is_lost_is_run_again_at_most_twice(
    new, old, drawn, workers, started, compare
):
    told = compare(new).json
    first, second = carry_on_to_evaluations(told, workers)
    end(second)
    for again in range(2):
        end(now_of(told)["evaluationIds"][0], JobStatus.ERROR, "ConnectionError\n")
        carry_on(workers)
        assert len(started) == 3 + again
    assert first not in now_of(told)["evaluationIds"]
    end(now_of(told)["evaluationIds"][0], JobStatus.ERROR)
    carry_on(workers)
    assert len(started) == 4
    assert now_of(told)["reason"] == "The worker that evaluated old.zip was lost."


def test_an_evaluation_that_says_why_it_failed_is_not_run_again(
    new, old, drawn, workers, started, compare
):
    told = compare(new).json
    (_, second) = carry_on_to_evaluations(told, workers)
    end(second, JobStatus.ERROR, "error: the layers are of another slide\n")
    carry_on(workers)
    assert now_of(told)["reason"] == (
        "The evaluation of new.zip failed: the layers are of another slide"
    )
    assert len(started) == 2


def test_who_cancels_its_job_stops_all_of_it(new, old, drawn, workers, started, compare):
    told = compare(new).json
    carry_on(workers, 2)
    Job().cancelJob(job_of(told))
    carry_on(workers, 10)
    assert now_of(told)["state"] == "cancelled"
    states = {Batch().load(each, force=True)["state"] for each in now_of(told)["batchIds"]}
    assert states == {"cancelled"}
    assert started == []


def test_a_batch_that_was_half_made_is_made_once(new, old, drawn, workers, compare):
    told = compare(new).json
    carry_on(workers)
    first = now_of(told)["batchIds"][0]
    Batch().collection.delete_one({"_id": first})  # as if the server had ended before it was there
    carry_on(workers)
    assert Batch().load(first, force=True) is not None
    assert Run().collection.count_documents({"batchId": first}) == 2


def test_a_model_that_is_gone_ends_the_comparison(new, old, drawn, workers, compare):

    told = compare(new).json
    Item().remove(new)
    carry_on(workers)
    assert now_of(told)["reason"] == "One of the models is not there any more."


def test_a_comparison_is_seen_by_who_may_see_its_slides(
    server, admin, user, folder, old, new, drawn, compare
):
    Folder().setPublic(folder, public=False, save=True)
    told = compare(new).json
    path = f"/deeplab/comparison/{told['_id']}"
    assertStatusOk(server.request(path, user=user))
    assertStatusOk(server.request(path, user=admin))
    assertStatus(server.request(path), 401)
    listed = server.request("/deeplab/comparison", params={"folderId": str(folder["_id"])})
    assertStatus(listed, 401)


def test_who_may_not_write_to_the_slides_cannot_have_them_compared(
    server, user, folder, shelf, old, new, drawn, compare
):
    Folder().setUserAccess(folder, user, AccessType.READ, save=True)
    assertStatus(compare(new), 403)
    assertStatus(compare(new, who=None), 401)
    assertStatus(train(server, user, folder, shelf, folder), 403)


def test_servers_do_not_carry_the_same_comparison_on_at_once(new, old, drawn, workers, compare):
    told = compare(new).json
    held = ModelComparison().lock(now_of(told)["_id"], driver.now_utc())
    carry_on(workers)
    assert Batch().findOne({}) is None
    workers.now += timedelta(minutes=3)  # by then the other one has ended
    carry_on(workers)
    assert Batch().collection.count_documents({}) == 2
    assert held["lock"] != now_of(told)["lock"]
    assert json.dumps(told)  # what is told is plain
