"""HistomicsUI in a real browser, used as a pathologist uses it."""

import json
from xml.etree import ElementTree as ET

import numpy as np
import shapely
from PIL import Image, ImageDraw
from playwright.sync_api import expect

from deeplab.annotations.shapes import Annotations, Layer, Shape
from deeplab.bundles.read import read_card
from deeplab.config.classes import ClassList, SlideClass
from deeplab.exchange.layers import post_layers as post_layers_of_tasks
from deeplab.geometry.frames import WorkBox
from deeplab.server.session import ServerLogin
from deeplab.slides.slide import open_slide
from deeplab_cli.forms import list_text, spec_text
from local_stack.girder_site import COLLECTION, MODELS, SLIDE_NAME
from tests.flows.weak_labels_for_tests import paint
from tests.fluorescent_slides import paint_cells, write_ome
from tests.slides_for_tests import write_tiff
from tests.stack.histomicsui import (
    SLIDE_VIEW,
    choose_analysis,
    draw_region,
    outlined,
    show_layers,
    slide_picture,
    submit,
    wait_for_dialog_to_close,
)
from tests.stack.test_training import post_layers, squares
from tests.stack.typed_nuclei import write_typed_model

MODEL = MODELS / "nuclei_instances.zip"
TYPES = ClassList((SlideClass("dark", (255, 230, 0)), SlideClass("pale", (0, 240, 255))))
LITTLE = {"batch_size": 4, "slow_start_step": 5, "validation_fraction": 0, "validate_every": 1000}
DAPI = LITTLE | {
    "classes": ["nucleus"],
    "network": "unet",
    "channels": ["DAPI"],
    "network_options": ["depth=3", "decoder_channels=32 16 16"],
    "depth_multiplier": 0.5,
    "patch_size": 64,
    "work_mpp": 0.5,
    "steps": 120,
    "learning_rate": 3e-3,
    "ema_decay": 0.9,
}
PATCHES = LITTLE | {
    "classes": ["tumour", "stroma"],
    "network": "patch_classifier",
    "backbone": "mobilenet_v2",
    "depth_multiplier": 0.25,
    "patch_size": 64,
    "work_mpp": 1,
    "steps": 10,
    "ema_decay": 0,
}
# Little learning, at the scale and size of the painted slides.
STAGE = "batch_size=4,augment=0,slow_start_step=4,ema_decay=0.9,depth_multiplier=0.35"
FROM_REGIONS = {
    "classes": ["gland", "stroma"],
    "patch_size": 64,
    "classifier": [*STAGE.split(","), "steps=60", "learning_rate=3e-3", "validate_every=1000"],
    "segmenter": [
        *STAGE.split(","),
        *("network=unet", "network_options=depth=3", "network_options=decoder_channels=16 8 8"),
        *("steps=60", "learning_rate=1e-2", "validate_every=1000"),
    ],
}


def test_analysis_run_from_the_panel_draws_its_layers_on_the_slide(page, site, model_id):
    slide_id = site.running.slide_id
    site.clear(slide_id)
    shots = site.running.plan.home / "screenshots"
    shots.mkdir(exist_ok=True)
    page.goto(f"{site.girder.url}/histomics#?image={slide_id}")
    choose_analysis(page, "SegmentWSI", "inputImageFile", shots)
    choose_file(page, "inputModelFile", ["Models"], model_name(site, model_id))
    draw_region(page)
    page.wait_for_timeout(1000)
    page.screenshot(path=shots / "2-panel.png")
    submit(page, site)
    names = sorted(site.layers(slide_id))
    assert names
    show_layers(page, names, shots)


def test_the_default_model_of_the_folder_is_filled_in_when_the_panel_opens(page, site, model_id):
    slide = site.girder.get(f"item/{site.running.slide_id}")
    model = site.girder.get(f"file/{model_id}")
    default = {"folderId": slide["folderId"], "modelId": model["itemId"]}
    site.girder.put("deeplab/default", **default)
    site.clear(slide["_id"])
    shots = site.running.plan.home / "screenshots"
    page.goto(f"{site.girder.url}/histomics#?image={slide['_id']}")
    choose_analysis(page, "SegmentWSI", "inputImageFile", shots)
    field = page.locator("[data-control-id=inputModelFile] input")
    expect(field).to_have_value(model["name"], timeout=30_000)
    draw_region(page)
    page.screenshot(path=shots / "9-default-model.png")
    submit(page, site)
    assert site.layers(slide["_id"])
    site.girder.delete("deeplab/default", folderId=slide["folderId"], task="SegmentWSI")
    site.clear(slide["_id"])


