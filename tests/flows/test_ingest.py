"""Files of annotations beside slides become their layers, by the command people type."""

import gzip
import io
import json
from pathlib import Path

import numpy as np
import pytest
import shapely
from PIL import Image

from deeplab import __version__
from deeplab.annotations.formats.format import Writing
from deeplab.annotations.formats.table import FORMATS, named
from deeplab.annotations.shapes import Annotations, Layer, Mark, Shape
from deeplab.exchange.layers import ORIGIN
from deeplab.exchange.maker import maker
from deeplab.names import shown_name
from deeplab_cli.forms import read_spec
from deeplab_cli.main import main
from tests.annotations.girder_schema import load_schema
from tests.annotations.ndpi import ON_GLASS, ndpa_of_box
from tests.girder_for_tests import FOLDER, TOKEN, Board, SlideFolder

PAGE = Path(__file__).parents[2] / "docs/how-to/annotations-in-and-out.md"
RING = shapely.box(10, 10, 60, 50) - shapely.box(20, 20, 30, 30)


def drawn(*names, ring=RING):
    return Annotations(tuple(Layer(name, (200, 10, 20), (Shape(ring),)) for name in names))


def written(tmp_path, annotations, name="imagescope", suffix=""):
    """The bytes of a file of annotations."""
    format_ = named(name)
    path = tmp_path / f"written{suffix or format_.suffixes[0]}"
    format_.write(path, annotations, Writing(width_level0=1000, height_level0=800))
    return path.read_bytes()


@pytest.fixture
def slide(folder):
    return folder.slide("TCGA.01.svs")


@pytest.fixture
def board(girder, slide):
    board = Board(girder, slide)
    board.put(slide, {"name": "tumour", "description": "drawn by hand", "elements": []})
    return board


@pytest.fixture
def ingest(girder, capsys):
    def run(*words, source=FOLDER):
        server = ("--girderApiUrl", girder.url, "--girderToken", TOKEN)
        code = main(["ingest", source, *server, *words])
        said = capsys.readouterr()
        assert TOKEN not in said.out + said.err
        return code, said.out, said.err

    return run


def made(board, slide):
    """The layers that are not drawn by hand, by name."""
    ours = [
        x["annotation"] for x in board.of(slide) if ORIGIN in x["annotation"].get("attributes", {})
    ]
    names = [annotation["name"] for annotation in ours]
    assert len(set(names)) == len(names)
    return dict(zip(names, ours, strict=True))


def test_the_layers_of_each_file_are_put_on_its_slide_and_say_where_they_come_from(
    folder, slide, board, ingest, tmp_path
):
    folder.file("TCGA.01.xml", written(tmp_path, drawn("tumour", "stroma")))
    folder.file("TCGA.01.svs.geojson", written(tmp_path, drawn("necrosis"), "geojson"))
    folder.file("TCGA.xml", b"another's")
    code, said, _ = ingest()
    assert code == 0
    assert "1 slide, 2 files of annotations, 3 new layers" in said
    assert "TCGA.01.svs, from TCGA.01.xml (ImageScope XML):\n  tumour: 1 shape" in said
    layers = made(board, slide)
    assert set(layers) == {"tumour", "stroma", "necrosis"}
    origin = layers["stroma"]["attributes"][ORIGIN]
    assert (origin["task"], origin["version"]) == ("IngestAperioXML", __version__)
    assert maker(layers["stroma"]["attributes"]) == ""  # it was drawn in another program
    assert (origin["file"], origin["format"]) == ("TCGA.01.xml", "imagescope")
    assert len(origin["file_id"]) == 24
    assert len(origin["digest"]) == 64
    for key in origin:
        assert f"`{key}`" in PAGE.read_text(encoding="utf-8"), key
    (element,) = layers["tumour"]["elements"]
    assert len(element["holes"]) == 1
    assert len(board.of(slide)) == 4, "the one drawn by hand stays"


