"""EvaluateSegmentation from the front door: files, folders, masks and layers of Girder items."""

import csv
import json
import math
import shutil
import zipfile
from io import StringIO

import large_image_source_tiff
import numpy as np
import pytest
import shapely
from PIL import Image
from sklearn import metrics

from deeplab.annotations.formats.format import Reading, Writing
from deeplab.annotations.formats.table import format_of, named
from deeplab.annotations.shapes import Annotations, Layer, Shape
from deeplab.evaluation.figures import IDENTITY
from deeplab.geometry.frames import Mpp
from deeplab_cli.main import main
from tests.annotations.ndpi import ON_GLASS, ndpa_of_box
from tests.girder_for_tests import FOLDER, ITEM, TOKEN, Board, fake_girder, item_routes
from tests.slides_for_tests import PINK, write_tiff

OTHER = "4e" * 12
MODEL = {"name": "glom.zip", "sha256": "ab"}


def drawn(mpp=0.5, **layers):
    """Annotations with these boxes (x, y, width, height) by layer."""
    return Annotations(
        tuple(
            Layer(
                name,
                (0, 0, 0),
                tuple(Shape(shapely.box(x, y, x + w, y + h)) for x, y, w, h in some),
            )
            for name, some in layers.items()
        ),
        mpp=Mpp.square(mpp) if mpp else None,
    )


def write(path, annotations, kind="histomicsui"):
    path.parent.mkdir(exist_ok=True)
    named(kind).write(path, annotations, Writing())
    return str(path)


def mask(path, labels):
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(labels).save(path)
    return str(path)


@pytest.fixture
def evaluate(tmp_path, capsys):
    """Run the command; its exit code, what it printed, and the figures of the table."""

    def run(*words):
        code = main(["evaluate", *map(str, words), "--table", str(tmp_path / "t.csv")])
        out, err = capsys.readouterr()
        return code, out + err, Table(tmp_path / "t.csv")

    return run


class Table:
    """The figures by level, slide, class and metric."""

    def __init__(self, path):
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        self.rows = list(csv.DictReader(StringIO(text)))

    def __call__(self, metric, name="", level="pooled", slide="", predicted_as=""):
        asked = dict(
            zip(
                ("level", "slide", "class", "predicted_as", "metric"),
                (level, slide, name, predicted_as, metric),
                strict=True,
            )
        )
        (row,) = (row for row in self.rows if asked.items() <= row.items())
        return float(row["value"] or "nan")


@pytest.mark.parametrize("classes", [(), ("--classes", "tumour")])
@pytest.mark.parametrize("white", [1, 128, 255])
def test_a_mask_of_black_and_one_other_value_is_one_class(evaluate, tmp_path, classes, white):
    labels = np.zeros((60, 80), np.uint8)
    labels[10:30, 20:60] = 1
    mask(tmp_path / "drawn" / "a.mask.png", labels)
    mask(tmp_path / "found" / "a.mask.png", labels * np.uint8(white))
    sides = (tmp_path / "drawn", tmp_path / "found")
    code, said, table = evaluate(*sides, *classes, "--slide_mpp", "0.5")
    assert code == 0
    assert table("dice", classes[1] if classes else "class 1") == 1
    assert (f"the value {white} is taken for" in said) == (white > 1)


def test_two_files_give_a_table_a_report_and_layers_of_errors(evaluate, tmp_path):
    reference = write(tmp_path / "drawn.geojson", drawn(a=[(20, 20, 40, 40)]), "geojson")
    prediction = write(tmp_path / "found.anot", drawn(a=[(30, 20, 40, 40)]))
    report, errors = tmp_path / "r.html", tmp_path / "e.anot"
    code, said, table = evaluate(reference, prediction, "--report", report, "--annotation", errors)
    assert code == 0
    assert "a: Dice 0.750, border F1" in said
    assert table("dice", "a") == 0.75
    assert table("dice", "a", level="slide", slide="drawn.geojson") == 0.75
    assert table("hausdorff_95_um", "a") == 5
    assert table("pq", "a") == pytest.approx(0.6)
    assert table("area_mm2", "a", predicted_as="a") == pytest.approx(1200 * 0.25e-6)
    assert [row for row in table.rows if row["low"]] == []  # of one slide there is no interval
    page = report.read_text(encoding="utf-8")
    assert "there are no intervals" in page
    assert "<script" not in page
    layers = named("histomicsui").read(errors, Reading())
    assert layers.names == ("missed a", "false a")
    assert layers.attributes["cli"] == "EvaluateSegmentation"
    for layer, x in zip(layers.layers, (20, 60), strict=True):
        (shape,) = layer.shapes
        box = shapely.box(x, 20, x + 10, 60)
        assert shape.polygon.symmetric_difference(box).area < 12


