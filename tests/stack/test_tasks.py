"""The tasks in Docker, started through Girder's REST interface as HistomicsUI starts them."""

import json
import secrets
import subprocess
import time

import pytest

from local_stack.girder_site import MODELS, SLIDE_NAME
from local_stack.rest import GirderRest, RestError
from tests.stack.running_site import JOB_STATUS, log

GUEST_PASSWORD = secrets.token_urlsafe()
REGION = "200,300,900,800"  # x, y, width, height in level-0 pixels; dense tissue


@pytest.fixture
def slide_id(site):
    """The sample slide without annotations."""
    site.clear(site.running.slide_id)
    yield site.running.slide_id
    site.clear(site.running.slide_id)


def test_segmentation_puts_a_layer_per_class_on_the_real_slide(site, slide_id, model_id):
    job, progress = site.run(
        "SegmentWSI", inputImageFile=site.file_id(slide_id), inputModelFile=model_id
    )
    layers = site.layers(slide_id)
    assert layers, log(job)
    elements = [element for layer in layers.values() for element in layer["elements"]]
    assert len(elements) > 100  # the slide holds thousands of nuclei
    for name, layer in layers.items():
        assert layer["attributes"], "a layer says which model and settings made it"
        for element in layer["elements"]:
            assert element["type"] == "polyline"
            assert element["closed"]
            assert element["group"] == name
            assert element["lineColor"].startswith("rgb")
            assert element["user"]["area_um2"] > 0
            assert 0 < element["user"]["confidence"] <= 1
    assert progress, "the job reported how far it was"
    assert site.leftovers() == []


def test_region_is_kept_to(site, slide_id, model_id):
    site.run(
        "SegmentWSI",
        inputImageFile=site.file_id(slide_id),
        inputModelFile=model_id,
        region=json.loads(f"[{REGION}]"),
    )
    x0, y0, width, height = map(int, REGION.split(","))
    points = [
        point
        for layer in site.layers(slide_id).values()
        for element in layer["elements"]
        for point in element["points"]
    ]
    assert points
    # A pixel of the network's scale whose centre is inside is kept whole: at most half of it stands out.
    edge = 0.5
    assert min(x for x, _, _ in points) >= x0 - edge
    assert max(x for x, _, _ in points) <= x0 + width + edge
    assert min(y for _, y, _ in points) >= y0 - edge
    assert max(y for _, y, _ in points) <= y0 + height + edge


def test_file_and_streamed_slide_give_the_same_annotation(site, slide_id, model_id, tmp_path):
    site.run(
        "SegmentWSI",
        inputImageFile=site.file_id(slide_id),
        inputModelFile=model_id,
        region=json.loads(f"[{REGION}]"),
    )
    streamed = {name: layer["elements"] for name, layer in site.layers(slide_id).items()}
    segment_in_container(site, tmp_path)
    local = {
        layer["name"]: layer["elements"] for layer in json.loads((tmp_path / "a.anot").read_text())
    }
    assert streamed.keys() == local.keys()
    for name, elements in local.items():
        assert [e["points"] for e in streamed[name]] == [e["points"] for e in elements]
        assert [e.get("holes") for e in streamed[name]] == [e.get("holes") for e in elements]


def test_image_serves_any_user_on_a_read_only_root(site, tmp_path):
    tmp_path.chmod(0o777)
    # The path is one inside the container.
    options = ["--user", "1000:1000", "--read-only", "--tmpfs", "/tmp"]  # noqa: S108
    segment_in_container(site, tmp_path, *options)
    assert json.loads((tmp_path / "a.anot").read_text())


def test_stock_slicer_entry_point_works_in_the_image(site):
    stock = ["docker", "run", "--rm", "--entrypoint", "python", site.running.plan.image]
    stock += ["-m", "slicer_cli_web.cli_list_entrypoint"]
    listed = subprocess.run([*stock, "--list_cli"], capture_output=True, check=True)
    for task in json.loads(listed.stdout):
        form = subprocess.run([*stock, task, "--xml"], capture_output=True, check=True)
        assert form.stdout.lstrip().startswith(b"<")


def test_user_without_rights_gets_one_sentence_in_the_job_log(site, model_id):
    folder_id = site.folder("private")
    site.girder.put(f"folder/{folder_id}/access", access={"users": [], "groups": []}, public=False)
    hidden = site.upload_slide("hidden.svs", folder_id)
    guest = GirderRest(site.girder.url)
    try:
        guest.login("guest", GUEST_PASSWORD)
    except RestError:
        guest.post(
            "user",
            login="guest",
            password=GUEST_PASSWORD,
            email="guest@stack.invalid",
            firstName="A",
            lastName="Guest",
        )
        guest.login("guest", GUEST_PASSWORD)
    # The item's id, because Girder itself does not resolve what `_girder_id_` hands over.
    started = site.start("SegmentWSI", guest, inputImageFile=hidden, inputModelFile=model_id)
    job, _ = site.wait(started)
    assert JOB_STATUS[job["status"]] == "error"
    sentences = [line for line in log(job).splitlines() if line.startswith("error: ")]
    assert len(sentences) == 1, log(job)
    assert f"error: {job['progress']['message']}" == sentences[0]
    assert site.layers(hidden) == {}


def test_cancelled_job_leaves_nothing(site, slide_id, model_id):
    job = site.start("SegmentWSI", inputImageFile=site.file_id(slide_id), inputModelFile=model_id)
    running, _ = site.wait(job, until=("running", "success", "error"))
    assert JOB_STATUS[running["status"]] == "running"
    time.sleep(2)  # into its work
    site.girder.put(f"job/{job['_id']}/cancel")
    cancelled, _ = site.wait(job, until=("cancelled", "success", "error"))
    assert JOB_STATUS[cancelled["status"]] == "cancelled", log(cancelled)
    assert site.leftovers() == []
    assert site.layers(slide_id) == {}


def segment_in_container(site, out, *options):
    """Segment a region of the sample slide without Girder or network; the result is out/a.anot."""
    model = sorted(MODELS.glob("*.zip"))[0]
    slides = site.running.plan.home / "slides"
    mounts = [f"{slides}:/slides:ro", f"{model.parent}:/models:ro", f"{out}:/out"]
    command = ["docker", "run", "--rm", "--network", "none", *options]
    for mount in mounts:
        command += ["-v", mount]
    command += [site.running.plan.image, "SegmentWSI", f"/slides/{SLIDE_NAME}"]
    command += ["--inputModelFile", f"/models/{model.name}", "--region", REGION]
    subprocess.run([*command, "--outputAnnotationFile", "/out/a.anot"], check=True)
