"""One drawn region is one object, in every task that reads or counts what was drawn."""

import csv
import json

import numpy as np
import pytest
import shapely

from deeplab.annotations.formats.format import Reading, Trait, Writing
from deeplab.annotations.formats.table import FORMATS, named
from deeplab.annotations.shapes import Annotations, Layer, Shape
from deeplab.config.progress import silent
from deeplab.data.opening import count_slides
from deeplab.geometry.frames import Mpp
from deeplab_cli.main import main
from tests.data.folders import request
from tests.slides_for_tests import PINK, write_tiff

COUNT = 12
AGAIN = [each.name for each in FORMATS if each.name != "mask"]


def nucleus(place: int) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    middle = 40 + 60 * np.array(divmod(place, 4))
    return middle + 15 * np.column_stack([np.cos(angle), np.sin(angle)])


def hair(ring: np.ndarray) -> np.ndarray:
    """The outline whose last point lies a hair beyond its first."""
    return np.round(np.vstack([ring, ring[0] + (0.3, 0.6), ring[0] + (0.8, -0.4)]), 2)


def imagescope(path, rings) -> str:
    regions = "".join(
        f'<Region Id="{number}" Type="0"><Vertices>'
        + "".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in ring)
        + "</Vertices></Region>"
        for number, ring in enumerate(rings, start=1)
    )
    path.write_text(
        '<Annotations MicronsPerPixel="0.5"><Annotation Id="1" Name="nucleus">'
        f"<Regions>{regions}</Regions></Annotation></Annotations>"
    )
    return str(path)


@pytest.fixture
def drawn(tmp_path):
    return imagescope(tmp_path / "drawn.xml", [hair(nucleus(place)) for place in range(COUNT)])


@pytest.fixture
def true(tmp_path):
    shapes = tuple(Shape(shapely.Polygon(nucleus(place))) for place in range(COUNT))
    layers = Annotations((Layer("nucleus", (1, 2, 3), shapes),), mpp=Mpp.square(0.5))
    named("geojson").write(tmp_path / "true.geojson", layers, Writing())
    return str(tmp_path / "true.geojson")


@pytest.mark.parametrize("name", AGAIN)
def test_as_many_outlines_as_were_drawn_are_in_every_file(name, drawn, tmp_path, capsys):
    out = tmp_path / f"out{named(name).suffixes[0]}"
    assert main(["convert", drawn, str(out), "--to", name]) == 0
    said = capsys.readouterr().out
    assert f"{COUNT} outlines crossed themselves and were mended; {COUNT} slivers of" in said
    assert str(Trait.PARTS) not in said
    assert named(name).read(out, Reading()).shape_count == COUNT


def test_an_evaluation_counts_what_was_drawn(drawn, true, tmp_path, capsys):
    table = tmp_path / "t.csv"
    assert main(["evaluate", true, drawn, "--table", str(table)]) == 0
    assert f": {COUNT} outlines crossed themselves and were mended" in capsys.readouterr().out
    rows = csv.DictReader(table.read_text(encoding="utf-8").splitlines())
    figures = {row["metric"]: row["value"] for row in rows if row["level"] == "pooled"}
    assert float(figures["object_f1"]) == 1
    assert float(figures["pq"]) > 0.95


def test_a_figure_eight_is_one_object_where_files_can_say_so_and_else_is_said(tmp_path, capsys):
    eight = imagescope(tmp_path / "a.xml", [[(0, 0), (40, 40), (40, 0), (0, 40)]])
    for name in AGAIN:
        out = tmp_path / f"out{named(name).suffixes[0]}"
        assert main(["convert", eight, str(out), "--to", name]) == 0
        carried = Trait.PARTS in named(name).carries
        assert (str(Trait.PARTS) in capsys.readouterr().out) == (not carried)
        (layer,) = named(name).read(out, Reading()).layers
        assert len(layer.shapes) == (1 if carried else 2)
        of_pixels = Trait.OVERLAPS not in named(name).carries
        area = sum(shape.polygon.area for shape in layer.shapes)
        assert area == pytest.approx(800, rel=0.06 if of_pixels else 1e-6)


def test_a_multipolygon_is_one_object_with_features_of_all_its_parts(tmp_path, capsys):
    squares = [shapely.box(10, 10, 20, 20), shapely.box(40, 10, 50, 20)]
    parts = shapely.MultiPolygon([squares[0] - shapely.box(12, 12, 14, 14), squares[1]])
    layers = Annotations((Layer("cell", (1, 2, 3), (Shape(parts),)),))
    named("geojson").write(tmp_path / "s.geojson", layers, Writing())
    document = json.loads((tmp_path / "s.geojson").read_text())
    assert [f["geometry"]["type"] for f in document["features"]] == ["MultiPolygon"]
    write_tiff(tmp_path / "s.tiff", np.full((128, 128, 3), PINK, np.uint8), mpp=0.5)
    found, layer = tmp_path / "t.csv", tmp_path / "l.anot"
    words = ["features", str(tmp_path / "s.tiff"), "--table", str(found)]
    assert main([*words, "--annotation", str(layer)]) == 0, capsys.readouterr()
    (row,) = csv.DictReader(found.read_text(encoding="utf-8").splitlines())
    assert float(row["area_um2"]) == pytest.approx(196 / 4)
    assert float(row["perimeter_um"]) == pytest.approx(80 / 2)
    assert float(row["hole_count"]) == 1
    assert float(row["hole_area_um2"]) == pytest.approx(4 / 4)
    (measured,) = named("histomicsui").read(layer, Reading()).layers
    assert [shape.properties["object"] for shape in measured.shapes] == [1, 1]


def test_the_census_of_a_training_says_what_was_mended(tmp_path):
    write_tiff(tmp_path / "s.tiff", np.full((128, 128, 3), PINK, np.uint8), mpp=0.5)
    imagescope(tmp_path / "s.xml", [hair(nucleus(0))])
    census = count_slides(request(tmp_path, "nucleus"), silent)
    assert census.total("nucleus").objects == 1
    assert "s.tiff: 1 outline crossed itself and was mended; 1 sliver of" in census.text()


def test_one_tangled_outline_is_left_out_and_named_and_the_rest_is_read(tmp_path, capsys):
    tangle = np.random.default_rng(0).random((3_000, 2)) * 1_000 + 5_000
    path = imagescope(tmp_path / "a.xml", [nucleus(0), np.round(tangle, 2), nucleus(1)])
    assert main(["convert", path, str(tmp_path / "b.geojson")]) == 0
    said = capsys.readouterr().out
    assert "an outline of 3,001 points, from x 5000, y 5000 on, crosses or touches itself" in said
    assert "'nucleus'" in said
    assert named("geojson").read(tmp_path / "b.geojson", Reading()).shape_count == 2
