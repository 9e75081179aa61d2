"""Regions named by the classes in them become patches with these labels."""

import csv
from dataclasses import replace
from pathlib import Path

import large_image_source_tiff
import numpy as np
import pytest
import shapely
from PIL import Image

from deeplab.annotations.formats.geojson import write_geojson
from deeplab.annotations.shapes import Annotations, Layer, Shape
from deeplab.config.from_labels_request import FromLabelsRequest
from deeplab.config.progress import silent
from deeplab.errors import ConfigError, SourceError
from deeplab.training.labelled_patches import LabelledPatches
from deeplab.training.region_patches import MOST, cut_regions
from tests.girder_for_tests import FOLDER, ITEM, TOKEN, fake_girder, item_routes
from tests.slides_for_tests import GLASS, tissue, write_tiff

SIDE = 64
CLASSES = ("gland", "stroma")
RGB = tissue(420, 400)[0]
RGB[:, 350:] = GLASS


def layer(name, *boxes, **properties):
    return Layer(name, (0, 0, 0), tuple(Shape(shapely.box(*box), properties) for box in boxes))


def write_slide(folder, name, *layers, rgb=RGB):
    folder.mkdir(exist_ok=True)
    write_tiff(folder / f"{name}.tiff", rgb, compression="deflate")
    write_geojson(folder / f"{name}.geojson", Annotations(layers))


def asked(tmp_path, **changes):
    settings = {
        "source": str(tmp_path / "slides"),
        "output_model": tmp_path / "m.zip",
        "classes": CLASSES,
        "patch_size": SIDE,
        "gpu": -1,
    }
    return FromLabelsRequest(**settings | changes)


def cut_up(request):
    """Return the request to learn from the patches, without the slides that they are of."""
    return cut_regions(request, silent)[0]


def rows_of(cut):
    table = Path(cut.source)
    with table.open(encoding="utf-8") as file:
        return {row["file"]: row for row in csv.DictReader(file)}, table.parent


def test_patches_are_the_slides_pixels_with_the_names_of_their_regions(tmp_path, caplog):
    write_slide(
        tmp_path / "slides",
        "a",
        layer("gland", (10, 20, 10 + 2 * SIDE, 20 + SIDE)),
        layer("Stroma + gland", (200, 100, 200 + SIDE + 20, 100 + SIDE)),
        layer("none", (20, 200, 20 + SIDE, 200 + SIDE)),
        layer("sketch", (0, 0, 300, 300)),
        layer("stroma", (100, 300, 100 + SIDE - 10, 300 + SIDE)),  # narrower than a patch
        layer("gland, stroma", (10, 20, 10 + 2 * SIDE, 20 + 2 * SIDE)),  # not all of it has both
    )
    with caplog.at_level("WARNING"):
        cut = cut_up(asked(tmp_path))
    assert "a.tiff: 2 regions left out: smaller than a patch, or of several classes" in caplog.text
    assert (cut.labels, cut.slide_mpp, cut.labels_of_patches) == ("table", 0.5, "table")
    rows, folder = rows_of(cut)
    found = {}
    for name, row in rows.items():
        x, y = map(int, name.removesuffix(".png").split("-")[-2:])
        found[x, y] = row["label"]
        assert (row["patient"], row["mpp"]) == ("a.tiff", "0.5")
        with Image.open(folder / name) as picture:
            np.testing.assert_array_equal(picture, RGB[y : y + SIDE, x : x + SIDE])
    assert found == {
        (10, 20): "gland",
        (10 + SIDE, 20): "gland",
        (210, 100): "gland;stroma",
        (20, 200): "",
    }


def test_a_patch_has_the_classes_of_all_regions_it_lies_in(tmp_path):
    whole = (0, 0, 2 * SIDE, SIDE)
    write_slide(
        tmp_path / "slides",
        "a",
        layer("gland", whole),
        layer("x", (0, 0, SIDE, SIDE), group="stroma"),
    )
    rows, _ = rows_of(cut_up(asked(tmp_path)))
    assert sorted(row["label"] for row in rows.values()) == ["gland", "gland;stroma"]


def test_what_is_said_of_several_classes_is_said_of_the_middle(tmp_path):
    write_slide(
        tmp_path / "slides",
        "a",
        layer("gland", (0, 0, 2 * SIDE, 2 * SIDE)),
        layer("gland, stroma", (0, 0, SIDE + 20, SIDE + 10)),
    )
    rows, _ = rows_of(cut_up(asked(tmp_path)))
    found = {name.split("-", 2)[2]: row["label"] for name, row in rows.items()}
    assert found.pop("10-5.png") == "gland;stroma"
    assert list(found.values()) == ["gland"] * 4


def test_a_whole_slide_gives_the_patches_that_have_tissue(tmp_path):
    rgb = np.full((1600, 1600, 3), GLASS, np.uint8)
    rgb[:400, :350] = RGB[:400, :350]
    write_slide(tmp_path / "slides", "a", layer("gland", (0, 0, 1600, 1600)), rgb=rgb)
    rows, _ = rows_of(cut_up(asked(tmp_path)))
    assert 36 <= len(rows) < 625 / 4


def test_what_was_cut_is_taken_as_it_is_until_something_changes(tmp_path, caplog):
    boxes = ((0, 0, 200, 200),)
    write_slide(tmp_path / "slides", "a", layer("gland", *boxes))
    first = cut_up(asked(tmp_path))
    with caplog.at_level("INFO"):
        assert cut_up(asked(tmp_path)).source == first.source
    assert "were cut before" in caplog.text
    assert cut_up(asked(tmp_path, patch_size=96)).source != first.source
    write_slide(tmp_path / "slides", "a", layer("stroma", *boxes))
    changed = cut_up(asked(tmp_path))
    assert changed.source != first.source
    assert {row["label"] for row in rows_of(changed)[0].values()} == {"stroma"}


