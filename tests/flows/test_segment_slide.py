"""A slide and a bundle in, annotations out: the flow as its tasks call it."""

import csv
import json
import shutil

import large_image_source_tiff
import numpy as np
import pytest
import shapely
import tifffile
from PIL import Image

from deeplab.annotations.files import read_annotations
from deeplab.annotations.formats.format import Reading
from deeplab.annotations.formats.table import FORMATS
from deeplab.annotations.raster.rasterize import draw
from deeplab.annotations.shapes import Annotations, Layer, Shape
from deeplab.config.progress import silent
from deeplab.config.requests import SegmentRequest
from deeplab.errors import (
    AccessDeniedError,
    BundleError,
    ConfigError,
    OutputError,
    ScaleError,
    ServerError,
    SlideNotFoundError,
    UnreadableSlideError,
)
from deeplab.geometry.frames import Mpp, WorkFrame
from deeplab.inference import segment, tensorflow_runtime
from deeplab.inference.segment import segment_slide
from deeplab.server import session
from deeplab.slides.slide import open_slide
from deeplab.slides.tissue import tissue_mask
from deeplab_cli.main import main
from tests.flows.models_for_tests import CLASSES, balanced_model
from tests.girder_for_tests import ITEM, fake_girder, item_routes
from tests.slides_for_tests import tissue, write_tiff

