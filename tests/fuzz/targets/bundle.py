"""A model: a zip of a card and weights."""

from __future__ import annotations

import random
from pathlib import Path

from deeplab.bundles.load import load_bundle
from deeplab.bundles.read import is_bundle, read_card
from deeplab.bundles.save import save_bundle
from tests.bundles.tiny_models import tiny_card, tiny_network
from tests.fuzz.harness import Target

LOADED = 0.1  # share of the cases in which a network is built, which takes a second


def write_seeds(folder: Path) -> list[Path]:
    """Write a small model."""
    save_bundle(tiny_network(), tiny_card(), folder / "model.zip")
    return [folder / "model.zip"]


def parse(path: Path) -> object:
    """Read the card as every task does first, and now and then the weights."""
    if is_bundle(path):
        read_card(path)
    if random.Random(path.read_bytes()).random() < LOADED:
        load_bundle(path)
    return path


TARGET = Target(name="bundle", seeds=write_seeds, parse=parse)
