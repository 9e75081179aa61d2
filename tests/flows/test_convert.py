"""Converting annotations by the command people type."""

import json
import subprocess
import sys
import zipfile
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import shapely
import tifffile
from PIL import Image

from deeplab.annotations.formats.format import Reading, Writing
from deeplab.annotations.formats.table import FORMATS, named
from deeplab.annotations.shapes import Annotations, Layer, Mark, Shape
from deeplab.geometry.frames import Mpp
from deeplab_cli.forms import read_spec

COMMAND = [sys.executable, "-m", "deeplab_cli.entry", "convert"]
RING = shapely.box(10, 10, 60, 50) - shapely.box(20, 20, 30, 30)
DRAWN = Annotations(
    (
        Layer("Tumor, Übergang/🔬", (200, 10, 20), (Shape(RING, {"grade": 3}),), "seen twice"),
        Layer("empty", (1, 2, 3), (), marks=(Mark(shapely.Point(5, 6)),)),
    ),
    mpp=Mpp(0.25, 0.5),
)


def convert(*words, cwd):
    return subprocess.run(
        [*COMMAND, *words], capture_output=True, text=True, cwd=cwd, check=False, timeout=60
    )


@pytest.fixture
def anot(tmp_path):
    named("histomicsui").write(tmp_path / "a.anot", DRAWN, Writing())
    return tmp_path / "a.anot"


def test_a_file_becomes_one_of_each_other_format_and_what_is_lost_is_said(anot, tmp_path):
    answer = convert("a.anot", "b.geojson", cwd=tmp_path)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.splitlines() == [
        "HistomicsUI to GeoJSON: b.geojson",
        "  Tumor, Übergang/🔬: 1 shape",
        "  empty: 0 shapes, 1 points and lines",
        "not in it, as GeoJSON cannot carry them: the descriptions of layers",
    ]
    again = named("geojson").read(tmp_path / "b.geojson", Reading())
    assert again.names == DRAWN.names
    assert again.mpp == DRAWN.mpp
    (shape,) = again.layers[0].shapes
    assert shape.polygon.equals(RING)
    assert shape.properties == {"grade": 3}


def test_a_mask_is_as_large_as_the_slide_and_has_its_own_names_else_those_given(anot, tmp_path):
    size = ("--slide_width", "100", "--slide_height", "80")
    assert (
        convert("a.anot", "--to", "mask", "--outputFile", "b.png", *size, cwd=tmp_path).returncode
        == 0
    )
    assert convert("b.png", "own.json", cwd=tmp_path).returncode == 0
    assert named("histomicsui").read(tmp_path / "own.json", Reading()).names == DRAWN.names
    with Image.open(tmp_path / "b.png") as mask:
        Image.fromarray(np.array(mask)).save(tmp_path / "plain.png")
    assert convert("plain.png", "c.json", "--classes", "one,two", cwd=tmp_path).returncode == 0
    one, two = named("histomicsui").read(tmp_path / "c.json", Reading()).layers
    assert ((one.name, two.name), len(two.shapes)) == (("one", "two"), 0)
    (shape,) = one.shapes
    assert shape.polygon.equals(RING)


def test_a_smaller_mask_is_written_at_its_scale_and_read_for_its_slide(anot, tmp_path):
    size = ("--slide_width", "400", "--slide_height", "320", "--slide_mpp", "0.25")
    assert convert("a.anot", "b.tiff", *size, "--mask_mpp", "1", cwd=tmp_path).returncode == 0
    assert convert("b.tiff", "c.json", cwd=tmp_path).returncode == 0
    layer = named("histomicsui").read(tmp_path / "c.json", Reading()).layers[0]
    (shape,) = layer.shapes
    # A cell of the mask is four pixels wide, and its outline runs along cells.
    assert shape.polygon.symmetric_difference(RING).area < 2 * RING.length
    assert all(place % 4 == 0 for place in shapely.get_coordinates(shape.polygon).ravel())
    # Another program's mask says no scale: the size of the slide tells it.
    Image.new("L", (100, 80), 1).save(tmp_path / "plain.png")
    assert convert("plain.png", "d.json", *size, cwd=tmp_path).returncode == 0
    ((shape,),) = (
        x.shapes for x in named("histomicsui").read(tmp_path / "d.json", Reading()).layers
    )
    assert shape.polygon.equals(shapely.box(0, 0, 400, 320))


def test_of_a_file_about_several_pictures_one_is_read(tmp_path):
    box = {"category_id": 1, "bbox": [1, 2, 3, 4]}
    document = {
        "images": [{"id": place, "file_name": f"{place}.png"} for place in (1, 2)],
        "categories": [{"id": 1, "name": "a"}],
        "annotations": [box | {"id": place, "image_id": place} for place in (1, 2)],
    }
    (tmp_path / "a.json").write_text(json.dumps(document))
    refused = convert("a.json", "b.xml", cwd=tmp_path)
    assert (refused.returncode, "choose one of 1.png, 2.png" in refused.stderr) == (2, True)
    assert "a: 1 shape" in convert("a.json", "b.xml", "--image", "2.png", cwd=tmp_path).stdout


