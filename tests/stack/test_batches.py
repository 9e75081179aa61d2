"""A batch of slides while workers are killed, and the broker and Girder start anew."""

import os
import shutil
import signal
import time
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from local_stack.containers import running_containers
from local_stack.services import (
    girder_service,
    port_answers,
    redis_service,
    worker_service,
)
from tests.slides_for_tests import tissue, write_tiff
from tests.stack.running_site import JOB_STATUS

SLIDES = 12
BROKEN, DELETED = "s04.tiff", "s10.tiff"
PATIENCE_S = 1500


@pytest.mark.parametrize(("killed_at", "restarted_at"), [(2, 4), (1, 6), (4, 5)])
def test_each_slide_of_a_batch_has_one_result_whoever_dies_meanwhile(
    site, model_id, tmp_path, killed_at, restarted_at
):
    girder = site.girder
    folder_id = site.folder(f"batch {killed_at} {restarted_at}")
    ids = upload_slides(girder, folder_id, tmp_path)
    girder.put("system/setting", key="deeplab.lease_minutes", value="1")
    model = girder.get(f"file/{model_id}")["itemId"]
    with second_worker(site) as second:
        batch = girder.post("deeplab/segment", folderId=folder_id, recursive="true", modelId=model)
        assert batch["counts"]["waiting"] == SLIDES
        girder.delete(f"item/{ids[DELETED]}")
        path = f"deeplab/batch/{batch['_id']}"
        wait_until(lambda: girder.get(path)["counts"]["done"] >= killed_at, "some are done")
        os.killpg(second.pid(), signal.SIGKILL)  # its container goes on
        wait_until(lambda: second.pid() is None, "the second worker is dead")
        second.start(lambda: True)
        wait_until(lambda: girder.get(path)["counts"]["done"] >= restarted_at, "more are done")
        start_anew(site.running.plan)
        workers = [worker_service(site.running.plan), second]
        wait_until(lambda: ended(girder, path, workers), "the batch has ended")
    girder.put("system/setting", key="deeplab.lease_minutes", value="15")
    wait_until(lambda: not running_containers(site.running.plan.image), "no container runs")
    for folder in (site.running.plan.data / "tmp").iterdir():
        shutil.rmtree(folder)  # of the dead worker, which could not tidy up
    time.sleep(15)  # the server tidies up after what came late
    slides = {each["name"]: each for each in girder.get(f"{path}/slide", limit=0)}
    assert sorted(slides) == sorted(ids)
    for name in sorted(set(slides) - {BROKEN, DELETED}):
        check_layers(girder, ids[name], slides[name])
    assert slides[DELETED]["reason"] == "The slide is not there any more."
    assert slides[BROKEN]["state"] == "failed"
    assert slides[BROKEN]["reason"]  # which one depends on what was away when it ended
    assert girder.get("annotation", itemId=ids[BROKEN], limit=0) == []
    config = girder.get(f"folder/{folder_id}/yaml_config/.histomicsui_config.yaml")
    groups = [each["id"] for each in config["annotationGroups"]["groups"]]
    assert groups == [each["name"] for each in model_of(girder, model)["classes"]]
    whole = girder.get(f"job/{batch['jobId']}")
    assert whole["progress"]["message"] == f"{SLIDES - 2} of {SLIDES} slides, 2 failed"
    assert JOB_STATUS[whole["status"]] == "error"


def ended(girder, path, workers):
    """Whether a batch has ended; workers that have are started again, as every site has them.

    Celery's ends for good now and then when its broker goes: https://github.com/celery/kombu/issues/582
    """
    for worker in workers:
        worker.start(lambda: True)
    return girder.get(path)["state"] == "ended"


def model_of(girder, item_id):
    """What the site knows of a model."""
    (found,) = [each for each in girder.get("deeplab/model") if each["_id"] == item_id]
    return found


def upload_slides(girder, folder_id, tmp_path):
    """The ids of slides by name, some in the folder and some in one in it."""
    within = girder.post("folder", parentType="folder", parentId=folder_id, name="more")["_id"]
    ids = {}
    for number in range(SLIDES):
        rgb, _ = tissue(1024, 1024, seed=number)
        slide = write_tiff(tmp_path / f"s{number:02}.tiff", rgb, compression="deflate", mpp=0.5)
        if slide.name == BROKEN:
            damage(slide)
        ids[slide.name] = girder.upload(slide, within if number % 2 else folder_id)["itemId"]
    return ids


@contextmanager
def second_worker(site):
    """A worker beside the one that the stack has."""
    plan = site.running.plan
    first = worker_service(plan)
    second = replace(
        first,
        name="second-worker",
        command=[*first.command[:-2], "--concurrency", "1", "-n", "second@%h"],
    )
    second.start(lambda: True)
    try:
        yield second
    finally:
        second.stop()


def start_anew(plan):
    """Stop the broker, which forgets what is in the queue, and Girder; then start both."""
    redis, server = redis_service(plan), girder_service(plan)
    redis.stop()
    redis.start(port_answers(plan.redis_port))
    server.stop()
    server.start(port_answers(plan.girder_port), timeout_s=120)


def check_layers(girder, slide_id, told):
    """A slide has the layers of one run, which know their job as it knows them."""
    assert told["state"] == "done", told
    found = girder.get("annotation", itemId=slide_id, limit=0)
    assert sorted(each["_id"] for each in found) == sorted(told["layers"])
    names = [each["annotation"]["name"] for each in found]
    assert names
    assert len(set(names)) == len(names)
    made = [each["annotation"]["attributes"] for each in found]
    assert len({each["run"] for each in made}) == 1
    assert {each["job"] for each in made} == {told["jobId"]}
    assert JOB_STATUS[girder.get(f"job/{told['jobId']}")["status"]] == "success"


def damage(slide):
    """Make most pixels of a file unreadable, not what it says of itself."""
    content = np.fromfile(slide, np.uint8)
    content[len(content) // 4 : -len(content) // 4] = 0
    content.tofile(slide)


def wait_until(what, said):
    """Ask again and again; a server that starts anew is no answer."""
    deadline = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < deadline, f"not within {PATIENCE_S} s: {said}"
        time.sleep(2)
