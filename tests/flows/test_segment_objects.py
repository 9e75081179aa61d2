"""A slide through a network that finds nuclei one by one: the flow as its tasks call it."""

import csv
import json
from importlib.resources import files

import cv2
import numpy as np
import pytest
import tifffile

from deeplab.annotations.files import read_annotations
from deeplab.annotations.formats.format import Reading
from deeplab.config.progress import silent
from deeplab.config.requests import SegmentRequest
from deeplab.inference import layers, segment
from deeplab.inference.predictor import Predictor
from deeplab.inference.segment import segment_slide
from deeplab.models.answers import ObjectAnswer
from tests.slides_for_tests import write_tiff

MODEL = files("deeplab") / "demonstration/nuclei.zip"
WIDTH, HEIGHT, PITCH = 1300, 900, 50
PINK, DARK, GREY = (230, 190, 210), (70, 40, 120), (90, 90, 90)


def places():
    """Centres of nuclei, level-0 pixels; every third has no type."""
    return [
        (x, y) for y in range(PITCH // 2, HEIGHT, PITCH) for x in range(PITCH // 2, WIDTH, PITCH)
    ]


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    rgb = np.full((HEIGHT, WIDTH, 3), PINK, np.uint8)
    for number, place in enumerate(places()):
        cv2.circle(rgb, place, 12, GREY if number % 3 == 0 else DARK, -1)
    folder = tmp_path_factory.mktemp("slide")
    return write_tiff(folder / "nuclei.tiff", rgb, mpp=0.5, compression="deflate")


@pytest.fixture(autouse=True)
def network(monkeypatch):
    """A network that sees what is dark; its maps are what it was shown."""

    def decode(maps):
        shown = maps["rgb"].astype(int)
        count, instances = cv2.connectedComponents(
            (shown[..., 1] < 120).astype(np.uint8), connectivity=4
        )
        middle = [shown[instances == number].mean(axis=0) for number in range(1, count)]
        typed = [colour[2] - colour[1] > 20 for colour in middle]
        return ObjectAnswer(
            instances=instances,
            labels=np.array(typed, np.uint8),
            confidence=np.full(count - 1, 0.9, np.float32),
            label_probability=np.where(typed, 0.75, 0).astype(np.float32),
        )

    def predictor(_self, _request, _card, plan):
        answered = slice(plan.trim, plan.tile - plan.trim)
        return Predictor(
            "a fake", lambda tiles: {"rgb": tiles[:, answered, answered]}, decode, "objects"
        )

    monkeypatch.setattr(segment.Predictors, "of", predictor)


def run(slide, **settings):
    request = SegmentRequest(
        slide=str(slide), model=MODEL, simplify_um=0.0, tissue="off", tile_size=449, **settings
    )
    return segment_slide(request, silent)


def test_every_file_has_each_nucleus_once_with_its_type_and_how_sure_that_is(slide, tmp_path):
    outputs = {
        "output_annotation": tmp_path / "a.anot",
        "output_geojson": tmp_path / "a.geojson",
        "output_table": tmp_path / "a.csv",
        "output_mask": tmp_path / "a.tiff",
        "output_overlay": tmp_path / "a.png",
    }
    result = run(slide, **outputs)
    nuclei, untyped = result.annotations.layers
    count = len(places())
    assert (nuclei.name, untyped.name) == ("nuclei", "no type")
    assert (len(nuclei.shapes), len(untyped.shapes)) == (count - -(-count // 3), -(-count // 3))
    centres = {
        (round(shape.polygon.centroid.x), round(shape.polygon.centroid.y))
        for shape in nuclei.shapes
    }
    assert len(centres) == len(nuclei.shapes)

    features = json.loads(outputs["output_geojson"].read_text())["features"]
    assert len(features) == count
    assert {each["properties"]["objectType"] for each in features} == {"detection"}
    numbers = features[0]["properties"]["measurements"]
    assert set(numbers) == {"area_um2", "confidence", "type_prob"}
    assert (numbers["confidence"], numbers["type_prob"]) == (0.9, 0.75)

    with outputs["output_table"].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == count
    assert {(row["class"], row["type_prob"]) for row in rows} == {
        ("nuclei", "0.75"),
        ("no type", "0.0"),
    }
    element = json.loads(outputs["output_annotation"].read_text())[0]["elements"][0]
    assert element["user"]["type_prob"] == 0.75
    canvas = tifffile.imread(outputs["output_mask"])
    assert set(np.unique(canvas)) == {0, 1, 2}
    assert outputs["output_overlay"].stat().st_size


def test_where_there_are_very_many_they_lie_in_a_file_and_are_the_same(
    slide, tmp_path, monkeypatch
):
    few = run(slide, output_annotation=tmp_path / "few.anot")
    monkeypatch.setattr(layers, "MOST_IN_MEMORY", 10)
    many = run(slide, output_annotation=tmp_path / "many.anot")
    for one, other in zip(few.annotations.layers, many.annotations.layers, strict=True):
        assert not isinstance(other.shapes, tuple)
        assert list(one.shapes) == list(other.shapes)
        assert one.description == other.description
    read = [read_annotations(tmp_path / name, Reading()) for name in ("few.anot", "many.anot")]
    assert [layer.shapes for layer in read[0].layers] == [layer.shapes for layer in read[1].layers]


def test_a_slide_of_which_no_tile_is_worth_reading_has_empty_layers(slide, tmp_path, monkeypatch):
    monkeypatch.setattr(segment, "fit_slots", lambda plan, *_: [(slot, False) for slot in plan])
    result = run(slide, output_annotation=tmp_path / "a.anot", output_mask=tmp_path / "a.tiff")
    assert [len(layer.shapes) for layer in result.annotations.layers] == [0]
    assert not tifffile.imread(tmp_path / "a.tiff").any()
