"""The tasks on annotations in Docker, alone and as jobs of Girder."""

import csv
import io
import json
import subprocess
import zipfile
from xml.etree import ElementTree as ET

import pytest
from openpyxl import load_workbook

from tests.stack.running_site import JOB_STATUS, log

LAYER = "Tumor, Übergang/🔬"
RINGS = [
    [[10, 10], [60, 10], [60, 50], [10, 50], [10, 10]],
    [[20, 20], [20, 30], [30, 30], [30, 20], [20, 20]],
]


IMAGESCOPE = """<Annotations MicronsPerPixel="0.499"><Annotation Id="1" Name="{name}" Type="4"
 LineColor="65280" Visible="1"><Attributes/><Regions><RegionAttributeHeaders/>
<Region Id="1" Type="0" NegativeROA="0" Text="first"><Vertices><Vertex X="0" Y="0" Z="0"/>
<Vertex X="{side}" Y="0" Z="0"/><Vertex X="{side}" Y="{side}" Z="0"/><Vertex X="0" Y="{side}" Z="0"/>
</Vertices></Region></Regions></Annotation></Annotations>"""


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
    assert f"{LAYER}: 1 shape" in log(job)
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


@pytest.fixture
def annotated(site, drawn, folder_id):
    """A slide, with a file of ImageScope and one of QuPath beside it; its item."""
    slide_id = site.upload_slide("TCGA.01.svs", folder_id)
    upload(site, drawn.parent, folder_id, "TCGA.01.xml", IMAGESCOPE.format(name="stroma", side=90))
    upload(site, drawn.parent, folder_id, "TCGA.01.svs.geojson", drawn.read_text())
    return slide_id


def upload(site, scratch, folder_id, name, text):
    path = scratch / name
    path.write_text(text)
    return site.girder.upload(path, folder_id)["itemId"]


def ids_of_layers(site, item_id):
    found = site.girder.get("annotation", itemId=item_id, limit=0)
    return {one["annotation"]["name"]: one["_id"] for one in found}


def test_files_beside_a_slide_become_its_layers_once(site, annotated, folder_id):
    names = {item["name"] for item in site.girder.get("item", folderId=folder_id)}
    job, _ = site.run("IngestAperioXML", inputFolder=folder_id)
    assert "2 files of annotations, 2 new layers" in log(job)
    layers = site.layers(annotated)
    assert set(layers) == {LAYER, "stroma"}
    (outline,) = layers[LAYER]["elements"]
    assert len(outline["holes"]) == 1
    assert outline["user"] == {"grade": 3}
    assert layers["stroma"]["attributes"]["deeplab"]["file"] == "TCGA.01.xml"
    before = ids_of_layers(site, annotated)
    job, _ = site.run("IngestAperioXML", inputFolder=annotated)  # one slide, by its item
    assert "2 files of annotations, 0 new layers" in log(job)
    assert ids_of_layers(site, annotated) == before
    assert {item["name"] for item in site.girder.get("item", folderId=folder_id)} == names
    assert site.leftovers() == []


def test_a_file_that_was_replaced_takes_the_place_of_what_nobody_corrected(
    site, annotated, folder_id, tmp_path
):
    site.run("IngestAperioXML", inputFolder=folder_id)
    before = ids_of_layers(site, annotated)
    corrected = site.layers(annotated)[LAYER] | {"description": "corrected"}
    site.girder.call(
        "PUT",
        f"annotation/{before[LAYER]}",
        body=json.dumps(corrected).encode(),
        headers={"Content-Type": "application/json"},
    )
    for item in site.girder.get("item", folderId=folder_id):
        if item["_id"] != annotated:
            site.girder.delete(f"item/{item['_id']}")
    for name, layer in (("TCGA.01.xml", "stroma"), ("TCGA.01.svs.geojson.xml", "elsewhere")):
        upload(site, tmp_path, folder_id, name, IMAGESCOPE.format(name=layer, side=50))
    feature = {"type": "Polygon", "coordinates": RINGS[:1]}
    properties = {"classification": {"name": LAYER}}
    drawn = {"type": "Feature", "geometry": feature, "properties": properties}
    upload(site, tmp_path, folder_id, "TCGA.01.svs.geojson", json.dumps(drawn))
    job, _ = site.run("IngestAperioXML", inputFolder=folder_id)
    assert "changed since, so kept" in log(job)
    after = ids_of_layers(site, annotated)
    assert set(after) == {LAYER, f"{LAYER} (2)", "stroma"}
    assert (after[LAYER], after["stroma"] != before["stroma"]) == (before[LAYER], True)
    assert max(x for x, *_ in site.layers(annotated)["stroma"]["elements"][0]["points"]) == 50


