"""A family of objects goes through the whole training without a line about it in an engine."""

import json
import re
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import shapely
import tensorflow as tf

from deeplab.annotations.formats.girder_json import read_girder_json
from deeplab.bundles.card import Card
from deeplab.bundles.load import load_bundle
from deeplab.bundles.read import read_card
from deeplab.config.classes import ClassList
from deeplab.config.progress import silent
from deeplab.config.train_request import TrainRequest
from deeplab.exchange.labelling import Labelling
from deeplab.models.loss import loss_share
from deeplab.training.train import train
from deeplab.training.validation.validate import Validator
from tests.data.annotated_slides import labelled
from tests.slides_for_tests import write_tiff
from tests.training.toy_objects import FAMILY, MARGIN, NAME, ToyConfig, ToyLoss, encode, paint

SIDE = 240
OBJECTS = (SIDE // 40) ** 2


@pytest.fixture(scope="module", autouse=True)
def _listed():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deeplab.config.families.CONFIGS", {NAME: ToyConfig})
        patch.setattr("deeplab.models.registry.FAMILIES", (FAMILY,))
        patch.setattr("deeplab.models.readings._READINGS", {NAME: FAMILY.reading})
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three slides with polygons of two types beside them."""
    path = tmp_path_factory.mktemp("slides")
    for seed in range(3):
        rgb, outlines = paint(np.random.default_rng(seed), SIDE)
        write_tiff(path / f"{seed}.tiff", rgb, compression="deflate")
        features = [
            {
                "type": "Feature",
                "geometry": {"type": "Polygon", "coordinates": [ring]},
                "properties": {"classification": {"name": name}},
            }
            for name, ring in outlines
        ]
        told = {"type": "FeatureCollection", "features": features}
        (path / f"{seed}.geojson").write_text(json.dumps(told))
    return path


def request_of(folder, out, **settings):
    values = {
        "classes": ("a", "b"),
        "network": NAME,
        "patch_size": 48,
        "batch_size": 4,
        "work_mpp": 0.5,
        "steps": 120,
        "validate_every": 60,
        "learning_rate": 1e-2,
        "slow_start_step": 2,
        "augment": 0.0,
        "ema_decay": 0.0,
        "gpu": -1,
    }
    return TrainRequest(source=str(folder), output_model=out, **values | settings)


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("model") / "toy.zip"
    return train(request_of(folder, out, output_report=out.with_name("report.html")), silent)


@pytest.mark.slow
def test_the_network_learns_and_is_judged_object_by_object(trained):
    assert trained.metrics.keys() == {"pq", "dq", "sq", "aji_plus", "pq a", "pq b"}
    assert trained.metrics["pq"] > 0.5
    assert read_card(trained.model).metrics["pq"] == pytest.approx(trained.metrics["pq"], abs=1e-6)


@pytest.mark.slow
def test_report_log_and_layers_speak_of_objects(trained):
    work = trained.model.with_suffix(".work")
    page = ET.fromstring(trained.model.with_name("report.html").read_text(encoding="utf-8"))
    told = " ".join(" ".join(page.itertext()).split())
    assert "PQ of a" in told
    assert "IoU, background included" not in told
    assert re.search(rf"all types together( [\d.–]+){{6}} {OBJECTS} \d+", told), told
    assert float((work / "log.csv").read_text().split(",")[-1]) <= 1
    (layer,) = (work / "worst regions").iterdir()
    labels = [shape.properties for shape in read_girder_json(layer).layer("worst regions").shapes]
    assert labels
    assert all(0 < each["error_share"] <= 1 for each in labels)
    events = b"".join(path.read_bytes() for path in (work / "tensorboard").iterdir())
    assert all(f"loss/{term}".encode() in events for term in ToyLoss.terms)
    assert b"held out/AJI+" in events


@pytest.mark.slow
def test_every_object_is_judged_once_however_the_slide_is_cut(trained):
    network = load_bundle(trained.model).network
    rgb, outlines = paint(np.random.default_rng(9), SIDE)
    slide = slide_of(rgb, outlines)
    found = []
    for tile in (96, 160, 400):
        card = Card(
            config=ToyConfig(class_count=2),
            classes=ClassList.named(["a", "b"]),
            work_mpp=0.5,
            tile=tile,
            halo=20,
        )
        look = Validator(network=network, card=card, slides=[slide], most_px=10**9, seed=0)
        found.append(look(1).pooled)
    assert [each.sums[0].true_objects for each in found] == [OBJECTS] * 3
    assert [sum(each.class_amounts) for each in found] == [OBJECTS] * 3
    np.testing.assert_allclose([each.score for each in found], found[0].score, atol=0.02)


def slide_of(rgb, outlines):
    """An annotated slide of painted discs."""
    shapes = {}
    for name, ring in outlines:
        shapes.setdefault(name, []).append(shapely.Polygon(ring))
    return labelled(rgb, shapes, Labelling(classes=("a", "b")))


def test_targets_are_of_the_part_that_is_answered():
    _, outlines = paint(np.random.default_rng(1), 96)
    slide = slide_of(np.zeros((96, 96, 3), np.uint8), outlines)
    frame = slide.slide.frame(0.5)
    truth = slide.truth(frame, frame.box, FAMILY.needs)
    targets = encode(None, truth)
    assert {name: each.shape for name, each in targets.items()} == {
        "inside": (88, 88),
        "way": (88, 88, 2),
        "type": (88, 88),
    }
    part = truth["instances"][MARGIN:-MARGIN, MARGIN:-MARGIN]
    np.testing.assert_array_equal(targets["inside"] == 1, part > 0)


def test_parts_of_a_batch_add_up_for_every_term():
    random, loss = np.random.default_rng(0), ToyLoss()
    targets = {
        "inside": random.integers(0, 2, (4, 8, 8)).astype(np.uint8),
        "way": random.normal(size=(4, 8, 8, 2)).astype(np.float32),
        "type": random.integers(0, 3, (4, 8, 8)).astype(np.uint8),
    }
    targets["inside"][1] = 0  # a patch without an object
    maps = {
        name: random.normal(size=(4, 8, 8, count)).astype(np.float32)
        for name, count in (("inside", 2), ("way", 2), ("type", 3))
    }
    totals = tf.reduce_sum(loss.weights(targets, 0), axis=0)
    whole = float(loss_share(loss.errors(targets, maps, 0), totals))
    shares = [
        float(
            loss_share(
                loss.errors(
                    {name: each[part] for name, each in targets.items()},
                    {name: each[part] for name, each in maps.items()},
                    0,
                ),
                totals,
            )
        )
        for part in (slice(0, 1), slice(1, 4))
    ]
    assert sum(shares) == pytest.approx(whole, rel=1e-6)
