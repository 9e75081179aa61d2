"""A patch classifier learns from images that are labelled as a whole, through the command."""

import numpy as np
import pytest
from PIL import Image

from deeplab.bundles.load import load_bundle
from deeplab.bundles.read import read_card
from deeplab_cli.main import main
from tests.slides_for_tests import PINK, PURPLE

WORDS = [
    *("--network", "patch_classifier", "--depth_multiplier", "0.35", "--gpu", "-1"),
    *("--slide_mpp", "0.5", "--work_mpp", "0.5", "--patch_size", "64", "--batch_size", "8"),
    *("--learning_rate", "3e-3", "--slow_start_step", "5", "--augment", "0", "--ema_decay", "0.9"),
]
COLOURS = {"gland": PURPLE, "stroma": PINK}


def write_image(path, colour, side=64):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(len(path.name)).integers(0, 20, (side, side, 3))
    rgb = np.clip(np.array(colour) - noise, 0, 255).astype(np.uint8)
    Image.fromarray(rgb).save(path)


@pytest.mark.slow
def test_images_in_folders_are_learnt_with_patches_mixed(tmp_path, capsys):
    for name, colour in COLOURS.items():
        for number in range(5):
            write_image(
                tmp_path / f"images/{name}/{number}.png", colour, side=64 + 64 * (number % 3)
            )
    model = tmp_path / "m.zip"
    words = ["--labels", "folders", "--classes", "gland,stroma", "--mix_up", "0.2"]
    words += ["--steps", "60", "--validate_every", "30", "--validation_fraction", "0.4"]
    report = ["--output_report", str(tmp_path / "r.html")]
    assert main(["train", str(tmp_path / "images"), str(model), *WORDS, *words, *report]) == 0
    card = read_card(model)
    assert card.metrics["f1 macro"] == 1
    assert "threshold gland" not in card.metrics
    assert "one of them a patch" in card.config.describe()
    table = str(tmp_path / "t.csv")
    images = str(tmp_path / "images/gland")
    assert main(["classify", images, "--model", str(model), "--table", table, "--tissue", "off",
                 "--slide_mpp", "0.5", "--gpu", "-1"]) == 0  # fmt: skip
    assert "5 images were classified: 5 gland" in capsys.readouterr().out


@pytest.mark.slow
def test_the_recipe_of_wsss_learns_from_names_and_the_model_answers_without_attention(
    tmp_path,
):
    for number in range(4):
        write_image(tmp_path / f"images/p+{number}+0[10].png", PURPLE)
        write_image(tmp_path / f"images/p+{number}+1[01].png", PINK)
    model, images = tmp_path / "m.zip", str(tmp_path / "images")
    words = ["--labels", "names", "--classes", "gland,stroma", "--recipe", "wsss"]
    words += ["--steps", "40", "--validate_every", "20", "--validation_fraction", "0.25"]
    words += ["--network", "patch_classifier", "--depth_multiplier", "0.35", "--gpu", "-1"]
    words += ["--slide_mpp", "0.5", "--work_mpp", "0.5", "--patch_size", "64", "--batch_size", "8"]
    assert main(["train", images, str(model), *words]) == 0
    card = read_card(model)
    assert card.config.attention_epoch == 2
    assert card.config.problem == "multi_label"
    loaded = load_bundle(model)
    assert loaded.network.get_layer("attention").step.numpy() in (19, 39)
    patch = np.full((1, 64, 64, 3), 90, np.uint8)
    maps = loaded.network(patch)["classes"].numpy()
    loaded.network.get_layer("attention").step.assign(0)
    np.testing.assert_array_equal(loaded.network(patch)["classes"].numpy(), maps)


@pytest.fixture
def table(tmp_path):
    for number, colour in enumerate([PURPLE, PURPLE, PINK, PINK]):
        write_image(tmp_path / f"{number}.png", colour)

    def write(*rows):
        path = tmp_path / "labels.csv"
        path.write_text("\n".join(["file,label,patient,split", *rows]), encoding="utf-8")
        return str(path)

    return write


def refused(capsys, tmp_path, source, *more):
    words = ["--labels", "table", "--classes", "gland,stroma", *WORDS, *more]
    assert main(["train", source, str(tmp_path / "m.zip"), *words]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("error: ")
    return said


def test_a_patient_on_both_sides_is_named(table, tmp_path, capsys):
    rows = ["0.png,gland,p1,train", "1.png,gland,p1,validation", "2.png,stroma,p2,"]
    said = refused(capsys, tmp_path, table(*rows))
    assert "patient p1 is in both splits; put all slides of a patient in one" in said


def test_two_labels_and_an_image_that_is_not_there_are_named(table, tmp_path, capsys):
    said = refused(capsys, tmp_path, table("0.png,gland;stroma,,", "2.png,stroma,,"))
    assert "line 2: 0.png has the labels gland, stroma" in said
    said = refused(capsys, tmp_path, table("9.png,gland,,"))
    assert "line 2: there is no file" in said
    said = refused(capsys, tmp_path, table("0.png,gland,,", "0.png,gland,,"))
    assert "line 3: 0.png is there already" in said


def test_only_a_classifier_learns_labels_of_whole_images(table, tmp_path, capsys):
    source = table("0.png,gland,,", "2.png,stroma,,")
    said = refused(capsys, tmp_path, source, "--network", "deeplabv3plus")
    assert "labels must be outlines for a network that does not classify patches" in said
    words = ["--classes", "a", "--mix_up", "0.2", "--network", "hovernet"]
    assert main(["train", str(tmp_path), str(tmp_path / "m.zip"), *words]) == 2
    assert "mix_up must be 0 for a network" in capsys.readouterr().err


def test_several_labels_are_counted_each(table, tmp_path, capsys):
    source = table("0.png,gland;stroma,,", "1.png,gland,,", "2.png,stroma,,", "3.png,,,")
    options = ["--network_options", "problem=multi_label", "--dry-run"]
    words = ["--labels", "table", "--classes", "gland,stroma", *WORDS, *options]
    assert main(["train", source, str(tmp_path / "m.zip"), *words]) == 0
    said = capsys.readouterr().out
    assert "gland: 2 objects" in said
    assert "stroma: 2 objects" in said