def test_random_masks_have_the_figures_of_scikit_learn(evaluate, tmp_path):
    random = np.random.default_rng(5)
    truth, prediction = random.choice(3, (2, 60, 70), p=(0.5, 0.3, 0.2)).astype(np.uint8)
    code, said, table = evaluate(
        mask(tmp_path / "t.png", truth),
        mask(tmp_path / "p.png", prediction),
        "--classes=a,b",
        "--slide_mpp=0.5",
    )
    assert code == 0, said
    flat = truth.ravel(), prediction.ravel()
    names = ("background", "a", "b")
    theirs = metrics.precision_recall_fscore_support(*flat, labels=range(3))
    iou = metrics.jaccard_score(*flat, labels=range(3), average=None)
    for label, name in enumerate(names):
        for metric, values in zip(("precision", "recall", "dice"), theirs, strict=False):
            assert table(metric, name) == pytest.approx(values[label])
        assert table("iou", name) == pytest.approx(iou[label])
        one_class = (each == label for each in flat)
        assert table("mcc", name) == pytest.approx(metrics.matthews_corrcoef(*one_class))
    assert table("multiclass_mcc") == pytest.approx(metrics.matthews_corrcoef(*flat))
    assert table("accuracy") == pytest.approx(metrics.accuracy_score(*flat))
    weighted = metrics.jaccard_score(*flat, average="weighted")
    assert table("frequency_weighted_iou") == pytest.approx(weighted)
    counts = metrics.confusion_matrix(*flat)
    for (row, column), count in np.ndenumerate(counts):
        area = table("area_mm2", names[row], predicted_as=names[column])
        assert area == pytest.approx(count * 0.25e-6)


def test_two_folders_are_paired_by_name_and_the_rest_is_named(evaluate, tmp_path):
    for number, shift in ((1, 0), (2, 10)):
        write(tmp_path / f"ref/case.{number}.geojson", drawn(a=[(20, 20, 40, 40)]), "geojson")
        write(tmp_path / f"found/case.{number}.anot", drawn(a=[(20 + shift, 20, 40, 40)]))
    write(tmp_path / "ref/alone.xml", drawn(a=[]), "imagescope")
    write(tmp_path / "found/other.anot", drawn(a=[]))
    errors = tmp_path / "e.zip"
    code, said, table = evaluate(tmp_path / "ref", tmp_path / "found", "--annotation", errors)
    assert code == 0
    assert "not compared: alone.xml has no prediction" in said
    assert "not compared: other.anot has no reference" in said
    assert table("dice", "a", level="slide", slide="case.1.geojson") == 1
    assert table("dice", "a", level="mean") == 0.875
    assert table("dice", "a") == 0.875  # as large on both
    pooled = next(
        r for r in table.rows if (r["level"], r["class"], r["metric"]) == ("pooled", "a", "dice")
    )
    assert (float(pooled["low"]), float(pooled["high"])) == (0.75, 1)
    with zipfile.ZipFile(errors) as packed:
        assert packed.namelist() == ["01 case.1.geojson.anot", "02 case.2.geojson.anot"]
        (tmp_path / "b.anot").write_bytes(packed.read(packed.namelist()[1]))
    assert named("histomicsui").read(tmp_path / "b.anot", Reading()).names == (
        "missed a",
        "false a",
    )