def test_a_folder_is_segmented_from_its_page(page, site, model_id):
    folder_id = site.folder("segmented from its page")
    slides = [site.upload_slide(f"paged-{number}.svs", folder_id) for number in range(2)]
    model = site.girder.get(f"file/{model_id}")
    page.goto(f"{site.girder.url}/api/v1/deeplab/page?folderId={folder_id}")
    page.select_option("select[name=modelId]", model["itemId"])
    page.check("input[name=next]")
    page.get_by_role("button", name="Segment all slides").click()
    expect(page.locator("#batches")).to_contain_text("2 done", timeout=300_000)
    for slide_id in slides:
        assert "annotate next" in site.layers(slide_id)
    row = page.locator("#models tr", has_text=model["name"]).first
    row.get_by_role("button", name="Make it the default").click()
    expect(page.locator("#models tr.chosen")).to_contain_text("default here")
    expect(page.locator("#said")).to_contain_text("is the default of this folder now")
    shots = site.running.plan.home / "screenshots"
    page.screenshot(path=shots / "10-folder-page.png", full_page=True)


def test_nuclei_of_two_types_have_layers_in_their_colours(page, site, tmp_path):
    slide_id = site.running.slide_id
    site.clear(slide_id)
    shots = site.running.plan.home / "screenshots"
    with open_slide(site.running.plan.home / "slides" / SLIDE_NAME) as slide:
        frame = slide.frame(read_card(MODEL).work_mpp)
        rgb = slide.read(frame, WorkBox(400, 500, 640, 640))
    model = tmp_path / "two types.zip"
    write_typed_model(MODEL, rgb, model, TYPES)
    site.girder.upload(model, site.folder("two types"))
    page.goto(f"{site.girder.url}/histomics#?image={slide_id}")
    choose_analysis(page, "SegmentWSI", "inputImageFile", shots)
    choose_file(page, "inputModelFile", ["two types"], model.name)
    draw_region(page, to=(960, 620))
    submit(page, site)
    layers = site.layers(slide_id)
    assert set(layers) == set(TYPES.names)
    for entry in TYPES:
        elements = layers[entry.name]["elements"]
        assert len(elements) > 10, entry.name
        assert {each["lineColor"] for each in elements} == {"rgb({}, {}, {})".format(*entry.colour)}
        assert {"confidence", "type_prob"} <= set(elements[0]["user"])
    show_layers(page, sorted(layers), shots)
    page.screenshot(path=shots / "5-types.png")
    shown = np.asarray(slide_picture(page)).astype(int)
    for entry in TYPES:
        off = np.abs(shown - entry.colour).max(axis=2)
        assert np.count_nonzero(off < 60) > 50, f"{entry.name} is not seen in its colour"
    site.clear(slide_id)


def test_a_u_net_segments_the_dapi_frame_of_a_multi_frame_slide(page, site, tmp_path):
    folder_id = site.folder("fluorescent")
    truth = {}
    for seed in range(4):
        channels, labels = paint_cells(384, 384, seed=seed)
        slide = write_ome(tmp_path / f"P{seed}.ome.tif", channels, levels=2)
        item_id = site.girder.upload(slide, folder_id)["itemId"]
        truth[item_id] = labels
    *learnt, unseen = truth
    for item_id in learnt:
        post_layers(site, item_id, [outlined("nucleus", truth[item_id] == 1)])
    site.run(
        "TrainNetwork", inputFolder=folder_id, output_model="dapi.zip",
        output_model_folder=folder_id, **DAPI,
    )  # fmt: skip
    page.goto(f"{site.girder.url}/histomics#?image={unseen}")
    shots = site.running.plan.home / "screenshots"
    choose_analysis(page, "SegmentWSI", "inputImageFile", shots)
    choose_file(page, "inputModelFile", ["fluorescent"], "dapi.zip")
    submit(page, site)
    (layer,) = site.layers(unseen).values()
    (channel,) = layer["attributes"]["slide"]["channels"]
    assert (channel["name"], channel["on_slide"], channel["index"]) == ("DAPI", "DAPI", 1)
    both = np.stack([drawn(layer, (384, 384)), truth[unseen] == 1])
    assert both.all(axis=0).sum() / both.any(axis=0).sum() > 0.7
    show_layers(page, ["nucleus"], shots, name="6-dapi")