def write_list(folder, column, **values):
    rows = [f"{name}.tiff,{name}.geojson,{value}" for name, value in values.items()]
    path = folder / "list.csv"
    path.write_text("\n".join([f"slide,annotation,{column}", *rows]), encoding="utf-8")
    return path


def test_slides_on_which_all_is_outlined_judge_and_are_not_learnt_from(tmp_path, caplog):
    slides, whole = tmp_path / "slides", (0, 0, 2 * SIDE, 2 * SIDE)
    write_slide(slides, "learnt", layer("gland", whole), layer("stroma", whole))
    outlined = (
        layer("Truth", (0, 0, SIDE, SIDE)),
        layer("Truth", (SIDE, 0, 2 * SIDE, SIDE)),
        layer("gland", whole),  # of such a slide no region is learnt from
        layer("stroma-truth", (10, 0, SIDE, 20)),
        layer("gland-truth", (0, 10, 30, 20)),
    )
    for name in ("chooses", "judges", "both"):
        write_slide(slides, name, *outlined)
    write_slide(slides, "bare", layer("gland", whole))
    splits = {"learnt": "", "chooses": "validation", "judges": "", "both": "train"}
    source = write_list(slides, "split", **splits, bare="validation")
    request = asked(tmp_path, source=str(source))
    with caplog.at_level("WARNING"):
        cut = cut_up(request)
    assert "bare.tiff is left out: its split is validation, and no layer truth says" in caplog.text
    rows, _ = rows_of(cut)
    assert {name.split("-")[0] for name in rows} == {"learnt", "both"}
    patches = LabelledPatches.of(cut)
    patches.check(cut, cell=32)
    expected = np.full((SIDE, SIDE), 2, np.uint8)
    expected[:20, 10:] = 1
    expected[10:20, :30] = np.where(expected[10:20, :30] == 1, 1, 0)  # the later class lies above
    for (images, masks), called in ((patches.validation, "chooses"), (patches.test, "judges")):
        names = sorted(path.name for path in Path(images).iterdir())
        assert [name.split("-")[0] for name in names] == [called, called]
        assert names == sorted(path.name for path in masks.iterdir())
        (first,) = (name for name in names if name.endswith("-0-0.png"))
        np.testing.assert_array_equal(Image.open(Path(images) / first), RGB[:SIDE, :SIDE])
        np.testing.assert_array_equal(Image.open(masks / first), expected)
    write_slide(slides, "judges", *outlined[:-1])
    assert cut_up(request).source != cut.source
    write_list(slides, "patient", learnt="P1", judges="P1")
    with pytest.raises(
        SourceError, match=r"judges.tiff has regions truth, which judge, and learnt"
    ):
        cut_up(request)


def test_a_folder_of_the_server_gives_what_its_files_give(tmp_path):
    box = (13.5, 20.25, 250, 300)
    write_slide(tmp_path / "slides", "painted", layer("stroma", box))
    local, local_folder = rows_of(cut_up(asked(tmp_path)))
    source = large_image_source_tiff.TiffFileTileSource
    path = str(tmp_path / "slides/painted.tiff")
    routes = item_routes(lambda encoding, style: source(path, encoding=encoding, style=style))
    x, y, right, bottom = box
    drawn = {"type": "rectangle", "center": [(x + right) / 2, (y + bottom) / 2, 0]}
    drawn |= {"width": right - x, "height": bottom - y}
    drawn_layer = {"_id": ITEM, "annotation": {"name": "stroma", "elements": [drawn]}}
    routes |= {"item": [routes[f"item/{ITEM}"]], "annotation": [drawn_layer]}
    routes |= {f"annotation/item/{ITEM}": [drawn_layer], f"annotation/{ITEM}": drawn_layer}
    with fake_girder(routes=routes) as girder:
        streamed = cut_up(asked(tmp_path, source=FOLDER, api_url=girder.url, token=TOKEN))
    assert (streamed.api_url, streamed.token) == ("", "")
    rows, folder = rows_of(streamed)
    assert len(rows) == len(local) == 20
    for name, other in zip(rows, local, strict=True):
        assert rows[name]["label"] == local[other]["label"] == "stroma"
        with Image.open(folder / name) as one, Image.open(local_folder / other) as two:
            np.testing.assert_array_equal(one, two)


def test_what_cannot_be_cut_is_one_sentence_and_leaves_nothing(tmp_path, monkeypatch):
    request = asked(tmp_path)

    def refused(*layers):
        write_slide(tmp_path / "slides", "a", *layers)
        with pytest.raises(SourceError) as caught:
            cut_up(request)
        assert not list(request.work.glob("*"))
        return str(caught.value)

    large = (0, 0, 300, 300)
    assert (
        'a.tiff: the region "gland, strma" names strma, which is none of gland, stroma'
        in refused(layer("gland, strma", large))
    )
    assert "has a region that is named by its classes; draw rectangles in layers called" in refused(
        layer("sketch", large)
    )
    assert "no patch of 64 pixels at 0.5 um lies on tissue in a region" in refused(
        layer("gland", (5, 5, 60, 60))
    )
    monkeypatch.setattr("deeplab.training.region_patches.MOST", 3)
    assert "hold more than 3 patches; draw less" in refused(layer("gland", large))
    with pytest.raises(ConfigError, match="labels must be regions for slides of a server"):
        replace(request, labels="names", api_url="https://host/api/v1")
    assert MOST > 10_000
