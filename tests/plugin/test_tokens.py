"""A job has one token of little power, which no log and no argument shows, and which ends with it."""

import json
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import pytest

pytest.importorskip("girder")

from girder.constants import AccessType
from girder.exceptions import AccessException
from girder.models.folder import Folder
from girder.models.setting import Setting
from girder.models.token import Token
from girder_jobs.constants import JobStatus
from girder_jobs.models.job import Job
from pytest_girder.assertions import assertStatus, assertStatusOk
from slicer_cli_web.girder_worker_plugin.direct_docker_run import run
from slicer_cli_web.models import CLIItem

from girder_deeplab import tasks
from girder_deeplab.settings import DEFAULT_IMAGE
from girder_deeplab.tokens import JOB_KEY, SCOPES, VARIABLE

pytestmark = pytest.mark.plugin("deeplab")
ADDRESS = "http://girder:8080/api/v1"
OURS = f"{DEFAULT_IMAGE}#SegmentWSI"
ENDS = (JobStatus.SUCCESS, JobStatus.ERROR, JobStatus.CANCELED)


@pytest.fixture
def given(monkeypatch, server):
    """What girder_worker is given for each job, in the place of a broker."""
    calls = []

    def delay(**kwargs):
        calls.append(kwargs)
        job = Job().createJob(kwargs["girder_job_title"], OURS, user=kwargs["girder_user"])
        job["_original_params"] = {}
        return SimpleNamespace(job=job)

    monkeypatch.setattr(run, "delay", delay, raising=False)
    Setting().set("worker.api_url", ADDRESS)
    return calls


@pytest.fixture
def results(admin, user, folder):
    """A folder for results."""
    made = Folder().createFolder(folder, "results", creator=admin, public=True)
    return Folder().setUserAccess(made, user, AccessType.WRITE, save=True)


def tokens_of(user):
    return list(Token().find({"userId": user["_id"], JOB_KEY: {"$exists": True}}))


def start(task, slides, results, user):
    asked = {"inputImageFile": str(slides[0]["_id"]), "inputFolder": str(results["_id"])}
    asked |= {"output_model": "a.zip", "output_model_folder": str(results["_id"])}
    return tasks.start(CLIItem(task), asked, user, ADDRESS)


def test_a_job_has_one_token_and_its_task_finds_it_in_the_environment(
    user, results, slides, register, given
):
    job = start(register("TrainNetwork"), slides, results, user)
    (token,) = tokens_of(user)
    assert token[JOB_KEY] == job["_id"]
    assert sorted(token["scope"]) == sorted(SCOPES)
    lasts = token["expires"].replace(tzinfo=timezone.utc) - datetime.now(timezone.utc)  # noqa: UP017
    assert lasts <= timedelta(days=7)
    (call,) = given
    assert call["environment"][VARIABLE].transform() == token["_id"]
    assert "--girderToken" not in call["container_args"]
    clients = [each.gc for each in call["container_args"] if hasattr(each, "gc")]
    clients += [hook.gc for hook in call["girder_result_hooks"]]
    assert len(clients) >= 2  # who tells the address, and who puts the model there
    assert {each.token for each in clients} == {token["_id"]}
    assert token["_id"] not in repr(call)


def test_a_task_of_an_old_image_finds_its_token_among_its_arguments(
    user, results, slides, register, given
):
    task = register("TrainNetwork")
    task["meta"]["xml"] = task["meta"]["xml"].replace(VARIABLE, "something else")
    start(task, slides, results, user)
    (token,) = tokens_of(user)
    (call,) = given
    words = call["container_args"]
    assert words[words.index("--girderToken") + 1].transform() == token["_id"]
    assert "environment" not in call


@pytest.mark.parametrize("status", ENDS)
def test_the_token_ends_with_the_job(server, user, results, slides, register, given, status):
    job = start(register("TrainNetwork"), slides, results, user)
    (token,) = tokens_of(user)
    path = f"/folder/{results['_id']}"
    assertStatusOk(server.request(path, user=None, token=token["_id"]))
    for each in (JobStatus.QUEUED, JobStatus.RUNNING, status):
        assert tokens_of(user)
        job = Job().updateJob(job, status=each)
    assert not tokens_of(user)
    Folder().setPublic(results, public=False, save=True)
    assertStatus(server.request(path, user=None, token=token["_id"]), 401)


def test_a_job_that_could_not_be_made_leaves_no_token(user, results, slides, register, given):
    task = CLIItem(register("TrainNetwork"))
    before = len(list(Token().find({"userId": user["_id"]})))
    Folder().setUserAccess(results, user, AccessType.READ, save=True)
    place = {"inputFolder": "f", "output_model": "a.zip"}
    place["output_model_folder"] = str(results["_id"])
    with pytest.raises(AccessException):
        tasks.start(task, place, user, ADDRESS)
    assert len(list(Token().find({"userId": user["_id"]}))) == before


@pytest.mark.parametrize(
    "printed",
    [
        "args: ['SegmentWSI', '--girderApiUrl', 'http://girder', '--girderToken', '{}'] runtime: None",
        "kwargs: {{'tty': False, 'environment': {{'DEEPLAB_GIRDER_TOKEN': '{}'}}, 'detach': True}}",
    ],
)
def test_the_log_of_a_job_does_not_show_it(given, user, printed):
    job = Job().createJob("Segment a slide", OURS, user=user)
    token = "x0" * 32
    line = "Running container: image: sha256:1 " + printed.format(token) + "\n"
    Job().updateJob(job, log="before\n")
    job = Job().updateJob(job, log=line, status=JobStatus.QUEUED)
    kept = Job().load(job["_id"], force=True, includeLog=True)
    assert kept["log"] == ["before\n", line.replace(token, "[hidden]")]
    assert job["status"] == kept["status"] == JobStatus.QUEUED


def test_logs_of_other_jobs_are_left_alone(given, user):
    job = Job().createJob("another", "other/image:latest#Task", user=user)
    line = json.dumps({"--girderToken'": ", 'abc'"})
    Job().updateJob(job, log=line)
    assert Job().load(job["_id"], force=True, includeLog=True)["log"] == [line]
