"""A slide of another stain than the training's is said before its results are trusted."""

import json

import numpy as np
import pytest
from PIL import Image

from deeplab.annotations.files import read_annotations
from deeplab.annotations.formats.format import Reading
from deeplab.bundles.learnt_appearance import LearntAppearance
from deeplab.bundles.read import read_card
from deeplab.data.stains import restain
from deeplab_cli.main import main
from tests.flows.test_train import TINY, paint
from tests.slides_for_tests import write_tiff

UNLIKE = "look at its results before you trust them"
SETTINGS = {**TINY, "classes": "lesion", "atrous_rates": "1,2", "steps": 2, "learning_rate": 1e-3}

pytestmark = pytest.mark.slow


def words_of(settings):
    return [word for name, value in settings.items() for word in (f"--{name}", str(value))]


def slide_at(path, seed, amount=1.0):
    """A slide painted with more or less stain, and its labels beside it."""
    rgb, labels = paint(seed)
    rgb = restain(rgb, amounts=np.full(3, amount), grounds=np.zeros(3))
    write_tiff(path, rgb, compression="deflate")
    Image.fromarray(labels).save(path.with_suffix(".mask.png"))
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model that saw four slides of one stain for a moment."""
    folder = tmp_path_factory.mktemp("slides")
    for seed in range(4):
        slide_at(folder / f"{seed}.tiff", seed)
    path = tmp_path_factory.mktemp("model") / "lesions.zip"
    assert main(["train", str(folder), str(path), *words_of(SETTINGS)]) == 0
    return path


def segment(slide, model, out, *more):
    words = ["segment", str(slide), "--model", str(model), "--annotation", str(out), *more]
    assert main([*words, "--runtime", "tensorflow"]) == 0
    return json.loads(out.read_text())


def test_the_card_has_the_slides_that_were_learnt_from_and_not_the_held_out(model):
    learnt = LearntAppearance.from_card(read_card(model))
    assert learnt.slides == 3
    assert (learnt.deviation < 0.1).all()


def test_a_slide_of_the_same_stain_is_not_warned_of(model, tmp_path, capfd):
    layers = segment(slide_at(tmp_path / "same.tiff", 9), model, tmp_path / "same.anot")
    assert all(UNLIKE not in layer["description"] for layer in layers)
    assert all("unlike" not in layer["attributes"]["slide"] for layer in layers)
    assert UNLIKE not in "".join(capfd.readouterr())


def test_a_slide_of_another_stain_is_in_the_log_and_in_each_layer(model, tmp_path, capfd):
    pale = slide_at(tmp_path / "pale.tiff", 9, 0.25)
    layers = segment(pale, model, tmp_path / "pale.anot", "--save_heatmap", "true")
    said = "he stain of this slide is paler than that of any slide that the model was trained on"
    outlines, _heatmap = layers
    assert f"T{said}: {UNLIKE}." in outlines["description"]
    assert all(f"t{said}" in layer["attributes"]["slide"]["unlike"] for layer in layers)
    assert f"pale.tiff: t{said}" in "".join(capfd.readouterr())


def test_of_a_folder_the_slides_that_are_unlike_are_warned_of(model, tmp_path, capfd):
    folder = tmp_path / "slides"
    folder.mkdir()
    slide_at(folder / "pale.tiff", 9, 0.25)
    slide_at(folder / "same.tiff", 9)
    out = str(tmp_path / "{slide}.anot")
    assert main(["segment", str(folder), "--model", str(model), "--annotation", out]) == 0
    descriptions = {
        name: read_annotations(tmp_path / f"{name}.anot", Reading()).layers[0].description
        for name in ("pale", "same")
    }
    assert UNLIKE in descriptions["pale"]
    assert UNLIKE not in descriptions["same"]
    said = "".join(capfd.readouterr())
    assert "pale.tiff: the stain of this slide" in said
    assert "same.tiff: the stain of this slide" not in said


def test_a_model_that_went_on_with_other_slides_knows_both_stains(model, tmp_path, capfd):
    folder, more = tmp_path / "pale", tmp_path / "more.zip"
    folder.mkdir()
    slide_at(folder / "a.tiff", 5, 0.25)
    settings = {**SETTINGS, "initial_model": model}
    assert main(["train", str(folder), str(more), *words_of(settings)]) == 0
    capfd.readouterr()
    for amount in (0.25, 1):
        slide = slide_at(tmp_path / f"{amount}.tiff", 9, amount)
        segment(slide, more, tmp_path / "a.anot")
    assert UNLIKE not in "".join(capfd.readouterr())


def test_squares_to_annotate_next_have_their_reasons(model, tmp_path):
    rgb, _ = paint(9)
    part = np.s_[200:, 200:]
    rgb[part] = restain(rgb[part], amounts=np.full(3, 0.3), grounds=np.zeros(3))
    slide = write_tiff(tmp_path / "two stains.tiff", rgb, compression="deflate")
    more = ["--next_regions", "2", "--next_region_um", "40"]
    *_, suggested = segment(slide, model, tmp_path / "a.anot", *more)
    unsure, unlike = (element["user"] for element in suggested["elements"])
    assert (unsure["rank"], unlike["rank"]) == (1, 2)
    assert unsure["reason"].startswith("the model is unsure: mean confidence 0.")
    assert unlike["reason"].startswith("least like the slides of the training: its stain is paler")
    x, y, _ = suggested["elements"][1]["points"][0]
    assert min(x, y) >= 180
