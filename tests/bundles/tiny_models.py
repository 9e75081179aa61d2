"""Small networks with cards, for tests of whatever needs a model."""

import keras
import numpy as np

from deeplab.bundles.card import Card
from deeplab.bundles.learnt_appearance import LearntAppearance
from deeplab.config.classes import ClassList
from deeplab.config.deeplabv3plus import DeepLabV3PlusConfig
from deeplab.models.registry import family_of
from deeplab.slides.appearance import Appearance

TINY = DeepLabV3PlusConfig(
    label_count=3,
    depth_multiplier=0.1,
    atrous_rates=(2,),
    crop_size=65,
    aspp_filters=8,
    decoder_filters=8,
    low_level_filters=4,
)


def tiny_card(**changes: object) -> Card:
    return Card(
        **{
            "config": TINY,
            "classes": ClassList.named(["glomerulus", "vessel"]),
            "work_mpp": 0.5,
            "mpp_range": (0.4, 0.6),
            "tile": 129,
            "halo": 16,
            "trained_on": "nothing",
            "training": {"steps": 10, "seed": None},
            "metrics": {"dice": 0.5},
            "versions": {"histomics-deeplab": "0"},
            "demonstration": True,
            "notice": "For tests only.",
            **changes,
        }
    )


def tiny_network(config: DeepLabV3PlusConfig = TINY, seed: int = 0) -> keras.Model:
    """A network whose every weight, batch norms included, differs from its initial value."""
    network = family_of(config).build(config)
    rng = np.random.default_rng(seed)
    for variable in network.weights:
        value = rng.normal(0, 1, variable.shape)
        if variable.name in ("moving_variance", "gamma"):
            value = 1 + 0.1 * np.abs(value)
        elif variable.name == "kernel":
            fan_in = np.prod(variable.shape[:-1]) if variable.shape[-1] > 1 else 9
            value = value * np.sqrt(2 / fan_in)
        else:
            value = 0.1 * value
        variable.assign(value.astype(np.float32))
    return network


def noise_tile(side: int, seed: int = 0, count: int = 1) -> np.ndarray:
    """Random uint8 RGB (count, side, side, 3) with structure at several scales."""
    rng = np.random.default_rng(seed)
    tile = np.zeros((count, side, side, 3))
    for cell in (1, 4, 16):
        coarse = rng.uniform(0, 85, (count, side // cell + 1, side // cell + 1, 3))
        tile += coarse.repeat(cell, 1).repeat(cell, 2)[:, :side, :side]
    return tile.astype(np.uint8)


def look_facts(*densities: float) -> dict[str, float]:
    """The facts of a model that learnt from a slide of each density."""
    slides = [Appearance(np.array([each, -0.4, 0.4]), None, 1.0) for each in densities]
    return LearntAppearance.of(slides).facts()
