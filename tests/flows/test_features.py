"""Measuring objects through the front door: painted discs whose numbers are known by heart."""

import csv
import json
import math
import sys
import zipfile
from xml.etree import ElementTree as ET

import large_image_source_tiff
import numpy as np
import pytest
from openpyxl import Workbook, load_workbook

from deeplab.annotations.formats.girder_json import write_girder_json
from deeplab.annotations.pieces import Piece
from deeplab.annotations.shapes import Annotations, Layer, Mark, Shape
from deeplab.exchange.layers import ORIGIN
from deeplab.features import extract
from deeplab_cli.main import main
from tests.features.drawn import disc
from tests.girder_for_tests import FOLDER, ITEM, TOKEN, Board, fake_girder, item_routes
from tests.slides_for_tests import PINK, write_tiff

MPP, SIDE = 0.5, 512
RED, BLUE = (200, 30, 60), (40, 60, 220)
TASK = "ExtractFeaturesFromAnnotations"
# By class: x, y and radius in level-0 pixels.
DISCS = {
    "glomerulus": [(120, 120, 60), (360, 120, 40)],
    "tubule": [(120, 360, 30), (240, 360, 30), (400, 400, 50)],
}
COLOURS = {"glomerulus": RED, "tubule": BLUE}


def layers_of(discs):
    return tuple(
        Layer(name, COLOURS.get(name, RED), tuple(Shape(disc(*each)) for each in some))
        for name, some in discs.items()
    )


def paint(folder, name="a.tiff", discs=None, layers=()):
    """A slide of discs on pink tissue, and the discs beside it as annotations."""
    discs = DISCS if discs is None else discs
    rgb = np.full((SIDE, SIDE, 3), PINK, np.uint8)
    y, x = np.indices(rgb.shape[:2]) + 0.5
    for kind, some in discs.items():
        for cx, cy, radius in some:
            rgb[np.hypot(x - cx, y - cy) < radius + 2] = COLOURS.get(kind, RED)
    path = write_tiff(folder / name, rgb, mpp=MPP, compression="deflate")
    write_girder_json(path.with_suffix(".json"), Annotations((*layers_of(discs), *layers)))
    return path


def features(*words):
    return main(["features", *map(str, words)])


def table_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def sheet_of(path, name):
    head, *rows = load_workbook(path)[name].iter_rows(values_only=True)
    return [dict(zip(head, row, strict=True)) for row in rows]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "slides").mkdir()
    paint(tmp_path / "slides")
    return tmp_path / "slides"


def test_discs_have_the_numbers_of_discs_in_the_table_and_in_the_workbook(folder, tmp_path):
    assert features(folder, "--csv", tmp_path / "o.csv", "--xlsx", tmp_path / "o.xlsx") == 0
    rows = table_of(tmp_path / "o.csv")
    assert [(row["slide"], row["class"], row["object"]) for row in rows] == [
        ("a.tiff", kind, str(number))
        for kind, some in DISCS.items()
        for number, _ in enumerate(some, start=1)
    ]
    discs = [(kind, *each) for kind, some in DISCS.items() for each in some]
    for row, (kind, x, _, radius) in zip(rows, discs, strict=True):
        found = {name: float(text) for name, text in row.items() if text and name[0] not in "sc"}
        found |= {name: float(row[name]) for name in ("centroid_x_level0", "circularity")}
        assert found["centroid_x_level0"] == pytest.approx(x, abs=0.01)
        assert found["area_um2"] == pytest.approx(math.pi * (radius * MPP) ** 2, rel=1e-3)
        assert found["perimeter_um"] == pytest.approx(2 * math.pi * radius * MPP, rel=1e-3)
        assert found["circularity"] == pytest.approx(1, rel=1e-3)
        assert [found[f"{name}_mean"] for name in ("red", "green", "blue")] == list(COLOURS[kind])
        assert found["red_std"] == 0
        assert found["read_mpp"] == MPP
    assert float(rows[0]["nearest_same_edge_um"]) == pytest.approx((240 - 100) * MPP, rel=1e-3)
    assert float(rows[0]["to_tubule_um"]) == pytest.approx((240 - 90) * MPP, rel=1e-3)
    assert float(rows[2]["to_glomerulus_um"]) == pytest.approx((240 - 90) * MPP, rel=1e-3)
    assert rows[0]["to_glomerulus_um"] == rows[0]["pas_mean"] == ""
    for kind in DISCS:
        own = [row for row in rows if row["class"] == kind]
        for row, line in zip(own, sheet_of(tmp_path / "o.xlsx", kind), strict=True):
            for name, value in line.items():
                text = row[name]
                assert (text == "") == (value is None)
                assert value is None or text == value or float(text) == pytest.approx(value)


