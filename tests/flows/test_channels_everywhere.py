"""A slide of three 16-bit channels through every command that takes slides: each sees the channel.

A command that is new must be put among those that are tried here, or among those without slides.
"""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import shapely
from large_image_source_tiff import TiffFileTileSource
from PIL import Image

from deeplab.annotations.formats.format import Writing
from deeplab.annotations.formats.table import named
from deeplab.annotations.shapes import Annotations, Layer, Shape
from deeplab.bundles.card import Card
from deeplab.bundles.read import read_card
from deeplab.bundles.save import save_bundle
from deeplab.config.channels import named_channels
from deeplab.config.classes import ClassList
from deeplab.config.deeplabv3plus import DeepLabV3PlusConfig
from deeplab.config.patch_classifier import PatchClassifierConfig
from deeplab.errors import UnreadableSlideError
from deeplab.geometry.frames import Mpp
from deeplab.models.registry import family_of
from deeplab.slides.slide import open_slide
from deeplab_cli.main import COMMANDS, TASKS, main
from tests.fluorescent_slides import paint_cells, write_ome
from tests.girder_for_tests import ITEM, Board, fake_girder, item_routes

HEIGHT, WIDTH, PATCH = 256, 384, 64
NAMES = ("CD3", "PanCK", "DAPI")  # what is outlined lies in the last
SEEN = [{"name": "DAPI", "on_slide": "DAPI", "index": 2}]
DAPI = named_channels(("DAPI",))
PIXELS = DeepLabV3PlusConfig(
    label_count=2, depth_multiplier=0.1, atrous_rates=(2,), crop_size=65, aspp_filters=8,
    decoder_filters=8, low_level_filters=8, channels=DAPI,
)  # fmt: skip
PATCHES = PatchClassifierConfig(
    classes=1, crop_size=PATCH, problem="multi_label", backbone="mobilenet_v2",
    depth_multiplier=0.35, channels=DAPI,
)  # fmt: skip
TRIED = {
    *("segment", "classify", "train", "evaluate", "features", "patches", "pseudo-masks"),
    *("stage", "froc", "doctor"),
}
OF_ANNOTATIONS = {"convert", "export-annotations", "ingest"}  # they read no pixels
OF_MODELS = {"average", "import-checkpoint", "export", "prepare", "ensemble", "gate"}
OF_DATA_SETS = {"unpack"}
OF_TABLES = {"compare"}
OF_OTHERS = {"train-from-labels"}  # its stages are commands that are tried here


@pytest.fixture(scope="module")
def painted():
    """Channels (3, height, width), and the labels of the last."""
    channels, labels = paint_cells(HEIGHT, WIDTH, seed=5)
    others, _ = paint_cells(HEIGHT, WIDTH, seed=6)
    return np.stack([channels[0], others[0], channels[1]]), labels


@pytest.fixture
def slides(painted, tmp_path):
    """A folder with a slide, a box drawn on it, and the values of the box in its channels."""
    channels, _ = painted
    folder = tmp_path / "slides"
    folder.mkdir()
    write_ome(folder / "s.ome.tif", channels, NAMES, tile=64)
    box = shapely.box(64, 64, 192, 192)
    drawn = Annotations((Layer("nucleus", (0, 0, 255), (Shape(box),)),), mpp=Mpp.square(0.5))
    named("histomicsui").write(folder / "s.ome.anot", drawn, Writing())
    return folder


def bundle(config, path: Path) -> str:
    network = family_of(config).build(config)
    halo = 0 if config is PATCHES else 48
    card = Card(
        config=config, classes=ClassList.named(["nucleus"]), work_mpp=0.5, mpp_range=(0.4, 0.6),
        tile=PATCH if config is PATCHES else 257, halo=halo,
    )  # fmt: skip
    save_bundle(network, card, path)
    return str(path)


def run(capsys, *words) -> str:
    code = main([str(word) for word in words])
    out, err = capsys.readouterr()
    assert code == 0, out + err
    return out + err


def seen_by(path: Path) -> list[dict[str, object]]:
    """The channels that the layers of a file say they were made of."""
    layer, *_ = json.loads(path.read_text(encoding="utf-8"))
    told = layer["attributes"]["slide"]["channels"]
    return [{key: each[key] for key in SEEN[0]} for each in told]