def test_the_slide_beside_the_reference_says_size_and_scale(evaluate, tmp_path):
    write(tmp_path / "ref/x.json", drawn(None, a=[(20, 20, 40, 40)]))
    write_tiff(tmp_path / "ref/x.tiff", np.full((80, 100, 3), PINK, np.uint8), mpp=0.5)
    write(tmp_path / "found/x.tiff.anot", drawn(None, a=[(20, 20, 40, 40)]))
    code, said, table = evaluate(tmp_path / "ref", tmp_path / "found")
    assert code == 0, said
    assert table("area_mm2", "background", predicted_as="background") == pytest.approx(
        (8000 - 1600) * 0.25e-6
    )
    write(tmp_path / "far/x.anot", drawn(None, a=[(900, 20, 40, 40)]))
    said = evaluate(tmp_path / "ref", tmp_path / "far")[1]
    assert "all of the prediction lies beyond the slide; is it of another one?" in said
    (tmp_path / "slides").mkdir()
    shutil.move(tmp_path / "ref/x.tiff", tmp_path / "slides/x.tiff")
    assert "give slide_mpp" in evaluate(tmp_path / "ref", tmp_path / "found")[1]
    again = evaluate(tmp_path / "ref", tmp_path / "found", "--slide", tmp_path / "slides")
    assert (again[0], again[2].rows) == (0, table.rows)


def test_a_slide_of_several_that_cannot_be_compared_is_left_out(evaluate, tmp_path):
    for name in ("one", "two"):
        write(tmp_path / f"ref/{name}.anot", drawn(a=[(20, 20, 40, 40)]))
        write(tmp_path / f"found/{name}.anot", drawn(a=[(20, 20, 40, 40)]))
    (tmp_path / "ref/two.anot").write_text(
        '{"name": "a", "elements": [{"type": "circle", "center": [NaN, 1, 0]}]}'
    )
    code, said, table = evaluate(tmp_path / "ref", tmp_path / "found")
    assert code == 0
    assert "not compared: two.anot cannot be compared: " in said
    assert {row["slide"] for row in table.rows} == {"", "one.anot"}


@pytest.mark.parametrize("name", ["e.geojson", "e.xml", "e.coco", "e"])
def test_the_suffix_of_the_layers_of_errors_says_their_format(evaluate, tmp_path, name):
    sides = [
        write(tmp_path / "drawn.anot", drawn(a=[(20, 20, 40, 40)])),
        write(tmp_path / "found.anot", drawn(a=[(30, 20, 40, 40)])),
    ]
    code, said, _ = evaluate(*sides, "--annotation", tmp_path / name)
    assert code == 0
    form = "histomicsui" if name == "e" else format_of(tmp_path / name).name
    read = named(form).read(tmp_path / name, Reading())
    assert [layer.name for layer in read.layers] == ["missed a", "false a"]
    assert (f"{tmp_path / name}: not in it, as" in said) == (name != "e")
    assert "deeplab-unfinished" not in said


def test_a_suffix_of_no_format_is_refused_before_anything_is_read(evaluate, tmp_path):
    side = write(tmp_path / "drawn.anot", drawn(a=[(20, 20, 40, 40)]))
    code, said, _ = evaluate(side, side, "--annotation", tmp_path / "e.docx")
    assert code == 2
    assert "output_annotation must be a file of type .annotations" not in said
    assert "output_annotation must be a file of type .anot, .coco" in said


def test_both_sides_in_one_file_are_told_apart_by_who_made_them(evaluate, tmp_path):
    both = [
        annotation("a", (20, 20, 40, 40)),
        annotation("a", (30, 20, 40, 40), cli="SegmentWSI", model=MODEL),
        annotation("missed a", (0, 0, 5, 5), cli="EvaluateSegmentation"),
    ]
    path = tmp_path / "both.anot"
    path.write_text(json.dumps(both))
    code, said, table = evaluate(path, "--slide_mpp", "0.5")
    assert code == 0
    assert "prediction of glom.zip" in said
    assert table("dice", "a") == 0.75


def test_layers_are_told_apart_by_name_in_any_format(evaluate, tmp_path):
    path = write(
        tmp_path / "both.geojson", drawn(a=[(20, 20, 40, 40)], found=[(30, 20, 40, 40)]), "geojson"
    )
    words = ("--reference_layers=a", "--prediction_layers=Found", "--aliases=found=a")
    code, _, table = evaluate(path, *words)
    assert (code, table("dice", "a")) == (0, 0.75)


