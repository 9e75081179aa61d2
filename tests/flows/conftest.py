"""A server with slides, as several flows meet it."""

import pytest

from tests.girder_for_tests import SlideFolder, fake_girder


@pytest.fixture
def girder():
    """A server that answers as Girder does."""
    with fake_girder() as girder:
        yield girder


@pytest.fixture
def folder(girder):
    """A folder of slides on it."""
    return SlideFolder(girder)