def test_what_is_posted_is_what_the_server_takes(folder, slide, board, ingest, tmp_path):
    jsonschema = pytest.importorskip("jsonschema")
    schema = load_schema() or pytest.skip("girder-large-image-annotation is not installed")
    marked = Layer("Über, 🔬/x", (1, 2, 3), (), "seen", (Mark(shapely.Point(5, 6)),))
    annotations = Annotations((marked, *drawn("a").layers))
    folder.file("TCGA.01.xml", written(tmp_path, annotations))
    assert ingest()[0] == 0
    for annotation in made(board, slide).values():
        jsonschema.Draft6Validator(schema).validate(annotation)
    assert "Über, 🔬/x" in made(board, slide)


@pytest.mark.parametrize("name", [each.name for each in FORMATS])
def test_files_of_every_format_are_taken_in(folder, slide, board, ingest, tmp_path, name):
    suffix = {"mask": ".png"}.get(name, "")
    plain = drawn("a", ring=shapely.box(10, 10, 60, 50))
    content = written(tmp_path, plain, name, suffix)
    ending = named(name).infix + (suffix or named(name).suffixes[0])
    folder.file(f"TCGA.01{ending}", content)
    code, said, _ = ingest()
    assert (code, f"({named(name).title})" in said) == (0, True)
    ((element,),) = (layer["elements"] for layer in made(board, slide).values())
    assert shapely.Polygon([p[:2] for p in element["points"]]).area == pytest.approx(2000, rel=0.05)


def test_a_layer_that_is_missing_is_put_there_again(folder, slide, board, ingest, tmp_path):
    folder.file("TCGA.01.xml", written(tmp_path, drawn("tumour", "stroma")))
    ingest("--classes", "stroma")
    assert set(made(board, slide)) == {"stroma"}
    assert "there already: stroma" in ingest("--classes", "Stroma ")[1]
    ingest()
    assert set(made(board, slide)) == {"stroma", "tumour"}


@pytest.mark.parametrize(
    "told", [{"layers": 5}, {"format": ["x"]}, {"format": "word"}, {"layers": [{}]}, {"layer": [1]}]
)
def test_what_a_layer_says_is_not_trusted(folder, slide, board, ingest, tmp_path, told):
    folder.file("TCGA.01.xml", written(tmp_path, drawn("tumour")))
    ingest()
    made(board, slide)["tumour"]["attributes"][ORIGIN] |= told
    code, _, error = ingest()
    assert (code, error) == (0, "")


def test_a_file_that_came_anew_with_the_same_content_brings_nothing(
    folder, slide, board, ingest, tmp_path
):
    item = folder.file("TCGA.01.xml", written(tmp_path, drawn("tumour")))
    ingest()
    before = json.dumps(board.layers)
    folder.replace(item, written(tmp_path, drawn("tumour")))
    assert "there already: tumour" in ingest()[1]
    assert json.dumps(board.layers) == before


def test_a_second_run_has_nothing_to_do(girder, folder, slide, board, ingest, tmp_path):
    folder.file("TCGA.01.xml", written(tmp_path, drawn("tumour", "stroma")))
    folder.file("TCGA.01.json", written(tmp_path, drawn("b"), "histomicsui"))
    ingest()
    before = json.dumps(board.layers)
    girder.asked.clear()
    code, said, _ = ingest()
    assert (code, json.dumps(board.layers)) == (0, before)
    assert not [path for path, _ in girder.asked if path.endswith("/download")], (
        "nothing is fetched"
    )
    assert "0 new layers" in said
    assert "there already: tumour, stroma" in said


def test_layers_of_a_file_that_was_replaced_are_replaced(folder, slide, board, ingest, tmp_path):
    item = folder.file("TCGA.01.xml", written(tmp_path, drawn("a", "b")))
    ingest()
    folder.replace(item, written(tmp_path, drawn("b", "c", ring=shapely.box(0, 0, 9, 9))))
    code, said, _ = ingest()
    layers = made(board, slide)
    assert (code, set(layers)) == (0, {"b", "c"})
    assert not layers["b"]["elements"][0].get("holes")
    assert "no longer there, as the file is another one: a, b" in said
    assert len(board.of(slide)) == 3


