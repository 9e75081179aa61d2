"""From labels of patches to a model that segments, by one command that may be killed anywhere."""

import shutil
import signal

import numpy as np
import pytest
from PIL import Image

from deeplab.bundles.load import load_bundle
from deeplab.bundles.read import read_card
from deeplab.bundles.weights import named_weights
from deeplab_cli.main import main
from tests.flows.training_command import start_training
from tests.flows.weak_labels_for_tests import CLASSES, SIDE, published, save_mask, save_patch
from tests.slides_for_tests import PINK

SHARED = (
    "batch_size=4",
    "augment=0",
    "slow_start_step=4",
    "ema_decay=0.9",
    "depth_multiplier=0.35",
)
CLASSIFIER = (*SHARED, "steps=60", "learning_rate=3e-3", "validate_every=30")
SEGMENTER = (
    *(*SHARED, "network=unet", "network_options=depth=3", "network_options=decoder_channels=4 4 4"),
    *("steps=40", "learning_rate=1e-2", "validate_every=20"),
)
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


def words_of(settings):
    return [word for name, value in settings.items() for word in (f"--{name}", str(value))]


def train(source, model, **more):
    return main(["train-from-labels", str(source), str(model), *words_of(WORDS | more)])


def weights(path):
    return {name: value.numpy() for name, value in named_weights(load_bundle(path).network).items()}


def kill_at(data, model, stage, step):
    """Start the command, kill it once it has taken so many steps of a stage, and say its lines."""
    process = start_training(str(data), str(model), WORDS, command="train-from-labels")
    for line in process.stdout:
        _, _, told = line.partition(f"<filter-comment>{stage}: train: ")
        if told and int(told.split()[0]) >= step:
            break
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert not model.exists()


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
    kill_at(data, broken, "stage 1, classifier", 31)
    kill_at(data, broken, "stage 2, segmenter", 21)
    assert train(data, broken) == 0
    said = capsys.readouterr().err
    assert "stage 1, classifier was trained before" in said
    assert "pseudo masks were drawn before" in said
    after = weights(broken)
    assert before.keys() == after.keys()
    for name, value in before.items():
        np.testing.assert_array_equal(value, after[name], err_msg=name)


@pytest.fixture
def data(tmp_path):
    return published(tmp_path / "data", repeats=1)


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
