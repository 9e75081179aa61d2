"""Channels of pixels."""

import pytest

from deeplab.config.channels import RGB, Channels
from deeplab.errors import ConfigError


def test_brightfield_is_three_channels_on_white_glass():
    assert (RGB.names, len(RGB), RGB.outside) == (("R", "G", "B"), 3, 255)
    assert len(Channels(("DAPI",), outside=0)) == 1


@pytest.mark.parametrize(
    ("names", "outside", "sentence"),
    [
        ((), 255, "channels must be 1 to 32 names"),
        (("a",) * 33, 255, "channels must be 1 to 32 names"),
        (("R", "R"), 255, "channels must be different names, but is 'R, R'"),
        (("R", ""), 255, "channels must be different names"),
        (("DAPI",), 256, "outside must be from 0 to 255, but is 256"),
    ],
)
def test_channels_that_cannot_be_are_refused(names: tuple[str, ...], outside: int, sentence: str):
    with pytest.raises(ConfigError, match=sentence):
        Channels(names, outside=outside)
