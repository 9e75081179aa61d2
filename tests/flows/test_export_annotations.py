"""The layers of slides become files of other programs, by the command people type."""

import json
import zipfile
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import shapely
from PIL import Image

from deeplab.annotations.formats.format import Reading, Writing
from deeplab.annotations.formats.table import FORMATS, named
from deeplab.annotations.shapes import Annotations, Layer, Shape
from deeplab.exchange.layers import ORIGIN, Origin, replace_layers
from deeplab.exchange.live_annotations import read_live
from deeplab.server.session import Session
from deeplab_cli.forms import read_spec
from deeplab_cli.main import main
from tests.girder_for_tests import FOLDER, TOKEN, Board

POINTS = [[10, 10, 0], [60, 10, 0], [60, 50, 0], [10, 50, 0]]
HOLE = [[20, 20, 0], [30, 20, 0], [30, 30, 0], [20, 30, 0]]


def layer(name, **more):
    element = {"type": "polyline", "closed": True, "points": POINTS, "holes": [HOLE]}
    return {"name": name, "elements": [element], **more}


@pytest.fixture
def board(girder):
    return Board(girder)


@pytest.fixture
def slide(folder, board):
    """Adds a slide with layers."""

    def add(name, *layers):
        item = folder.slide(name)
        board.add(item)
        for each in layers:
            board.put(item, each)
        return item

    return add


@pytest.fixture
def export(girder, capsys):
    def run(*words, source=FOLDER):
        server = ("--girderApiUrl", girder.url, "--girderToken", TOKEN)
        code = main(["export-annotations", source, *map(str, words), *server])
        said = capsys.readouterr()
        assert TOKEN not in said.out + said.err
        return code, said.out, said.err

    return run


def read(archive, name, tmp_path, format_):
    with zipfile.ZipFile(archive) as opened:
        path = tmp_path / f"read{format_.suffixes[0]}"
        path.write_bytes(opened.read(name))
    return format_.read(path, Reading())


def test_each_slide_becomes_an_imagescope_file_with_its_um_per_pixel(slide, export, tmp_path):
    slide("TCGA.01.svs", layer("tumour"), layer("stroma", description="seen"))
    slide("b.svs", layer("tumour"))
    slide("bare.svs")
    code, said, error = export(tmp_path / "a.zip")
    assert (code, error) == (0, "")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.namelist() == ["TCGA.01.svs.xml", "b.svs.xml"]
        root = ET.fromstring(archive.read("TCGA.01.svs.xml"))
    assert float(root.get("MicronsPerPixel")) == 0.5
    assert [each.get("Name") for each in root] == ["tumour", "stroma"]
    assert "annotations of 2 slides as ImageScope XML" in said
    assert "TCGA.01.svs, in TCGA.01.svs.xml:\n  tumour: 1 shape\n  stroma: 1 shape" in said
    assert "bare.svs has no annotations" in said


@pytest.mark.parametrize("name", [each.name for each in FORMATS])
def test_every_format_comes_back_as_it_went_out_and_the_zip_is_the_same_twice(
    slide, export, tmp_path, name
):
    slide("b.svs", layer("tumour", attributes={"cli": "X"}))
    slide("a.svs", layer("tumour"), layer("stroma"))
    for zip_ in ("1.zip", "2.zip"):
        code, said, _ = export(tmp_path / zip_, "--output_format", name)
        assert code == 0
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()
    format_ = named(name)
    with zipfile.ZipFile(tmp_path / "1.zip") as archive:
        first, _ = names = archive.namelist()
    assert names == sorted(names)
    assert first.startswith("a.svs.")
    again = read(tmp_path / "1.zip", first, tmp_path, format_)
    # In a mask the later layer covers the earlier.
    shape = next(iter(again.layer("stroma").shapes))
    assert shape.polygon.area == pytest.approx(2000 - 100 * (name != "hovernet"), rel=0.05)
    assert ("cannot carry them: " in said) == (name != "histomicsui" or "colours" in said)


def test_a_mask_is_as_large_as_its_slide_or_at_the_scale_asked_for(slide, export, tmp_path):
    item = slide("a.svs", layer("tumour"))
    assert export(tmp_path / "a.png", source=item)[0] == 0
    with Image.open(tmp_path / "a.png") as mask:
        assert mask.size == (1000, 800)
    assert export(tmp_path / "b.png", "--mask_mpp", "5", source=item)[0] == 0
    with Image.open(tmp_path / "b.png") as mask:
        assert mask.size == (100, 80)


@pytest.mark.parametrize("suffix", [".xml", ".geojson", ".anot"])
def test_of_one_slide_the_file_itself_is_written(slide, export, tmp_path, suffix):
    item = slide("a.svs", layer("tumour"))
    slide("b.svs", layer("other"))
    output = tmp_path / f"any{suffix}"
    code, said, _ = export(output, source=item)
    assert (code, f"a.svs, in any{suffix}:" in said) == (0, True)
    format_ = next(each for each in FORMATS if suffix in each.suffixes)
    assert format_.read(output, Reading()).names == ("tumour",)
    code, _, error = export(tmp_path / "c.xml")
    assert (code, "must be a .zip, as there are 2 slides" in error) == (2, True)
    assert not (tmp_path / "c.xml").exists()


