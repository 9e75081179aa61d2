"""`deeplab segment` with a HoVer-Net: what each file holds, read again by our readers and others."""

import csv
import json
import shutil

import cv2
import keras
import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy.io import loadmat

from deeplab.annotations.files import read_annotations
from deeplab.annotations.formats.format import Reading
from deeplab.bundles.card import Card
from deeplab.bundles.read import read_card
from deeplab.bundles.save import save_bundle
from deeplab.config.classes import ClassList, SlideClass
from deeplab.config.hovernet import HoverNetConfig
from deeplab.inference import segment
from deeplab.inference.predictor import Predictor
from deeplab.models.hovernet.decode import decode
from deeplab.models.registry import family_of
from deeplab_cli.main import main
from tests.slides_for_tests import write_tiff

WIDTH, HEIGHT, PITCH, RADIUS = 1010, 730, 50, 10
PINK = (230, 190, 210)
INKS = {"no type": (90, 90, 90), "epithelial": (150, 60, 110), "lymphocyte": (60, 70, 150)}
NAMES = tuple(INKS)
COLOURS = {"epithelial": (255, 0, 0), "lymphocyte": (0, 0, 255), "no type": (160, 160, 160)}
CLASSES = ClassList(tuple(SlideClass(name, COLOURS[name]) for name in NAMES[1:]))
CONFIG = HoverNetConfig(type_count=2, depth_multiplier=0.35, decoder_width=8, crop_size=64)
PLACES = [
    (x, y, NAMES[(x // PITCH + 2 * (y // PITCH)) % 3])
    for y in range(PITCH // 2, HEIGHT - RADIUS, PITCH)
    for x in range(PITCH // 2, WIDTH - RADIUS, PITCH)
]
COUNTS = {name: sum(kind == name for *_, kind in PLACES) for name in COLOURS}
DISC = cv2.circle(np.zeros((25, 25), np.uint8), (12, 12), RADIUS, 1, -1)
RIM = cv2.circle(np.zeros((25, 25), np.uint8), (12, 12), RADIUS, 1, 1)
PIXELS = int(DISC.sum())
INSIDE = 1 - int(RIM.sum()) / PIXELS  # the share of a nucleus within its rim
SHARES = {"no type": 1.0, "epithelial": INSIDE, "lymphocyte": INSIDE}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    rgb = np.full((HEIGHT, WIDTH, 3), PINK, np.uint8)
    for x, y, kind in PLACES:
        cv2.circle(rgb, (x, y), RADIUS, INKS[kind], -1)
        if kind != "no type":  # a rim of no type
            cv2.circle(rgb, (x, y), RADIUS, INKS["no type"], 1)
    return write_tiff(
        tmp_path_factory.mktemp("slide") / "nuclei.tiff", rgb, mpp=0.5, compression="deflate"
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    keras.utils.set_random_seed(1)
    card = Card(
        config=CONFIG, classes=CLASSES, work_mpp=0.5, mpp_range=(0.4, 0.6), tile=320, halo=48
    )
    path = tmp_path_factory.mktemp("model") / "hovernet.zip"
    save_bundle(family_of(CONFIG).build(CONFIG), card, path)
    return path


@pytest.fixture
def segmented(slide, model, tmp_path, monkeypatch):
    """Segment the slide by the command, into files of the names given, by maps of what is painted."""

    def maps(tiles):
        near = [np.abs(tiles.astype(int) - ink).sum(axis=-1) < 20 for ink in INKS.values()]
        return {
            "np": np.where(np.any(near, axis=0), 0.9, 0.1).astype(np.float32),
            "hv": np.zeros((*tiles.shape[:3], 2), np.float32),
            "tp": (near[1] + 2 * near[2]).astype(np.uint8),
        }

    fake = Predictor("a fake", maps, lambda of_tile: decode(CONFIG, of_tile), "objects")
    monkeypatch.setattr(segment.Predictors, "of", lambda *_: fake)

    def run(*flags, **files):
        paths = {name: tmp_path / given for name, given in files.items()}
        words = [word for name, path in paths.items() for word in (f"--{name}", str(path))]
        options = ["--tissue", "off", "--simplify_um", "0", "--min_area_um2", "0"]
        assert main(["segment", str(slide), "--model", str(model), *words, *options, *flags]) == 0
        return paths

    return run


def assert_each_nucleus_once(layers, *, names=tuple(COLOURS)):
    """Shapes lie over the nuclei of their type, one over each."""
    assert tuple(layer.name for layer in layers) == names
    for layer in layers:
        assert layer.colour == COLOURS[layer.name]
        centres = sorted(
            (round(shape.polygon.centroid.x - 0.5), round(shape.polygon.centroid.y - 0.5))
            for shape in layer.shapes
        )
        assert centres == sorted((x, y) for x, y, kind in PLACES if kind == layer.name)


@pytest.mark.parametrize("name", ["a.anot", "a.geojson", "a.hovernet", "a.mat", "a.instances.tif"])
def test_each_format_of_layers_has_each_nucleus_once_in_the_layer_of_its_type(segmented, name):
    path = segmented(annotation=name)["annotation"]
    layers = read_annotations(path, Reading()).layers
    assert_each_nucleus_once(layers)
    if name != "a.hovernet":  # whose outlines run through the middles of pixels
        areas = {shape.polygon.area for layer in layers for shape in layer.shapes}
        assert areas == {float(PIXELS)}


def test_qupath_gets_detections_with_measurements(segmented):
    path = segmented(geojson="a.geojson")["geojson"]
    features = json.loads(path.read_text())["features"]
    for feature in features:
        told = feature["properties"]
        name = told["classification"]["name"]
        assert told["objectType"] == "detection"
        assert tuple(told["classification"]["color"]) == COLOURS[name]
        numbers = told["measurements"]
        assert numbers["area_um2"] == PIXELS / 4
        assert numbers["confidence"] == pytest.approx(0.9)
        assert numbers["type_prob"] == pytest.approx(SHARES[name], abs=1e-4)


@pytest.mark.parametrize("kind", ["annotation", "detection", "cell"])
def test_qupath_takes_nuclei_for_what_was_asked_for(segmented, kind):
    paths = segmented("--object_type", kind, geojson="a.geojson", annotation="b.geojson")
    for path in paths.values():
        features = json.loads(path.read_text())["features"]
        assert {each["properties"]["objectType"] for each in features} == {kind}


def test_objects_of_qupath_without_a_file_for_it_are_one_sentence(slide, model, tmp_path, capsys):
    words = ["--model", str(model), "--annotation", str(tmp_path / "a.anot")]
    assert main(["segment", str(slide), *words, "--object_type", "cell"]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said == "error: object_type must be auto where no GeoJSON is written, but is 'cell'"


def test_hovernets_json_is_as_its_users_read_it(segmented):
    told = json.loads(segmented(annotation="a.hovernet")["annotation"].read_text())
    assert told["mag"] == 20
    assert told["type_info"] == {
        "1": ["epithelial", [255, 0, 0]],
        "2": ["lymphocyte", [0, 0, 255]],
        "0": ["no type", [160, 160, 160]],
    }
    found = {
        (*np.round(each["centroid"]).astype(int).tolist(), each["type"])
        for each in told["nuc"].values()
    }
    assert found == {(x, y, NAMES.index(kind)) for x, y, kind in PLACES}
    assert list(told["nuc"]) == [str(n + 1) for n in range(len(PLACES))]
    for each in told["nuc"].values():
        (top, left), (bottom, right) = each["bbox"]
        assert (right - left, bottom - top) == (2 * RADIUS + 1, 2 * RADIUS + 1)
        assert each["type_prob"] == pytest.approx(SHARES[NAMES[each["type"]]], abs=1e-4)


def test_the_mat_has_a_row_for_each_nucleus_of_its_map(segmented):
    told = loadmat(segmented(annotation="a.mat")["annotation"])
    ids, kinds, centres = (told[f"inst_{name}"] for name in ("map", "type", "centroid"))
    assert ids.shape == (HEIGHT, WIDTH)
    assert ids.dtype == np.int32
    assert kinds.shape == (len(PLACES), 1)
    assert centres.shape == (len(PLACES), 2)
    np.testing.assert_array_equal(np.unique(ids), np.arange(len(PLACES) + 1))
    np.testing.assert_array_equal(told["inst_uid"].ravel(), np.arange(1, len(PLACES) + 1))
    for x, y, kind in PLACES:
        row = ids[y, x] - 1
        np.testing.assert_allclose(centres[row], (x, y), atol=1e-6)
        assert kinds[row, 0] == NAMES.index(kind)


def test_the_table_has_a_row_for_each_nucleus(segmented):
    with segmented(table="a.csv")["table"].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {name: sum(row["class"] == name for row in rows) for name in COLOURS} == COUNTS
    for row in rows:
        assert float(row["area_um2"]) == PIXELS / 4
        assert float(row["confidence"]) == pytest.approx(0.9)
        assert float(row["type_prob"]) == pytest.approx(SHARES[row["class"]], abs=1e-4)
    found = {(float(row["x_level0"]) - 0.5, float(row["y_level0"]) - 0.5) for row in rows}
    assert found == {(x, y) for x, y, _ in PLACES}


def test_a_mask_called_so_numbers_the_nuclei_as_the_table_does(segmented):
    paths = segmented("--simplify_um", "2", mask="a.instances.tiff", table="a.csv")
    with tifffile.TiffFile(paths["mask"]) as tiff:
        (series,) = tiff.series
        ids, smaller = (level.asarray() for level in series.levels[:2])
        assert tiff.pages[0].is_tiled
    assert ids.dtype == np.uint32
    assert ids.shape == (HEIGHT, WIDTH)
    assert set(np.unique(smaller)) == set(range(len(PLACES) + 1))  # picked, not averaged
    assert (np.bincount(ids.ravel())[1:] == PIXELS).all()
    with paths["table"].open(newline="") as file:
        rows = list(csv.DictReader(file))
    centres = [(round(float(row["x_level0"])), round(float(row["y_level0"]))) for row in rows]
    assert [ids[y, x] for x, y in centres] == list(range(1, len(PLACES) + 1))
    assert_each_nucleus_once(read_annotations(paths["mask"], Reading()).layers)


def test_a_numbered_mask_leaves_out_what_is_dropped_as_too_small(segmented):
    path = segmented("--min_area_um2", "80", mask="a.instances.tiff")["mask"]
    assert not tifffile.imread(path).any()
    assert [len(layer.shapes) for layer in read_annotations(path, Reading()).layers] == [0, 0]


def test_the_numbered_mask_is_what_the_next_training_learns_from(
    slide, segmented, tmp_path, capsys
):
    segmented(mask=f"{slide.stem}.instances.tiff")
    shutil.copy(slide, tmp_path)
    words = ["train", tmp_path, tmp_path / "next.zip", "--network", "hovernet", "--gpu", -1]
    words += ["--network_options", "decoder_width=8", "--depth_multiplier", 0.1]
    words += ["--classes", "epithelial,lymphocyte", "--untyped_layer", "no type"]
    words += ["--patch_size", 48, "--steps", 2, "--batch_size", 2, "--validation_fraction", 0]
    assert main([str(word) for word in words]) == 0
    said = capsys.readouterr().err
    for name, count in COUNTS.items():
        assert f"{name}: {count} objects, " in said
    card = read_card(tmp_path / "next.zip")
    assert [(each.name, each.colour) for each in card.classes] == list(COLOURS.items())[:2]


def test_dots_in_the_overlay_are_in_the_colours_of_the_types(segmented):
    plain, dotted = (
        np.asarray(Image.open(segmented(*flags, overlay=name)["overlay"]))
        for name, flags in (("a.png", ()), ("b.png", ("--draw_dot",)))
    )
    for x, y, kind in PLACES:
        assert tuple(dotted[y, x]) == COLOURS[kind]
        assert tuple(plain[y, x]) == INKS[kind]
        np.testing.assert_array_equal(dotted[y, x + 6], plain[y, x + 6])