def test_blanks_around_the_name_of_a_layer_are_of_no_class(evaluate, tmp_path):
    path = write(tmp_path / "a.anot", drawn(**{"a ": [(20, 20, 40, 40)], "\tb\n": []}))
    code, said, table = evaluate(path, path, "--report", tmp_path / "r.html")
    assert code == 0, said
    assert table("dice", "a") == 1
    assert {row["class"] for row in table.rows} == {"", "background", "a", "b"}


def test_a_slide_without_any_class_may_come_first(evaluate, tmp_path):
    for folder in ("ref", "found"):
        write(tmp_path / folder / "one.anot", drawn())
        write(tmp_path / folder / "two.anot", drawn(a=[(20, 20, 40, 40)]))
    words = (tmp_path / "ref", tmp_path / "found", "--report", tmp_path / "r.html")
    code, said, table = evaluate(*words, "--centroid_um", "3")
    assert code == 0, said
    assert (table("centroid_f1", "a"), table("dice", "a", "mean")) == (1, 1)


@pytest.mark.parametrize(
    ("elements", "code", "sentence"),
    [
        (5, 2, "both.anot: "),
        ("x", 2, "both.anot: "),
        ([{"type": ["polyline"]}], 0, "1 left out: element of type ['polyline']"),
    ],
)
def test_elements_that_are_none_are_said(evaluate, tmp_path, elements, code, sentence):
    path = tmp_path / "both.anot"
    strange = {"name": "a", "attributes": {"cli": "SegmentWSI"}, "elements": elements}
    path.write_text(json.dumps([annotation("a", (20, 20, 40, 40)), strange]))
    found, said, _ = evaluate(path, "--slide_mpp", "0.5")
    assert (found, sentence in said) == (code, True), said


@pytest.mark.parametrize(
    ("reference", "prediction", "dice", "far"),
    [
        ([], [(1, 1, 9, 9)], 0, math.inf),
        ([(1, 1, 9, 9)], [], 0, math.inf),
        ([], [], math.nan, math.nan),
    ],
)
def test_an_empty_side_is_judged_as_the_page_of_metrics_says(
    evaluate, tmp_path, reference, prediction, dice, far
):
    report = tmp_path / "r.html"
    code, said, table = evaluate(
        write(tmp_path / "r.anot", drawn(a=reference)),
        write(tmp_path / "p.anot", drawn(a=prediction)),
        *("--report", report),
    )
    assert code == 0, said
    for metric, value in (
        ("dice", dice),
        ("boundary_f1", dice),
        ("hausdorff_95_um", far),
        ("pq", dice),
    ):
        assert table(metric, "a") == pytest.approx(value, nan_ok=True)
    assert "nan" not in report.read_text(encoding="utf-8").lower().split("base64", 1)[0]


