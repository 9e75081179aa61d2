"""A server as many tests meet it."""

import pytest

from deeplab.server.session import Session
from tests.girder_for_tests import QUICK, fake_girder


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