def test_patches_are_classified_from_the_panel_and_their_heatmaps_seen(page, site):
    folder_id = site.folder("patches")
    learnt = site.upload_slide("learnt.svs", folder_id)
    post_layers(site, learnt, [squares("tumour", 0), squares("stroma", 5)])
    site.run(
        "TrainNetwork", inputFolder=folder_id, output_model="patches.zip",
        output_model_folder=folder_id, **PATCHES,
    )  # fmt: skip
    slide_id = site.running.slide_id
    site.clear(slide_id)
    page.goto(f"{site.girder.url}/histomics#?image={slide_id}")
    shots = site.running.plan.home / "screenshots"
    choose_analysis(page, "ClassifyPatches", "inputImageFile", shots)
    choose_file(page, "inputModelFile", ["patches"], "patches.zip")
    submit(page, site)
    layers = site.layers(slide_id)
    heatmaps = ["stroma-heatmap", "tumour-heatmap"]
    assert set(heatmaps) <= set(layers)
    for name in heatmaps:
        (element,) = layers[name]["elements"]
        assert element["type"] == "heatmap"
        assert len(element["points"]) > 50
    show_layers(page, heatmaps, shots, name="7-heatmaps")
    (model,) = site.girder.get("item", folderId=folder_id, name="patches.zip")
    again = site.girder.post("deeplab/classify", itemIds=[slide_id], modelId=model["_id"])
    site.succeed({"_id": again["jobId"]})
    assert sorted(site.layers(slide_id)) == sorted(layers)  # in the place of those from the panel
    site.clear(slide_id)


def test_regions_that_are_only_named_lead_to_a_model_for_another_slide(page, site, tmp_path):
    folder_id = site.folder("regions")
    values = np.full((384, 384), 1, np.uint8)
    values[:, :200] = 0  # glands on the left
    ids = []
    for seed in range(3):
        slide = write_tiff(tmp_path / f"R{seed}.tiff", paint(values, seed), compression="deflate")
        ids.append(site.girder.upload(slide, folder_id)["itemId"])
    *learnt, unseen = ids
    named = {
        "gland": [(0, 0, 200, 384)],
        "stroma": [(200, 0, 184, 384)],
        "gland, stroma": [(150 + 5 * n, 70 * n, 80, 70) for n in range(5)],
    }
    for item_id in learnt:
        post_layers(site, item_id, [rectangles(name, boxes) for name, boxes in named.items()])
    shots = site.running.plan.home / "screenshots"
    page.goto(f"{site.girder.url}/histomics#?image={learnt[0]}")
    choose_analysis(page, "TrainFromLabels", "inputFolder", shots)
    choose_folder(page, "inputFolder", "regions")
    choose_folder(page, "output_model", "regions", new="regions.zip")
    choose_folder(page, "output_report", "regions", new="regions.html")
    for control, value in FROM_REGIONS.items():
        fill_in(page, control, value)
    page.screenshot(path=shots / "8-train-from-labels.png")
    submit(page, site)
    page.goto(f"{site.girder.url}/histomics#?image={unseen}")
    choose_analysis(page, "SegmentWSI", "inputImageFile", shots)
    choose_file(page, "inputModelFile", ["regions"], "regions.zip")
    submit(page, site)
    layers = site.layers(unseen)
    for label, name in enumerate(FROM_REGIONS["classes"]):
        both = np.stack([drawn(layers[name], values.shape), values == label])
        assert both.all(axis=0).sum() / both.any(axis=0).sum() > 0.6, name
    show_layers(page, FROM_REGIONS["classes"], shots, name="8-regions")


def test_a_hundred_thousand_outlines_of_one_result_are_on_the_server_and_shown(page, site):
    slide_id = site.running.slide_id
    site.clear(slide_id)
    login = ServerLogin(f"{site.girder.url}/api/v1", site.girder.token)
    layer = Layer("crowd", (255, 230, 0), crowd(100_000, pitch=7))
    post_layers_of_tasks(Annotations((layer,)), (), slide_id, login)
    assert site.girder.count_elements(slide_id) == 100_000
    page.goto(f"{site.girder.url}/histomics#?image={slide_id}")
    shots = site.running.plan.home / "screenshots"
    # Its pieces are a group. They are large enough to be seen as an area, of half of the view.
    half = SLIDE_VIEW["width"] * SLIDE_VIEW["height"] // 2
    show_layers(page, [layer.name], shots, name="11-crowd", least=half)
    site.clear(slide_id)


def test_the_panel_of_each_task_shows_three_fields_first(page, site):
    shots = site.running.plan.home / "screenshots"
    shots.mkdir(exist_ok=True)
    for task in json.loads(list_text()):  # one log-in for all: it takes longer than a panel
        form = ET.fromstring(spec_text(task))
        plain = [group for group in form.iter("parameters") if group.get("advanced") != "true"]
        fields = [name.text for group in plain for name in group.iterfind("*/name")]
        page.goto(f"{site.girder.url}/histomics#?image={site.running.slide_id}")
        page.reload()
        choose_analysis(page, task, fields[0], shots)
        page.wait_for_timeout(1000)
        page.screenshot(path=shots / f"4-{task}.png")
        controls = page.locator("[data-control-id]:visible").all()
        assert [each.get_attribute("data-control-id") for each in controls] == fields, task
        assert page.locator(".s-info-panel-submit").is_visible(), task