def test_layers_go_out_as_a_zip_of_files_for_imagescope(site, annotated, folder_id):
    site.run("IngestAperioXML", inputFolder=folder_id)
    results = site.folder("given out")
    try:
        given = {"outputFile": "out.zip", "outputFile_folder": results}
        job, _ = site.run("ExportAperioXML", inputFolder=folder_id, **given)
        assert "TCGA.01.svs, in TCGA.01.svs.xml" in log(job)
        (item,) = site.girder.get("item", folderId=results)
        content = site.girder.get(f"item/{item['_id']}/download")
    finally:
        site.girder.delete(f"folder/{results}")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == ["TCGA.01.svs.xml"]
        root = ET.fromstring(archive.read("TCGA.01.svs.xml"))
    assert 0.45 < float(root.get("MicronsPerPixel")) < 0.55  # the slide's own
    regions = {layer.get("Name"): list(layer.iter("Region")) for layer in root.iter("Annotation")}
    assert {name: len(found) for name, found in regions.items()} == {LAYER: 2, "stroma": 1}
    assert site.leftovers() == []


def test_a_bad_file_beside_a_slide_ends_the_job_when_the_others_are_taken(
    site, annotated, folder_id, tmp_path
):
    upload(site, tmp_path, folder_id, "TCGA.01.json", "[1, 2")
    job, _ = site.wait(site.start("IngestAperioXML", inputFolder=folder_id))
    assert JOB_STATUS[job["status"]] == "error"
    assert "error: 1 of 3 files could not be taken in: TCGA.01.json" in log(job)
    assert set(ids_of_layers(site, annotated)) == {LAYER, "stroma"}