WIDTH, HEIGHT = 901, 703
LABELS = {name: label for label, name in enumerate(CLASSES.names, start=1)}
EXACT = {"simplify_um": 0.0, "min_area_um2": 0.0, "runtime": "tensorflow", "tissue": "off"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def rgb():
    return tissue(WIDTH, HEIGHT)[0]


@pytest.fixture(scope="module")
def slide(tmp_path_factory, rgb):
    path = tmp_path_factory.mktemp("slide") / "TCGA-A1.dotted.name.tiff"
    return write_tiff(path, rgb, levels=2, compression="deflate")


@pytest.fixture(scope="module")
def model(tmp_path_factory, rgb):
    return balanced_model(tmp_path_factory.mktemp("model") / "balanced.zip", rgb[:257, :257])


def run(slide, model, **settings):
    return segment_slide(SegmentRequest(slide=str(slide), model=model, **settings), silent)


@pytest.fixture(scope="module")
def everything(tmp_path_factory, slide, model):
    """One run that writes all it can."""
    folder = tmp_path_factory.mktemp("out")
    outputs = {
        "output_annotation": folder / "a.anot",
        "output_geojson": folder / "a.geojson",
        "output_overlay": folder / "a.png",
        "output_table": folder / "a.csv",
        "output_mask": folder / "a.tiff",
        "output_timings": folder / "a.json",
    }
    return run(slide, model, save_heatmap=True, **EXACT, **outputs), outputs


def test_outlines_drawn_again_are_the_label_canvas(everything):
    result, outputs = everything
    canvas = tifffile.imread(outputs["output_mask"])
    frame = WorkFrame.over(WIDTH, HEIGHT, Mpp.square(0.5), 0.5)
    assert canvas.shape == (HEIGHT, WIDTH)
    assert {1, 2} <= set(np.unique(canvas))
    np.testing.assert_array_equal(draw(result.annotations, LABELS, frame.box, frame), canvas)


def test_the_annotation_has_a_layer_a_class_with_group_colour_area_and_confidence(everything):
    _, outputs = everything
    layers = json.loads(outputs["output_annotation"].read_text())
    outlines, heatmaps = layers[:2], layers[2:]
    assert [layer["name"] for layer in outlines] == list(CLASSES.names)
    assert [layer["name"] for layer in heatmaps] == [f"{name}-heatmap" for name in CLASSES.names]
    assert len({layer["attributes"]["run"] for layer in layers}) == 1
    counts = [len(layer["elements"]) for layer in outlines]
    assert [each["count"] for each in layers[0]["attributes"]["found"]] == counts
    for layer in outlines:
        assert layer["elements"]
        assert f"{len(layer['elements'])} outlined" in layer["description"]
        assert layer["attributes"]["cli"] == "SegmentWSI"
        assert len(layer["attributes"]["model"]["sha256"]) == 64
        for element in layer["elements"]:
            assert element["group"] == layer["name"]
            assert 1 / 3 <= element["user"]["confidence"] <= 1
            assert element["user"]["area_um2"] > 0


def test_areas_add_up_to_the_pixels_of_the_canvas(everything):
    result, outputs = everything
    canvas = tifffile.imread(outputs["output_mask"])
    for layer in result.annotations.layers:
        area_um2 = sum(shape.properties["area_um2"] for shape in layer.shapes)
        pixels = int((canvas == LABELS[layer.name]).sum())
        assert area_um2 == pytest.approx(pixels * 0.25, rel=1e-4)


def test_every_file_tells_of_the_same_shapes(everything):
    result, outputs = everything
    count = result.annotations.shape_count
    assert len(json.loads(outputs["output_geojson"].read_text())["features"]) == count
    with outputs["output_table"].open(newline="") as file:
        assert len(list(csv.DictReader(file))) == count
    with Image.open(outputs["output_overlay"]) as picture:
        assert picture.size == (WIDTH, HEIGHT)


def test_timings_add_up_and_say_what_the_network_was_shown(everything):
    result, outputs = everything
    told = json.loads(outputs["output_timings"].read_text())
    assert list(told["stages"]) == ["start", "open", "plan", "load", "predict", "outline", "write"]
    assert told["seconds"] == pytest.approx(sum(told["stages"].values()), abs=1e-6)
    assert set(told["busy"]) == {"read", "network", "decode", "collect"}
    assert 0 < told["busy"]["network"] <= told["stages"]["predict"] <= result.seconds
    assert (told["tiles"], told["runtime"]) == (result.tiles, result.runtime)
    assert told["kept_pixels"] == WIDTH * HEIGHT < told["network_pixels"]
    assert told["tissue_pixels"] is None  # nobody looked for it


def test_timings_count_tissue_where_it_was_looked_for(slide, model, tmp_path):
    exact = EXACT | {"tissue": "auto"}
    run(slide, model, output_timings=tmp_path / "t.json", **exact)
    told = json.loads((tmp_path / "t.json").read_text())
    mask = tissue_mask(open_slide(str(slide))).mask
    assert told["tissue_pixels"] == pytest.approx(mask.mean() * WIDTH * HEIGHT, rel=0.02)


def test_heat_is_probable_where_the_class_was_found(everything):
    _, outputs = everything
    canvas = tifffile.imread(outputs["output_mask"])
    (heat,) = json.loads(outputs["output_annotation"].read_text())[3]["elements"]
    assert heat["group"] == "stroma-heatmap"
    half = 32  # cells of 32 um at 0.5 um per pixel
    shares = [
        np.mean(canvas[int(y) - half : int(y) + half, int(x) - half : int(x) + half] == 2)
        for x, y, _, _ in heat["points"]
    ]
    assert np.corrcoef(shares, [p for *_, p in heat["points"]])[0, 1] > 0.9


# Both begin where a tile of the whole slide begins: then even an untrained network, which minds
# pixels far outside the halo, sees the same.
@pytest.mark.parametrize(
    "region",
    [
        ((160.0, 160.0), (480.0, 160.0), (480.0, 320.0), (160.0, 320.0)),
        ((10.0, 10.0), (500.0, 60.0), (200.0, 600.0)),
    ],
)
def test_a_region_of_interest_gives_what_the_whole_slide_has_there(
    everything, slide, model, tmp_path, region
):
    whole, _ = everything
    part = run(slide, model, regions=(region,), output_annotation=tmp_path / "a.anot", **EXACT)
    frame = WorkFrame.over(WIDTH, HEIGHT, Mpp.square(0.5), 0.5)
    expected = draw(whole.annotations, LABELS, frame.box, frame)
    inside = draw_region(region, frame)
    expected[inside == 0] = 0
    np.testing.assert_array_equal(draw(part.annotations, LABELS, frame.box, frame), expected)


def draw_region(region, frame):
    layer = Layer("region", (0, 0, 0), (Shape(shapely.Polygon(region)),))
    return draw(Annotations((layer,)), {"region": 1}, frame.box, frame)


def test_the_labels_do_not_depend_on_batch_or_region_of_reading(everything, slide, model, tmp_path):
    whole, _ = everything
    again = run(slide, model, batch_size=3, output_annotation=tmp_path / "a.anot", **EXACT)
    assert [len(layer.shapes) for layer in again.annotations.layers] == [
        len(layer.shapes) for layer in whole.annotations.layers
    ]


def test_a_slide_smaller_than_a_tile_is_segmented_whole(rgb, model, tmp_path):
    small = write_tiff(tmp_path / "small.tiff", rgb[:37, :53], compression="deflate")
    mask = tmp_path / "mask.tiff"
    run(small, model, output_mask=mask, **EXACT)
    assert tifffile.imread(mask).shape == (37, 53)


def test_a_slide_streamed_from_girder_gives_the_annotation_of_the_file(
    everything, slide, model, tmp_path
):
    whole, _ = everything
    source = large_image_source_tiff.TiffFileTileSource
    routes = item_routes(
        lambda encoding, style: source(str(slide), encoding=encoding, style=style), name=slide.name
    )
    routes |= {"annotation": [], f"annotation/item/{ITEM}": {}}
    with fake_girder(routes=routes) as girder:
        login = {"api_url": girder.url, "token": girder.login.token}
        streamed = run(ITEM, model, save_heatmap=True, result_id="a-1", **EXACT, **login)
        posted = [layer for layers in girder.posted for layer in layers]
    assert [layer.shapes for layer in streamed.annotations.layers] == [
        layer.shapes for layer in whole.annotations.layers
    ]
    heatmaps = [f"{name}-heatmap" for name in CLASSES.names]
    assert [layer["name"] for layer in posted] == [*CLASSES.names, *heatmaps]
    # By these a server knows which layers came together, and of which job.
    assert len({layer["attributes"]["run"] for layer in posted}) == 1
    assert {layer["attributes"]["params"]["result_id"] for layer in posted} == {"a-1"}
    assert "s3cr3t" not in json.dumps(posted)


def test_nothing_found_still_gives_a_layer_for_each_class(model, tmp_path):
    glass = write_tiff(tmp_path / "glass.tiff", np.full((300, 300, 3), 243, np.uint8))
    out = tmp_path / "a.anot"
    run(glass, model, output_annotation=out, min_area_um2=1e9)
    assert [(x["name"], x["elements"]) for x in json.loads(out.read_text())] == [
        ("tumour", []),
        ("stroma", []),
    ]


def test_where_to_annotate_next_is_a_layer_that_the_next_training_takes(
    slide, model, tmp_path, capsys
):
    folder = tmp_path / "corrected"
    folder.mkdir()
    shutil.copy(slide, folder)
    drawn, table = folder / slide.with_suffix(".anot").name, tmp_path / "a.csv"
    suggest = {"next_regions": 2, "next_region_um": 100.0}
    run(slide, model, output_annotation=drawn, output_table=table, **suggest, **EXACT)
    *found, suggested = json.loads(drawn.read_text())
    assert [layer["name"] for layer in found] == list(CLASSES.names)
    assert suggested["name"] == "annotate next"
    assert [each["user"]["rank"] for each in suggested["elements"]] == [1, 2]
    first, second = (each["user"]["confidence"] for each in suggested["elements"])
    assert 0 < first <= second < 1
    with table.open(newline="") as file:
        assert {row["class"] for row in csv.DictReader(file)} == set(CLASSES.names)

    words = ["train", str(folder), str(tmp_path / "new.zip"), "--classes", "tumour,stroma"]
    words += ["--exhaustive_layer", "annotate next", "--patch_size", "129", "--dry_run"]
    assert main(words) == 0
    assert "not learnt from" not in capsys.readouterr().err


def test_squares_to_annotate_do_not_cover_a_map_of_labels(slide, model, tmp_path, caplog):
    plain, suggesting = tmp_path / "plain.tif", tmp_path / "suggesting.tif"
    run(slide, model, output_annotation=plain, **EXACT)
    run(slide, model, output_annotation=suggesting, next_regions=2, **EXACT)
    np.testing.assert_array_equal(tifffile.imread(plain), tifffile.imread(suggesting))
    assert "regions to annotate next are not in it" in caplog.text


# --- what cannot be done is one clear sentence, and nothing is written


def refused(error, sentence, slide, model, tmp_path, **settings):
    out = tmp_path / "out" / "a.anot"
    with pytest.raises(error, match=sentence):
        run(slide, model, output_annotation=out, **settings)
    assert not out.exists()
    assert not list(out.parent.glob(".*")) if out.parent.exists() else True


def test_a_missing_slide(model, tmp_path):
    refused(SlideNotFoundError, "none.svs", tmp_path / "none.svs", model, tmp_path)


def test_a_truncated_slide(slide, model, tmp_path):
    cut = tmp_path / "cut.tiff"
    cut.write_bytes(slide.read_bytes()[: slide.stat().st_size // 2])
    refused(UnreadableSlideError, "cut.tiff", cut, model, tmp_path)


def test_a_slide_without_um_per_pixel(rgb, model, tmp_path):
    bare = write_tiff(tmp_path / "bare.tiff", rgb, mpp=None)
    refused(
        ScaleError, "does not state its microns per pixel; give slide_mpp", bare, model, tmp_path
    )


def test_a_model_of_another_scale(slide, model, tmp_path):
    refused(ScaleError, "was trained for 0.4 to 0.6", slide, model, tmp_path, work_mpp=2.0)


def test_a_slide_too_coarse_for_the_model(rgb, model, tmp_path):
    coarse = write_tiff(tmp_path / "coarse.tiff", rgb, mpp=2.0)
    refused(ScaleError, "too coarse for a model of 0.5", coarse, model, tmp_path)


def test_an_unreadable_model(slide, tmp_path):
    bad = tmp_path / "bad.zip"
    bad.write_bytes(b"PK\x03\x04 this is no zip")
    refused(BundleError, "bad.zip", slide, bad, tmp_path)


def test_a_region_beside_the_slide(slide, model, tmp_path):
    region = ((5000.0, 5000.0), (5100.0, 5000.0), (5100.0, 5100.0))
    refused(ConfigError, "must be on the slide", slide, model, tmp_path, regions=(region,))


def test_a_halo_that_leaves_nothing(slide, model, tmp_path):
    refused(
        ConfigError, "tile size must be at least", slide, model, tmp_path, tile_size=97, halo=48
    )


def test_an_output_folder_that_cannot_be_made(slide, model, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OutputError, match="cannot write"):
        run(slide, model, output_annotation=tmp_path / "file" / "a.anot", **EXACT)


def test_a_token_without_rights(slide, model, tmp_path):
    with fake_girder(routes={}) as girder:
        refused(
            AccessDeniedError,
            "token has expired or has no right",
            ITEM,
            model,
            tmp_path,
            api_url=girder.url,
            token="another",  # noqa: S106
        )


def test_a_server_that_dies_midway(slide, model, tmp_path, monkeypatch):
    patience = session.Patience(first_wait_s=0.01, longest_wait_s=0.05, total_s=0.3)
    monkeypatch.setattr(session, "Patience", lambda: patience)
    source = large_image_source_tiff.TiffFileTileSource
    routes = item_routes(lambda encoding, style: source(str(slide), encoding=encoding, style=style))
    with fake_girder(routes=routes) as girder:
        load = tensorflow_runtime.load_bundle

        def die_then_load(path):
            girder.routes.clear()
            girder.faults.extend(["drop"] * 10_000)
            return load(path)

        monkeypatch.setattr(tensorflow_runtime, "load_bundle", die_then_load)
        refused(
            ServerError,
            "did not answer after",
            ITEM,
            model,
            tmp_path,
            api_url=girder.url,
            token=girder.login.token,
            tissue="off",
            runtime="tensorflow",
        )
        assert not girder.posted


def test_one_output_that_cannot_be_written_leaves_none(slide, model, tmp_path, monkeypatch):
    def full(*_):
        raise OutputError("table", "No space left on device")

    monkeypatch.setattr(segment, "write_table", full)
    with pytest.raises(OutputError, match="No space left"):
        run(
            slide,
            model,
            output_annotation=tmp_path / "a.anot",
            output_table=tmp_path / "a.csv",
            **EXACT,
        )
    assert not list(tmp_path.iterdir())


def test_the_mask_of_a_finer_slide_converts_to_the_classes_and_outlines_that_were_found(
    tmp_path, rgb, model
):
    fine = np.repeat(np.repeat(rgb[:401, :501], 2, axis=0), 2, axis=1)
    slide = write_tiff(tmp_path / "fine.tiff", fine, mpp=0.25, compression="deflate")
    found = run(slide, model, output_mask=tmp_path / "mask.tif", **EXACT).annotations
    assert main(["convert", str(tmp_path / "mask.tif"), str(tmp_path / "mask.anot")]) == 0
    again = read_annotations(tmp_path / "mask.anot")
    assert again.mpp == Mpp.square(0.25)
    for layer, expected in zip(again.layers, found.layers, strict=True):
        assert (layer.name, layer.colour) == (expected.name, expected.colour)
        outlines = {shape.polygon.normalize() for shape in layer.shapes}
        assert outlines == {shape.polygon.normalize() for shape in expected.shapes}
    with tifffile.TiffFile(tmp_path / "mask.tif") as tiff:
        whole, half = (tiff.series[0].levels[level].asarray() for level in (0, 1))
    assert whole.shape == (401, 501)
    np.testing.assert_array_equal(half[:-1, :-1], whole[1::2, 1::2])


@pytest.mark.parametrize("suffix", [".geojson", ".xml", ".coco", ".tif", ""])
def test_the_suffix_of_the_annotation_file_says_its_format(
    everything, slide, model, tmp_path, caplog, suffix
):
    out = tmp_path / f"a{suffix}"
    result = run(slide, model, output_annotation=out, save_heatmap=True, **EXACT)
    form = next(each for each in FORMATS if (suffix or ".anot") in each.suffixes)
    assert suffix != ".tif" or form.name == "mask"
    names = form.read(out, Reading()).names
    assert names[: len(CLASSES.names)] == result.annotations.names
    assert ("heatmaps are not in it" in caplog.text) == bool(suffix)


@pytest.mark.parametrize(
    ("setting", "name"),
    [
        ("output_annotation", "a.txt"),
        ("output_annotation", "a.gz"),
        ("output_annotation", "a.zip"),
        ("output_geojson", "a.anot"),
        ("output_mask", "a.png"),
    ],
)
def test_a_suffix_that_says_another_format_is_refused_before_any_work(
    slide, tmp_path, setting, name
):
    with pytest.raises(ConfigError, match=f"{setting} must be a file of type"):
        run(slide, tmp_path / "no model.zip", **{setting: tmp_path / name})
    assert list(tmp_path.iterdir()) == []