def test_every_command_is_tried_here_or_reads_no_slides():
    commands = {each.command for each in TASKS} | {each.name for each in COMMANDS}
    assert commands == TRIED | OF_ANNOTATIONS | OF_MODELS | OF_DATA_SETS | OF_TABLES | OF_OTHERS


def test_the_doctor_reads_a_slide_of_channels(slides, capsys):
    assert main(["doctor", "--slide", str(slides / "s.ome.tif")]) == 0
    assert "ok  slide: s.ome.tif, 384 x 256 pixels" in capsys.readouterr().out


@pytest.mark.slow
def test_segment_and_its_overlay(slides, tmp_path, capsys):
    model, found = bundle(PIXELS, tmp_path / "m.zip"), tmp_path / "found.anot"
    words = ("--gpu", -1, "--runtime", "tensorflow", "--min_area_um2", 0)
    results = ("--annotation", found, "--output_overlay", tmp_path / "o.png")
    run(capsys, "segment", slides / "s.ome.tif", "--model", model, *results, *words)
    with Image.open(tmp_path / "o.png") as overlay:
        assert overlay.mode == "RGB"
    assert seen_by(found) == SEEN


@pytest.mark.slow
def test_classify_with_all_that_it_draws(slides, tmp_path, capsys):
    model, found = bundle(PATCHES, tmp_path / "m.zip"), tmp_path / "found.anot"
    words = ("--model", model, "--gpu", -1, "--tissue", "off", "--threshold", 0)
    for activations in ("off", "grad_cam", "pseudo_masks"):
        out = ("--annotation", found, "--activations", activations)
        run(capsys, "classify", slides / "s.ome.tif", *words, *out)
        assert seen_by(found) == SEEN
    table = ("--table", tmp_path / "t.csv")
    other = ("classify", slides / "s.ome.tif", *words, *table, "--channels", "7")
    assert main([str(word) for word in other]) == 2
    assert "has no channel 7: it has CD3, PanCK, DAPI, counted from 0" in capsys.readouterr().err


@pytest.mark.slow
def test_train_and_its_census(slides, tmp_path, capsys):
    words = ("--classes", "nucleus", "--channels", "DAPI", "--work_mpp", 0.5, "--gpu", -1)
    network = ("--network", "patch_classifier", "--depth_multiplier", 0.35, "--patch_size", PATCH)
    few = ("--steps", 2, "--validate_every", 2, "--batch_size", 2)
    model = tmp_path / "m.zip"
    assert "DAPI" in run(capsys, "train", slides, model, *words, *network, "--dry_run")
    run(capsys, "train", slides, model, *words, *network, *few)
    assert read_card(model).config.channels == DAPI


def test_evaluate_files(slides, tmp_path, capsys):
    anot, table = slides / "s.ome.anot", tmp_path / "t.csv"
    run(capsys, "evaluate", anot, anot, "--slide", slides / "s.ome.tif", "--table", table)
    with table.open(encoding="utf-8") as file:
        figures = [row for row in csv.DictReader(file) if row["metric"] == "dice"]
    assert {float(row["value"]) for row in figures} == {1.0}


def test_evaluate_an_item_that_a_server_shows_black(slides, tmp_path, capsys):
    path = str(slides / "s.ome.tif")
    routes = item_routes(
        lambda encoding, style: TiffFileTileSource(path, encoding=encoding, style=style)
    )
    by_model = {"cli": "SegmentWSI", "model": {"name": "m.zip", "sha256": "ab"}}
    with fake_girder(routes=routes) as girder:
        with pytest.raises(UnreadableSlideError, match="nearly black"):
            open_slide(ITEM, server=girder.login)
        board = Board(girder, ITEM)
        for attributes in ({}, by_model):
            element = {"type": "rectangle", "center": [99, 99, 0], "width": 40, "height": 40}
            layer = {"name": "nucleus", "elements": [element], "attributes": attributes}
            board.put(ITEM, layer)
        server = ("--girderApiUrl", girder.url, "--girderToken", girder.login.token)
        scale = ("--slide_mpp", 0.5, "--post_annotation", "off")
        said = run(capsys, "evaluate", ITEM, *server, *scale, "--table", tmp_path / "t.csv")
        assert "nucleus" in said


