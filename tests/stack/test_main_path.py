"""The loop of a pathologist in HistomicsUI: segment, correct, train, compare, and segment again.

It takes the pictures of docs/how-to/correct-and-train-again.md; `make pictures` renews those.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import expect
from skimage.filters import gaussian, threshold_otsu
from skimage.morphology import disk, opening

from deeplab.bundles.read import read_card
from deeplab.geometry.frames import WorkBox
from deeplab.slides.slide import open_slide
from local_stack.girder_site import MODELS, SLIDE_NAME
from tests.slides_for_tests import write_tiff
from tests.stack.histomicsui import choose_analysis, outlined, show_layers, submit
from tests.stack.test_training import post_layers

PICTURES = Path(__file__).parents[2] / "docs/pictures"
PICTURE_WIDTH = 1000
MODEL = "nuclei.zip"  # of the demonstration: every pixel has a class, which is soon learnt on
LAYER, NEXT = "nuclei", "annotate next"
# Places in the sample slide, in pixels of the model, each of which is a slide here.
WHOLE, IN_SQUARES, UNSEEN = (1100, 760, 800, 800), (1000, 1850, 800, 600), (1000, 2450, 800, 800)
JUDGED = [(640, 3000, 640, 640), (1000, 2560, 640, 520)]
HOURS = "0.003"  # of which the plan makes the fewest steps that there are
TRAINING_MS = 600_000


@dataclass(frozen=True)
class Ward:
    """Ids of the slides that are segmented, and of those on which models are compared."""

    slides: list
    judged: list


@pytest.fixture
def ward(site, model_id, tmp_path):
    """A folder of slides that has a default model, and in which is one of slides to compare on."""
    folder_id = site.folder("Skin")
    judged_id = site.girder.post(
        "folder", parentType="folder", parentId=folder_id, name="For comparison", public=True
    )["_id"]
    slides = [
        cut_slide(site, tmp_path / f"skin {number}.tiff", box, folder_id)[0]
        for number, box in enumerate([WHOLE, IN_SQUARES, UNSEEN], start=1)
    ]
    judged = []
    for number, box in enumerate(JUDGED, start=1):
        item_id, rgb = cut_slide(site, tmp_path / f"judged {number}.tiff", box, judged_id)
        post_layers(site, item_id, [outlined(LAYER, nuclei_in(rgb))])
        judged.append(item_id)
    found = site.girder.get("resource/search", q=MODEL, mode="prefix", types=["item"])
    site.girder.put("deeplab/default", folderId=folder_id, modelId=found["item"][0]["_id"])
    return Ward(slides, judged)


def test_a_pathologist_corrects_what_a_model_found_and_gets_a_better_one(page, site, ward):
    whole, in_squares, unseen = ward.slides
    shots = Shots(site)
    open_in_histomicsui(page, site, whole)
    choose_analysis(page, "SegmentWSI", "inputImageFile", shots.folder)
    expect(page.locator("[data-control-id=inputModelFile] input")).to_have_value(MODEL)
    submit(page, site)
    unfold(page, LAYER)
    show_layers(page, [LAYER], shots.folder, name="main-1-segmented")
    shots.keep(page, "main-1-segmented")
    correct_and_mark(page, site, whole, shots)
    correct_in_squares(page, site, in_squares, shots)
    with page.expect_popup() as opened:
        page.get_by_role("link", name="DeepLab").click()
    folder_page = opened.value
    train(folder_page, shots)
    promote(folder_page, shots)
    see_errors_of_both(page, site, ward.judged[0], shots)
    open_in_histomicsui(page, site, unseen)
    choose_analysis(page, "SegmentWSI", "inputImageFile", shots.folder)
    expect(page.locator("[data-control-id=inputModelFile] input")).to_have_value("skin-2.zip")
    submit(page, site)
    unfold(page, LAYER)
    show_layers(page, [LAYER], shots.folder, name="main-8-again")
    shots.keep(page, "main-8-again")
    assert site.layers(unseen)[LAYER]["attributes"]["model"]["name"] == "skin-2.zip"


def correct_and_mark(page, site, slide_id, shots):
    """Delete outlines in HistomicsUI's editor, mark the layer, and go on deleting."""
    (layer,) = site.girder.get("annotation", itemId=slide_id, limit=0)
    row = page.locator(f".h-annotation[data-id='{layer['_id']}']")
    row.locator(".h-annotation-name").click()
    page.locator(".h-elements-container .h-element").first.wait_for()
    delete_within(page, (1195, 510), (1090, 720))
    delete_within(page, (1195, 945), (870, 700), shots)
    row.get_by_role("button", name="Mark as corrected").click()
    expect(row.locator(".h-deeplab-mark")).to_contain_text("Corrected by admin")
    shots.keep(page, "main-3-marked", part=(1100, 500, 1500, 820))
    delete_element(page)
    attributes = site.girder.get(f"annotation/{layer['_id']}")["annotation"]["attributes"]
    assert attributes["corrected"]["by"] == "admin", "saving in HistomicsUI took the mark off"
    row.get_by_role("button", name="Undo").click()
    row.get_by_role("button", name="Mark as corrected").click()
    expect(row.locator(".h-deeplab-mark")).to_contain_text("Corrected by admin")


