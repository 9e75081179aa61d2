"""The tasks on annotations in Docker, alone and as jobs of Girder."""

import json
import subprocess
from xml.etree import ElementTree as ET

import pytest

from tests.stack.running_site import JOB_STATUS, log

LAYER = "Tumor, Übergang/🔬"
RINGS = [
    [[10, 10], [60, 10], [60, 50], [10, 50], [10, 10]],
    [[20, 20], [20, 30], [30, 30], [30, 20], [20, 20]],
]


@pytest.fixture
def drawn(tmp_path):
    """A file as QuPath writes it, in a folder that every user may write to."""
    tmp_path.chmod(0o777)
    feature = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": RINGS},
        "properties": {
            "objectType": "annotation",
            "classification": {"name": LAYER, "color": [200, 10, 20]},
            "measurements": {"grade": 3},
        },
    }
    path = tmp_path / "drawn.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    return path


@pytest.fixture
def folder_id(site):
    """A folder of its own."""
    made = site.folder("annotation files")
    yield made
    site.girder.delete(f"folder/{made}")


def check_regions(text):
    """The outline and the hole as ImageScope has them."""
    (layer,) = ET.fromstring(text).iter("Annotation")
    assert (layer.get("Name"), layer.get("LineColor")) == (LAYER, str(200 | 10 << 8 | 20 << 16))
    assert [region.get("NegativeROA") for region in layer.iter("Region")] == ["0", "1"]
    assert [region.get("Area") for region in layer.iter("Region")] == ["2000.00", "100.00"]


def test_a_file_is_converted_in_the_image_by_any_user_without_network(site, drawn):
    command = ["docker", "run", "--rm", "--network", "none", "--user", "1000:1000", "--read-only"]
    # The paths are those inside the container.
    command += ["--tmpfs", "/tmp", "-v", f"{drawn.parent}:/files"]  # noqa: S108
    command += [site.running.plan.image, "ConvertAnnotations", "/files/drawn.geojson"]
    done = subprocess.run(
        [*command, "/files/drawn.xml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "GeoJSON to ImageScope XML" in done.stdout
    check_regions((drawn.parent / "drawn.xml").read_bytes())


def test_a_file_of_girder_is_converted_beside_the_one_that_stays(site, drawn, folder_id):
    file_id = site.girder.upload(drawn, folder_id)["_id"]
    job, _ = site.run(
        "ConvertAnnotations",
        inputAnnotationFile=file_id,
        outputFile="converted.xml",
        outputFile_folder=folder_id,
    )
    assert f"{LAYER}: 1 shapes" in log(job)
    found = site.girder.get("item", folderId=folder_id)
    items = {item["name"]: item["_id"] for item in found}
    assert sorted(items) == ["converted.xml", "drawn.geojson"]
    check_regions(site.girder.get(f"item/{items['converted.xml']}/download"))
    # Girder sends bytes, which are JSON here and come parsed.
    stayed = site.girder.get(f"item/{items['drawn.geojson']}/download")
    assert stayed == json.loads(drawn.read_text())
    assert site.leftovers() == []


def test_a_file_that_is_none_ends_the_job_in_one_sentence_and_leaves_nothing(
    site, drawn, folder_id
):
    drawn.write_text('{"type": "FeatureCollection", "features": [{"type": "Feature", NaN}]}')
    file_id = site.girder.upload(drawn, folder_id)["_id"]
    started = site.start(
        "ConvertAnnotations",
        inputAnnotationFile=file_id,
        outputFile="converted.xml",
        outputFile_folder=folder_id,
    )
    job, _ = site.wait(started)
    assert JOB_STATUS[job["status"]] == "error"
    sentences = [line for line in log(job).splitlines() if line.startswith("error: ")]
    assert len(sentences) == 1, log(job)
    assert [item["name"] for item in site.girder.get("item", folderId=folder_id)] == [drawn.name]
    assert site.leftovers() == []
