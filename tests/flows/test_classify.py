"""A patch classifier learns through the command, and then classifies slides and images."""

import csv
import json
from xml.etree import ElementTree as ET

import large_image_source_tiff
import numpy as np
import pytest
from PIL import Image

from deeplab.bundles.read import read_card
from deeplab.data.stains import restain
from deeplab_cli.main import main
from tests.girder_for_tests import ITEM, fake_girder, item_routes
from tests.slides_for_tests import PINK, PURPLE, write_tiff

SIDE, PATCH = 512, 64
WORDS = [
    *("--network", "patch_classifier", "--classes", "lesion", "--depth_multiplier", "0.35"),
    *("--gpu", "-1", "--work_mpp", "0.5", "--patch_size", str(PATCH), "--batch_size", "8"),
    *("--learning_rate", "3e-3", "--slow_start_step", "5", "--augment", "0", "--ema_decay", "0.9"),
]


def painted(path, square):
    rgb = np.full((SIDE, SIDE, 3), PINK, np.uint8)
    rgb[square] = PURPLE
    write_tiff(path, rgb, compression="deflate")
    return rgb


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slides")
    for number in range(3):
        labels = np.zeros((SIDE, SIDE), np.uint8)
        square = np.s_[128 : 320 + 64 * number, 128:384]
        painted(folder / f"{number}.tiff", square)
        labels[square] = 1
        Image.fromarray(labels).save(folder / f"{number}.mask.png")
    model = tmp_path_factory.mktemp("model") / "lesion.zip"
    words = ["--steps", "60", "--validate_every", "30"]
    report = ["--output_report", str(model.with_name("report.html"))]
    assert main(["train", str(folder), str(model), *WORDS, *words, *report]) == 0
    return model


@pytest.mark.slow
def test_a_short_training_tells_patches_apart_and_says_how_well(trained):
    card = read_card(trained)
    assert card.metrics["auroc"] > 0.95
    assert 0 < card.metrics["threshold lesion"] < 1
    page = ET.fromstring(trained.with_name("report.html").read_text(encoding="utf-8"))
    told = " ".join(" ".join(page.itertext()).split())
    assert "a patch classifier on mobilenet_v2, one class" in told
    assert "AUROC" in told
    assert "expected calibration error" in told
    assert "area that was drawn" not in told
    assert "deeplab classify SLIDE" in told


