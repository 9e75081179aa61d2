"""A real stack for these tests: its own ports, its own data, the environment that is built once."""

import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

from local_stack.containers import check_docker
from local_stack.girder_site import MODELS
from local_stack.plan import StackError, private_plan
from local_stack.services import redis_service
from local_stack.stack import bring_up, take_down
from tests.stack.histomicsui import FLAGS, log_in
from tests.stack.running_site import Site


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.stack)
            item.add_marker(pytest.mark.timeout(1800))


@pytest.fixture(scope="session")
def stack(tmp_path_factory):
    """Everything up, the slide and the demonstration model uploaded, the tasks registered."""
    plan = private_plan(tmp_path_factory.mktemp("stack"))
    try:
        check_docker()
        redis_service(plan)
    except StackError as missing:
        # Where nothing may be missing, a silent skip would look like a pass.
        (pytest.fail if os.environ.get("CI") else pytest.skip)(str(missing))
    try:
        yield bring_up(plan, print)
    finally:
        take_down(plan)
        shutil.rmtree(plan.data / "mongo", ignore_errors=True)  # the logs stay


@pytest.fixture(scope="session")
def site(stack):
    return Site(stack, stack.girder)


@pytest.fixture(scope="session")
def model_id(site):
    """File id of the demonstration model in Girder."""
    bundles = sorted(MODELS.glob("*.zip"))
    assert bundles, f"{MODELS} holds no model"
    found = site.girder.get("resource/search", q=bundles[0].name, mode="prefix", types=["item"])
    return site.file_id(found["item"][0]["_id"])


@pytest.fixture(scope="module")
def browser():
    """Debian's Chromium; it draws on the CPU, even nothing, so it ends with a module's tests."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        sentence = "chromium was not found (on Debian: apt-get install chromium)"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(sentence)
    expect.set_options(timeout=30_000)  # tasks run on the same processors
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser, site):
    """HistomicsUI with the administrator logged in."""
    page = log_in(browser, site)
    yield page
    page.context.close()
