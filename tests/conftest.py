"""What all tests share: no deadlines for examples, and a server as many tests meet it."""

import gc
import os
import shutil
import tempfile

import pytest
from hypothesis import settings
from large_image.cache_util import cachesClear, cachesInfo

from deeplab.inference.conversions import CACHE_VARIABLE
from deeplab.server.session import Session
from tests.deadline import order_tests, skip_after_deadline
from tests.girder_for_tests import QUICK, fake_girder

# A machine that is busy is no defect of ours; what spins is ended by the timeout of pytest.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_configure(config):
    """Give all tests, and the processes that they start, one cache that goes with them."""
    if not hasattr(config, "workerinput"):
        os.environ[CACHE_VARIABLE] = tempfile.mkdtemp(prefix="deeplab-cache-of-tests-")


def pytest_unconfigure(config):
    """Remove it."""
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ[CACHE_VARIABLE], ignore_errors=True)


def pytest_collection_modifyitems(items):
    order_tests(items)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    skip_after_deadline(item)


@pytest.fixture(autouse=True, scope="module")
def _sources_end_here():
    """Let large_image forget the sources that a module's tests made.

    A file that one of them left open warns when it is forgotten: here, not in a test of another
    module that happens to need room.
    """
    yield
    if cachesInfo().get("tilesource", {}).get("used"):
        cachesClear()
        gc.collect()


@pytest.fixture
def girder():
    """A server that answers as Girder does, and has nothing yet."""
    with fake_girder() as girder:
        yield girder


@pytest.fixture
def session(girder):
    """A session with it that is soon out of patience."""
    with Session(girder.login, patience=QUICK) as session:
        yield session