def test_a_mask_of_which_the_server_has_made_an_image_is_no_slide(slide, export, tmp_path):
    slide("a.svs", layer("tumour"))
    slide("a.mask.tif")
    code, said, _ = export(tmp_path / "a.zip")
    assert (code, "a.mask.tif" in said) == (0, False)


def test_only_the_layers_asked_for_are_written(slide, export, tmp_path):
    slide("a.svs", layer("Tumour"), layer("stroma"))
    slide("b.svs", layer("stroma"))
    code, said, _ = export(tmp_path / "a.zip", "--classes", "tumour,none")
    assert code == 0
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.namelist() == ["a.svs.xml"]
        assert b"stroma" not in archive.read("a.svs.xml")
    assert "b.svs has none of these layers" in said
    assert 'no layer is called "none" (there are: Tumour, stroma)' in said
    code, _, error = export(tmp_path / "b.zip", "--classes", "tumuor")
    assert (code, 'did you mean "Tumour"?' in error) == (2, True)
    assert not (tmp_path / "b.zip").exists()


def test_what_the_format_cannot_carry_is_said_for_each_slide(slide, export, tmp_path):
    slide("a.svs", layer("tumour", description="seen"))
    slide("b.svs", layer("tumour"))
    code, said, _ = export(tmp_path / "a.zip", "--output_format", "geojson")
    assert code == 0
    lost = "  not in it, as GeoJSON cannot carry them: the descriptions of layers"
    assert said.count(lost) == 1
    assert said.index(lost) < said.index("b.svs, in")


def test_an_export_does_not_carry_the_marks_by_which_we_know_our_layers(
    girder, slide, board, export, tmp_path
):
    item = slide("a.svs", layer("mine", attributes={"cli": "X"}))
    drawn = Annotations((Layer("a", (1, 2, 3), (Shape(shapely.box(0, 0, 9, 9)),)),))
    with Session(girder.login) as session:
        replace_layers(session, item, drawn, Origin(task="T", source="s"))
    assert export(tmp_path / "a.anot", source=item)[0] == 0
    for annotation in json.loads((tmp_path / "a.anot").read_text()):
        assert ORIGIN not in annotation["attributes"]
        assert annotation["attributes"]["cli"] == "X"


@pytest.mark.parametrize(
    "name", ["../../x", "/etc/x", "a, b", "Größe 🔬", "a\\b", "con", "x" * 300, "..", "a\nb:c*"]
)
def test_no_name_of_a_slide_leads_out_of_the_zip(slide, export, tmp_path, name):
    slide(f"{name}.svs", layer("tumour"))
    (tmp_path / "to").mkdir()
    code, _, error = export(tmp_path / "a.zip")
    assert (code, error) == (0, "")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        (entry,) = archive.namelist()
        archive.extractall(tmp_path / "to")
    assert not set(entry) & set('/\\:*?"<>|\n')
    assert entry.endswith(".xml")
    assert [path.name for path in (tmp_path / "to").iterdir()] == [entry]


def test_slides_that_share_a_name_get_files_of_their_own(slide, export, tmp_path):
    for name in ("a.svs", "a.svs", "A.svs", "a/b.svs", "a\\b.svs"):
        slide(name, layer("tumour"))
    assert export(tmp_path / "a.zip")[0] == 0
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        names = archive.namelist()
    assert len({name.casefold() for name in names}) == 5
    assert "a.svs (2).xml" in names


def beyond():
    """A layer that lies nowhere on a slide."""
    far = layer("far")
    far["elements"][0]["points"] = [[1e12, 0, 0], [1, 0, 0], [1, 1, 0]]
    return far


def test_slides_that_cannot_be_written_are_named_and_the_others_are_written(
    slide, export, tmp_path
):
    for name in ("a.svs", "c.svs"):
        slide(name, beyond())
    slide("b.svs", layer("tumour"))
    code, _, error = export(tmp_path / "a.zip")
    assert code == 2
    last = error.splitlines()[-1]
    assert last.startswith("error: 2 of 3 slides could not be written: a.svs: ")
    assert "; c.svs: " in last
    assert "not on a slide" in last
    assert "b.svs, in b.svs.xml:\n  tumour: 1 shape" in error
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.namelist() == ["b.svs.xml"]


def test_a_remark_names_the_slide_as_people_know_it(slide, export, tmp_path):
    bad = layer("tumour")
    bad["elements"].append({"type": "circle", "center": ["x", 1, 0], "radius": 2})
    slide("a.svs", bad)
    code, said, error = export(tmp_path / "a.zip")
    before, remark, _ = said.partition("  1 left out that cannot be used: ")
    assert (code, bool(remark)) == (0, True)
    about = [line for line in before.splitlines() if not line.startswith(" ")][-1]
    assert about.startswith("a.svs, in ")
    assert remark.strip() not in error, "it is said once"


