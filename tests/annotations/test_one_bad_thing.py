"""One thing of a file that cannot be used is left out, counted and named, in every format."""

import json
import tracemalloc

import pytest
import shapely

from deeplab.annotations.formats.format import Reading, Writing
from deeplab.annotations.formats.table import FORMATS, named
from deeplab.annotations.shapes import Annotations, Layer, Mark, Shape
from deeplab.errors import AnnotationError

BAD = 7777.25  # the right edge of the shape that is spoilt
WRITTEN = [form for form in FORMATS if form.is_text]
SPOILT = ["NaN", "-Infinity", "nan", '"x"', "1e400", "9" * 400, "9" * 30]
FORMS = pytest.mark.parametrize("form", WRITTEN, ids=lambda form: form.name)


def text_of(form, folder, *edges):
    """The text of a file with a rectangle for each right edge."""
    shapes = tuple(Shape(shapely.box(0, 0, edge, 9)) for edge in edges)
    path = folder / f"a{form.suffixes[0]}"
    form.write(path, Annotations((Layer("a", (1, 2, 3), shapes),)), Writing())
    return path, path.read_text(encoding="utf-8")


def spoil(form, text, wrong):
    bad = BAD - 0.5 if form.name == "hovernet" else BAD  # the middle of a pixel
    assert str(bad) in text
    return text.replace(str(bad), wrong.strip('"') if form.xml_root else wrong)


@FORMS
@pytest.mark.parametrize("wrong", SPOILT)
def test_of_a_place_that_is_none_only_its_shape_is_left_out(tmp_path, form, wrong):
    path, text = text_of(form, tmp_path, 20, BAD, 40)
    path.write_text(spoil(form, text, wrong), encoding="utf-8")
    read = form.read(path, Reading(spill=tmp_path))
    (layer,) = read.layers
    assert [shape.polygon.bounds[2] for shape in layer.shapes] == [20, 40]
    (remark,) = read.remarks
    assert remark.startswith("1 left out that cannot be used: ")
    assert "2" in remark  # which it was


@FORMS
def test_a_file_of_which_nothing_can_be_used_is_an_error(tmp_path, form):
    path, text = text_of(form, tmp_path, BAD, BAD, BAD, BAD)
    path.write_text(spoil(form, text, "1e200"), encoding="utf-8")
    with pytest.raises(AnnotationError, match="not on a slide; .*; and 1 more$"):
        form.read(path, Reading())


@FORMS
def test_a_file_that_is_cut_short_stays_an_error(tmp_path, form):
    path, text = text_of(form, tmp_path, 20, 30, 40)
    path.write_text(text[: int(len(text) * 0.8)], encoding="utf-8")
    with pytest.raises(AnnotationError):
        form.read(path, Reading())


@pytest.mark.parametrize(
    "form", [form for form in WRITTEN if not form.xml_root], ids=lambda form: form.name
)
@pytest.mark.parametrize("strange", ["5", '{"a": [1, {"": 2}]}', '[{"": []}]'])
def test_a_key_without_letters_is_passed_over(tmp_path, form, strange):
    # Where one stands is written as where its parent does.
    path, text = text_of(form, tmp_path, 20, 40)
    path.write_text(text.replace("{", f'{{"":{strange},', 1), encoding="utf-8")
    (layer,) = form.read(path, Reading()).layers
    assert [shape.polygon.bounds[2] for shape in layer.shapes] == [20, 40]


@FORMS
def test_a_coordinate_of_a_million_letters_takes_no_memory(tmp_path, form):
    path, text = text_of(form, tmp_path, *range(20, 200), BAD)
    path.write_text(spoil(form, text, '"' + "x" * 10**6 + '"'), encoding="utf-8")
    tracemalloc.start()
    read = form.read(path, Reading())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert read.shape_count == 180
    assert peak < 60_000_000
    assert all(len(remark) < 300 for remark in read.remarks)


SQUARE = [[0, 0], [4, 0], [4, 4], [0, 4], [0, 0]]
POLYGON = {"type": "Polygon", "coordinates": [SQUARE]}
LINE = {"type": "polyline", "closed": True, "points": [[*point, 0] for point in SQUARE]}
OUTLINE = [number for point in SQUARE for number in point]


def feature(geometry):
    return {"type": "Feature", "geometry": geometry, "properties": {"classification": "a"}}


def geojson(*geometries):
    return {"type": "FeatureCollection", "features": [*map(feature, geometries)]}


def histomicsui(*elements):
    return [{"name": "a", "elements": [*elements]}]


def coco(*changes, categories=({"id": 1, "name": "a"},)):
    found = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [OUTLINE]}
    return {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": [found | change for change in changes],
        "categories": [*categories],
    }


def hovernet(*changes):
    found = {"contour": SQUARE, "type": 1}
    return {"nuc": {str(place): found | change for place, change in enumerate(changes)}}