@pytest.mark.slow
def test_a_slide_gets_a_heatmap_rectangles_and_a_table(trained, tmp_path, capsys):
    painted(tmp_path / "new.tiff", np.s_[192:320, 64:448])
    out = tmp_path / "out"
    words = ["classify", str(tmp_path / "new.tiff"), "--model", str(trained), "--tissue", "off"]
    words += ["--activations", "grad_cam", "--annotation", f"{out}.anot", "--gpu", "-1"]
    assert main([*words, "--table", f"{out}.csv", "--geojson", f"{out}.geojson"]) == 0
    assert "64 patches by TensorFlow" in capsys.readouterr().out
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == (SIDE // PATCH) ** 2
    inside = {(float(r["x_level0"]), float(r["y_level0"])): float(r["lesion"]) for r in rows}
    lesion = [s for (x, y), s in inside.items() if 64 <= x < 448 and 192 <= y < 320]
    others = [s for (x, y), s in inside.items() if not (64 <= x < 448 and 192 <= y < 320)]
    assert min(lesion) > max(others)
    taken = [row for row in rows if row["classes"] == "lesion"]
    layers = {layer["name"]: layer for layer in json.loads((tmp_path / "out.anot").read_text())}
    assert set(layers) == {"lesion", "lesion-heatmap", "lesion-activation-heatmap"}
    assert len(layers["lesion"]["elements"]) == len(taken) > 0
    heat = layers["lesion-heatmap"]["elements"][0]
    assert heat["type"] == "heatmap"
    assert heat["radius"] == PATCH
    assert [96.0, 224.0] in [point[:2] for point in heat["points"]]
    assert layers["lesion"]["attributes"]["cli"] == "ClassifyPatches"


@pytest.mark.slow
def test_a_slide_gets_outlines_of_what_speaks_most_for_a_class(trained, tmp_path):
    painted(tmp_path / "new.tiff", np.s_[192:320, 64:448])
    words = ["classify", str(tmp_path / "new.tiff"), "--model", str(trained), "--tissue", "off"]
    words += ["--activations", "pseudo_masks", "--gpu", "-1", "--save_heatmap", "false"]
    region = ["--region", "0,0,512,256"]
    for name, more in (("all", []), ("part", region)):
        assert main([*words, "--annotation", str(tmp_path / f"{name}.anot"), *more]) == 0
    layers = {layer["name"]: layer for layer in json.loads((tmp_path / "all.anot").read_text())}
    assert set(layers) == {"lesion", "lesion-pseudo-mask"}
    # The only class is the one that speaks most, all over each patch that is taken for it.
    (outline,) = layers["lesion-pseudo-mask"]["elements"]
    assert len(layers["lesion"]["elements"]) == (448 - 64) * (320 - 192) // PATCH**2
    corners = np.array(outline["points"])[:, :2]
    assert (corners.min(axis=0).tolist(), corners.max(axis=0).tolist()) == ([64, 192], [448, 320])
    layers = {layer["name"]: layer for layer in json.loads((tmp_path / "part.anot").read_text())}
    (outline,) = layers["lesion-pseudo-mask"]["elements"]
    assert np.array(outline["points"])[:, 1].max() == 256


@pytest.mark.slow
@pytest.mark.parametrize("amount", [0.2, 1])
def test_a_slide_of_another_stain_is_said_in_each_layer(trained, tmp_path, amount):
    rgb = painted(tmp_path / "as learnt.tiff", np.s_[192:320, 64:448])
    stained = restain(rgb, amounts=np.full(3, amount), grounds=np.zeros(3))
    slide = write_tiff(tmp_path / "new.tiff", stained, compression="deflate")
    words = ["classify", str(slide), "--model", str(trained), "--gpu", "-1"]
    assert main([*words, "--annotation", str(tmp_path / "out.anot")]) == 0
    layers = json.loads((tmp_path / "out.anot").read_text())
    assert [layer["name"] for layer in layers] == ["lesion", "lesion-heatmap"]
    said = "The stain of this slide is paler than that of any slide"
    assert all((said in layer["description"]) == (amount < 1) for layer in layers)
    assert all(("unlike" in layer["attributes"]["slide"]) == (amount < 1) for layer in layers)


@pytest.mark.slow
def test_a_slide_of_a_server_gets_the_layers_that_its_file_gives(trained, tmp_path):
    painted(tmp_path / "new.tiff", np.s_[192:320, 64:448])
    out = tmp_path / "out.anot"
    words = ["--model", str(trained), "--tissue", "off", "--gpu", "-1"]
    slide = ["classify", str(tmp_path / "new.tiff"), "--slide_mpp", "0.5"]
    assert main([*slide, *words, "--annotation", str(out)]) == 0
    of_file = json.loads(out.read_text())
    source = large_image_source_tiff.TiffFileTileSource

    def tiles(encoding, style):
        return source(str(tmp_path / "new.tiff"), encoding=encoding, style=style)

    routes = item_routes(tiles, name="new.tiff") | {"annotation": []}
    routes[f"annotation/item/{ITEM}"] = {}
    with fake_girder(routes=routes) as girder:
        server = ["--girderApiUrl", girder.url, "--girderToken", girder.login.token]
        assert main(["classify", ITEM, *words, "--slide_mpp", "0.5", *server]) == 0
        posted = [layer for layers in girder.posted for layer in layers]
    assert [layer["name"] for layer in posted] == ["lesion", "lesion-heatmap"]
    assert [layer["elements"] for layer in posted] == [layer["elements"] for layer in of_file]


@pytest.mark.slow
def test_each_image_of_a_folder_has_a_row(trained, tmp_path, capsys):
    (tmp_path / "images").mkdir()
    for name, colour in (("full", PURPLE), ("empty", PINK)):
        rgb = np.full((2 * PATCH, 2 * PATCH, 3), colour, np.uint8)
        Image.fromarray(rgb).save(tmp_path / "images" / f"{name}.png")
    (tmp_path / "images/broken.png").write_bytes(b"no picture")
    table = tmp_path / "t.csv"
    words = ["classify", str(tmp_path / "images"), "--model", str(trained), "--table", str(table)]
    assert main([*words, "--slide_mpp", "0.5", "--tissue", "off", "--gpu", "-1"]) == 2
    assert "1 of 3 images could not be classified" in capsys.readouterr().err
    with table.open(newline="", encoding="utf-8") as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    assert rows["full.png"]["classes"] == "lesion"
    assert rows["empty.png"]["classes"] == ""
    assert rows["full.png"]["patches"] == "4"
    assert float(rows["full.png"]["lesion"]) > float(rows["empty.png"]["lesion"])


@pytest.mark.slow
def test_what_it_cannot_do_is_said_in_a_sentence(trained, tmp_path, capsys):
    painted(tmp_path / "new.tiff", np.s_[192:320, 64:448])
    slide, model = str(tmp_path / "new.tiff"), str(trained)
    table = str(tmp_path / "t.csv")
    assert main(["segment", slide, "--model", model, "--table", table]) == 2
    assert "it is used by deeplab classify" in capsys.readouterr().err
    words = ["classify", slide, "--model", model, "--table", table]
    assert main([*words, "--stride", "70"]) == 2
    assert "stride must be an even number up to 64" in capsys.readouterr().err
    assert main(["classify", slide, "--model", model]) == 2
    assert "at least one file to write" in capsys.readouterr().err


def test_a_transformer_refuses_a_side_that_it_cannot_take(tmp_path, capsys):
    words = ["--network", "patch_classifier", "--backbone", "vit_tiny_patch16", "--classes", "a"]
    words += ["--patch_size", "100"]
    assert main(["train", str(tmp_path), str(tmp_path / "m.zip"), *words]) == 2
    assert "patch_size must be a multiple of 16 for vit_tiny_patch16" in capsys.readouterr().err
