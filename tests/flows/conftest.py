"""Slides on a server, as several flows meet them."""

import pytest

from tests.girder_for_tests import SlideFolder


@pytest.fixture
def folder(girder):
    """A folder of slides on it."""
    return SlideFolder(girder)
