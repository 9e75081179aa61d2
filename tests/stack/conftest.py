"""A real stack for these tests: its own ports, its own data, the environment that is built once."""

import os
import shutil
from pathlib import Path

import pytest

from local_stack.containers import check_docker
from local_stack.girder_site import MODELS
from local_stack.plan import StackError, private_plan
from local_stack.services import redis_service
from local_stack.stack import bring_up, take_down
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
