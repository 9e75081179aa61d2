"""From labels of patches to a model that segments, by one command that may be killed anywhere."""

import json
import shutil
import signal

import numpy as np
import pytest
from PIL import Image

from deeplab.bundles.load import load_bundle
from deeplab.bundles.read import read_card
from deeplab.bundles.weights import named_weights
from deeplab.config.classes import ClassList
from deeplab.exchange.pseudo_mask_folder import RECORD
from deeplab.files import file_digest
from deeplab_cli.main import main
from tests.bundles.test_gate import write_classifier
from tests.flows.training_command import start_training
from tests.flows.weak_labels_for_tests import (
    CLASSES,
    SIDE,
    halves,
    paint,
    published,
    save_mask,
    save_patch,
)
from tests.slides_for_tests import PINK
from tests.training.test_region_patches import layer, write_slide

SHARED = (
    "batch_size=4",
    "augment=0",
    "slow_start_step=4",
    "ema_decay=0.9",
    "depth_multiplier=0.35",
)
UNET = (
    *SHARED,
    "network=unet",
    "network_options=depth=3",
    "network_options=decoder_channels=4 4 4",
)
CLASSIFIER = (*SHARED, "steps=60", "learning_rate=3e-3", "validate_every=30")
SEGMENTER = (*UNET, "steps=40", "learning_rate=1e-2", "validate_every=20")
QUICK = ("steps=8", "validate_every=8")
WORDS = {
    "labels": "names",
    "classes": ",".join(CLASSES),
    "slide_mpp": 0.5,
    "patch_size": SIDE,
    "classifier": ",".join(CLASSIFIER),
    "segmenter": ",".join(SEGMENTER),
    "checkpoint_minutes": 0,
    "gpu": -1,
}


QUICKLY = {"classifier": ",".join((*SHARED, *QUICK)), "segmenter": ",".join((*UNET, *QUICK))}


def words_of(settings):
    given = {name: value for name, value in settings.items() if value is not None}
    return [word for name, value in given.items() for word in (f"--{name}", str(value))]


def train(source, model, **more):
    return main(["train-from-labels", str(source), str(model), *words_of(WORDS | more)])


def weights(path):
    return {name: value.numpy() for name, value in named_weights(load_bundle(path).network).items()}


def kill_at(data, model, stage, step, **more):
    """Start the command, and kill it once it has taken so many steps of a stage."""
    process = start_training(str(data), str(model), WORDS | more, command="train-from-labels")
    for line in process.stdout:
        _, _, told = line.partition(f"<filter-comment>{stage}: ")
        if told and int(told.split()[0]) >= step:
            break
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert not model.exists()


def assert_same(before, after):
    assert before.keys() == after.keys()
    for name, value in before.items():
        np.testing.assert_array_equal(value, after[name], err_msg=name)


def stage(model, called):
    """The one folder of a stage of this name."""
    (folder,) = model.with_suffix(".work").glob(f"{called}-*")
    return folder


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_one_command_leads_to_a_model_and_what_was_killed_goes_on(tmp_path, capsys):
    data = published(tmp_path / "data")
    whole, report = tmp_path / "whole.zip", tmp_path / "whole.html"
    masks = data / "train_masks"
    assert train(data, whole, output_report=report, true_masks=masks) == 0
    said = capsys.readouterr().out
    for name in (
        "labels of patches",
        "activation maps of the classifier alone",
        "full supervision",
    ):
        assert name in said
    page = report.read_text(encoding="utf-8")
    for words in ("Stage 1", "Stage 2", "speaks for gland", "PM_features", "truth"):
        assert words in page
    card = read_card(whole)
    assert (card.family, card.classes.names) == ("class_gate", CLASSES)
    capsys.readouterr()

    before = weights(whole)
    broken = tmp_path / "broken.zip"
    kill_at(data, broken, "stage 1, classifier: train", 31)
    kill_at(data, broken, "pseudo masks: draw", 1)
    assert not (stage(broken, "pseudo-masks") / RECORD).exists()
    kill_at(data, broken, "stage 2, segmenter: train", 21)
    kill_at(data, broken, "full supervision: train", 21, true_masks=masks)
    assert train(data, broken, true_masks=masks) == 0
    said = capsys.readouterr().err
    for words in (
        "stage 1, classifier was trained before",
        "pseudo masks were drawn before",
        "stage 2, segmenter was trained before",
    ):
        assert words in said
    assert "full supervision was trained before" not in said
    assert_same(before, weights(broken))
    full = (weights(stage(each, "full") / "segmenter.zip") for each in (whole, broken))
    assert_same(*full)