def test_crossing_outlines_are_mended_counted_and_said(tmp_path):
    bow = {
        "type": "polyline",
        "closed": True,
        "points": [[0, 0, 0], [9, 9, 0], [9, 0, 0], [0, 9, 0]],
    }
    flat = {"type": "polyline", "closed": True, "points": [[0, 0, 0], [9, 9, 0], [5, 5, 0]]}
    (tmp_path / "a.json").write_text(json.dumps({"name": "a", "elements": [bow, flat]}))
    answer = convert("a.json", "b.anot", cwd=tmp_path)
    assert answer.returncode == 0
    assert "1 outline crossed itself and was mended" in answer.stdout
    assert "1 left out: outline that encloses nothing" in answer.stdout
    (layer,) = named("histomicsui").read(tmp_path / "b.anot", Reading()).layers
    assert sum(shape.polygon.area for shape in layer.shapes) == pytest.approx(40.5)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("a.anot", "a.anot"), "must be another file than the one that is read"),
        (("none.anot", "b.xml"), "must be a file that exists"),
        (("a.anot", "b.csv"), "files of type .csv are not written as annotations"),
        (("a.anot", "b.xml", "--from", "geojson"), "feature 1 is not a GeoJSON feature"),
        (("bad.json", "b.xml"), "the centre of element 1 of 'a' has a point that is not a number"),
        (("a.anot", "b.png", "--slide_width", "99999999", "--slide_height", "9999"), "more than"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(anot, tmp_path, words, sentence):
    (tmp_path / "bad.json").write_text(
        '{"name": "a", "elements": [{"type": "circle", "center": [NaN, 1, 0]}]}'
    )
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    answer = convert(*words, cwd=tmp_path)
    assert answer.returncode == 2
    assert sentence in answer.stderr
    assert answer.stderr.count("\n") == 1
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_form_offers_each_format():
    for name in ("source_format", "output_format"):
        (offered,) = (
            p.choices for p in read_spec("ConvertAnnotations").parameters if p.name == name
        )
        assert offered == ("auto", *(each.name for each in FORMATS))


def test_a_million_nestings_and_entities_do_no_harm(tmp_path):
    (tmp_path / "a.json").write_text("[" * 1_000_000)
    answer = convert("a.json", "b.anot", cwd=tmp_path)
    assert (answer.returncode, "nested too deeply" in answer.stderr) == (2, True)
    laughs = "".join(f'<!ENTITY l{i + 1} "{f"&l{i};" * 10}">' for i in range(9))
    root = ET.tostring(ET.Element("Annotations"), encoding="unicode")
    (tmp_path / "a.xml").write_text(f'<!DOCTYPE a [<!ENTITY l0 "ha">{laughs}]>{root}')
    answer = convert("a.xml", "b.anot", cwd=tmp_path)
    assert (answer.returncode, answer.stderr.count("\n")) == (2, 1)


def test_a_pixelmap_becomes_shapes_with_its_label_image_and_is_left_out_without(tmp_path):
    categories = [{"label": "none", "fillColor": "rgba(0,0,0,0)"}, {"label": "tubules"}]
    element = {"type": "pixelmap", "girderId": "5f" * 12, "boundaries": False}
    element |= {"values": [0, 1], "categories": categories}
    (tmp_path / "a.anot").write_text(json.dumps({"name": "a", "elements": [element]}))
    tifffile.imwrite(tmp_path / "labels.tiff", np.eye(2, dtype=np.uint8).repeat(5, 0).repeat(5, 1))
    left = convert("a.anot", "b.geojson", cwd=tmp_path)
    assert (left.returncode, f"label image {'5f' * 12} on the server" in left.stdout) == (0, True)
    taken = convert("a.anot", "b.geojson", "--label_image", "labels.tiff", cwd=tmp_path)
    assert (taken.returncode, "  tubules: 2 shapes" in taken.stdout) == (0, True)
    (layer,) = named("geojson").read(tmp_path / "b.geojson", Reading()).layers
    assert layer.shapes[0].polygon.equals(shapely.box(0, 0, 5, 5))


def test_a_remark_on_a_packed_file_names_it(tmp_path):
    corners = "".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in ((1, 1), (9, 1), (9, 9)))
    text = (
        '<Annotations><Annotation Name="Gef\xe4\xdf"><Regions><Region><Vertices>'
        f"{corners}</Vertices></Region></Regions></Annotation></Annotations>"
    )
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("b.xml", text.encode("cp1252"))
    done = convert("a.zip", "o.geojson", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "\nb.xml: the text is not UTF-8" in done.stdout
    assert "UTF-8" not in done.stderr, "it is said once"


@pytest.mark.parametrize("kind", ["annotation", "detection", "cell"])
def test_qupath_takes_shapes_for_what_was_asked_for(anot, tmp_path, kind):
    words = () if kind == "annotation" else ("--object_type", kind)
    done = convert("a.anot", "a.geojson", *words, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    features = json.loads((tmp_path / "a.geojson").read_text())["features"]
    assert {each["properties"]["objectType"] for each in features} == {kind}