@pytest.mark.parametrize("name", ["a.zip", "a.xml"])
def test_where_no_slide_can_be_written_there_is_no_file(slide, export, tmp_path, name):
    slide("a.svs", beyond())
    code, _, error = export(tmp_path / name)
    assert code == 2
    assert error.splitlines()[-1].startswith("error: nothing was written: a.svs: ")
    assert list(tmp_path.iterdir()) == []


def test_a_slide_that_the_server_fails_on_is_named_and_the_others_are_written(
    girder, slide, export, tmp_path
):
    girder.routes[f"item/{slide('a.svs', layer('tumour'))}/tiles"] = 400
    slide("b.svs", layer("tumour"))
    code, _, error = export(tmp_path / "a.zip")
    assert (code, "error: 1 of 2 slides could not be written: a.svs: " in error) == (2, True)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.namelist() == ["b.svs.xml"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("a.docx",), "must be a file of type"),
        (("a.zip", "--output_format", "word"), "output_format must be one of auto"),
        (("a.zip", "--mask_mpp", "-1"), "mask_mpp must be at least 0"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(slide, export, tmp_path, words, sentence, monkeypatch):
    monkeypatch.chdir(tmp_path)
    slide("a.svs", layer("tumour"))
    code, out, error = export(*words)
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert sentence in error
    assert list(tmp_path.iterdir()) == []


def test_local_slides_are_written_with_their_annotations(tmp_path, capsys):
    slides = tmp_path / "slides"
    slides.mkdir()
    for name in ("a", "b"):
        Image.fromarray(np.full((80, 100, 3), 200, np.uint8)).save(slides / f"{name}.png")
    (slides / "a.json").write_text(json.dumps([layer("tumour")]))
    assert main(["export-annotations", str(slides), str(tmp_path / "a.zip"), "--to", "mask"]) == 0
    said = capsys.readouterr().out
    assert "a.png, in a.png.mask.tif:\n  tumour: 1 shape" in said
    assert "b.png has no annotation beside it" in said
    again = read(tmp_path / "a.zip", "a.png.mask.tif", tmp_path, named("mask"))
    assert again.attributes == {"width_level0": 100, "height_level0": 80}
    # Put beside its slide it is found again.
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        archive.extractall(slides)
    (slides / "a.json").unlink()
    assert main(["export-annotations", str(slides / "a.png"), str(tmp_path / "a.geojson")]) == 0
    assert named("geojson").read(tmp_path / "a.geojson", Reading()).names == ("tumour",)


def test_one_file_for_a_folder_is_measured_and_written_slide_by_slide(tmp_path, capsys):
    slides = tmp_path / "slides"
    slides.mkdir()
    for name in ("a", "b"):
        Image.fromarray(np.full((80, 100, 3), 200, np.uint8)).save(slides / f"{name}.png")
    document = {
        "images": [{"id": n, "file_name": f"{n}.png"} for n in "ab"],
        "categories": [{"id": 1, "name": "tumour"}],
        "annotations": [{"image_id": n, "category_id": 1, "bbox": [9, 9, 20, 20]} for n in "ab"],
    }
    (slides / "all.json").write_text(json.dumps(document))
    assert main(["export-annotations", str(slides), str(tmp_path / "a.zip")]) == 0
    assert "annotations of 2 slides" in capsys.readouterr().out
    table = tmp_path / "t.csv"
    assert main(["features", str(slides), "--csv", str(table), "--slide_mpp", "0.5"]) == 0
    assert [row.split(",")[0] for row in table.read_text().splitlines()[1:]] == ["a.png", "b.png"]


def test_a_million_shapes_are_not_held_in_memory(girder, slide, export, tmp_path, monkeypatch):
    item = slide("a.svs", layer("tumour"))
    spilled = []
    monkeypatch.setattr(
        "deeplab.exchange.samples.read_live",
        lambda *item, spill: spilled.append(spill) or read_live(*item, spill=spill),
    )
    assert export(tmp_path / "a.zip", source=item)[0] == 0
    assert all(spilled)
    assert len(spilled) == 1


def test_the_form_offers_each_format():
    (offered,) = (
        p.choices for p in read_spec("ExportAperioXML").parameters if p.name == "output_format"
    )
    assert offered == ("auto", *(each.name for each in FORMATS))


@pytest.mark.parametrize("name", ["a.png", "a.geojson", "bare.png"])
def test_no_slide_and_no_annotation_of_a_folder_is_written_over(tmp_path, capsys, name):
    for picture in ("a.png", "bare.png"):
        Image.new("RGB", (30, 20)).save(tmp_path / picture)
    drawn = Annotations((Layer("tumour", (1, 2, 3), ()),))
    named("geojson").write(tmp_path / "a.geojson", drawn, Writing())
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert main(["export-annotations", str(tmp_path), str(tmp_path / name)]) == 2
    assert "it is read for the result" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