@pytest.fixture
def data(tmp_path):
    return published(tmp_path / "data", repeats=1)


@pytest.fixture
def classifier(tmp_path):
    """The settings that give a trained one."""
    path = write_classifier(tmp_path / "given.zip", classes=ClassList.named(CLASSES))
    return {"classifier": None, "classifier_model": path}


@pytest.mark.slow
def test_a_classifier_that_is_given_is_not_trained(data, classifier, tmp_path, capsys):
    model = tmp_path / "m.zip"
    assert train(data, model, **QUICKLY | classifier) == 0
    assert "stage 1" not in capsys.readouterr().err
    record = json.loads((stage(model, "pseudo-masks") / RECORD).read_text())
    assert record["model"]["sha256"] == file_digest(classifier["classifier_model"])
    joined = read_card(model)
    assert (joined.family, joined.classes.names) == ("class_gate", CLASSES)
    assert joined.training["gate"].startswith("given.zip, ")


def test_a_classifier_that_goes_with_no_segmenter_is_refused(data, classifier, tmp_path, capsys):
    model, turned = tmp_path / "m.zip", ",".join(CLASSES[::-1])
    line = refused(capsys, data, model, **classifier | {"classes": turned})
    assert "given.zip tells gland, stroma apart, and stroma, gland is to be learnt; give" in line
    line = refused(capsys, data, model, **classifier | {"slide_mpp": 0.4, "work_mpp": 0.4})
    assert "works at 0.5 um per pixel, and the segmenter that it is to gate at 0.4" in line
    assert not model.with_suffix(".work").exists()


@pytest.mark.slow
def test_patches_without_masks_are_said_until_they_have_some(
    data, classifier, tmp_path, capsys, monkeypatch
):
    model, large = tmp_path / "m.zip", data / "train" / "large-[11].png"
    Image.fromarray(paint(halves(0, 1, side=2 * SIDE))).save(large)
    with monkeypatch.context() as patched:
        patched.setattr("deeplab.inference.pseudo_masks.MOST_PIXELS", SIDE * SIDE)
        for _ in range(2):
            line = refused(capsys, data, model, **QUICKLY | classifier)
            assert f"1 of 7 images have no masks: {large}: is too large for a mask" in line
    assert not list(model.with_suffix(".work").glob("segmenter-*"))
    assert train(data, model, **QUICKLY | classifier) == 0
    assert (stage(model, "pseudo-masks") / "PM_features" / large.name).exists()


@pytest.mark.slow
def test_masks_that_somebody_corrects_are_learnt_from_and_the_classifier_is_kept(
    data, tmp_path, capsys
):
    model = tmp_path / "m.zip"
    assert train(data, model, **QUICKLY) == 0
    before = weights(model)
    masks = stage(model, "pseudo-masks")
    corrected = masks / "PM_features" / "p-0-[10].png"
    save_mask(corrected, halves(0, 1))
    capsys.readouterr()
    assert train(data, model, **QUICKLY) == 0
    said = capsys.readouterr().err
    assert "stage 1, classifier was trained before" in said
    assert "pseudo masks were drawn before" in said
    assert "stage 2, segmenter was trained before" not in said
    np.testing.assert_array_equal(Image.open(corrected), halves(0, 1))
    after = weights(model)
    learnt = {name for name in before if (before[name] != after[name]).any()}
    assert learnt
    assert {name.partition("/")[0] for name in learnt} == {"member_1"}, "the classifier is one more"
    assert train(data, model, **QUICKLY) == 0
    assert "stage 2, segmenter was trained before" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_segmenters_are_trained_anew_when_a_patch_or_a_mask_that_chooses_changes(
    data, classifier, tmp_path, capsys
):
    model = tmp_path / "m.zip"
    settings = QUICKLY | classifier | {"true_masks": data / "train_masks"}
    assert train(data, model, **settings) == 0
    mask = next((data / "val/mask").iterdir())
    save_mask(mask, np.zeros((SIDE, SIDE), np.uint8))
    assert train(data, model, **settings) == 0
    patch = data / "train" / "p-0-[10].png"
    Image.fromarray(paint(halves(0, 0), seed=9)).save(patch)
    capsys.readouterr()
    assert train(data, model, **settings) == 0
    assert "was trained before" not in capsys.readouterr().err
    for called in ("segmenter", "full"):
        assert len(list(model.with_suffix(".work").glob(f"{called}-*"))) == 3