def test_a_layer_that_somebody_corrected_is_kept_and_said(folder, slide, board, ingest, tmp_path):
    item = folder.file("TCGA.01.xml", written(tmp_path, drawn("a")))
    ingest()
    (number,) = [x["_id"] for x in board.of(slide) if x["annotation"]["name"] == "a"]
    board.change(number, elements=[])
    assert "0 new layers" in ingest()[1], "the file is the same: nothing to do"
    folder.replace(item, written(tmp_path, drawn("a", ring=shapely.box(0, 0, 9, 9))))
    for said in (ingest()[1], ingest()[1]):
        assert "from the earlier file, but changed since, so kept: a" in said
        assert set(made(board, slide)) == {"a", "a (2)"}
        assert board.layers[number]["annotation"]["elements"] == []
    assert 'a: 1 shape, called "a (2)"' not in said


def test_one_slide_is_taken_in_alone(folder, slide, board, ingest, tmp_path, girder):
    other = folder.slide("other.svs")
    Board.put(board, other, {"name": "x"})
    for name in ("TCGA.01.xml", "other.xml"):
        folder.file(name, written(tmp_path, drawn("a")))
    code, said, _ = ingest(source=slide)
    assert (code, "1 slide, 1 file" in said) == (0, True)
    assert set(made(board, slide)) == {"a"}
    assert len(board.of(other)) == 1


def test_only_the_layers_asked_for_are_taken_whatever_their_case(
    folder, slide, board, ingest, tmp_path
):
    folder.file("TCGA.01.xml", written(tmp_path, drawn("Tumour ", "stroma")))
    code, said, _ = ingest("--classes", "tumour,necrosis")
    assert (code, [name.strip() for name in made(board, slide)]) == (0, ["Tumour"])
    assert 'no layer is called "necrosis" (there are: ' in said
    assert ingest()[0] == 0
    assert len(made(board, slide)) == 2
    code, _, error = ingest("--classes", "stromma")
    assert (code, 'no layer is called "stromma"; did you mean "stroma"?' in error) == (2, True)


def test_a_failing_file_is_named_and_the_others_are_taken(folder, slide, board, ingest, tmp_path):
    folder.file("TCGA.01.geojson", b'{"type": "FeatureCollection", "features": [{}]}')
    folder.file("TCGA.01.json", b"")
    folder.file("TCGA.01.svs.xml", b"<Slide></Slide>")
    folder.file("TCGA.01.xml", written(tmp_path, drawn("a")))
    code, out, error = ingest()
    assert (code, out.count("Error"), set(made(board, slide))) == (2, 0, {"a"})
    last = error.splitlines()[-1]
    assert last.startswith("error: 3 of 4 files could not be taken in: ")
    for sentence in (
        "TCGA.01.geojson: feature 1 is not a GeoJSON feature",
        "TCGA.01.json: the file is empty",
        "TCGA.01.svs.xml: is XML of no kind that is known",
    ):
        assert sentence in last
    assert "a: 1 shape" in error, "what became of the others is said, too"
    assert "deeplab-" not in last, "no path of a work folder"


