"""Opening the slides of a training: one bad slide of many is left out and named."""

import json
import logging
from dataclasses import replace
from functools import partial

import large_image_source_tiff
import numpy as np
import pytest
import tifffile
from PIL import Image

from deeplab.config.classes import IGNORE
from deeplab.config.progress import silent
from deeplab.config.train_request import TrainRequest
from deeplab.data import opening
from deeplab.data.opening import count_slides, open_slides
from deeplab.errors import (
    AnnotationError,
    ConfigError,
    DeviceError,
    OutputError,
    ScaleError,
    ServerError,
    TrainingError,
    UnreadableSlideError,
)
from tests.data.folders import document, request, square, write_slide
from tests.fluorescent_slides import paint_cells, write_ome
from tests.girder_for_tests import fake_girder, item_routes

LESION = [square(10, 10, 20)]
ENTITIES = '<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><Annotations>&e;</Annotations>'


@pytest.fixture
def opened():
    """Opens slides, and closes them after the test."""
    made = []

    def use(request):
        made.append(open_slides(request, silent))
        return made[-1]

    yield use
    for each in made:
        each.close()


@pytest.fixture
def mixed(tmp_path):
    """One good slide among bad ones of every kind."""
    write_slide(tmp_path / "good.tiff", lesion=LESION)
    write_slide(tmp_path / "a.scaleless.tiff", mpp=None, lesion=LESION)
    write_slide(tmp_path / "b.broken.tiff").with_suffix(".json").write_text("[{")
    write_slide(tmp_path / "c.entities.tiff").with_suffix(".xml").write_text(ENTITIES)
    write_slide(tmp_path / "d.cut.tiff", lesion=LESION)
    whole = (tmp_path / "d.cut.tiff").read_bytes()
    (tmp_path / "d.cut.tiff").write_bytes(whole[: len(whole) // 2])
    write_slide(tmp_path / "e.bare.tiff")
    write_slide(tmp_path / "f.typo.tiff", lesoin=LESION)
    write_slide(tmp_path / "g.other.tiff", lesion=[square(9000, 9000, 20)])
    write_slide(tmp_path / "h.mask.of.another.tiff")
    Image.fromarray(np.ones((64, 64), np.uint8)).save(tmp_path / "h.mask.of.another.mask.png")
    return tmp_path


REASONS = {
    "a.scaleless.tiff": "does not state its microns per pixel; give slide_mpp",
    "b.broken.tiff": "is not JSON",
    "c.entities.tiff": "declares a document type or entities, which is not allowed",
    "d.cut.tiff": "cut short",
    "e.bare.tiff": "has no annotation beside it",
    "f.typo.tiff": "has no layer that is asked for (it has: lesoin)",
    "g.other.tiff": "all that was drawn lies beyond the slide",
    "h.mask.of.another.tiff": "the label image has 64 x 64 pixels and the slide 128 x 128",
}


def test_one_bad_slide_of_many_is_named_with_its_reason_and_the_others_are_learnt_from(
    mixed, caplog, opened
):
    with caplog.at_level(logging.INFO):
        found = opened(request(mixed, "lesion"))
    assert [slide.name for slide in found.learn] == ["good.tiff"]
    told = {entry.name: entry.why for entry in found.census.left_out}
    assert told.keys() == REASONS.keys()
    for name, reason in REASONS.items():
        assert reason in told[name]
        assert f"left out: {name} " in caplog.text
    assert "1 slide to learn from, 0 held out, 8 left out" in caplog.text
    assert "lesion: 1 object, 0.0001 mm2 on 1 slide, 11.3 um across (11.3 to 11.3)" in caplog.text
    assert 'if it is lesion, set aliases to "lesoin=lesion"' in caplog.text


@pytest.mark.parametrize(
    ("name", "error", "sentence"),
    [
        ("a.scaleless", ScaleError, "^a.scaleless.tiff does not state its microns per pixel"),
        ("b.broken", AnnotationError, r"b\.broken\.json: is not JSON"),
        ("c.entities", AnnotationError, r"c\.entities\.xml: declares"),
        ("d.cut", UnreadableSlideError, "^d.cut.tiff is cut short"),
    ],
)
def test_the_only_slide_says_itself_why_it_cannot_be_learnt_from(mixed, name, error, sentence):
    for path in mixed.iterdir():
        if not path.name.startswith(name):
            path.unlink()
    with pytest.raises(error, match=sentence):
        open_slides(request(mixed, "lesion"), silent)


def test_where_no_slide_is_left_the_error_names_the_first_of_them(mixed):
    (mixed / "good.tiff").unlink()
    with pytest.raises(
        TrainingError,
        match="^none of 7 slides can be learnt from: a.scaleless.tiff does not state .* and 4 more$",
    ):
        open_slides(request(mixed, "lesion"), silent)


def test_a_layer_that_all_slides_misspell_is_answered_with_the_near_name(tmp_path):
    write_slide(tmp_path / "a.tiff", glomerulus=LESION, artery=LESION)
    write_slide(tmp_path / "b.tiff", glomerulus=LESION)
    with pytest.raises(
        TrainingError,
        match=r"^no slide has a shape of glomerulos; did you mean glomerulus\? "
        r"\(there are: artery, glomerulus\)$",
    ):
        open_slides(request(tmp_path, "glomerulos"), silent)


def test_a_class_that_nobody_drew_ends_a_training_but_not_a_census(tmp_path):
    write_slide(tmp_path / "a.tiff", lesion=LESION, vessels=LESION)
    with pytest.raises(
        TrainingError,
        match=r"^no slide to learn from has a shape of vessel; did you mean vessels\?",
    ):
        open_slides(request(tmp_path, "lesion", "vessel"), silent)
    census = count_slides(request(tmp_path, "lesion", "vessel"), silent)
    assert census.undrawn == ("vessel",)
    assert "nobody drew vessel; did you mean vessels?" in census.text()


def test_a_class_that_is_held_out_whole_is_said_so(tmp_path):
    write_slide(tmp_path / "a.tiff", lesion=LESION)
    write_slide(tmp_path / "b.tiff", vessel=LESION)
    (tmp_path / "list.csv").write_text(
        "slide,annotation,split\na.tiff,a.json,train\nb.tiff,b.json,validation\n"
    )
    with pytest.raises(TrainingError, match="^vessel is drawn on held-out slides only"):
        open_slides(request(tmp_path / "list.csv", "lesion", "vessel"), silent)


def test_a_slide_with_an_empty_layer_of_a_class_is_background_all_over(tmp_path, opened):
    write_slide(tmp_path / "a.tiff", lesion=LESION)
    write_slide(tmp_path / "healthy.tiff", lesion=[])
    found = opened(request(tmp_path, "lesion"))
    healthy = found.learn[1]
    frame = healthy.slide.frame(0.5)
    assert healthy.name == "healthy.tiff"
    assert (healthy.labels(frame, frame.box) == 0).all()


def test_an_empty_label_mask_is_background_and_its_255_is_ignored_by_any_name(tmp_path, opened):
    labels = np.zeros((128, 128), np.uint8)
    labels[:9, :9] = 255
    write_slide(tmp_path / "a.tiff", lesion=LESION)
    write_slide(tmp_path / "b.tiff")
    Image.fromarray(labels).save(tmp_path / "b.mask.png")
    found = opened(request(tmp_path, "lesion", ignore_class="not judged"))
    frame = found.learn[1].slide.frame(0.5)
    assert np.array_equal(found.learn[1].labels(frame, frame.box), labels)


def test_colours_are_those_asked_for_or_those_drawn(tmp_path, opened):
    write_slide(
        tmp_path / "a.tiff",
        lesion=[square(10, 10, 20, lineColor="rgb(1, 2, 3)")],
        vessel=[square(60, 60, 20, lineColor="#ff0000")],
    )
    drawn = opened(request(tmp_path, "vessel", "lesion")).classes
    assert [c.colour for c in drawn] == [(255, 0, 0), (1, 2, 3)]
    asked = request(tmp_path, "vessel", "lesion", colours=("#00ff00", "#0000ff"))
    assert [c.colour for c in opened(asked).classes] == [(0, 255, 0), (0, 0, 255)]


def test_rules_of_the_request_reach_the_labels(tmp_path, opened):
    write_slide(
        tmp_path / "a.tiff",
        Krebs=[square(20, 20, 20)],
        done=[square(10, 10, 50)],
        **{" VESSEL": [square(30, 30, 20)]},
    )
    asked = request(
        tmp_path, "tumour", "vessel", aliases=("Krebs=tumour",), exhaustive_layer="done"
    )
    (slide,) = opened(asked).learn
    frame = slide.slide.frame(0.5)
    labels = slide.labels(frame, frame.box)
    assert (labels[25, 25], labels[35, 35], labels[15, 15], labels[100, 100]) == (1, 2, 0, IGNORE)


def test_slides_smaller_than_a_patch_are_named_and_all_of_them_refused(tmp_path, opened):
    write_slide(tmp_path / "a.tiff", side=64, lesion=LESION)
    with pytest.raises(
        TrainingError,
        match=r"^a patch of 65 x 65 pixels is larger than every slide to learn from "
        r"\(a.tiff has 64 x 64 at 0.5 um\); choose a smaller patch_size or a finer scale$",
    ):
        open_slides(request(tmp_path, "lesion"), silent)
    found = opened(request(tmp_path, "lesion", work_mpp=0.35))
    assert found.census.smaller_than_patch == ()
    write_slide(tmp_path / "b.tiff", lesion=LESION)
    assert opened(request(tmp_path, "lesion")).census.smaller_than_patch == ("a.tiff",)


def test_slides_that_the_model_would_refuse_as_too_coarse_are_not_learnt_from(tmp_path, opened):
    write_slide(tmp_path / "a.tiff", lesion=LESION)
    with pytest.raises(ScaleError, match="a.tiff has 0.5 um per pixel, too coarse for a model of"):
        open_slides(request(tmp_path, "lesion", work_mpp=0.33), silent)
    assert opened(request(tmp_path, "lesion", wsi_downsample=(1.0,))).learn


def test_one_file_under_two_names_counts_as_one(tmp_path, opened):
    write_slide(tmp_path / "a.tiff", lesion=LESION)
    (tmp_path / "b.tiff").symlink_to(tmp_path / "a.tiff")
    (tmp_path / "b.json").write_text(document(lesion=LESION))
    write_slide(tmp_path / "c.tiff", lesion=LESION)
    for seed in range(8):
        found = opened(request(tmp_path, "lesion", validation_fraction=0.5, seed=seed))
        names = {slide.name for slide in found.learn}
        assert names in ({"a.tiff", "b.tiff"}, {"c.tiff"})
    listed = "slide,annotation,split\na.tiff,a.json,train\nb.tiff,b.json,validation\n"
    (tmp_path / "list.csv").write_text(listed)
    with pytest.raises(TrainingError, match="are in both splits, but are the same file"):
        open_slides(request(tmp_path / "list.csv", "lesion"), silent)


def test_what_no_slide_is_to_blame_for_ends_the_run(tmp_path, monkeypatch):
    write_slide(tmp_path / "a.tiff", lesion=LESION)

    def refuse(*_, **__):
        raise DeviceError("the world is broken")

    monkeypatch.setattr(opening, "open_annotated", refuse)
    with pytest.raises(DeviceError, match="the world is broken"):
        open_slides(request(tmp_path, "lesion"), silent)


def one_channel(rgb):
    return rgb[..., 0]


def sixteen_bits(rgb):
    return rgb.astype(np.uint16) * 257


def twelve_bits_grey(rgb):
    return rgb[..., 0].astype(np.uint16) * 16 + 15


def five_channels(rgb):
    return np.dstack([rgb, 255 - rgb[..., :2]])


def four_channels(rgb):
    return np.dstack([rgb, 255 - rgb[..., :1]])


@pytest.mark.parametrize(
    ("made", "kind", "colours"),
    [
        (one_channel, "grey", (0, 0, 0)),
        (sixteen_bits, "RGB, 16 bit", (0, 1, 2)),
        (twelve_bits_grey, "grey, 16 bit", (0, 0, 0)),
        (four_channels, "4 channels", (0, 1, 2)),
        (five_channels, "5 channels", (0, 1, 2)),
    ],
)
@pytest.mark.parametrize("layout", ["interleaved", "planar", "ome"])
def test_slides_of_other_channels_are_learnt_from_as_rgb(
    tmp_path, made, kind, colours, layout, opened
):
    rgb = np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8)
    rgb[:2] = 255
    pixels = made(rgb)
    options = {"tile": (64, 64), "photometric": "minisblack"}
    if pixels.ndim == 3 and layout == "interleaved":
        options |= {"planarconfig": "contig"}
        if pixels.shape[2] == 3:
            options["photometric"] = "rgb"
    elif pixels.ndim == 3:
        pixels = np.moveaxis(pixels, 2, 0)
        if layout == "planar":
            options |= {"planarconfig": "separate"}
            if len(pixels) == 3:
                options["photometric"] = "rgb"
    path = tmp_path / ("a.ome.tiff" if layout == "ome" else "a.tiff")
    if layout == "ome":
        axes = "CYX" if pixels.ndim == 3 else "YX"
        options["metadata"] = {"axes": axes, "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    else:
        options |= {"metadata": None, "resolution": (20000, 20000), "resolutionunit": 3}
    tifffile.imwrite(path, pixels, **options)
    path.with_suffix(".json").write_text(document(lesion=LESION))
    found = opened(request(tmp_path, "lesion"))
    (slide,) = found.learn
    frame = slide.slide.frame(0.5)
    read, truth = slide.read(frame, frame.box)
    labels = truth["labels"]
    assert np.abs(read.astype(int) - rgb[..., colours]).max() <= 1
    assert (labels == 1).sum() == 400
    assert found.census.slides[0].kind == kind


def girder_routes(tiles):
    items = [
        {"_id": f"{n}a" * 12, "name": f"{n}.svs", "folderId": "6a" * 12, "size": 1}
        | {"largeImage": {"fileId": f"{n}a" * 12}}
        for n in range(2)
    ]
    routes = {"item": items, "annotation": [{"_id": "7b" * 12, "annotation": {"name": "lesion"}}]}
    drawn = [{"_id": "7b" * 12, "annotation": {"name": "lesion", "elements": LESION}}]
    for item in items:
        routes[f"item/{item['_id']}"] = item
        routes[f"annotation/item/{item['_id']}"] = drawn
        routes[f"item/{item['_id']}/tiles"] = tiles
    return routes


def test_a_slide_that_a_living_server_cannot_read_is_left_out_like_a_file():
    with fake_girder(routes=girder_routes(400)) as girder:
        asked = request("6a" * 12, "lesion", api_url=girder.url, token=girder.login.token)
        with pytest.raises(TrainingError, match="^none of 2 slides can be learnt from: 0.svs"):
            count_slides(asked, silent)


def test_a_token_without_rights_ends_the_run():
    with fake_girder(routes=girder_routes(403)) as girder:
        asked = request("6a" * 12, "lesion", api_url=girder.url, token=girder.login.token)
        with pytest.raises(ServerError, match="sign in again"):
            count_slides(asked, silent)


def test_of_corrected_slides_one_is_finished_as_a_whole_and_one_within_its_regions(
    tmp_path, opened
):
    slide = write_slide(tmp_path / "a.tiff")
    source = large_image_source_tiff.TiffFileTileSource
    made = {"cli": "SegmentWSI", "run": "r1", "corrected": {"by": "anna"}}
    within = made | {"corrected": {"by": "anna", "within": "annotate next"}}
    stored = {
        "whole": [("lesion", made, LESION)],
        "regions": [
            ("lesion", within, LESION),
            ("annotate next", within, [square(0, 0, 40)]),
            ("lesion", {"cli": "SegmentWSI"}, [square(90, 90, 20)]),
        ],
        "untouched": [("lesion", {"cli": "SegmentWSI"}, LESION)],
    }
    routes, items, layers = {}, [], {}
    for number, (name, told) in enumerate(stored.items()):
        item = f"{number}a" * 12
        routes |= item_routes(partial(opened_by, source, str(slide)), item=item, name=name)
        items.append(routes[f"item/{item}"])
        layers[item] = [
            {"_id": item, "annotation": {"name": each, "attributes": own, "elements": drawn}}
            for each, own, drawn in told
        ]
        routes[f"annotation/item/{item}"] = layers[item]
    routes |= {"item": items, "annotation": lambda query: layers[query["itemId"]]}
    with fake_girder(routes=routes) as girder:
        asked = request(
            "6a" * 12, "lesion", api_url=girder.url, token=girder.login.token,
            corrected_only=True, exhaustive_layer="annotate next",
        )  # fmt: skip
        found = opened(asked)
        labels = {}
        for each in found.learn:
            frame = each.slide.frame(0.5)
            labels[each.name] = each.labels(frame, frame.box)
    assert {each.name: each.why for each in found.census.left_out} == {
        "untouched": "has no layer that is marked as corrected"
    }
    assert {name: sorted(np.unique(each)) for name, each in labels.items()} == {
        "whole": [0, 1],
        "regions": [0, 1, IGNORE],
    }
    assert (labels["regions"] == 1).sum() == 400, "and not what nobody has corrected"
    assert (labels["regions"] == 0).sum() == 40 * 40 - 400


def opened_by(source, path, encoding, style):
    return source(path, encoding=encoding, style=style)


def test_corrections_are_asked_for_on_a_server_only(tmp_path):
    with pytest.raises(ConfigError, match="corrected_only must be left away where what is learnt"):
        request(tmp_path, "lesion", corrected_only=True)


def test_a_mask_of_black_and_white_is_the_class_and_the_census_says_so(tmp_path):
    write_slide(tmp_path / "a.tiff")
    labels = np.zeros((128, 128), np.uint8)
    labels[10:30, 10:30] = 255
    Image.fromarray(labels).save(tmp_path / "a.mask.png")
    census = count_slides(request(tmp_path, "lesion"), silent)
    assert census.total("lesion").objects == 1
    assert census.remarks() == [
        "a.tiff: the value 255 is taken for lesion, as it is the only one of the mask beside 0"
    ]
    write_slide(tmp_path / "b.tiff", lesion=LESION, vessel=LESION)
    census = count_slides(request(tmp_path, "lesion", "vessel"), silent)
    assert census.total("lesion").objects == 1
    assert any("255 is taken for ignore" in remark for remark in census.remarks())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("b.geojson", '{"type": "FeatureCollection", "features": []}'),
        ("b.json", '{"images": [{"id": 1, "file_name": "b.tiff"}], "annotations": []}'),
        ("b.json", "[]"),
        ("b.xml", "<Annotations/>"),
        ("b.xml", "<ASAP_Annotations><Annotations/></ASAP_Annotations>"),
    ],
)
def test_a_file_in_which_nothing_is_drawn_makes_its_slide_background_and_it_is_said(
    tmp_path, opened, name, text
):
    write_slide(tmp_path / "a.tiff", lesion=LESION)
    write_slide(tmp_path / "b.tiff")
    (tmp_path / name).write_text(text)
    found = opened(request(tmp_path, "lesion"))
    slide = found.learn[1]
    frame = slide.slide.frame(0.5)
    assert (slide.labels(frame, frame.box) == 0).all()
    assert "b.tiff: nothing is drawn in its file, so all of its tissue is background" in (
        found.census.remarks()
    )