@pytest.mark.parametrize(
    ("form", "document"),
    [
        ("geojson", geojson(POLYGON, None)),
        ("geojson", geojson(POLYGON, 3)),
        ("geojson", geojson(POLYGON, {"type": "Polygon"})),
        ("geojson", geojson(POLYGON, {"type": "Polygon", "coordinates": [[]]})),
        ("geojson", geojson(POLYGON, {"type": "Polygon", "coordinates": [[[1, 2]]]})),
        ("geojson", geojson(POLYGON, {"type": "Polygon", "coordinates": [[[1, 2], [3]]]})),
        ("geojson", geojson({"type": "MultiPolygon", "coordinates": [[SQUARE], 3]})),
        ("geojson", {"features": [feature(POLYGON), 3]}),
        ("geojson", {"features": [{"type": "feature?"}, feature(POLYGON)]}),
        ("histomicsui", histomicsui(LINE, 3)),
        ("histomicsui", histomicsui(LINE, {"type": "polyline", "points": [[1, 2, None]] * 3})),
        ("histomicsui", histomicsui(LINE, {"type": "circle", "center": [1, 2, 0]})),
        ("histomicsui", histomicsui(LINE, {"type": "polyline", "points": []})),
        ("histomicsui", histomicsui(LINE, LINE | {"holes": 5})),
        ("histomicsui", [*histomicsui(LINE), {"name": "b"}]),
        ("histomicsui", [*histomicsui(LINE), None]),
        ("coco", coco({}, {"category_id": 9})),
        ("coco", coco({}, {"category_id": "a"})),
        ("coco", coco({}, {"segmentation": [[1, 2, 3]]})),
        ("coco", coco({}, {"segmentation": [[]], "bbox": None})),
        ("coco", coco({}, {"segmentation": {"size": [1, 1], "counts": [5]}})),
        ("coco", coco({}, categories=[{"id": 1, "name": "a"}, {"name": "b"}])),
        ("hovernet", hovernet({}, {"contour": [[1, 2], [3]]})),
        ("hovernet", hovernet({}, {"contour": None})),
        ("hovernet", hovernet({}, {"contour": [[1, 2]]})),
        ("hovernet", hovernet({}, {"type": "a"})),
    ],
)
def test_one_bad_thing_is_said_and_the_rest_is_read(tmp_path, form, document):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(document))
    read = named(form).read(path, Reading())
    assert read.shape_count == 1
    (remark,) = read.remarks
    assert remark.startswith("1 left out")


def test_an_empty_hole_is_none(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(geojson({"type": "Polygon", "coordinates": [SQUARE, []]})))
    read = named("geojson").read(path, Reading())
    assert read.layers[0].shapes[0].polygon.area == 16
    assert read.remarks == ()


@pytest.mark.parametrize("wrong", ["NaN", "-Infinity", "1e999", "18446744073709551616"])
def test_numbers_that_json_has_not_are_no_measurements(tmp_path, wrong):
    measured = {"measurements": {"OD mean": 0.5, "Area": 3}, "classification": "a"}
    document = {"features": [{**feature(POLYGON), "properties": measured}]}
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps(document).replace("0.5", wrong))
    (shape,) = named("geojson").read(path, Reading()).layers[0].shapes
    large = {"OD mean": float(wrong)} if wrong.isdigit() else {}
    assert shape.properties == {**large, "Area": 3}


def test_what_is_not_used_is_counted_by_few_kinds(tmp_path):
    path = tmp_path / "a.json"
    others = [{"type": "x" * 9000 + str(kind)} for kind in range(60)]
    others += [{"type": str(kind)} for kind in range(60)]
    path.write_text(json.dumps(histomicsui(LINE, *others)))
    remarks = named("histomicsui").read(path, Reading()).remarks
    assert len(remarks) <= 21
    assert all(len(remark) < 150 for remark in remarks)
    assert "things of many other kinds" in " ".join(remarks)


def test_a_mark_alone_is_something_that_can_be_used(tmp_path):
    path = tmp_path / "a.anot"
    layer = Layer(
        "a", (1, 2, 3), (Shape(shapely.box(0, 0, 7777, 9)),), "", (Mark(shapely.Point(1, 2)),)
    )
    named("histomicsui").write(path, Annotations((layer,)), Writing())
    path.write_text(path.read_text().replace("7777", "1e99"))
    read = named("histomicsui").read(path, Reading())
    assert len(read.layers[0].marks) == 1
    assert len(read.remarks) == 1


def test_a_layer_of_a_million_letters_makes_no_sentence_of_as_many(tmp_path):
    path = tmp_path / "a.xml"
    region = '<Region Type="0"><Vertices><Vertex X="x" Y="1"/></Vertices></Region>'
    name = "n" * 10**6
    path.write_text(
        f'<Annotations><Annotation Name="{name}"><Regions>{region * 5}</Regions></Annotation>'
        "</Annotations>"
    )
    with pytest.raises(AnnotationError) as caught:
        named("imagescope").read(path, Reading())
    assert len(str(caught.value)) < 1000