def test_the_sheet_of_the_slides_sums_up(folder, tmp_path, capsys):
    assert features(folder, "--xlsx", tmp_path / "o.xlsx", "--pixels", "off") == 0
    first, second = sheet_of(tmp_path / "o.xlsx", "slides")
    area = math.pi * (60**2 + 40**2) * MPP**2
    assert (first["class"], first["count"], second["count"]) == ("glomerulus", 2, 3)
    assert first["total_area_um2"] == pytest.approx(area, rel=1e-3)
    # The slide is tissue all over.
    whole = (SIDE * MPP) ** 2
    assert first["tissue_area_mm2"] == pytest.approx(whole / 1e6, rel=1e-3)
    assert first["density_per_mm2"] == pytest.approx(2 / whole * 1e6, rel=1e-3)
    assert "red_mean" not in sheet_of(tmp_path / "o.xlsx", "glomerulus")[0]
    assert "glomerulus: 2 objects" in capsys.readouterr().out


@pytest.mark.slow
def test_labels_of_slides_are_merged_and_slides_without_are_said(folder, tmp_path, capsys):
    paint(folder, "b.tiff", {"tubule": [(200, 200, 40)]})
    paint(folder, "c.tiff", {"tubule": [(200, 200, 20)]})
    book = Workbook()
    for row in (["slide", "diagnosis", "age"], ["A", "=1+1", 61], ["b.tiff", "IgA", None]):
        book.active.append(row)
    book["Sheet"]["B2"].data_type = "s"
    book.save(tmp_path / "labels.xlsx")
    out = ("--xlsx", tmp_path / "o.xlsx", "--report", tmp_path / "o.html")
    assert features(folder, *out, "--labels", tmp_path / "labels.xlsx", "--pixels", "off") == 0
    read = [
        (row["slide"], row["diagnosis"], row["age"])
        for row in sheet_of(tmp_path / "o.xlsx", "tubule")
    ]
    assert read == [("a.tiff", "=1+1", 61)] * 3 + [("b.tiff", "IgA", None), ("c.tiff", None, None)]
    assert "note: labels.xlsx has no row for c.tiff" in capsys.readouterr().out
    assert "By diagnosis" in (tmp_path / "o.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_report_is_a_page_that_says_what_was_measured(folder, tmp_path):
    marks = Layer("tubule", BLUE, (), marks=(Mark(disc(5, 5).centroid),))
    paint(folder, "<b> & 2.tiff", DISCS, layers=(marks,))
    paint(folder, "c.tiff").with_suffix(".json").write_text("[]")
    assert features(folder, "--report", tmp_path / "o.html") == 0
    text = (tmp_path / "o.html").read_text(encoding="utf-8")
    tree = ET.fromstring(text)
    said = " ".join("".join(tree.itertext()).split())
    assert "measured on 2 slides: 4 of glomerulus and 6 of tubule" in said
    assert "<b> & 2.tiff: 1 points or lines of tubule enclose no area" in said
    assert "c.tiff is left out: has no layer that is asked for" in said
    assert len(tree.findall(".//*[@class='gallery']")) == 2
    assert all(each.get("src").startswith("data:image/") for each in tree.iter("img"))


def test_the_features_are_in_the_user_fields_of_new_layers(folder, tmp_path):
    assert features(folder, "--outputAnnotationFile", tmp_path / "o.anot") == 0
    first, second = json.loads((tmp_path / "o.anot").read_text())
    assert (first["name"], second["name"]) == ("glomerulus features", "tubule features")
    assert first["attributes"]["cli"] == TASK
    user = first["elements"][1]["user"]
    assert user["object"] == 2
    assert user["area_um2"] == pytest.approx(math.pi * 20**2, rel=1e-3)
    assert {"eosin_mean", "nucleus_count", "to_tubule_um"} <= set(user)
    assert not [name for name in user if name.startswith(("haralick", "red"))]


def test_one_slide_or_those_of_a_list_are_measured(folder, tmp_path):
    paint(folder, "b.tiff")
    words = ("--csv", tmp_path / "o.csv", "--pixels", "off")
    assert features(folder / "b.tiff", *words) == 0
    assert {row["slide"] for row in table_of(tmp_path / "o.csv")} == {"b.tiff"}
    (folder / "list.csv").write_text("slide,annotation,mpp\na.tiff,b.json,1\n")
    assert features(folder / "list.csv", *words, "--classes", "tubule") == 0
    areas = [float(row["area_um2"]) for row in table_of(tmp_path / "o.csv")]
    assert areas == pytest.approx([math.pi * r**2 for *_, r in DISCS["tubule"]], rel=1e-3)


def test_of_several_slides_the_layers_are_files_in_a_zip(folder, tmp_path, capsys):
    paint(folder, "x y;$(z).tiff")
    done = features(folder, "--outputAnnotationFile", tmp_path / "o.anot", "--pixels", "off")
    assert (done, "a .zip where there are several slides" in capsys.readouterr().err) == (2, True)
    assert features(folder, "--annotation", tmp_path / "o.zip", "--pixels", "off") == 0
    with zipfile.ZipFile(tmp_path / "o.zip") as packed:
        assert packed.namelist() == ["01 a.tiff.anot", "02 x y;$(z).tiff.anot"]
        assert len(json.loads(packed.read("02 x y;$(z).tiff.anot"))) == 2


def test_only_the_layers_asked_for_are_measured_and_unknown_ones_are_said(folder, tmp_path, capsys):
    words = ("--csv", tmp_path / "o.csv", "--pixels", "off", "--classes")
    assert features(folder, *words, "Tubule, glomerulos") == 0
    assert {row["class"] for row in table_of(tmp_path / "o.csv")} == {"Tubule"}
    assert "no slide has a layer glomerulos" in capsys.readouterr().out
    assert features(folder, *words, "vessel") == 2
    assert "its layers: glomerulus, tubule" in capsys.readouterr().err


def test_a_slide_that_cannot_be_measured_is_left_out_and_named(folder, tmp_path, capsys):
    (folder / "bad.tiff").write_bytes(b"no picture")
    (folder / "bad.json").write_bytes((folder / "a.json").read_bytes())
    write_tiff(folder / "bare.tiff", np.full((64, 64, 3), PINK, np.uint8), compression="deflate")
    words = ("--csv", tmp_path / "o.csv", "--pixels", "off")
    assert features(folder, *words) == 0
    said = capsys.readouterr().out
    assert "left out: bad.tiff: " in said
    assert "left out: bare.tiff: has no annotation beside it" in said
    assert {row["slide"] for row in table_of(tmp_path / "o.csv")} == {"a.tiff"}
    (folder / "a.tiff").write_bytes(b"no picture either")
    (tmp_path / "o.csv").unlink()
    assert features(folder, *words) == 2
    assert "none of 2 slides can be measured: " in capsys.readouterr().err
    assert not (tmp_path / "o.csv").exists()


def test_outputs_appear_together_or_not_at_all(folder, tmp_path, monkeypatch, capsys):
    def broken(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(extract, "write_report", broken)
    out = tmp_path / "out"
    words = ("--csv", out / "o.csv", "--xlsx", out / "o.xlsx", "--report", out / "o.html")
    assert features(folder, *words, "--pixels", "off") == 2
    assert "No space left" in capsys.readouterr().err
    assert list(out.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "at least one file to write"),
        (["--csv", "x/o.out", "--report", "x/o.out"], "different files"),
        (["--csv", "o.csv", "--labels", "o.csv"], "another file than those written"),
        (["--csv", "o.csv", "--inputFolder", FOLDER], "but girderApiUrl is empty"),
        (["--csv", "o.csv", "--staining", "trichrome"], "one of he, pas"),
        (["--csv", "o.csv", "--radius_um", "0"], "from 1 to 5000"),
    ],
)
def test_what_cannot_be_done_is_refused_in_a_sentence(folder, words, sentence, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    (folder / "o.csv").touch()
    assert features(folder, *words) == 2
    assert sentence in capsys.readouterr().err


HOSTILE = ["=cmd|' /C calc'!A0", "a/b[1]:*?\\" + "x" * 40, "<script>alert(1)</script>", "../../up"]


@pytest.mark.slow
def test_hostile_names_of_layers_do_no_harm(folder, tmp_path):
    discs = {name: [(100 + 80 * n, 100, 30)] for n, name in enumerate(HOSTILE)}
    paint(folder, "a.tiff", discs)
    out = tmp_path / "out"
    words = ("--csv", out / "o.csv", "--xlsx", out / "o.xlsx", "--report", out / "o.html")
    assert features(folder, *words, "--annotation", out / "o.anot", "--pixels", "off") == 0
    assert {path.name for path in out.iterdir()} == {"o.csv", "o.xlsx", "o.html", "o.anot"}
    book = load_workbook(out / "o.xlsx")
    assert len(book.sheetnames) == 1 + len(HOSTILE)
    kinds = {cell.data_type for sheet in book for row in sheet.iter_rows() for cell in row}
    assert kinds == {"s", "n"}
    classes = [row["class"] for row in table_of(out / "o.csv")]
    assert classes == ["'" + HOSTILE[0], *HOSTILE[1:]]
    assert "<script>" not in (out / "o.html").read_text(encoding="utf-8")


@pytest.fixture
def girder(tmp_path):
    """A Girder folder with one slide, on which a person has drawn."""
    path = paint(tmp_path)
    source = large_image_source_tiff.TiffFileTileSource
    routes = item_routes(lambda encoding, style: source(str(path), encoding=encoding, style=style))
    routes["item"] = [routes[f"item/{ITEM}"]]
    routes[f"item/{ITEM}/metadata"] = {}
    routes[f"folder/{FOLDER}"] = {"_id": FOLDER, "_accessLevel": 1}
    with fake_girder(routes=routes) as server:
        server.board = Board(server, ITEM)
        for layer in json.loads(path.with_suffix(".json").read_text()):
            server.board.put(ITEM, layer)
        yield server


def in_girder(girder, *words, source=FOLDER):
    login = ("--girderApiUrl", girder.url, "--girderToken", TOKEN)
    return features(source, *login, *words)


def test_in_girder_layers_and_metadata_are_put_on_the_slides(girder, capsys):
    drawn = dict(girder.board.layers)
    assert in_girder(girder) == 0
    assert TOKEN not in "".join(capsys.readouterr())
    assert drawn.items() <= girder.board.layers.items(), "what people drew is as it was"
    new = girder.board.named(ITEM)["glomerulus features"]["annotation"]
    assert new["attributes"][ORIGIN]["task"] == TASK
    assert new["elements"][0]["user"]["area_um2"] == pytest.approx(math.pi * 30**2, rel=1e-3)
    ((path, metadata),) = girder.put
    told = metadata["deeplab_features"]
    assert (path, list(metadata)) == (f"item/{ITEM}/metadata", ["deeplab_features"])
    assert told["tubule count"] == 3
    assert told["glomerulus mean_area_um2"] == pytest.approx(math.pi * 26 * 100 / 4, rel=1e-3)
    assert told["tubule median_circularity"] == pytest.approx(1, rel=1e-3)
    # HistomicsUI plots numbers that lie one deep; Girder takes no dots and no dollar first.
    assert all(isinstance(value, int | float) for value in told.values())
    assert not [key for key in told if "." in key or key.startswith("$")]


@pytest.mark.slow
def test_a_second_run_measures_what_people_drew_and_takes_the_place_of_the_first(girder, tmp_path):
    words = ("--pixels", "off", "--csv", tmp_path / "o.csv")
    assert in_girder(girder, *words) == 0
    first = {each["_id"] for each in girder.board.of(ITEM)}
    assert in_girder(girder, *words) == 0
    names = sorted(girder.board.named(ITEM))
    assert names == ["glomerulus", "glomerulus features", "tubule", "tubule features"]
    assert len(first & {each["_id"] for each in girder.board.of(ITEM)}) == 2
    assert {row["class"] for row in table_of(tmp_path / "o.csv")} == set(DISCS)
    # A run on one layer leaves what was measured of the other.
    assert in_girder(girder, *words, "--classes", "tubule", source=ITEM) == 0
    assert sorted(girder.board.named(ITEM)) == names


def test_a_layer_in_pieces_is_measured_as_the_one_that_it_is(girder, tmp_path, caplog):
    tubule = girder.board.named(ITEM)["tubule"]
    del girder.board.layers[tubule["_id"]]
    for number, element in enumerate(elements := tubule["annotation"]["elements"], start=1):
        piece = Piece("tubule", number, len(elements))
        told = {"name": piece.name, "attributes": piece.attributes, "elements": [element]}
        girder.board.put(ITEM, tubule["annotation"] | told)
    words = ("--pixels", "off", "--csv", tmp_path / "o.csv", "--classes", "Tubule")
    assert in_girder(girder, *words) == 0
    assert [row["class"] for row in table_of(tmp_path / "o.csv")] == ["Tubule"] * 3
    assert "measured as one" not in caplog.text


def test_layers_that_say_something_of_others_are_measured_only_by_name(girder, tmp_path):
    made = {"name": "missed tubule", "attributes": {"cli": "EvaluateSegmentation"}}
    girder.board.put(ITEM, girder.board.named(ITEM)["tubule"]["annotation"] | made)
    heatmap = {"type": "heatmap", "points": [[1, 1, 0, 1]], "radius": 5}
    girder.board.put(ITEM, {"name": "tubule-heatmap", "elements": [heatmap]})
    words = ("--pixels", "off", "--post_annotation", "off", "--csv", tmp_path / "o.csv")
    assert in_girder(girder, *words) == 0
    found = [row["class"] for row in table_of(tmp_path / "o.csv")]
    assert found == ["glomerulus"] * 2 + ["tubule"] * 3
    assert in_girder(girder, *words, "--classes", "missed tubule") == 0
    assert len(table_of(tmp_path / "o.csv")) == 3


def test_what_histomicsui_cannot_plot_is_not_put_on_the_slide(girder, monkeypatch, capsys):
    monkeypatch.setattr(extract, "MOST_OBJECTS", 2)
    assert in_girder(girder, "--pixels", "off") == 0
    assert sorted(girder.board.named(ITEM)) == ["glomerulus", "glomerulus features", "tubule"]
    assert "tubule has more than the 2 objects that HistomicsUI plots" in capsys.readouterr().out


def test_two_layers_of_one_name_are_said(girder, capsys):
    girder.board.put(ITEM, dict(girder.board.named(ITEM)["tubule"]["annotation"]))
    assert in_girder(girder, "--pixels", "off", "--post_annotation", "off") == 0
    said = capsys.readouterr().out
    assert "painted.svs: 2 layers are called tubule and were measured as one" in said
    assert "2 layers are called glomerulus" not in said


def test_layers_that_one_name_asks_for_are_said(tmp_path, capsys):
    paint(tmp_path, layers=layers_of({"Tubule": [(60, 60, 20)]}))
    words = (tmp_path / "a.tiff", "--pixels", "off", "--csv", tmp_path / "o.csv")
    assert features(*words, "--classes", "TUBULE") == 0
    assert "the layers tubule and Tubule were measured as one, TUBULE" in capsys.readouterr().out
    assert len(table_of(tmp_path / "o.csv")) == 4
    assert features(*words) == 0
    assert "as one" not in capsys.readouterr().out


def test_what_is_missing_on_a_plain_install_is_said(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "histomicstk", None)
    assert features(folder, "--csv", tmp_path / "o.csv") == 2
    assert "pip install --no-deps histomicstk" in capsys.readouterr().err


def test_a_folder_goes_before_the_slide_that_happens_to_be_open(girder):
    assert in_girder(girder, "--inputFolder", FOLDER, "--pixels", "off", source="7c" * 12) == 0
    assert "tubule features" in girder.board.named(ITEM)


def test_nothing_goes_to_the_server_where_it_is_switched_off(girder, tmp_path):
    off = ("--post_annotation", "off", "--post_metadata", "off", "--pixels", "off")
    girder.routes[f"folder/{FOLDER}"]["_accessLevel"] = 0
    assert in_girder(girder, *off, "--csv", tmp_path / "o.csv") == 0
    assert (girder.posted, girder.put) == ([], [])
    assert in_girder(girder, *off) == 2, "then a file must be asked for"


@pytest.fixture
def with_another(girder):
    """A second slide in the folder, drawn on, whose tiles the server does not have."""
    other = "8d" * 12
    girder.routes[f"item/{other}"] = girder.routes[f"item/{ITEM}"] | {"_id": other, "name": "z"}
    girder.routes["item"].append(girder.routes[f"item/{other}"])
    board = Board(girder, ITEM, other)
    for layer in girder.board.layers.values():
        board.put(ITEM, layer["annotation"])
    board.put(other, layer["annotation"])
    girder.board, girder.other = board, other
    return girder


@pytest.mark.parametrize("status", [400, 404])
def test_a_slide_that_the_server_cannot_show_is_left_out_and_named(with_another, status, capsys):
    with_another.routes[f"item/{with_another.other}/tiles"] = status
    assert in_girder(with_another, "--pixels", "off") == 0
    assert "left out: z: " in capsys.readouterr().out
    assert [path for path, _ in with_another.put] == [f"item/{ITEM}/metadata"]


def test_a_slide_that_is_not_for_this_user_ends_the_job(with_another, tmp_path, capsys):
    with_another.routes[f"item/{with_another.other}/tiles"] = 403
    assert in_girder(with_another, "--pixels", "off", "--csv", tmp_path / "o.csv") == 2
    assert "refuses it" in capsys.readouterr().err
    assert (with_another.put, list(tmp_path.glob("*.csv"))) == ([], [])


def test_a_folder_that_is_read_only_is_refused_before_anything_is_measured(girder, capsys):
    girder.routes[f"folder/{FOLDER}"]["_accessLevel"] = 0
    assert in_girder(girder) == 2
    assert "may only read it" in capsys.readouterr().err
    assert not [path for path, _ in girder.asked if "tiles" in path]


def test_no_file_appears_where_the_server_refuses_the_layers(girder, tmp_path, capsys):
    girder.routes[f"item/{ITEM}/metadata"] = 403
    assert in_girder(girder, "--csv", tmp_path / "o.csv", "--pixels", "off") == 2
    assert "refuses it" in capsys.readouterr().err
    assert not (tmp_path / "o.csv").exists()


@pytest.mark.parametrize("name", ["a.json", "a.tiff", "bare.tiff", "../slides/a.json"])
def test_no_slide_and_no_annotation_of_the_folder_is_written_over(folder, name, capsys):
    (folder / "bare.tiff").write_bytes((folder / "a.tiff").read_bytes())
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert features(folder, "--output_annotation", folder / name) == 2
    assert "it is read for the result" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_two_outputs_in_one_file_are_refused_by_whatever_path(folder, tmp_path, capsys):
    other = tmp_path / "slides" / ".." / "o.out"
    assert features(folder, "--xlsx", tmp_path / "o.out", "--csv", other) == 2
    assert "must be different files" in capsys.readouterr().err
    assert not (tmp_path / "o.xlsx").exists()


def test_objects_beyond_the_slide_are_said(tmp_path, capsys):
    far = Layer("far", RED, (Shape(disc(SIDE, 90, 30)), Shape(disc(90, 90, 30))))
    slide = paint(tmp_path, layers=[far])
    assert features(slide, "--csv", tmp_path / "o.csv", "--pixels", "off") == 0
    assert "1 object of far reach beyond the slide" in capsys.readouterr().out
