"""A patch classifier learns from images that are labelled as a whole, through the command."""

import large_image_source_tiff
import numpy as np
import pytest
from PIL import Image

from deeplab.bundles.load import load_bundle
from deeplab.bundles.read import read_card
from deeplab_cli.main import main
from tests.girder_for_tests import FOLDER, TOKEN, fake_girder, item_routes
from tests.slides_for_tests import PINK, PURPLE, write_tiff

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


def item_id(number):
    return f"{number:024x}"


class LabelledFolder:
    """A folder in Girder with a table, two images it labels, and a folder of one more a class."""

    def __init__(self, girder, path):
        self.girder, self.items = girder, {FOLDER: []}
        girder.routes |= {"item": self._items, "folder": self._folders}
        self.folders = {name: item_id(100 + at) for at, name in enumerate(COLOURS)}
        for number, (folder, colour) in enumerate(COLOURS.items()):
            flags = " ".join("10" if colour is PURPLE else "01")
            self._image(FOLDER, path / f"{number} [{flags}].tiff", colour)
            self._image(self.folders[folder], path / f"{folder}.tiff", colour)
        self.put_table("file,label,patient", "0 [1 0].tiff,gland,p1", "1 [0 1].tiff,stroma,p2")

    def put_table(self, *rows):
        item, content = item_id(900), "\n".join(rows).encode()
        told = {"_id": item, "name": "labels.csv", "size": len(content)}
        self.items[FOLDER] = [each for each in self.items[FOLDER] if each["_id"] != item]
        self.items[FOLDER].append(told | {"folderId": FOLDER})
        self.girder.routes |= {
            f"item/{item}/files": [told],
            f"file/{item}/download": ("text/csv", content),
        }

    def _image(self, folder, path, colour):
        write_tiff(path, np.full((64, 64, 3), colour, np.uint8), compression="deflate")
        item = item_id(1 + sum(map(len, self.items.values())))
        tiff = large_image_source_tiff.TiffFileTileSource
        self.girder.routes |= item_routes(
            lambda encoding, style: tiff(str(path), encoding=encoding, style=style),
            item=item,
            name=path.name,
        )
        told = self.girder.routes[f"item/{item}"] | {"folderId": folder}
        self.items.setdefault(folder, []).append(told)

    def _items(self, query):
        return self.items.get(query["folderId"], 400)

    def _folders(self, query):
        assert (query["parentId"], query["parentType"]) == (FOLDER, "folder")
        return [{"_id": folder, "name": name} for name, folder in self.folders.items()]


@pytest.fixture
def labelled(tmp_path):
    with fake_girder() as girder:
        yield LabelledFolder(girder, tmp_path)


def train_in_girder(labelled, model, labels, *more):
    words = ["--labels", labels, "--classes", "gland,stroma", *WORDS, *more]
    server = ["--girderApiUrl", labelled.girder.url, "--girderToken", TOKEN]
    return main(["train", FOLDER, str(model), *words, *server])


@pytest.mark.parametrize(
    ("labels", "images"),
    [
        ("table", ["0 [1 0].tiff", "1 [0 1].tiff"]),
        ("names", ["0 [1 0].tiff", "1 [0 1].tiff"]),
        ("folders", ["gland/gland.tiff", "stroma/stroma.tiff"]),
    ],
)
def test_a_folder_in_girder_labels_its_images_as_one_on_the_disk(
    labelled, tmp_path, capsys, labels, images
):
    assert train_in_girder(labelled, tmp_path / "m.zip", labels, "--dry-run") == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.partition("  ")[0] for line in said if "64 x 64" in line] == images
    assert "2 slides to learn from, 0 held out, 0 left out" in said
    for name in COLOURS:
        assert f"{name}: 1 object, 0.001024 mm2 on 1 slide" in said


@pytest.mark.slow
def test_a_classifier_learns_from_a_table_in_girder(labelled, tmp_path):
    model = tmp_path / "m.zip"
    assert train_in_girder(labelled, model, "table", "--steps", "2", "--validate_every", "2") == 0
    assert read_card(model).classes.names == ("gland", "stroma")


def test_what_a_table_in_girder_lacks_is_one_sentence(labelled, tmp_path, capsys):
    def refusal():
        assert train_in_girder(labelled, tmp_path / "m.zip", "table", "--dry-run") == 2
        return capsys.readouterr().err.strip().splitlines()[-1].removeprefix("error: ")

    labelled.put_table("file,label", "2.tiff,gland")
    assert refusal() == f"labels.csv line 2: folder {FOLDER} has no image 2.tiff"
    labelled.items[FOLDER].pop()
    assert refusal() == (
        f"folder {FOLDER} must hold one table of labels (CSV) beside its images; it has none"
    )
