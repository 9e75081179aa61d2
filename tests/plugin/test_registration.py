"""The tasks are registered once per image, and nothing that is missing keeps a server from starting."""

import json
import time
from pathlib import Path

import pytest

pytest.importorskip("girder")

from girder.exceptions import ValidationException
from girder.models.folder import Folder
from girder.models.setting import Setting
from girder_jobs.constants import JobStatus
from girder_jobs.models.job import Job
from pytest_girder.assertions import assertStatus, assertStatusOk
from slicer_cli_web.models import CLIItem

from girder_deeplab import images
from girder_deeplab.settings import DEFAULT_IMAGE, SettingKey

SPECS = Path(__file__).parents[2] / "slicer_cli_spec"
TASKS = json.loads((SPECS / "slicer_cli_list.json").read_text())
pytestmark = pytest.mark.plugin("deeplab")


def wait_until(condition, timeout_s=20):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "nothing happened in time"
        time.sleep(0.05)


def jobs():
    return list(Job().find({"type": images.JOB_TYPE}))


def task_names():
    return sorted(item.name for item in CLIItem.findAllItems())


def image_in_docker(docker, image_id, tasks=TASKS):
    docker.ids[DEFAULT_IMAGE] = image_id
    docker.answers["--list_cli"] = json.dumps(tasks)
    for task in tasks:
        docker.answers[f"{task} --xml"] = (SPECS / f"{task}.xml").read_text()


def registered(image_id):
    return images.image_states([DEFAULT_IMAGE])[0].registered == image_id


def test_first_administrator_gets_the_tasks_without_asking(server, fake_docker, request):
    image_in_docker(fake_docker, "sha256:one")
    request.getfixturevalue("admin")
    wait_until(lambda: registered("sha256:one"))
    assert task_names() == sorted(TASKS)
    folder = Folder().load(Setting().get("slicer_cli_web.task_folder"), force=True)
    assert folder["public"]


def test_tasks_can_be_run_by_rest_after_registration(server, fake_docker, admin, user):
    image_in_docker(fake_docker, "sha256:one")
    images.register_changed()
    wait_until(lambda: registered("sha256:one"))
    listed = server.request("/slicer_cli_web/docker_image", user=user)
    assertStatusOk(listed)
    assert sorted(listed.json["histomics-deeplab"]["latest"]) == sorted(TASKS)


def test_second_start_does_nothing_for_an_unchanged_image(server, fake_docker, admin, settle):
    image_in_docker(fake_docker, "sha256:one")
    images.register_changed()
    wait_until(lambda: registered("sha256:one"))
    settle()
    before = len(jobs())
    runs = len(fake_docker.runs)
    assert images.register_changed() == []
    assert len(jobs()) == before
    assert len(fake_docker.runs) == runs


def test_changed_image_is_read_again_and_lost_tasks_go(server, fake_docker, admin):
    image_in_docker(fake_docker, "sha256:one")
    images.register_changed()
    wait_until(lambda: registered("sha256:one"))
    image_in_docker(fake_docker, "sha256:two", tasks={"SegmentWSI": TASKS["SegmentWSI"]})
    images.register_changed()
    wait_until(lambda: registered("sha256:two"))
    assert task_names() == ["SegmentWSI"]


def test_image_whose_tasks_cannot_be_read_is_tried_again(server, fake_docker, admin, settle):
    settle()
    image_in_docker(fake_docker, "sha256:broken")
    fake_docker.answers["--list_cli"] = "not json"
    images.register_changed()
    wait_until(lambda: [job["status"] for job in jobs()] == [JobStatus.ERROR])
    assert not registered("sha256:broken")
    image_in_docker(fake_docker, "sha256:broken")
    images.register_changed()
    wait_until(lambda: registered("sha256:broken"))


def test_server_without_docker_says_so_once_and_goes_on(server, fake_docker, admin, settle, caplog):
    fake_docker.down = True
    settle()
    caplog.clear()
    assert images.register_changed() == []
    assert [r.levelname for r in caplog.records if r.name == "girder.deeplab"] == ["WARNING"]
    assert "Docker does not answer on this server" in caplog.text
    assert jobs() == []


def test_server_without_the_image_names_it_and_the_setting(
    server, fake_docker, admin, settle, caplog
):
    settle()
    caplog.clear()
    assert images.register_changed() == []
    assert f"{DEFAULT_IMAGE} were not registered" in caplog.text
    assert SettingKey.IMAGES in caplog.text


def test_several_images_are_registered_and_none_when_the_list_is_empty(
    server, fake_docker, admin, settle
):
    image_in_docker(fake_docker, "sha256:one")
    fake_docker.ids["site/other:2"] = "sha256:other"
    Setting().set(SettingKey.IMAGES, [DEFAULT_IMAGE, "site/other:2"])
    wait_until(lambda: {i.image for i in CLIItem.findAllItems()} == {DEFAULT_IMAGE, "site/other:2"})
    wait_until(lambda: all(s.registered for s in images.image_states(["site/other:2"])))
    before = len(jobs())
    Setting().set(SettingKey.IMAGES, [])
    settle()
    assert images.register_changed() == []
    assert len(jobs()) == before


def test_task_folder_that_a_site_has_set_is_used(server, fake_docker, admin):
    own = Folder().createFolder(admin, "our tasks", parentType="user", creator=admin)
    Setting().set("slicer_cli_web.task_folder", str(own["_id"]))
    image_in_docker(fake_docker, "sha256:one")
    images.register_changed()
    wait_until(lambda: registered("sha256:one"))
    assert [f["name"] for f in Folder().find({"parentId": own["_id"]})] == ["histomics-deeplab"]


@pytest.mark.parametrize(
    "value",
    ["histomics-deeplab:latest", [7], ["no-tag"], ["a b:1"], ["--privileged:1"], ["a:1", "a:1"]],
)
def test_setting_refuses_what_is_not_a_list_of_images(server, fake_docker, value):
    with pytest.raises(ValidationException):
        Setting().set(SettingKey.IMAGES, value)


@pytest.mark.parametrize(
    "name", ["a:1", "registry.site:5000/lab/deeplab:v1.2_gpu", "lab/deeplab@sha256:" + "0" * 64]
)
def test_setting_takes_names_with_tag_or_digest(server, fake_docker, name):
    Setting().set(SettingKey.IMAGES, [name])
    assert Setting().get(SettingKey.IMAGES) == [name]


def test_only_administrators_see_the_images(server, fake_docker, admin, user):
    image_in_docker(fake_docker, "sha256:one")
    images.register_changed()
    wait_until(lambda: registered("sha256:one"))
    assertStatus(server.request("/deeplab/image", user=user), 403)
    states = server.request("/deeplab/image", user=admin)
    assertStatusOk(states)
    assert states.json == [
        {"name": DEFAULT_IMAGE, "available": "sha256:one", "registered": "sha256:one"}
    ]
