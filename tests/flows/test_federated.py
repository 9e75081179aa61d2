"""Rounds of training on several sites, by the very commands of the how-to page."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deeplab.annotations.raster.rasterize import draw
from deeplab.bundles.learnt_appearance import LearntAppearance, facts_to_tell
from deeplab.bundles.read import read_card
from deeplab.config.progress import silent
from deeplab.config.requests import SegmentRequest
from deeplab.evaluation.semantic import Confusion
from deeplab.geometry.frames import Mpp, WorkFrame
from deeplab.inference.segment import segment_slide
from deeplab_cli.main import main
from tests.flows.test_train import SIDE, paint
from tests.slides_for_tests import write_tiff

HOW_TO = Path(__file__).parents[2] / "docs/how-to"
RECIPE = "docs/how-to/federated.toml"
TINY_RECIPE = """
classes = ["lesion"]
depth_multiplier = 0.25
atrous_rates = [1, 2]
aspp_filters = 16
decoder_filters = 16
patch_size = 65
batch_size = 6
slow_start_step = 3
learning_rate = 1e-2
augment = 0.2
ema_decay = 0.0
steps = 40
decay_steps = 1500
init_last_layer = true
validation_fraction = 0.0
gpu = -1
"""

pytestmark = pytest.mark.slow


def commands():
    """The words after `deeplab` of each command of the page."""
    page = (HOW_TO / "federated-rounds.md").read_text(encoding="utf-8")
    for line in re.findall(r"^deeplab .*$", page, re.MULTILINE):
        yield shlex.split(line)[1:]


@pytest.fixture(scope="module")
def rounds(tmp_path_factory):
    """A folder with the models of all rounds of the page, on two sites of two slides each."""
    folder = tmp_path_factory.mktemp("federation")
    for seed, site in enumerate(("site-a", "site-b", "site-a", "site-b")):
        rgb, labels = paint(seed)
        (folder / site).mkdir(exist_ok=True)
        write_tiff(folder / site / f"{seed}.tiff", rgb, compression="deflate")
        Image.fromarray(labels).save(folder / site / f"{seed}.mask.png")
    (folder / "tiny.toml").write_text(TINY_RECIPE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for words in commands():
            assert main(["tiny.toml" if word == RECIPE else word for word in words]) == 0, words
    return folder


def dice(model, tmp_path):
    """Of the lesions on a slide that no site has."""
    rgb, labels = paint(99)
    slide = write_tiff(tmp_path / "new.tiff", rgb, compression="deflate")
    request = SegmentRequest(slide=str(slide), model=model, output_annotation=tmp_path / "o.anot")
    found = segment_slide(request, silent).annotations
    frame = WorkFrame.over(SIDE, SIDE, Mpp.square(0.5), 0.5)
    confusion = Confusion(2)
    confusion.add(labels, draw(found, {"lesion": 1}, frame.box, frame))
    return float(np.nan_to_num(confusion.dice[1]))


def test_rounds_on_two_sites_make_the_common_model_better(rounds, tmp_path):
    before, after = (dice(rounds / f"common-{n}.zip", tmp_path) for n in (0, 2))
    assert after > before + 0.1
    assert after > 0.5


def test_the_common_model_says_who_made_it(rounds):
    training = read_card(rounds / "common-2.zip").training
    told = facts_to_tell(training).values()
    assert [str(value).split(",")[:2] for value in told] == [
        ["a-2.zip", " share 0.750"],
        ["b-2.zip", " share 0.250"],
    ]
    sites = [LearntAppearance.from_card(read_card(rounds / f"{site}-2.zip")) for site in "ab"]
    common = LearntAppearance.from_card(read_card(rounds / "common-2.zip"))
    assert common.slides == sites[0].slides + sites[1].slides