def correct_in_squares(page, site, slide_id, shots):
    """Ask where to annotate next, correct what is in the squares, and mark these."""
    open_in_histomicsui(page, site, slide_id)
    page.get_by_role("button", name="Where to annotate next?").click()
    for layer in (NEXT, LAYER):
        unfold(page, layer)
    page.click(".h-hide-all-annotations")
    page.locator(".h-annotation", has_text=LAYER).locator(".h-toggle-annotation").click()
    page.wait_for_timeout(3000)
    delete_within(page, (1195, 60), (850, 830))  # keratin again
    page.click(".h-show-all-annotations")
    row = page.locator(".h-annotation", has_text=NEXT)
    row.get_by_role("button", name="Mark as corrected within the squares").click()
    expect(page.locator(".h-deeplab-mark", has_text="Corrected within the squares")).to_have_count(
        2
    )
    page.wait_for_timeout(3000)
    shots.keep(page, "main-4-squares")


def unfold(page, layer):
    """Show the layers of a class in the list of annotations, where they may be shown already."""
    group = page.locator(".h-annotation-group", has_text=layer)
    group.wait_for()
    page.wait_for_timeout(2000)  # a list that is drawn anew loses a click
    if "h-group-collapsed" in group.get_attribute("class"):
        group.locator(".h-annotation-group-name").click()
    page.locator(".h-annotation", has_text=layer).wait_for()


def delete_within(page, start, end, shots=None):
    """Delete all outlines in a rectangle of the window; returns when that is saved."""
    page.click(".h-annotation-select-by-region")
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*end, steps=8)
    page.mouse.up()
    expect(page.locator(".h-annotation-select-by-region")).not_to_have_class(re.compile("active"))
    page.locator(".h-image-body").press("m")  # the menu that a click of the right button opens
    delete = page.locator(".h-remove-elements")
    delete.wait_for()
    if shots:
        page.wait_for_timeout(1000)
        shots.keep(page, "main-2-correcting", part=(700, 500, 1500, 950))
    with page.expect_response(is_saved) as saved:
        delete.click()
    assert saved.value.ok


def is_saved(reply):
    """Whether HistomicsUI has saved a layer."""
    return reply.request.method in ("PUT", "PATCH") and "/annotation/" in reply.url


def delete_element(page):
    """Delete the first outline of the layer that is edited; returns when that is saved."""
    with page.expect_response(is_saved) as saved:
        page.locator(".h-elements-container .h-delete-element").first.click()
    assert saved.value.ok