def test_a_file_of_which_all_was_left_out_is_not_one_in_which_nothing_is_drawn(tmp_path):
    write_slide(tmp_path / "a.tiff", lesion=LESION)
    write_slide(tmp_path / "b.tiff")
    nowhere = {"type": "Feature", "geometry": None, "properties": {}}
    (tmp_path / "b.geojson").write_text(json.dumps({"features": [nowhere]}))
    (left,) = count_slides(request(tmp_path, "lesion"), silent).left_out
    assert left.why.endswith("a label mask of zeros or a GeoJSON file without features")


@pytest.mark.parametrize("name", ["a.tiff", "a.json", "../t/a.tiff"])
def test_no_result_takes_the_place_of_a_slide_or_of_what_is_drawn_on_it(tmp_path, name):
    folder = tmp_path / "t"
    folder.mkdir()
    write_slide(folder / "a.tiff", lesion=LESION)
    for field, link in (("output_model", "m.zip"), ("output_report", "r.html")):
        (tmp_path / link).symlink_to(folder / name)
        with pytest.raises(OutputError, match="it is read for the result"):
            open_slides(replace(request(folder, "lesion"), **{field: tmp_path / link}), silent)


def test_a_channel_that_is_asked_for_by_number_gets_its_name(tmp_path):
    for number in range(3):
        channels, labels = paint_cells(96, 96, seed=number, radius=(8, 9))
        write_ome(tmp_path / f"{number}.ome.tif", channels)
        Image.fromarray(labels).save(tmp_path / f"{number}.ome.mask.png")
    request = TrainRequest(
        source=str(tmp_path), output_model=tmp_path / "m.zip", classes=("nucleus",),
        channels=("1", "nuisance=CD3"), patch_size=33, work_mpp=0.5,
    )  # fmt: skip
    opened = open_slides(request, silent)
    assert opened.channels.names == ("DAPI", "nuisance")
    assert {slide.slide.channels.outside for slide in opened.learn} == {0}
    opened.close()
    write_ome(tmp_path / "2.ome.tif", channels, ("CD3", "Hoechst"))
    told = "channel 1 is (DAPI|Hoechst) on .*give channels by name, as --channels"
    with pytest.raises(TrainingError, match=told):
        open_slides(request, silent)