@pytest.mark.parametrize("command", ["stage", "froc"])
def test_lymph_nodes_take_the_scale_of_the_slide(command, slides, painted, tmp_path, capsys):
    channels, _ = painted
    nodes, drawn = tmp_path / "nodes", tmp_path / "drawn"
    nodes.mkdir()
    drawn.mkdir()
    write_ome(nodes / "patient_000_node_0.ome.tif", channels, NAMES, mpp=2.0)
    box = Shape(shapely.box(10, 10, 110, 20), {"confidence": 0.5})
    layer = Annotations((Layer("tumour", (255, 0, 0), (box,)),))
    named("histomicsui").write(drawn / "patient_000_node_0.anot", layer, Writing())
    table = tmp_path / "t.csv"
    words = {"stage": (drawn, "--lesions", table), "froc": (drawn, drawn, "--table", table)}
    run(capsys, command, *words[command], "--slides", nodes)
    if command == "stage":
        assert ",0.2010," in table.read_text(encoding="utf-8")  # 100 x 10 pixels of 2 um


def test_features_are_intensities_of_the_channels(slides, painted, tmp_path, capsys):
    table, metadata = tmp_path / "t.csv", ("--channels", "DAPI,CD3")
    report = ("--report", tmp_path / "r.html", "--xlsx", tmp_path / "t.xlsx")
    run(capsys, "features", slides, "--csv", table, *metadata, *report)
    with table.open(encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    channels, _ = painted
    for name, index in (("DAPI", 2), ("CD3", 0)):
        inside = channels[index, 64:192, 64:192].astype(float)
        step = np.ptp(channels[index].astype(float)) / 255
        for of in ("mean", "std", "min", "max"):
            assert float(row[f"{name}_{of}"]) == pytest.approx(getattr(inside, of)(), abs=step)
    assert not {"haematoxylin_mean", "red_mean", "PanCK_mean"} & row.keys()
    assert "mean intensity of DAPI" in (tmp_path / "r.html").read_text(encoding="utf-8")
    said = run(capsys, "features", slides, "--csv", table)
    assert "name its channels (--channels) to have intensities" in said


def test_patches_are_cut_of_the_channels(slides, painted, tmp_path, capsys):
    words = ("--classes", "nucleus", "--patch_size", 128, "--intensity_window", "0:4095")
    run(capsys, "patches", slides, tmp_path / "one", *words, "--channels", "DAPI")
    (cut,) = (tmp_path / "one").glob("*_0_0.png")
    with Image.open(cut) as picture:
        grey = np.asarray(picture).astype(float)
    channels, _ = painted
    assert np.abs(grey - channels[2, :128, :128] * (255 / 4095)).max() <= 0.51
    two = (*words, "--channels", "DAPI,CD3")
    run(capsys, "patches", slides, tmp_path / "two", *two, "--format", "zarr")
    array = json.loads((tmp_path / "two/images/.zarray").read_text())
    assert array["chunks"] == [1, 128, 128, 2]
    assert main([*map(str, ("patches", slides, tmp_path / "png", *two))]) == 2
    assert "format must be zarr for other than one or three" in capsys.readouterr().err


@pytest.mark.slow
def test_pseudo_masks(slides, painted, tmp_path, capsys):
    model, masks = bundle(PATCHES, tmp_path / "m.zip"), tmp_path / "PM"
    words = ("--model", model, "--output", masks, "--gpu", -1)
    scores = ("--labels", "scores", "--threshold", 0)
    run(capsys, "pseudo-masks", slides / "s.ome.tif", *words, *scores, "--background", "none")
    run(capsys, "pseudo-masks", slides / "s.ome.tif", *words, *scores)
    file = next(masks.glob("PM_*/s.ome.png"), None) or next(masks.glob("PM_*/*.png"))
    with Image.open(file) as picture:
        classes = np.asarray(picture) == 0
    _, labels = painted
    assert classes[labels == 1].mean() > 0.9
    assert classes[labels == 0].mean() < 0.5
    refused = ("pseudo-masks", slides / "s.ome.tif", *words, *scores, "--background", "bright")
    assert main([*map(str, refused)]) == 2
    assert "background must be tissue or none: the model sees" in capsys.readouterr().err