@pytest.mark.slow
def test_slides_on_which_all_is_outlined_say_how_good_the_model_is(classifier, tmp_path, capsys):
    slides, side = tmp_path / "slides", 4 * SIDE
    rgb = paint(halves(0, 1, side=side))
    left, right = (0, 0, side // 2, side), (side // 2, 0, side, side)
    write_slide(slides, "learnt", layer("gland", left), layer("stroma", right), rgb=rgb)
    truth = layer("truth", (0, 0, side, SIDE))
    outlines = (layer("gland-truth", left), layer("stroma-truth", right))
    write_slide(slides, "judges", truth, *outlines, rgb=rgb)
    report = tmp_path / "r.html"
    given = {"labels": "regions", "slide_mpp": None, "output_report": report}
    assert train(slides, tmp_path / "m.zip", **QUICKLY | classifier | given) == 0
    assert "labels of patches: mean IoU " in capsys.readouterr().out
    said = report.read_text(encoding="utf-8")
    assert "Judged on 4 patches with true masks, of which nothing was learnt or chosen" in said


def refused(capsys, *words, **more):
    assert train(*words, **more) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("error: ")
    return line


def test_what_does_not_fit_is_one_sentence(data, tmp_path, capsys):
    model, images = tmp_path / "m.zip", data / "train"
    line = refused(capsys, data, model, slide_mpp=0.5, work_mpp=0.25)
    assert "has 0.5 um per pixel, too coarse for a model of 0.25" in line
    line = refused(capsys, data, model, classes="gland,stroma,fat")
    assert "must have 3 numbers in its name" in line
    for path in images.iterdir():
        path.rename(path.with_name(path.name.replace("[01]", "[10]").replace("[11]", "[10]")))
    assert "has the class stroma (there are: gland)" in refused(capsys, data, model)
    shutil.rmtree(images)
    published(data, repeats=1)
    Image.fromarray(np.full((20, 64, 3), PINK, np.uint8)).save(images / "small-[01].png")
    line = refused(capsys, data, model)
    assert "small-[01].png has 64 x 20 pixels, 20 at 0.5 um: less than a cell of the netw" in line
    (images / "small-[01].png").unlink()
    name = save_patch(data / "val/img", 9, np.zeros((SIDE, SIDE), np.uint8))
    assert f"has no mask {data / 'val/mask' / name}" in refused(capsys, data, model)
    save_mask(data / "val/mask" / name, np.zeros((SIDE, SIDE + 4), np.uint8))
    line = refused(capsys, data, model)
    assert f"{name} has 68 x 64 pixels and its patch 64 x 64; it must be as large" in line
    assert not model.exists()


def test_a_setting_that_is_none_is_one_sentence(data, tmp_path, capsys):
    model = tmp_path / "m.zip"
    assert "classifier must be name=value" in refused(capsys, data, model, classifier="source=x")
    assert "steps must be a whole number" in refused(capsys, data, model, segmenter="steps=many")
    line = refused(capsys, data, model, segmenter="steps=1,steps=2")
    assert "the only one that gives steps" in line
    for network in ("patch_classifier", "hovernet"):
        line = refused(capsys, data, model, segmenter=f"network={network}")
        assert "segmenter must be that of a network that gives every pixel a class" in line
    line = refused(capsys, data, model, classifier="network=unet")
    assert line.startswith("error: classifier must be name=value with one of ")
    assert line.endswith("but is 'network=unet'")
    assert not model.with_suffix(".work").exists()