def train(page, shots):
    """Train on the corrections, and wait for the model and how it compares with the one before."""
    section = page.locator("#corrections")
    expect(section.locator("tr", has_text="skin 1")).to_contain_text("1 layer corrected")
    expect(section.locator("tr", has_text="skin 2")).to_contain_text("2 layers corrected")
    section.locator("input[name=name]").fill("skin-2")
    section.locator("input[name=hours]").fill(HOURS)
    compared = section.locator("select[name=compareFolderId] option:checked")
    expect(compared).to_have_text("on the slides of For comparison")
    shots.keep(page, "main-5-page", whole=True, part=(170, 0, 1330, 1200))
    section.get_by_role("button", name="Train on the corrections").click()
    model = page.locator("#models tr", has_text="skin-2.zip")
    expect(model).to_be_visible(timeout=TRAINING_MS)
    jobs = page.locator("#jobs")
    expect(jobs).to_contain_text("The training of skin-2 has ended")
    said = re.compile(
        r"Comparison of skin-2.zip with nuclei.zip has ended: Dice (0\.\d+) after 0\."
    )
    expect(jobs).to_contain_text(said, timeout=TRAINING_MS)
    assert float(said.search(jobs.inner_text())[1]) > 0.5, "what the old model knew is lost"


def promote(page, shots):
    """Make the new model the default, whether or not it is better."""
    row = page.locator("#models tr", has_text="skin-2.zip")
    row.get_by_role("button", name="Make it the default").click()
    said = page.locator("#said")
    expect(said).to_contain_text(re.compile(r"Dice 0\.\d+ after 0\.\d+"))
    expect(said).not_to_contain_text("evenIfNotBetter")
    shots.keep(page, "main-6-compared", part=(170, 0, 1330, 420))
    all_the_same = said.get_by_role("button", name="Make it the default all the same")
    if all_the_same.is_visible():
        all_the_same.click()
    expect(page.locator("#models tr.chosen")).to_contain_text("skin-2.zip")
    page.screenshot(path=shots.folder / "main-6-promoted.png", full_page=True)


def see_errors_of_both(page, site, slide_id, shots):
    """Open a slide on which both models were held against what is drawn there."""
    models = ("nuclei", "skin-2")
    errors = [f"{kind} {LAYER} ({model})" for kind in ("missed", "false") for model in models]
    assert set(errors) <= set(site.layers(slide_id))
    open_in_histomicsui(page, site, slide_id)
    for layer in errors:
        unfold(page, layer)
    show_layers(page, errors, shots.folder, name="main-7-errors", least=100)
    shots.keep(page, "main-7-errors")


class Shots:
    """Pictures of a browser's window: kept whole beside those of other tests, and small in docs."""

    def __init__(self, site):
        self.folder = site.running.plan.home / "screenshots"
        self.folder.mkdir(exist_ok=True)

    def keep(self, page, name, *, whole=False, part=None):
        """Take a picture; `whole`: also of what lies below the window; `part`: of it, for the docs."""
        path = self.folder / f"{name}.png"
        page.screenshot(path=path, full_page=whole)
        if os.environ.get("WRITE_PICTURES"):
            PICTURES.mkdir(exist_ok=True)
            picture = Image.open(path).convert("RGB").crop(part)
            picture.thumbnail((PICTURE_WIDTH, picture.height))
            picture.save(PICTURES / f"{name}.jpg", quality=60, optimize=True)


def open_in_histomicsui(page, site, item_id):
    page.goto(f"{site.girder.url}/histomics#?image={item_id}")
    page.reload()  # an analysis of the slide before would stay open
    name = site.girder.get(f"item/{item_id}")["name"]
    page.locator(".h-image-menu-wrapper", has_text=name).wait_for()
    page.locator(".h-deeplab-next").wait_for()


def cut_slide(site, path, box, folder_id):
    """Upload a part of the sample slide as a slide of its own; returns its item and its pixels."""
    work_mpp = read_card(MODELS / MODEL).work_mpp
    with open_slide(site.running.plan.home / "slides" / SLIDE_NAME) as slide:
        rgb = slide.read(slide.frame(work_mpp), WorkBox(*box))
    write_tiff(path, rgb, mpp=work_mpp, levels=3)
    return site.girder.upload(path, folder_id)["itemId"], rgb


def nuclei_in(rgb):
    """About what a person would outline as nuclei, (height, width): haematoxylin lets no red through."""
    red = gaussian(rgb[..., 0], 2)
    tissue = red[red < threshold_otsu(red)]
    return opening(red < threshold_otsu(tissue), disk(3))
