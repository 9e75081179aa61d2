"""`deeplab stage` and `deeplab froc` from the front door: folders in, tables out."""

import csv

import numpy as np
import pytest
import shapely

from deeplab.annotations.files import write_annotations
from deeplab.annotations.formats.asap_xml import write_asap_xml
from deeplab.annotations.formats.girder_json import write_girder_json
from deeplab.annotations.heatmap import Heatmap
from deeplab.annotations.shapes import Annotations, Layer, Shape
from deeplab.geometry.frames import Mpp
from deeplab_cli.main import main
from tests.slides_for_tests import PINK, write_tiff

UM = {"negative": 0, "itc": 100, "micro": 500, "macro": 3000}  # largest diameters
NODES = {
    "patient_000": ["negative"] * 5,
    "patient_001": ["itc", "negative", "negative", "itc", "negative"],
    "patient_002": ["micro", "itc", "micro", "micro", "micro"],
    "patient_003": ["macro", "micro", "micro", "itc", "negative"],
    "patient_004": ["macro", "micro", "micro", "macro", "negative"],
}
STAGES = ["pN0", "pN0(i+)", "pN1mi", "pN1", "pN2"]


def line(um, mpp, y=100):
    return shapely.box(100, y, 100 + um / mpp, y + 1)


def drawn(*polygons, name="tumour", mpp=0.5, confidence=0.5):
    properties = {"confidence": confidence}
    shapes = tuple(Shape(each, properties) for each in polygons)
    return Annotations((Layer(name, (255, 0, 0), shapes),), mpp=Mpp.square(mpp) if mpp else None)


@pytest.fixture
def predicted(tmp_path):
    folder = tmp_path / "predicted"
    folder.mkdir()
    for patient, nodes in NODES.items():
        for node, category in enumerate(nodes):
            lesions = [line(UM[category], 0.5)] if UM[category] else []
            write_annotations(folder / f"{patient}_node_{node}.anot", drawn(*lesions))
    return folder


