"""A network learns from several weighted label masks of each patch, in the published layout."""

import numpy as np
import pytest
from PIL import Image

from deeplab.bundles.read import read_card
from deeplab.config.progress import silent
from deeplab.config.train_request import TrainRequest
from deeplab.data.opening import open_slides
from deeplab.errors import ConfigError
from deeplab.training.identity import digest
from deeplab.training.train import check_network
from deeplab_cli.main import main
from tests.flows.weak_labels_for_tests import CLASSES, SETS, SIDE, pseudo_masks, published

WEIGHTS = "PM_bn7=0.6,PM_b5_2=0.2,PM_b4_5=0.2"
WORDS = (
    *("--classes", ",".join(CLASSES), "--mask_values", "from_zero"),
    *("--network", "unet", "--network_options", "depth=3,decoder_channels=4 4 4"),
    *("--depth_multiplier", "0.35", "--slide_mpp", "0.5", "--work_mpp", "0.5"),
    *("--patch_size", str(SIDE), "--batch_size", "4", "--augment", "0", "--gpu", "-1"),
    *("--steps", "40", "--slow_start_step", "5", "--learning_rate", "1e-2", "--ema_decay", "0.9"),
    *("--validate_every", "40"),
)


@pytest.fixture
def data(tmp_path):
    folder = published(tmp_path)
    pseudo_masks(folder)
    return folder


def train(data, *more):
    valid = ("--valid_slide_path", data / "val/img", "--valid_label_path", data / "val/mask")
    sets = ("--label_path", data / "train_PM", "--label_sets", WEIGHTS)
    words = (data / "train", data / "m.zip", *WORDS, *valid, *sets, *more)
    return main(["train", *map(str, words)])


def asked(data, **more):
    given = {
        "source": str(data / "train"),
        "output_model": data / "m.zip",
        "classes": CLASSES,
        "network": "unet",
        "mask_values": "from_zero",
        "label_path": data / "train_PM",
        "label_sets": tuple(WEIGHTS.split(",")),
        "slide_mpp": 0.5,
        "patch_size": SIDE,
        "validation_fraction": 0,
    }
    return TrainRequest(**given | more)


def test_each_set_is_drawn_as_its_mask_says(data):
    opened = open_slides(asked(data), silent)
    try:
        for slide in opened.learn:
            frame = slide.slide.frame(0.5)
            kinds = ("labels", "labels/PM_b5_2", "labels/PM_b4_5")
            truth = slide.truth(frame, frame.box, kinds)
            for kind, name in zip(kinds, SETS, strict=True):
                values = np.asarray(Image.open(data / "train_PM" / name / slide.name))
                np.testing.assert_array_equal(truth[kind], np.array([1, 2, 0])[values])
        before = digest(opened.learn)
    finally:
        opened.close()
    mask = next((data / "train_PM/PM_b4_5").iterdir())
    Image.fromarray(np.zeros((SIDE, SIDE), np.uint8)).save(mask)
    opened = open_slides(asked(data), silent)
    opened.close()
    assert digest(opened.learn) != before


def test_what_is_none_of_the_classes_is_background_to_learn_and_not_judged(data):
    mask = next((data / "val/mask").iterdir())
    values = np.asarray(Image.open(mask)).copy()
    values[:10] = 2
    Image.fromarray(values).save(mask)
    valid = {"valid_slide_path": str(data / "val/img"), "valid_label_path": data / "val/mask"}
    opened = open_slides(asked(data, **valid), silent)
    try:
        (slide,) = [each for each in opened.held_out if each.name == mask.name]
        frame = slide.slide.frame(0.5)
        labels = slide.labels(frame, frame.box)
        assert (labels[:10] == 255).all()
        assert set(np.unique(labels[10:])) == {1, 2}
    finally:
        opened.close()


@pytest.mark.slow
def test_a_network_learns_and_the_report_says_from_what(data):
    report = data / "r.html"
    assert train(data, "--output_report", report) == 0
    assert read_card(data / "m.zip").metrics["iou gland"] > 0.8
    said = report.read_text(encoding="utf-8")
    assert "of several label sets: 0.6 × PM_bn7, 0.2 × PM_b5_2, 0.2 × PM_b4_5" in said


def test_a_network_of_objects_has_no_label_sets(data):
    with pytest.raises(ConfigError, match="label_sets must be left away: the network hovernet"):
        check_network(asked(data, network="hovernet"))


def test_what_does_not_fit_is_one_sentence(data, capsys):
    def said(*more):
        assert train(data, *more) == 2
        line = capsys.readouterr().err.strip().splitlines()[-1]
        assert line.startswith("error: ")
        return line

    assert "label_sets must be folder=weight with a weight above 0" in said("--label_sets", "a")
    assert "must be folder=weight for each folder once" in said("--label_sets", "a=1,a=2")
    assert "there is no folder" in said("--label_sets", "PM_b9=1")
    record = data / "train_PM/pseudo-masks.json"
    record.write_text('{"values": {"0": "stroma", "1": "gland"}}')
    assert "are of stroma, gland, and gland, stroma is to be learnt" in said()
    record.write_text('{"values": [1]}')
    assert "does not say what the values of the masks mean" in said()
    record.unlink()
    masks = sorted((data / "train_PM/PM_b5_2").iterdir())
    for mask in masks:
        Image.fromarray(np.zeros((SIDE, SIDE - 8), np.uint8)).save(mask)
    line = said()
    assert "none of 18 slides can be learnt from: " in line
    assert "(PM_b5_2): the label image has 56 x 64 pixels and the slide 64 x 64" in line
    for mask in masks:
        Image.fromarray(np.full((SIDE, SIDE), 7, np.uint8)).save(mask)
    line = said()
    assert "holds the value 7; 0 to 1 are the classes (gland, stroma) and 2 is none" in line
    for mask in masks:
        mask.unlink()
    assert "holds no slide with annotations in" in said()
    assert not (data / "m.zip").exists()