def test_a_region_bounds_what_is_judged(evaluate, tmp_path):
    reference = write(tmp_path / "r.anot", drawn(a=[(20, 20, 40, 40)]))
    prediction = write(tmp_path / "p.anot", drawn(a=[(20, 20, 40, 40), (80, 20, 40, 40)]))
    code, _, table = evaluate(reference, prediction, "--region", "0,0,70,70")
    assert (code, table("dice", "a"), table("object_f1", "a")) == (0, 1, 1)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("r.anot", "none.anot"), "inputPredictionFile must be a file that exists"),
        (("none.anot", "p.anot"), "none.anot does not exist"),
        (("r.anot", "."), "must be a folder where the reference is, or both files"),
        (("r.anot",), "has no layer that a task made; name the layers of the prediction with"),
        (("r.anot", "p.anot", "--classes", "b"), "must be the name of a layer (there are: a)"),
        (("r.anot", "p.anot", "--prediction_layers", "b"), "p.anot has no layer 'b', only a"),
        (("r.anot", "p.anot", "--slide_mpp", "-1"), "slide_mpp must be at least 0"),
        (("r.anot", "p.anot", "--work_mpp", "0.001"), "work_mpp must be from 0.05 to 1000"),
        (("r.anot", "p.anot", "--work_mpp", "1e300"), "work_mpp must be from 0.05 to 1000"),
        (("r.anot", "p.anot", "--annotation", "./p.anot"), "it is read for the result"),
        (("r.anot", "p.anot", "--annotation", "found/../r.html"), "must be different files"),
        (("ref", "found", "--annotation", "ref/one.anot"), "it is read for the result"),
        (("many.anot", "many.anot"), "classes must be at most 254; name them, but is 255"),
        (("r.anot", "p.anot", "--aliases", "a=background"), "must be name=class"),
        (("r.anot", "p.anot", "--slide_mpp", "1e9"), "between 0.001 and 1000 um per pixel"),
        (("r.anot", "q.anot"), "0.5 um per pixel by its reference and 0.25 by its prediction"),
        (("ref", "found", "--annotation", "e.anot"), "a file .zip where 2 slides are compared"),
        (("ref", "found", "--region", "0,0,9,9"), "left away; draw a region_layer"),
        (("r.anot", "p.anot", "--region", "900,900,9,9"), "has no region to judge in"),
        (
            ("r.anot", "p.anot", "--region", "0,0,9,9", "--region_layer", "a"),
            "has no region to judge in",
        ),
        (("r.anot", "p.anot", "--aliases", "b"), "must be name=class"),
        (("r.anot", "bad.png"), "bad.png"),
        (("empty", "found"), "holds no annotations"),
        (("ref", "strange"), "belongs together"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(
    evaluate, tmp_path, monkeypatch, words, sentence
):
    write(tmp_path / "r.anot", drawn(a=[(20, 20, 40, 40)]))
    write(tmp_path / "p.anot", drawn(a=[(20, 20, 40, 40)]))
    write(tmp_path / "q.anot", drawn(0.25, a=[(20, 20, 40, 40)]))
    write(tmp_path / "many.anot", drawn(**{f"c{n}": [] for n in range(255)}))
    (tmp_path / "bad.png").write_bytes(b"no picture")
    (tmp_path / "empty").mkdir()
    write(tmp_path / "strange/z.anot", drawn(a=[]))
    for folder in ("ref", "found"):
        for name in ("one", "two"):
            write(tmp_path / folder / f"{name}.anot", drawn(a=[(20, 20, 40, 40)]))
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    code, said, _ = evaluate(*words, "--report", "r.html")
    assert (code, sentence in said) == (2, True), said
    assert len([line for line in said.splitlines() if line.startswith("error: ")]) == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_without_anything_to_write_nothing_is_done(tmp_path, capsys):
    reference = write(tmp_path / "r.anot", drawn(a=[]))
    assert main(["evaluate", reference, reference]) == 2
    assert "at least one file to write" in capsys.readouterr().err


def test_hostile_names_are_shown_as_they_are_and_lead_nowhere(evaluate, tmp_path):
    name = 'a,"b"; <script>alert(1)</script> ../../$x Ü🔬'
    write(tmp_path / "ref/é <b>&.anot", drawn(**{name: [(20, 20, 40, 40)]}))
    write(tmp_path / "found/é <b>&.anot", drawn(**{name: [(20, 20, 40, 40)]}))
    report, errors = tmp_path / "r.html", tmp_path / "e.zip"
    code, said, table = evaluate(
        tmp_path / "ref", tmp_path / "found", "--report", report, "--annotation", errors
    )
    assert code == 0, said
    assert table("dice", name) == 1
    page = report.read_text(encoding="utf-8")
    assert "<script" not in page
    assert "<b>&" not in page
    with zipfile.ZipFile(errors) as packed:
        assert packed.namelist() == ["01 é _b_&.anot.anot"]


def coco(path, **boxes):
    """One COCO file about several pictures, a box x, y, width, height on each."""
    path.parent.mkdir(exist_ok=True)
    document = {
        "images": [{"id": name, "file_name": f"{name}.png"} for name in boxes],
        "categories": [{"id": 1, "name": "a"}],
        "annotations": [
            {"id": n, "image_id": name, "category_id": 1, "bbox": box}
            for n, (name, box) in enumerate(boxes.items())
        ],
    }
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize("side", ["reference", "prediction", "both", "files", "file and folder"])
def test_one_file_for_a_folder_is_compared_slide_by_slide(evaluate, tmp_path, side):
    first, second = tmp_path / "first", tmp_path / "second"
    boxes = {"x": (20, 20, 40, 40), "y": (30, 20, 40, 40)}
    if side == "reference":
        coco(first / "all.json", **boxes, z=(1, 1, 2, 2))
    elif side != "prediction":
        coco(first / "all.json", **boxes)
    for name in "xy" if side == "prediction" else "":
        write(first / f"{name}.anot", drawn(None, a=[boxes[name]]))
    for name in "xy" if side in ("reference", "file and folder") else "":
        write(second / f"{name}.geojson", drawn(None, a=[(20, 20, 40, 40)]), "geojson")
    if side in ("prediction", "both", "files"):
        coco(second / "found.json", x=(20, 20, 40, 40), y=(20, 20, 40, 40))
    words = [first, second]
    if side in ("files", "file and folder"):
        words[0] = first / "all.json"
    if side == "files":
        words[1] = second / "found.json"
    code, said, table = evaluate(*words, "--slide_mpp", "0.5")
    assert code == 0, said
    assert "2 slides" in said
    assert table("dice", "a", level="mean") == 0.875
    assert ("not compared: z.png has no prediction" in said) == (side == "reference")
    assert "all.json has no" not in said


def test_one_file_for_a_folder_is_of_the_slides_at_hand(evaluate, tmp_path):
    coco(tmp_path / "ref/all.json", x=(20, 20, 40, 40), y=(20, 20, 40, 40))
    coco(tmp_path / "found/all.json", x=(20, 20, 40, 40), y=(30, 20, 40, 40))
    for name in "xy":
        write_tiff(tmp_path / f"ref/{name}.tiff", np.full((80, 100, 3), PINK, np.uint8), mpp=0.5)
    code, said, table = evaluate(tmp_path / "ref", tmp_path / "found")
    assert code == 0, said
    assert table("dice", "a", level="slide", slide="y.tiff") == 0.75
    # One slide that is named is the only one.
    files = tmp_path / "ref/all.json", tmp_path / "found/all.json"
    code, said, table = evaluate(*files, "--slide", tmp_path / "ref/y.tiff")
    assert code == 0, said
    assert table("dice", "a") == 0.75


# Girder


def annotation(name, box, **attributes):
    """A layer as a server has it, with one rectangle x, y, width, height."""
    x, y, width, height = box
    element = {"type": "rectangle", "center": [x + width / 2, y + height / 2, 0]}
    element |= {"width": width, "height": height}
    return {"name": name, "elements": [element], "attributes": attributes}


def predicted(layer, box, **model):
    return annotation(layer, box, cli="SegmentWSI", model=MODEL | model)


@pytest.fixture
def girder(tmp_path):
    """A folder with two slides of 160 x 120 pixels and 0.5 um."""
    path = write_tiff(tmp_path / "painted.tiff", np.full((120, 160, 3), PINK, np.uint8), mpp=0.5)
    source = large_image_source_tiff.TiffFileTileSource

    def tiles(encoding, style):
        return source(str(path), encoding=encoding, style=style)

    routes = item_routes(tiles) | item_routes(tiles, item=OTHER, name="other.svs")
    routes["item"] = [routes[f"item/{ITEM}"], routes[f"item/{OTHER}"]]
    with fake_girder(routes=routes) as girder:
        yield girder


@pytest.fixture
def board(girder):
    board = Board(girder, ITEM, OTHER)
    board.put(ITEM, annotation("a", (20, 20, 40, 40)))
    board.put(ITEM, predicted("a", (30, 20, 40, 40)))
    return board


@pytest.fixture
def on_girder(evaluate, girder):
    def run(*words, item=ITEM):
        return evaluate(item, "--girderApiUrl", girder.url, "--girderToken", TOKEN, *words)

    return run


def test_layers_of_one_item_are_compared_and_the_errors_are_put_on_it(on_girder, board):
    mine = list(board.layers)
    code, said, table = on_girder()
    assert code == 0, said
    assert table("dice", "a") == 0.75
    assert table("area_mm2", "background", predicted_as="background") == pytest.approx(
        (160 * 120 - 2000) * 0.25e-6
    )
    found = board.of(ITEM)[len(mine) :]
    assert [each["annotation"]["name"] for each in found] == ["missed a (glom)", "false a (glom)"]
    attributes = found[0]["annotation"]["attributes"]
    assert attributes["cli"] == "EvaluateSegmentation"
    assert attributes["compared"]["prediction"] == "glom.zip"
    assert TOKEN not in json.dumps(found) + said


def test_a_second_run_puts_its_errors_in_the_place_of_the_first_ones(on_girder, board):
    mine = {key: json.dumps(each) for key, each in board.layers.items()}
    on_girder()
    first = set(board.layers) - set(mine)
    board.change(next(iter(mine)), description="looked at again")
    assert on_girder()[0] == 0
    names = sorted(each["annotation"]["name"] for each in board.of(ITEM))
    assert names == ["a", "a", "false a (glom)", "missed a (glom)"]
    assert not first & set(board.layers)
    assert set(mine) <= set(board.layers)


def test_the_errors_of_two_models_stand_beside_each_other(on_girder, board):
    board.put(ITEM, predicted("a", (20, 30, 40, 40), name="new.zip", sha256="cd"))
    for model in ("glom.zip", "new.zip", "glom.zip"):
        assert on_girder("--model", model)[0] == 0
    names = sorted(each["annotation"]["name"] for each in board.of(ITEM))
    errors = ["false a (glom)", "false a (new)", "missed a (glom)", "missed a (new)"]
    assert names == ["a", "a", "a", *errors]


def test_a_folder_of_items_is_compared_and_an_item_without_both_sides_is_named(on_girder, board):
    code, said, table = on_girder("--inputFolder", FOLDER)
    assert code == 0, said
    assert "not compared: other.svs has no layer that a person drew" in said
    assert table("dice", "a") == 0.75
    board.put(OTHER, annotation("a", (20, 20, 40, 40)))
    board.put(OTHER, predicted("a", (20, 20, 40, 40)))
    code, said, table = on_girder("--inputFolder", FOLDER)
    assert code == 0, said
    assert table("dice", "a", level="mean") == 0.875
    assert len(board.of(OTHER)) == 2  # nothing is wrong there


def test_predictions_of_two_models_are_not_mixed(on_girder, board):
    board.put(ITEM, predicted("a", (20, 20, 40, 40), name="new.zip", sha256="cd"))
    code, said, _ = on_girder()
    assert code == 2
    assert "has layers of 2 models (glom.zip, new.zip); name one with model" in said
    for model, dice in (("new.zip", 1), ("glom.zip", 0.75)):
        code, _, table = on_girder("--model", model)
        assert (code, table("dice", "a")) == (0, dice)
    assert "no layer of model old.zip" in on_girder("--model", "old.zip")[1]


def test_the_table_says_whether_figures_of_two_models_may_be_compared(on_girder, board, evaluate):
    new = board.put(ITEM, predicted("a", (20, 20, 40, 40), name="new.zip", sha256="cd"))

    def identity(*words):
        code, said, table = on_girder(*words, "--post_annotation", "off")
        assert code == 0, said
        told = {tuple(row[each] for each in IDENTITY) for row in table.rows if row["slide"]}
        assert all(not row["item"] for row in table.rows if row["level"] != "slide")
        (one,) = told
        return one

    item, reference, model = identity("--model", "glom.zip")
    assert (item, model) == (ITEM, "ab")
    assert identity("--model", "cd") == (ITEM, reference, "cd")
    assert identity("--model", "cd", "--border_um", "3")[1] != reference
    assert identity("--model", "cd", "--region=0,0,80,80")[1] != reference
    board.put(ITEM, annotation("b", (100, 20, 40, 40)))
    assert identity("--model", "cd")[1] != reference, "another class is drawn"
    assert identity("--model", "cd", "--classes", "a")[1] == reference, "which is not judged"
    board.change(new, elements=annotation("a", (0, 0, 9, 9))["elements"])
    assert identity("--model", "cd", "--classes", "a")[1] == reference, "the prediction is no part"
    mine = next(iter(board.layers))
    board.change(mine, elements=annotation("a", (20, 20, 41, 40))["elements"])
    assert identity("--model", "cd", "--classes", "a")[1] != reference, "what is drawn was changed"


def test_the_table_of_files_names_no_item_and_no_model(evaluate, tmp_path):
    words = [write(tmp_path / f"{name}.anot", drawn(a=[(0, 0, 9, 9)])) for name in ("ref", "found")]
    code, said, table = evaluate(*words)
    assert code == 0, said
    (one,) = {tuple(row[each] for each in IDENTITY) for row in table.rows if row["slide"]}
    assert (one[0], len(one[1]), one[2]) == ("", 16, "")


def test_a_file_is_compared_with_the_layers_that_people_drew(on_girder, board, tmp_path):
    prediction = write(tmp_path / "p.anot", drawn(a=[(20, 20, 40, 40)]))
    code, said, table = on_girder("--inputPredictionFile", prediction, "--post_annotation", "off")
    assert code == 0, said
    assert table("dice", "a") == 1
    assert len(board.of(ITEM)) == 2


def test_a_file_of_ndp_view_is_placed_by_what_the_server_says_of_the_glass(
    on_girder, board, girder, tmp_path
):
    girder.routes[f"item/{ITEM}/tiles/internal_metadata"] = {"openslide": ON_GLASS}
    path = tmp_path / "p.ndpa"
    path.write_bytes(ndpa_of_box(30, 20, 70, 60, size=(160, 120)))
    words = (
        "--inputPredictionFile",
        str(path),
        "--aliases",
        "tumour=a",
        "--post_annotation",
        "off",
    )
    code, said, table = on_girder(*words)
    assert code == 0, said
    assert table("dice", "a") == 0.75


def test_one_file_is_compared_with_the_layers_of_all_slides_of_a_folder(on_girder, board, tmp_path):
    board.put(OTHER, annotation("a", (20, 20, 40, 40)))
    path = coco(tmp_path / "all.json", painted=(20, 20, 40, 40), other=(30, 20, 40, 40))
    words = ("--inputFolder", FOLDER, "--inputPredictionFile", path, "--post_annotation", "off")
    code, said, table = on_girder(*words)
    assert code == 0, said
    assert table("dice", "a", level="mean") == 0.875


def test_heatmaps_and_layers_about_errors_are_of_no_side(on_girder, board):
    board.put(ITEM, {"name": "a-heatmap", "elements": [{"type": "heatmap", "points": []}]})
    board.put(ITEM, {"name": "b-heatmap", "elements": []})
    for task in ("TrainNetwork", "ExtractFeaturesFromAnnotations"):
        board.put(ITEM, annotation("worst regions", (0, 0, 9, 9), cli=task))
    assert on_girder("--post_annotation", "off")[2]("mean_iou") == pytest.approx(
        (0.6 + (160 * 120 - 2000) / (160 * 120 - 1200)) / 2
    )


def test_where_the_server_refuses_the_layers_no_file_appears(on_girder, board, girder):
    girder.routes[f"POST annotation/item/{ITEM}"] = 403
    code, said, table = on_girder()
    assert (code, table.rows) == (2, [])
    assert "error: " in said


@pytest.mark.parametrize("name", ["drawn/a.anot", "found/a.anot", "found/../drawn/a.anot"])
@pytest.mark.parametrize("whole", [True, False])
def test_what_is_compared_is_not_written_over(evaluate, tmp_path, name, whole):
    for side in ("drawn", "found"):
        write(tmp_path / side / "a.anot", drawn(a=[(20, 20, 40, 40)]))
    sides = [
        tmp_path / side if whole else tmp_path / side / "a.anot" for side in ("drawn", "found")
    ]
    before = (tmp_path / name).read_bytes()
    code, said, _ = evaluate(*sides, "--annotation", tmp_path / name)
    assert (code, "it is read for the result" in said) == (2, True)
    assert (tmp_path / name).read_bytes() == before