def rows(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def run(capsys, *words):
    code = main([str(word) for word in words])
    out, err = capsys.readouterr()
    return code, out + err


def test_folders_of_layers_become_lesions_and_stages(tmp_path, predicted, capsys):
    lesions, stages, given = (tmp_path / f"{name}.csv" for name in ("l", "s", "g"))
    archives = "".join(f"{p}.zip,{s}\n" for p, s in zip(NODES, STAGES, strict=True))
    given.write_text(f"patient,stage\n{archives}patient_000_node_0.tif,negative\n")
    words = ("--lesions", lesions, "--stages", stages, "--reference", given)
    code, said = run(capsys, "stage", predicted, *words)
    assert code == 0, said
    assert [row["stage"] for row in rows(stages)] == STAGES
    assert [row["patient"] for row in rows(stages)] == list(NODES)
    assert "5 of 5 patients as given; quadratic weighted kappa 1.0000" in said
    found = {row["slide"]: row for row in rows(lesions)}
    assert len(found) == 25
    for patient, nodes in NODES.items():
        for node, category in enumerate(nodes):
            row = found[f"{patient}_node_{node}"]
            assert row["category"] == category
            assert float(row["largest_mm"]) == pytest.approx(UM[category] / 1000, abs=1e-3)
            numbers = {name: int(row[name]) for name in ("macro", "micro", "itc")}
            assert sum(numbers.values()) == int(row["lesions"]) == (category != "negative")


def test_a_table_of_slides_is_staged_as_the_outlines_are(tmp_path, predicted, capsys):
    lesions, stages = tmp_path / "l.csv", tmp_path / "s.csv"
    assert run(capsys, "stage", predicted, "--lesions", lesions)[0] == 0
    assert run(capsys, "stage", lesions, "--stages", stages)[0] == 0
    assert [row["stage"] for row in rows(stages)] == STAGES
    labels = tmp_path / "stage_labels.csv"  # as CAMELYON17 publishes them
    labels.write_text(
        "patient,stage\n"
        + "".join(
            f"{patient}.zip,{stage}\n"
            + "".join(f"{patient}_node_{n}.tif,{c}\n" for n, c in enumerate(NODES[patient]))
            for patient, stage in zip(NODES, STAGES, strict=True)
        )
    )
    code, said = run(capsys, "stage", labels, "--reference", labels)
    assert (code, "kappa 1.0000" in said) == (0, True), said


@pytest.mark.slow
def test_label_masks_and_asap_files_take_their_scale_from_the_slides(tmp_path, capsys):
    slides, drawn_in = tmp_path / "slides", tmp_path / "masks"
    slides.mkdir()
    drawn_in.mkdir()
    rgb = np.full((600, 900, 3), PINK, np.uint8)
    write_tiff(slides / "patient_000_node_0.tif", rgb, mpp=4.0)
    write_tiff(slides / "patient_000_node_1.tif", rgb, mpp=4.0)
    labels = np.zeros((600, 900), np.uint8)
    labels[100:110, 100:700] = 1  # 2.4 mm
    write_tiff(drawn_in / "patient_000_node_0.mask.tif", labels, mpp=4.0, compression="zlib")
    write_asap_xml(drawn_in / "patient_000_node_1.xml", drawn(line(800, 4.0), name="metastases"))
    out = tmp_path / "l.csv"
    code, said = run(capsys, "stage", drawn_in, "--slides", slides, "--lesions", out)
    assert code == 0, said
    assert [(row["slide"], row["category"]) for row in rows(out)] == [
        ("patient_000_node_0.tif", "macro"),
        ("patient_000_node_1.tif", "micro"),
    ]
    code, said = run(capsys, "stage", drawn_in, "--lesions", out)
    assert code == 2
    assert "give slide_mpp, or the folder of the slides" in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: (f / "patient_002_node_3.anot").unlink(), "patient_002 has 4 slides"),
        (lambda f: write_annotations(f / "b.anot", drawn()), "b does not say whose node it is"),
        (
            lambda f: write_annotations(f / "patient_002_node_3.anot", drawn(name="stroma")),
            "no layer of metastases; name them as classes (there are: stroma)",
        ),
    ],
)
def test_one_sentence_on_what_cannot_be_staged(tmp_path, predicted, capsys, change, said):
    change(predicted)
    out = tmp_path / "s.csv"
    code, text = run(capsys, "stage", predicted, "--stages", out)
    assert (code, out.exists()) == (2, False)
    assert said in text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("patient,stage\npatient_000,pN3\n", "line 2: 'pN3' is no stage"),
        ("patient,stage\npatient_009,pN1\n", "a stage of patient_009, of whom there are no slides"),
        ("patient,grade\npatient_000,pN1\n", "must have the columns patient and stage"),
        ("patient,stage\n", "has no row of a patient"),
    ],
)
def test_one_sentence_on_given_stages_that_are_none(tmp_path, predicted, capsys, text, said):
    (tmp_path / "g.csv").write_text(text)
    code, text = run(capsys, "stage", predicted, "--reference", tmp_path / "g.csv")
    assert code == 2
    assert said in text


@pytest.fixture
def challenge(tmp_path):
    """Two slides with metastases and one without, with the detections on them."""
    reference, detections = tmp_path / "reference", tmp_path / "detections"
    reference.mkdir()
    detections.mkdir()
    for name in ("test_001", "test_002"):
        write_annotations(reference / f"{name}.anot", drawn(shapely.box(0, 0, 1000, 1000)))
    (detections / "test_001.csv").write_text("Confidence,X coordinate,Y coordinate\n0.9,500,500\n")
    (detections / "test_002.csv").write_text("0.4,500,500\n0.8,5000,5000\n")
    (detections / "normal_001.csv").write_text("0.6,10,10\n")
    return reference, detections


def test_tables_of_detections_have_a_froc_and_an_auc(tmp_path, challenge, capsys):
    table = tmp_path / "froc.csv"
    words = ("--normal", "normal_*", "--table", table)
    code, said = run(capsys, "froc", *challenge, *words)
    assert code == 0, said
    figures = {
        (row["metric"], row["false_positives_per_slide"]): row["value"] for row in rows(table)
    }
    # 0.9 finds one of two; 0.8 and 0.6 are wrong on two of three slides; 0.4 finds the other.
    assert float(figures["sensitivity_at", "0.25"]) == 0.5
    assert float(figures["sensitivity_at", "1"]) == 1
    assert float(figures["froc_score", ""]) == pytest.approx((2 * 0.5 + 4) / 6, abs=1e-6)
    assert float(figures["slide_auc", ""]) == 1
    assert "3 slides, 2 lesions to find" in said


