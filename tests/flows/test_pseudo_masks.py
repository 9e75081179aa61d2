"""`deeplab pseudo-masks` draws images that are labelled as a whole, in the original's layout."""

import json

import numpy as np
import pytest
from PIL import Image

from deeplab.bundles.read import read_card
from deeplab_cli.main import main
from tests.bundles.test_ensemble import rewritten
from tests.slides_for_tests import PINK, PURPLE

PATCH = 64
WORDS = [
    *("--network", "patch_classifier", "--depth_multiplier", "0.35", "--gpu", "-1"),
    *("--slide_mpp", "0.5", "--work_mpp", "0.5", "--patch_size", str(PATCH), "--batch_size", "8"),
    *("--learning_rate", "3e-3", "--slow_start_step", "5", "--augment", "0", "--ema_decay", "0.9"),
]


def write_image(path, left, right, shape=(PATCH, PATCH)):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(len(path.name)).integers(0, 20, (*shape, 3))
    rgb = np.empty((*shape, 3))
    rgb[:, : shape[1] // 2], rgb[:, shape[1] // 2 :] = left, right
    Image.fromarray(np.clip(rgb - noise, 0, 255).astype(np.uint8)).save(path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("train")
    for number in range(4):
        write_image(folder / f"p{number}-[1 0].png", PURPLE, PURPLE)
        write_image(folder / f"p{number}-[0 1].png", PINK, PINK)
        write_image(folder / f"p{number}-[1 1].png", PURPLE, PINK)
    model = tmp_path_factory.mktemp("model") / "m.zip"
    words = ["--labels", "names", "--classes", "gland,stroma", "--steps", "80"]
    words += ["--validate_every", "40", "--network_options", "problem=multi_label"]
    assert main(["train", str(folder), str(model), *WORDS, *words]) == 0
    return model


def draw(source, model, output, *words):
    common = ["--slide_mpp", "0.5", "--gpu", "-1", "--model", str(model), "--output", str(output)]
    return main(["pseudo-masks", str(source), *common, *words])


def mask_of(path):
    with Image.open(path) as image:
        assert image.mode == "P"
        return np.asarray(image), image.getpalette()


@pytest.mark.slow
def test_masks_of_all_layers_have_the_classes_of_their_images(trained, tmp_path, capsys):
    images = tmp_path / "images"
    # Wide, for the last layer's four cells of a patch each see all of it.
    write_image(images / "a+0[11].png", PURPLE, PINK, shape=(PATCH, 4 * PATCH))
    write_image(images / "b+0[01].png", PINK, (255, 255, 255), shape=(PATCH, PATCH + 20))
    write_image(images / "c+0[00].png", PINK, PINK)
    assert draw(images, trained, tmp_path / "PM", "--background", "bright") == 0
    record = json.loads((tmp_path / "PM/pseudo-masks.json").read_text())
    assert record["values"] == {"0": "gland", "1": "stroma"}
    assert record["background"] == 2
    assert len(record["layers"]) == 3
    assert record["layers"]["features"] == "features"
    assert tuple(record["layers"].values()) == read_card(trained).config.taps
    assert "3 images have masks" in capsys.readouterr().out
    folders = [tmp_path / f"PM/PM_{name}" for name in record["layers"]]
    for folder in folders:
        assert sorted(each.name for each in folder.iterdir()) == [
            "a+0[11].png", "b+0[01].png", "c+0[00].png",
        ]  # fmt: skip
        both, palette = mask_of(folder / "a+0[11].png")
        assert both.shape == (PATCH, 4 * PATCH)
        assert set(np.unique(both)) <= {0, 1}
        assert palette[6:9] == [255, 255, 255]
        one, _ = mask_of(folder / "b+0[01].png")
        assert one.shape == (PATCH, PATCH + 20)
        assert (one[:, : (PATCH + 20) // 2 - 8] == 1).all()
        assert (one[:, (PATCH + 20) // 2 + 1 :] == 2).mean() > 0.9
        assert (mask_of(folder / "c+0[00].png")[0] == 2).all()
    last, _ = mask_of(folders[-1] / "a+0[11].png")
    assert (last[:, :PATCH] == 0).mean() > (last[:, -PATCH:] == 0).mean()


@pytest.mark.slow
def test_of_a_card_that_names_no_layers_they_are_found_by_rule(trained, tmp_path):
    def unname(card):
        del card["config"]["taps"]  # as in bundles of older versions

    old = rewritten(trained, tmp_path / "old.zip", unname)
    assert read_card(old).config.taps == ()
    write_image(tmp_path / "images/a[10].png", PURPLE, PURPLE)
    records = []
    for model in (trained, old):
        output = tmp_path / model.stem
        assert draw(tmp_path / "images", model, output, "--labels", "names") == 0
        records.append(json.loads((output / "pseudo-masks.json").read_text()))
    assert records[0]["layers"] == records[1]["layers"]


@pytest.mark.slow
def test_the_models_own_scores_say_the_classes_where_nobody_does(trained, tmp_path):
    write_image(tmp_path / "images/pure.png", PURPLE, PURPLE)
    words = ["--labels", "scores", "--background", "none", "--activation", "cam"]
    assert draw(tmp_path / "images", trained, tmp_path / "PM", *words) == 0
    assert [each.name for each in (tmp_path / "PM").glob("PM_*")] == ["PM_features"]
    assert (mask_of(tmp_path / "PM/PM_features/pure.png")[0] == 0).all()


@pytest.mark.slow
def test_what_cannot_be_drawn_is_one_sentence(trained, tmp_path, capsys):
    def said():
        line = capsys.readouterr().err.strip().splitlines()[-1]
        assert line.startswith("error: ")
        return line

    images, output = tmp_path / "images", tmp_path / "PM"
    write_image(images / "a[1 0 1].png", PURPLE, PINK)
    assert draw(images, trained, output) == 2
    assert "must have 2 numbers in its name" in said()
    (images / "a[1 0 1].png").unlink()
    write_image(images / "tumour/a.png", PURPLE, PINK)
    assert draw(images, trained, output, "--labels", "folders") == 2
    assert "has the label tumour, which is none of the model's classes: gland, stroma" in said()
    write_image(images / "gland/a.png", PURPLE, PINK)
    (images / "tumour").rename(images / "stroma")
    assert draw(images, trained, output, "--labels", "folders") == 2
    assert "would have masks of one name; rename one of them" in said()
    (images / "stroma/a.png").unlink()
    assert draw(images, trained, output, "--labels", "folders", "--layers", "b9") == 2
    assert "layers must be some of " in said()
    words = ["--labels", "folders", "--layers", "b9", "--activation", "cam"]
    assert draw(images, trained, output, *words) == 2
    assert "layers must be features for cam" in said()
    assert draw(images, trained, output, "--threshold", "0.3") == 2
    assert "threshold must be left away where labels is not scores" in said()
    assert not output.exists()
    (images / "gland/b.png").write_bytes(b"no picture")
    assert draw(images, trained, output, "--labels", "folders") == 2
    assert "1 of 2 images have no masks: " in said()
    assert (output / "PM_features/a.png").exists()