@pytest.fixture
def segmented(site, model_id):
    """The sample slide with predicted layers on a part of it, and one of them drawn anew by hand."""
    slide_id = site.running.slide_id
    site.clear(slide_id)
    site.run(
        "SegmentWSI",
        inputImageFile=site.file_id(slide_id),
        inputModelFile=model_id,
        region=json.loads("[200, 300, 900, 800]"),
    )
    name, layer = max(site.layers(slide_id).items(), key=lambda each: len(each[1]["elements"]))
    drawn = {"name": name, "elements": layer["elements"][: len(layer["elements"]) // 2]}
    for element in drawn["elements"]:
        element.pop("id")
    site.girder.call(
        "POST",
        f"annotation/item/{slide_id}",
        body=json.dumps([drawn]).encode(),
        headers={"Content-Type": "application/json"},
    )
    yield slide_id, name
    site.clear(slide_id)


def test_predicted_and_drawn_layers_of_a_slide_are_compared(site, segmented, folder_id):
    slide_id, name = segmented
    before = {one["_id"] for one in site.girder.get("annotation", itemId=slide_id, limit=0)}
    for _ in range(2):  # the second run's layers take the place of the first one's
        job, _ = site.run(
            "EvaluateSegmentation",
            inputImageFile=site.file_id(slide_id),
            classes=[name],
            region=json.loads("[200, 300, 900, 800]"),
            output_report="report.html",
            output_report_folder=folder_id,
            output_table="figures.csv",
            output_table_folder=folder_id,
        )
    assert f"{name}: Dice" in log(job)
    items = {one["name"]: one["_id"] for one in site.girder.get("item", folderId=folder_id)}
    report = site.girder.get(f"item/{items['report.html']}/download").decode()
    assert f"what was predicted as {name} is compared with what was drawn" in report
    table = site.girder.get(f"item/{items['figures.csv']}/download").decode()
    figures = {
        row["metric"]: row["value"]
        for row in csv.DictReader(io.StringIO(table))
        if (row["level"], row["class"]) == ("pooled", name)
    }
    assert float(figures["recall"]) > 0.95  # what was drawn is half of what was predicted
    assert 0.4 < float(figures["object_precision"]) < 0.6
    assert float(figures["object_recall"]) == 1
    after = site.girder.get("annotation", itemId=slide_id, limit=0)
    assert before < {one["_id"] for one in after}
    # The layer of the demonstration has its model's name, and those of its errors end with it.
    assert f"false {name} ({name})" in [one["annotation"]["name"] for one in after]
    added = [one for one in after if one["_id"] not in before]
    assert len(added) == len({one["annotation"]["name"] for one in added})
    assert site.leftovers() == []


def draw(site, item_id, name, *boxes):
    """A layer of rectangles x, y, width, height, as a person draws it in HistomicsUI."""
    elements = [
        {
            "type": "rectangle",
            "center": [x + width / 2, y + height / 2, 0],
            "width": width,
            "height": height,
            "lineColor": "rgb(0,114,178)",
        }
        for x, y, width, height in boxes
    ]
    return site.girder.call(
        "POST",
        "annotation",
        {"itemId": item_id},
        body=json.dumps({"name": name, "elements": elements}).encode(),
        headers={"Content-Type": "application/json"},
    )["_id"]


def test_objects_of_a_folder_are_measured_and_histomicsui_can_plot_them(site, folder_id, tmp_path):
    slides = [site.upload_slide(f"s{number}.svs", folder_id) for number in range(3)]
    own = draw(site, slides[0], "region", (400, 500, 200, 100), (900, 900, 300, 300))
    draw(site, slides[1], "region", (400, 500, 100, 100))
    (tmp_path / "labels.csv").write_text("slide,diagnosis\ns0,benign\n")
    results = site.folder("measured")
    asked = {
        "inputImageFile": site.file_id(slides[1]),
        "inputFolder": folder_id,
        "slide_labels": site.girder.upload(tmp_path / "labels.csv", results)["_id"],
    }
    before = site.girder.get(f"annotation/{own}")
    for run in range(2):  # the second replaces what it finds of the first
        for name in ("workbook.xlsx", "report.html", "table.csv"):
            parameter = f"output_{name.partition('.')[0]}"
            asked |= {parameter: f"{run} {name}", f"{parameter}_folder": results}
        job, progress = site.run("ExtractFeaturesFromAnnotations", **asked)
        assert progress, log(job)
        assert "region: 3 objects" in log(job)
        assert "left out: s2.svs: has no annotations" in log(job)
        assert "has no row for s1.svs" in log(job)
        assert sorted(site.layers(slides[0])) == ["region", "region features"]
        assert len(site.girder.get("annotation", itemId=slides[0], limit=0)) == 2
    after = site.girder.get(f"annotation/{own}")
    assert (after["annotation"], after["updated"]) == (before["annotation"], before["updated"])
    check_workbook(site, results)
    user = site.layers(slides[0])["region features"]["elements"][0]["user"]
    mpp = site.girder.get(f"item/{slides[0]}/tiles")["mm_x"] * 1000
    assert user["area_um2"] == pytest.approx(200 * 100 * mpp**2, rel=1e-3)
    assert user["nucleus_count"] >= 0
    told = site.girder.get(f"item/{slides[0]}")["meta"]["deeplab_features"]
    assert told["region count"] == 2
    plotted = site.girder.post(
        f"annotation/item/{slides[0]}/plot/list", annotations=["__all__"], adjacentItems="true"
    )
    columns = {each["key"]: each for each in plotted}
    assert columns["data.deeplab_features.region count"]["type"] == "number"
    assert columns["data.area_um2"]["count"] >= 2
    assert site.leftovers() == []


def check_workbook(site, results):
    """The workbook of the second run: its sheets, the objects and the labels of their slides."""
    items = {item["name"]: item["_id"] for item in site.girder.get("item", folderId=results)}
    assert {"1 workbook.xlsx", "1 report.html", "1 table.csv"} <= set(items)
    content = site.girder.get(f"item/{items['1 workbook.xlsx']}/download")
    book = load_workbook(io.BytesIO(content))
    assert book.sheetnames == ["slides", "region"]
    head, *rows = book["region"].iter_rows(values_only=True)
    objects = [dict(zip(head, row, strict=True)) for row in rows]
    assert [(row["slide"], row["diagnosis"]) for row in objects] == [
        ("s0.svs", "benign"),
        ("s0.svs", "benign"),
        ("s1.svs", None),
    ]
    assert objects[0]["centroid_x_level0"] == pytest.approx(500)
