"""A folder of slides that were segmented has groups to draw in, of the model's classes."""

import io

import pytest
import yaml

pytest.importorskip("girder")

from fake_workers import as_task
from girder.constants import AccessType
from girder.models.collection import Collection
from girder.models.folder import Folder
from girder.models.item import Item
from girder.models.setting import Setting
from girder.models.upload import Upload
from girder_jobs.constants import JobStatus
from girder_jobs.models.job import Job
from girder_large_image import yamlConfigFile

from girder_deeplab import driver
from girder_deeplab.models import MODEL_KEY
from girder_deeplab.palette import CONFIG
from girder_deeplab.settings import DEFAULT_IMAGE
from girder_deeplab.tasks import Workers

CLASSES = [{"name": "Drüse: a", "colour": "#009e73"}, {"name": "stroma", "colour": "#d55e00"}]
HOTKEYS = {"hotkeys": {"v": "next"}}
pytestmark = pytest.mark.plugin("deeplab")


@pytest.fixture(autouse=True)
def address(server, fsAssetstore):  # noqa: N803  pytest-girder calls it so
    """girder_worker, which follows every job, asks the server for its own address."""
    Setting().set("worker.api_url", "http://girder:8080/api/v1")


@pytest.fixture
def segmented(user, slides, model):
    """What lets a job of SegmentWSI on the first slide end well."""
    Item().setMetadata(model, {MODEL_KEY: {"task": "SegmentWSI", "classes": CLASSES}})
    (file,) = Item().childFiles(model)

    def run():
        job = Job().createJob("Segment", f"{DEFAULT_IMAGE}#SegmentWSI", user=user, handler="fake")
        params = {"inputImageFile": str(slides[0]["_id"]), "inputModelFile": str(file["_id"])}
        asked = {"_original_params": params}
        job = Job().updateJob(job, status=JobStatus.RUNNING, otherFields=asked)
        as_task(slides[0], user, "", "a run")
        Job().updateJob(job, status=JobStatus.SUCCESS)
        driver.advance(driver.now_utc(), Workers())

    return run


def configs(folder):
    return [each["name"] for each in Folder().childItems(folder) if each["name"] == CONFIG]


def put_config(folder, user, content):
    text = yaml.safe_dump(content).encode()
    Upload().uploadFromFile(
        io.BytesIO(text), len(text), CONFIG, parentType="folder", parent=folder, user=user
    )


def test_the_classes_become_groups_in_their_colours(user, folder, segmented):
    segmented()
    config = yamlConfigFile(folder, CONFIG, user)
    assert config["annotationGroups"]["defaultGroup"] == "Drüse: a"
    assert config["annotationGroups"]["groups"] == [
        {
            "id": "Drüse: a",
            "lineColor": "rgb(0, 158, 115)",
            "fillColor": "rgba(0, 158, 115, 0.25)",
            "lineWidth": 2,
        },
        {
            "id": "stroma",
            "lineColor": "rgb(213, 94, 0)",
            "fillColor": "rgba(213, 94, 0, 0.25)",
            "lineWidth": 2,
        },
    ]
    segmented()
    assert configs(folder) == [CONFIG]


def test_what_other_files_say_goes_on_to_hold(user, admin, folder, segmented):
    parent = Folder().createFolder(
        Collection().findOne({"name": "Slides"}), "all", parentType="collection", creator=admin
    )
    put_config(Folder().setUserAccess(parent, user, AccessType.READ, save=True), admin, HOTKEYS)
    Folder().move(folder, parent, "folder")
    segmented()
    config = yamlConfigFile(Folder().load(folder["_id"], force=True), CONFIG, user)
    assert config["hotkeys"] == HOTKEYS["hotkeys"]
    assert len(config["annotationGroups"]["groups"]) == 2


@pytest.mark.parametrize("content", [{"annotationGroups": {"groups": []}}, {"settings": {}}])
def test_a_folder_that_has_its_own_is_left_alone(user, folder, segmented, content):
    put_config(folder, user, content)
    segmented()
    assert yamlConfigFile(folder, CONFIG, user) == content
    assert configs(folder) == [CONFIG]


def test_a_folder_that_the_user_may_not_write_to_is_left_alone(user, folder, segmented):
    Folder().setUserAccess(folder, user, AccessType.READ, save=True)
    segmented()
    assert configs(folder) == []


def test_a_damaged_file_hinders_nothing(user, folder, slides, segmented, caplog):
    text = b"a: [b"
    Upload().uploadFromFile(
        io.BytesIO(text), len(text), CONFIG, parentType="folder", parent=folder, user=user
    )
    segmented()
    assert Job().findOne({"type": f"{DEFAULT_IMAGE}#SegmentWSI"})["deeplabLayers"]
    assert "was not given groups" in caplog.text
