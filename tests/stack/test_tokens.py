"""The token of a job that the plugin starts: where it is while the job runs, and that it ends."""

import json
import subprocess
import time

import pytest

from local_stack.containers import running_containers
from local_stack.rest import GirderRest, RestError
from tests.stack.running_site import JOB_STATUS, log

VARIABLE = "DEEPLAB_GIRDER_TOKEN"
PATIENCE_S = 300


def test_the_token_of_a_job_is_in_no_argument_and_no_log_and_ends_with_it(site, model_id):
    folder_id = site.folder("tokens")
    slide_id = site.upload_slide("token.svs", folder_id)
    model = site.girder.get(f"file/{model_id}")["itemId"]
    batch = site.girder.post("deeplab/segment", folderId=folder_id, modelId=model)
    container = container_of_job(site)
    environment = dict(each.split("=", 1) for each in container["Config"]["Env"])
    token = environment[VARIABLE]
    assert token not in json.dumps(container["Args"])
    of_job = GirderRest(site.girder.url)
    of_job.token = token
    assert of_job.get(f"item/{slide_id}")["name"] == "token.svs"
    with pytest.raises(RestError):
        of_job.get("api_key")  # it can read and write data, and nothing else
    whole, _ = site.wait({"_id": batch["jobId"]})
    assert JOB_STATUS[whole["status"]] == "success", log(whole)
    (told,) = site.girder.get(f"deeplab/batch/{batch['_id']}/slide")
    job = site.girder.get(f"job/{told['jobId']}")
    assert site.layers(slide_id)
    assert "[hidden]" in log(job), "what girder_worker prints of the container"
    assert token not in json.dumps(job)
    site.girder.put(f"folder/{folder_id}/access", access={"users": [], "groups": []}, public=False)
    with pytest.raises(RestError, match="401"):
        of_job.get(f"item/{slide_id}")


def container_of_job(site):
    """What Docker knows of the one container that works for this site."""
    address = f":{site.running.plan.girder_port}/api/v1"
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        for name in running_containers(site.running.plan.image):
            told = subprocess.run(["docker", "inspect", name], capture_output=True, check=False)
            for container in json.loads(told.stdout or "[]"):
                if any(address in word for word in container["Args"]):
                    return container
        time.sleep(0.2)
    raise AssertionError("no job has begun")
