"""Slides with annotations in, a bundle out: the flow as its task calls it."""

from dataclasses import replace
from xml.etree import ElementTree as ET

import large_image_source_tiff
import numpy as np
import pytest
from PIL import Image

from deeplab.annotations.formats.girder_json import read_girder_json
from deeplab.annotations.raster.rasterize import draw
from deeplab.bundles.read import read_card
from deeplab.config.classes import IGNORE
from deeplab.config.progress import silent
from deeplab.config.requests import SegmentRequest
from deeplab.config.train_request import TrainRequest
from deeplab.data.truth import open_annotated
from deeplab.errors import AnnotationError, OutputError, ScaleError, TrainingError
from deeplab.evaluation.semantic import Confusion
from deeplab.exchange.labelling import Labelling
from deeplab.exchange.samples import find_samples
from deeplab.geometry.frames import Mpp, WorkFrame
from deeplab.inference.segment import segment_slide
from deeplab.training.checkpoints import Checkpoint, Checkpoints
from deeplab.training.identity import agreed_settings
from deeplab.training.train import train
from tests.girder_for_tests import FOLDER, ITEM, fake_girder, item_routes
from tests.slides_for_tests import GLASS, PINK, PURPLE, write_tiff

SIDE = 320
TINY = {
    "classes": ("lesion",),
    "depth_multiplier": 0.25,
    "atrous_rates": (1, 2),
    "aspp_filters": 16,
    "decoder_filters": 16,
    "patch_size": 65,
    "batch_size": 6,
    "work_mpp": 0.5,
    "slow_start_step": 5,
    "learning_policy": "poly",
    "learning_rate": 1e-2,
    "augment": 0.2,
}

pytestmark = pytest.mark.slow