def test_drawn_and_predicted_layers_are_compared_and_measured_from_the_panel(page, site, model_id):
    slide_id = site.running.slide_id
    site.clear(slide_id)
    region = [200, 300, 900, 800]
    site.run(
        "SegmentWSI",
        inputImageFile=site.file_id(slide_id),
        inputModelFile=model_id,
        region=region,
    )
    ((name, layer),) = site.layers(slide_id).items()
    drawn = {"name": name, "elements": layer["elements"][::2]}
    for element in drawn["elements"]:
        del element["id"]
    body = json.dumps(drawn).encode()
    head = {"Content-Type": "application/json"}
    site.girder.call("POST", "annotation", {"itemId": slide_id}, body, head)
    shots = site.running.plan.home / "screenshots"
    for task in ("EvaluateSegmentation", "ExtractFeaturesFromAnnotations"):
        page.goto(f"{site.girder.url}/histomics#?image={slide_id}")
        page.reload()
        choose_analysis(page, task, "inputImageFile", shots)
        submit(page, site)  # the fields are as they come: nothing else is asked
    names = sorted(site.layers(slide_id))
    model = model_name(site, model_id).removesuffix(".zip")
    assert names == [f"false {name} ({model})", name, f"{name} features"]
    show_layers(page, names, shots)
    site.clear(slide_id)


def crowd(count, pitch):
    """Small hexagons on a square grid, as a result of so many nuclei."""
    columns = int(np.ceil(np.sqrt(count)))
    angle = np.linspace(0, 2 * np.pi, 6, endpoint=False)
    ring = np.column_stack([np.cos(angle), np.sin(angle)]) * pitch * 0.4
    middles = (np.stack(np.divmod(np.arange(count), columns), axis=1) + 0.5) * pitch
    measures = {"area_um2": pitch**2 / 8, "confidence": 0.9}
    return [Shape(shapely.Polygon(middle + ring), measures) for middle in middles]


def rectangles(name, boxes):
    """A layer of rectangles (x, y, width, height), as HistomicsUI draws them."""
    even = {"type": "rectangle", "rotation": 0, "normal": [0, 0, 1]}
    elements = [
        even | {"center": [x + width / 2, y + height / 2, 0], "width": width, "height": height}
        for x, y, width, height in boxes
    ]
    return {"name": name, "elements": elements}


def drawn(layer, shape):
    """Where the outlines of a layer are, (height, width)."""
    found = Image.new("1", shape[::-1])
    for element in layer["elements"]:
        ImageDraw.Draw(found).polygon([(x, y) for x, y, _ in element["points"]], fill=1)
    return np.asarray(found)


def choose_file(page, control, folders, name):
    """Pick a file for a control in the dialog that browses the collections."""
    page.click(f"[data-control-id={control}] .s-select-file-button")
    dialog = page.locator("#g-dialog-container")
    dialog.locator("#g-root-selector").select_option(label=COLLECTION)
    for folder in folders:
        dialog.locator(".g-folder-list-link", has_text=folder).click()
    dialog.locator("a.g-item-list-link", has_text=name).click()
    wait_for_dialog_to_close(page)


def choose_folder(page, control, name, new=None):
    """Pick a folder of the collection for a control, or one for a new file and its name."""
    show_control(page, control)
    page.click(f"[data-control-id={control}] .s-select-file-button")
    dialog = page.locator("#g-dialog-container")
    dialog.locator("#g-root-selector").select_option(label=COLLECTION)
    dialog.locator(".g-folder-list-link", has_text=name).click()
    dialog.locator(".breadcrumb", has_text=name).wait_for()
    if new is not None:
        dialog.locator("#g-input-element").fill(new)
    dialog.locator(".g-submit-button").click()
    wait_for_dialog_to_close(page)


def fill_in(page, control, value):
    """Type what a control takes; texts of a list with commas between."""
    show_control(page, control)
    field = page.locator(f"[data-control-id={control}] input")
    field.fill(",".join(value) if isinstance(value, list) else str(value))
    field.press("Tab")


def show_control(page, control):
    """Unfold the group of a control if it is folded."""
    shown = page.locator(f"[data-control-id={control}]")
    if not shown.is_visible():
        page.locator(".s-panel", has=shown).locator(".s-panel-title-container").click()
        shown.wait_for()


def model_name(site, model_id):
    return site.girder.get(f"file/{model_id}")["name"]
