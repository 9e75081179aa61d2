"""HistomicsUI in a browser, as these tests use it: log in, run an analysis, look at its layers."""

import io
import re
import time

import numpy as np
from PIL import Image, ImageChops
from playwright.sync_api import expect
from skimage import measure

from local_stack.girder_site import ADMIN
from local_stack.plan import admin_password
from tests.stack.running_site import JOB_STATUS, log

# Chromium draws the slide by WebGL in software, and asks nothing of the outside.
FLAGS = [
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SLIDE_VIEW = {"x": 420, "y": 60, "width": 660, "height": 880}  # of the window, in CSS pixels


def log_in(browser, site):
    """HistomicsUI in a window of its own, the administrator logged in."""
    context = browser.new_context(viewport={"width": 1500, "height": 950})
    page = context.new_page()
    context.set_default_timeout(120_000)  # tasks run on the same processors
    page.goto(f"{site.girder.url}/histomics")
    page.locator(".g-login").first.click()
    page.fill("#g-login", ADMIN)
    page.fill("#g-password", admin_password(site.running.plan))
    page.click("#g-login-button")
    page.get_by_text(ADMIN).first.wait_for()
    wait_for_dialog_to_close(page)
    return page


def choose_analysis(page, task, first_field, shots):
    """Open the task through the menu Analyses."""
    page.click(".h-analyses-dropdown-link")
    menu = page.locator(".h-analyses-dropdown")
    menu.get_by_text("histomics-deeplab").click()
    menu.get_by_text("latest").click()
    item = page.locator(f".h-analysis-item[data-cli={task}]")
    item.wait_for()
    page.screenshot(path=shots / "1-menu.png")
    item.click()
    page.locator(f"[data-control-id={first_field}]").wait_for()


def submit(page, site):
    """Start the analysis in the panel, and wait for its good end."""
    page.wait_for_timeout(1000)
    with page.expect_response(lambda reply: reply.url.endswith("/run")) as answer:
        page.click(".s-info-panel-submit")
    job, _ = site.wait(answer.value.json())
    assert JOB_STATUS[job["status"]] == "success", log(job)


def wait_for_dialog_to_close(page):
    """Wait until the next dialog may open.

    A dialog vanishes before the shade behind it, and Bootstrap 3 takes away with that shade the one
    of a dialog opened in between, which then is never shown.
    """
    page.locator(".modal-backdrop").first.wait_for(state="detached")
    page.locator("#g-dialog-container .modal-dialog").wait_for(state="hidden")


def draw_region(page, to=(860, 420)):
    """Draw a rectangle over dense tissue with the mouse."""
    page.locator("[data-control-id=region] .s-select-region-button").first.click()
    page.wait_for_timeout(500)
    page.mouse.move(720, 250)
    page.mouse.down()
    page.mouse.move(800, 330, steps=5)
    page.mouse.move(*to, steps=5)
    page.mouse.up()
    field = page.locator("[data-control-id=region] input[type=text]").first
    expect(field).not_to_have_value(re.compile("^-1"), timeout=30_000)


def show_layers(page, names, shots, name="3-layers", least=500):
    """Hide all layers, show all layers: the slide must look different, in `least` pixels."""
    panel = page.locator(".h-annotation-selector")
    for layer in names:
        panel.get_by_text(layer, exact=False).first.wait_for(timeout=120_000)
    page.wait_for_timeout(1000)
    page.click(".h-hide-all-annotations")
    page.wait_for_timeout(2000)
    bare = slide_picture(page)
    page.click(".h-show-all-annotations")
    page.wait_for_timeout(4000)
    deadline = time.monotonic() + 120  # very many outlines take their time
    while (seen := changed(slide_picture(page), bare)) <= least and time.monotonic() < deadline:
        page.wait_for_timeout(2000)
    page.screenshot(path=shots / f"{name}.png")
    assert seen > least, "the layers are not visible on the slide"


def changed(picture, other):
    """The number of pixels that are not the same in two pictures."""
    return (np.asarray(ImageChops.difference(picture, other)).max(axis=2) > 24).sum()


def slide_picture(page):
    return Image.open(io.BytesIO(page.screenshot(clip=SLIDE_VIEW))).convert("RGB")


def outlined(name, is_object):
    """An annotation of the objects in a mask (h, w) of a slide's full resolution."""
    elements = [
        {"type": "polyline", "closed": True, "points": [[x - 0.5, y - 0.5, 0] for y, x in ring]}
        for ring in measure.find_contours(np.pad(is_object, 1).astype(float), 0.5)
    ]
    return {"name": name, "elements": elements}