def test_layers_of_a_segmentation_are_detections_with_their_confidence(tmp_path, capsys):
    reference, predicted = tmp_path / "reference", tmp_path / "predicted"
    for folder in (reference, predicted):
        folder.mkdir()
    box = shapely.box(0, 0, 1000, 1000)
    write_annotations(reference / "a.anot", drawn(box))
    write_annotations(predicted / "a.anot", drawn(box, shapely.box(5000, 0, 5100, 100)))
    write_annotations(predicted / "b.anot", drawn(box, confidence=0.2))
    code, said = run(capsys, "froc", reference, predicted, "--normal", "b")
    assert code == 0, said
    assert "AUC of slides 1.0000" in said


def test_peaks_of_heatmaps_are_detections_even_where_nothing_is_outlined(tmp_path, capsys):
    reference, predicted = tmp_path / "reference", tmp_path / "predicted"
    for folder in (reference, predicted):
        folder.mkdir()
    for name in ("a", "b"):
        write_annotations(reference / f"{name}.anot", drawn(shapely.box(0, 0, 1000, 1000)))
    cells = np.arange(10, 1000, 64.0)
    on_it = np.column_stack([cells, cells, np.where(cells == 522, 0.4, 0.3)])
    beside = np.array([[9000.0, 9000.0, 0.35]])
    for name, points in (("a", on_it), ("b", beside), ("c", beside[:0])):
        heatmaps = [Heatmap("tumour", (255, 0, 0), points, 32.0)]
        write_girder_json(predicted / f"{name}.anot", drawn(), heatmaps=heatmaps)
    table = tmp_path / "froc.csv"
    words = ("--normal", "c", "--table", table)
    code, said = run(capsys, "froc", reference, predicted, *words)
    assert code == 0, said
    assert "AUC of slides 1.0000" in said
    curve = [
        (float(row["threshold"]), float(row["value"]))
        for row in rows(table)
        if row["metric"] == "curve"
    ]
    # The hill of `a` has one peak, 0.4, and cells of 0.3 that are farther away than 0.2 mm.
    assert curve == [(np.inf, 0), (0.4, 0.5), (0.35, 0.5)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: (d / "test_002.csv").unlink(), "test_002 has a reference and no file of"),
        (lambda d: (d / "odd.csv").write_text(""), "odd has detections and no reference; if it"),
        (lambda d: (d / "test_002.csv").write_text("a,b,c\n1.5,2,3\n"), "line 2 must be a confid"),
    ],
)
def test_one_sentence_on_detections_that_cannot_be_judged(challenge, capsys, change, said):
    change(challenge[1])
    code, text = run(capsys, "froc", *challenge, "--normal", "normal_*")
    assert code == 2
    assert said in text


@pytest.mark.slow
def test_outlines_beyond_the_slide_are_of_another_one(tmp_path, capsys):
    for name in ("slides", "drawn"):
        (tmp_path / name).mkdir()
    write_tiff(tmp_path / "slides" / "a.tif", np.full((300, 300, 3), PINK, np.uint8), mpp=0.5)
    write_annotations(tmp_path / "drawn" / "a.anot", drawn(shapely.box(900, 900, 990, 990)))
    words = ("--slides", tmp_path / "slides", "--lesions", tmp_path / "l.csv")
    code, said = run(capsys, "stage", tmp_path / "drawn", *words)
    assert code == 2
    assert "a.tif: all that is drawn lies beyond the slide; is it of another one?" in said


@pytest.mark.slow
def test_a_scale_that_slide_and_annotations_state_differently_is_refused(tmp_path, capsys):
    for name in ("slides", "drawn"):
        (tmp_path / name).mkdir()
    write_tiff(tmp_path / "slides" / "a.tif", np.full((300, 300, 3), PINK, np.uint8), mpp=0.5)
    write_annotations(tmp_path / "drawn" / "a.anot", drawn(line(100, 1.0), mpp=1.0))
    words = ("--slides", tmp_path / "slides", "--lesions", tmp_path / "l.csv")
    code, said = run(capsys, "stage", tmp_path / "drawn", *words)
    assert code == 2
    assert "has 0.5 um per pixel and its annotations state 1; give the right ones" in said
    assert run(capsys, "stage", tmp_path / "drawn", *words, "--slide_mpp", 0.5)[0] == 0
    assert rows(tmp_path / "l.csv")[0]["largest_mm"] == "0.0500"