def paint(seed):
    """Pink tissue with purple discs, the lesions, and their labels."""
    random = np.random.default_rng(seed)
    labels = np.zeros((SIDE, SIDE), np.uint8)
    rows, cols = np.ogrid[:SIDE, :SIDE]
    for _ in range(7):
        row, col = random.integers(20, SIDE - 20, 2)
        labels[(rows - row) ** 2 + (cols - col) ** 2 < random.integers(12, 24) ** 2] = 1
    rgb = np.where(labels[..., None] == 1, PURPLE, PINK) + random.normal(0, 8, (SIDE, SIDE, 3))
    rgb[:, :30] = GLASS
    labels[:, :30] = 0
    return np.clip(rgb, 0, 255).astype(np.uint8), labels


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Five slides with label masks beside them."""
    path = tmp_path_factory.mktemp("slides")
    for seed in range(5):
        rgb, labels = paint(seed)
        write_tiff(path / f"TCGA.{seed}.tiff", rgb, compression="deflate")
        Image.fromarray(labels).save(path / f"TCGA.{seed}.mask.png")
    return path


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("model") / "lesions.zip"
    request = TrainRequest(
        source=str(folder),
        output_model=out,
        output_report=out.with_name("report.html"),
        steps=160,
        validate_every=80,
        **TINY,
    )
    return train(request, silent)


def test_the_model_finds_on_a_new_slide_what_it_was_shown(trained, tmp_path):
    rgb, labels = paint(99)
    slide = write_tiff(tmp_path / "new.tiff", rgb, compression="deflate")
    request = SegmentRequest(
        slide=str(slide), model=trained.model, output_annotation=tmp_path / "new.anot"
    )
    found = segment_slide(request, silent).annotations
    frame = WorkFrame.over(SIDE, SIDE, Mpp.square(0.5), 0.5)
    confusion = Confusion(2)
    confusion.add(labels, draw(found, {"lesion": 1}, frame.box, frame))
    assert confusion.dice[1] > 0.8


def test_the_card_says_what_was_done(trained):
    card = read_card(trained.model)
    assert card.classes.names == ("lesion",)
    assert card.config.crop_size == 65
    assert (card.work_mpp, card.training["steps"]) == (0.5, 160)
    assert card.metrics["dice lesion"] == pytest.approx(trained.metrics["dice lesion"], abs=1e-3)


def test_a_finished_training_leaves_its_log_and_no_checkpoints(trained):
    work = trained.model.with_suffix(".work")
    lines = (work / "log.csv").read_text().splitlines()
    assert lines[0] == "step,loss,learning_rate,waiting_share,validation_score"
    assert lines[-1].startswith("160,")
    assert not list(work.glob("*.zip"))


def test_a_finished_training_leaves_its_report_charts_events_and_worst_regions(trained):
    work = trained.model.with_suffix(".work")
    page = ET.fromstring(trained.model.with_name("report.html").read_text(encoding="utf-8"))
    told = " ".join(" ".join(page.itertext()).split())
    assert "Learnt from: 4 slides" in told
    assert f"{trained.metrics['dice lesion']:.3f}" in told
    assert f"{trained.metrics['mean_iou']:.3f}" in told
    for name in ("curves.png", "confusion.png", "examples.png"):
        with Image.open(work / name) as chart:
            chart.load()
    assert list((work / "tensorboard").glob("events*"))
    (layer,) = (work / "worst regions").iterdir()
    assert read_girder_json(layer).names == ("worst regions",)


def test_a_place_where_no_report_can_be_written_is_refused_before_training(folder, tmp_path):
    (tmp_path / "file").write_text("")
    request = TrainRequest(
        source=str(folder),
        output_model=tmp_path / "m.zip",
        output_report=tmp_path / "file" / "report.html",
        steps=2,
        **TINY,
    )
    with pytest.raises(OutputError, match="report"):
        train(request, silent)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_with_checkpoints_of_another_training_is_left_alone(folder, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    request = TrainRequest(
        source=str(folder), output_model=tmp_path / "m.zip", work_folder=work, steps=2, **TINY
    )
    facts = {"settings": agreed_settings(replace(request, seed=7))}
    path = Checkpoints(work, 60).save(Checkpoint(step=1, facts=facts, arrays={}))
    with pytest.raises(OutputError, match=r"with other settings \(seed is 0 and not 7\)"):
        train(request, silent)
    assert list(work.iterdir()) == [path]


def test_a_misspelt_class_names_what_is_missing(folder, tmp_path):
    request = TrainRequest(
        source=str(folder),
        output_model=tmp_path / "m.zip",
        steps=2,
        **{**TINY, "classes": ("lesion", "vessle")},
    )
    with pytest.raises(TrainingError, match=r"has a shape of vessle \(there are: lesion\)"):
        train(request, silent)
    assert not list(tmp_path.iterdir())


def test_slides_without_scale_are_refused_before_training(tmp_path):
    rgb, labels = paint(0)
    write_tiff(tmp_path / "bare.tiff", rgb, mpp=None)
    Image.fromarray(labels).save(tmp_path / "bare.mask.png")
    request = TrainRequest(source=str(tmp_path), output_model=tmp_path / "m.zip", steps=2, **TINY)
    with pytest.raises(ScaleError, match="give slide_mpp"):
        train(request, silent)


def test_an_annotation_with_entities_is_refused(tmp_path):
    rgb, _ = paint(0)
    write_tiff(tmp_path / "a.tiff", rgb)
    (tmp_path / "a.xml").write_text(
        '<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><Annotations>&e;</Annotations>'
    )
    request = TrainRequest(source=str(tmp_path), output_model=tmp_path / "m.zip", steps=2, **TINY)
    with pytest.raises(AnnotationError, match=r"a\.xml"):
        train(request, silent)


def test_a_girder_folder_is_learnt_from_with_its_live_annotations(folder):
    slide = folder / "TCGA.0.tiff"
    source = large_image_source_tiff.TiffFileTileSource
    routes = item_routes(
        lambda encoding, style: source(str(slide), encoding=encoding, style=style), name=slide.name
    )
    square = [[40, 40, 0], [80, 40, 0], [80, 90, 0], [40, 90, 0]]
    drawn = {
        "lesion": {"type": "polyline", "closed": True, "points": square},
        "ignore": {"type": "rectangle", "center": [100, 60, 0], "width": 20, "height": 40},
    }
    routes[f"annotation/item/{ITEM}"] = [
        {"_id": ITEM, "annotation": {"name": name, "elements": [element]}}
        for name, element in drawn.items()
    ]
    other = "7b" * 12
    routes["item"] = [routes[f"item/{ITEM}"], {**routes[f"item/{ITEM}"], "_id": other}]
    heads = [{"_id": ITEM, "annotation": {"name": name}} for name in drawn]
    # The other slide has no annotations: nobody has looked at it yet, so it is left out.
    routes["annotation"] = lambda query: heads if query["itemId"] == ITEM else []
    with fake_girder(routes=routes) as girder:
        rules = Labelling(classes=("lesion",))
        found = find_samples(FOLDER, classes=rules.classes, login=girder.login)
        (sample,) = found.samples
        assert [entry.why for entry in found.left_out] == ["has no annotations"]
        opened = open_annotated(sample, sample.load(), rules, slide_mpp=0, login=girder.login)
        frame = opened.slide.frame(0.5)
        rgb, truth = opened.read(frame, frame.box)
    labels = truth["labels"]
    assert rgb.shape == (SIDE, SIDE, 3)
    assert (labels == 1).sum() == 40 * 50
    assert (labels == IGNORE).sum() == 20 * 40