@pytest.mark.parametrize("name", ["TCGA.01.geojson", "TCGA.01.geojson.gz", "all.coco"])
def test_a_remark_names_the_file_as_people_know_it(folder, slide, board, ingest, name):
    ring = [[1, 1], [9, 1], [9, 9], [1, 1]]
    lines = [{"type": "Polygon", "coordinates": [each]} for each in (ring, [["x", 2]])]
    document = {"features": [{"type": "Feature", "geometry": each} for each in lines]}
    if name.endswith("coco"):
        box = {"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}
        document = {
            "images": [{"id": 1, "file_name": "TCGA.01.svs"}],
            "categories": [{"id": 1, "name": "a"}],
            "annotations": [box, box | {"bbox": ["x", 1, 2, 3]}],
        }
    content = json.dumps(document).encode()
    folder.file(name, gzip.compress(content) if name.endswith("gz") else content)
    code, said, error = ingest()
    before, remark, _ = said.partition("  1 left out that cannot be used: ")
    assert (code, bool(remark)) == (0, True)
    about = [line for line in before.splitlines() if not line.startswith(" ")][-1]
    assert about.startswith(f"TCGA.01.svs, from {name} (")
    assert remark.strip() not in error, "it is said once"
    assert "deeplab-unfinished" not in said + error


def test_a_layer_that_the_server_refuses_is_named_and_the_others_are_taken(
    folder, slide, board, ingest, tmp_path, girder
):
    for suffix in (".anot", ".xml"):
        folder.file(
            f"TCGA.01{suffix}",
            written(tmp_path, drawn("a"), "histomicsui" if suffix == ".anot" else "imagescope"),
        )
    post = girder.routes[f"annotation/item/{slide}"].reply
    refused = []

    def refuse_once(query, body):
        if not refused:
            refused.append(body)
            return 400
        return post(query, body)

    girder.routes[f"annotation/item/{slide}"].reply = refuse_once
    code, _, error = ingest()
    assert (code, set(made(board, slide))) == (2, {"a"})
    assert (
        "error: 1 of 2 files could not be taken in: TCGA.01.anot: new annotation of 0.0 MB" in error
    )


def test_a_server_that_fails_again_and_again_is_not_asked_for_every_file(
    folder, slide, board, ingest, tmp_path, girder
):
    for name in ("a", "b", "c", "d"):
        folder.slide(f"{name}.svs")
        girder.routes[f"annotation/item/{folder.slide(f'{name}2.svs')}"] = 500
        folder.file(f"{name}2.xml", written(tmp_path, drawn("a")))
    code, _, error = ingest()
    assert (code, "the server failed (500)" in error) == (2, True)
    assert len(girder.posted) == 3


def test_files_of_one_format_only_are_taken_where_that_is_asked_for(
    folder, slide, board, ingest, tmp_path
):
    folder.file("TCGA.01.xml", written(tmp_path, drawn("a")))
    folder.file("TCGA.01.svs.xml", written(tmp_path, drawn("b"), "asap"))
    folder.file("TCGA.01.geojson", written(tmp_path, drawn("c"), "geojson"))
    code, said, _ = ingest("--source_format", "imagescope")
    assert (code, set(made(board, slide))) == (0, {"a"})
    assert "of another format, so not taken: TCGA.01.geojson, TCGA.01.svs.xml" in said


def test_a_smaller_mask_is_laid_over_the_whole_slide_under_the_names_given(
    folder, slide, board, ingest
):
    mask = np.zeros((80, 100), np.uint8)
    mask[8:16, 10:20] = 1
    file = io.BytesIO()
    Image.fromarray(mask).save(file, "PNG")
    folder.file("TCGA.01.mask.png", file.getvalue())
    folder.file("TCGA.01.png", file.getvalue())
    assert ingest("--value_names", "tumour")[0] == 0
    ((element,),) = (layer["elements"] for layer in made(board, slide).values())
    corners = {(x, y) for x, y, _ in element["points"]}
    assert corners == {(100, 80), (200, 80), (200, 160), (100, 160)}
    assert set(made(board, slide)) == {"tumour"}
    ingest("--value_names", "stroma")
    assert set(made(board, slide)) == {"stroma"}


def test_of_a_file_about_several_slides_each_takes_its_own(folder, slide, board, ingest):
    box = {"category_id": 1, "bbox": [1, 2, 3, 4]}
    document = {
        "images": [{"id": 1, "file_name": "other.svs"}, {"id": 2, "file_name": "TCGA.01.svs"}],
        "categories": [{"id": 1, "name": "a"}],
        "annotations": [box | {"id": n, "image_id": n} for n in (1, 2)],
    }
    folder.file("TCGA.01.coco", json.dumps(document).encode())
    assert ingest()[0] == 0
    assert len(made(board, slide)["a"]["elements"]) == 1


def test_one_file_for_a_folder_brings_each_slide_its_own(folder, slide, board, ingest, girder):
    other = folder.slide("other.svs")
    board.add(other)
    box = {"category_id": 1, "bbox": [1, 2, 3, 4]}
    document = {
        "images": [{"id": 1, "file_name": "other.svs"}, {"id": 2, "file_name": "x/TCGA.01.png"}],
        "categories": [{"id": 1, "name": "a"}],
        "annotations": [box | {"id": n, "image_id": n} for n in (1, 2)],
    }
    item = folder.file("all.json", json.dumps(document).encode())
    folder.file("settings.json", b'{"version": 1}')
    for number in (2, 0):  # the second time there is nothing to do
        girder.asked.clear()
        code, said, _ = ingest()
        assert (code, f"2 slides, 2 files of annotations, {number} new layers" in said) == (0, True)
        assert [len(made(board, each)["a"]["elements"]) for each in (slide, other)] == [1, 1]
        (file,) = girder.routes[f"item/{item}/files"]
        path = f"file/{file['_id']}/download"
        assert [asked for asked, _ in girder.asked].count(path) == 1


@pytest.mark.parametrize(
    "name", ["../../x", "a, b", "Größe", "🔬", "a/b/c", "con", "x" * 300, "..", "a\nb", "%2e%2e"]
)
def test_names_of_all_kinds_lead_nowhere_but_to_the_slide(folder, board, ingest, tmp_path, name):
    item = folder.slide(f"{name}.svs")
    board.add(item)
    folder.file(f"{name}.xml", written(tmp_path, drawn("a")))
    code, _, error = ingest()
    assert (code, error) == (0, "")
    assert set(made(board, item)) == {"a"}
    assert made(board, item)["a"]["attributes"][ORIGIN]["file"] == shown_name(f"{name}.xml")


@pytest.mark.parametrize(
    ("words", "source", "sentence"),
    [
        ((), FOLDER, "there is no file of annotations; it must lie in the folder of its slide"),
        (("--source_format", "word"), FOLDER, "source_format must be one of auto, histomicsui"),
        ((), "my folder", "inputFolder must be the id of a folder or a slide"),
        ((), "7c" * 12, "the server answered 400"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    folder, slide, board, ingest, words, source, sentence, girder
):
    girder.routes[f"file/{'7c' * 12}"] = girder.routes[f"item/{'7c' * 12}"] = 400
    code, out, error = ingest(*words, source=source)
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert sentence in error


def test_a_server_must_be_named(capsys):
    assert main(["ingest", FOLDER]) == 2
    assert "girderApiUrl" in capsys.readouterr().err


def test_a_folder_that_is_read_only_is_refused_before_anything_is_read(girder, ingest, tmp_path):
    folder = SlideFolder(girder, access=0)
    folder.slide("a.svs")
    folder.file("a.xml", b"x")
    code, _, error = ingest()
    assert (code, "ask its owner for write access" in error) == (2, True)
    assert not [path for path, _ in girder.asked if path.endswith("/download")]


def test_the_form_offers_each_format():
    (offered,) = (
        p.choices for p in read_spec("IngestAperioXML").parameters if p.name == "source_format"
    )
    assert offered == ("auto", *(each.name for each in FORMATS))


NO_OFFSET = "the server does not say where the pixels of its slide lie"


@pytest.mark.parametrize("name", ["b.ndpi.ndpa", "b.ndpa"])
@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize(
    ("properties", "sentence"),
    [
        (ON_GLASS, ""),
        ({}, NO_OFFSET),
        (ON_GLASS | {"hamamatsu.XOffsetFromSlideCentre": "nan"}, NO_OFFSET),
        (ON_GLASS | {"hamamatsu.YOffsetFromSlideCentre": "nan"}, NO_OFFSET),
        (ON_GLASS | {"hamamatsu.YOffsetFromSlideCentre": ["x"]}, NO_OFFSET),
        (None, NO_OFFSET),
    ],
)
def test_drawings_of_ndp_view_are_placed_by_what_the_server_says_of_the_glass(
    girder, folder, ingest, name, inside, properties, sentence
):
    slide = folder.slide("b.ndpi")
    told = {} if properties is None else {"openslide": properties}
    girder.routes[f"item/{slide}/tiles/internal_metadata"] = told
    board = Board(girder, slide)
    drawing = ndpa_of_box(10, 20, 110, 60, size=(1000, 800))
    folder.file(name, drawing, item=slide if inside else "", file_name=name)
    code, _, complaints = ingest()
    if sentence:
        assert code == 2
        assert sentence in complaints
        return
    assert code == 0, complaints
    (element,) = made(board, slide)["tumour"]["elements"]
    xs, ys, _ = zip(*element["points"], strict=True)
    assert (min(xs), min(ys), max(xs), max(ys)) == pytest.approx((10, 20, 110, 60), abs=0.01)
