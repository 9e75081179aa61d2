"""HoVer-Net learns nuclei from files of any form through the command, and then separates them."""

import json
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from deeplab.bundles.load import load_bundle
from deeplab.bundles.read import read_card
from deeplab_cli.main import main
from tests.flows.nuclei_for_tests import TYPES, nuclei_in_all_forms, paint_nuclei
from tests.flows.training_command import start_training, three_squares
from tests.processes_for_tests import running
from tests.training.test_distribution import free_addresses

pytestmark = pytest.mark.slow

WORDS = [
    *("--network", "hovernet", "--network_options", "decoder_width=32"),
    *("--classes", ",".join(TYPES), "--depth_multiplier", "0.35", "--gpu", "-1"),
    *("--slide_mpp", "0.5", "--work_mpp", "0.5", "--patch_size", "64", "--batch_size", "6"),
    *("--learning_rate", "6e-3", "--slow_start_step", "10", "--augment", "0"),
    *("--ema_decay", "0.9"),
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = nuclei_in_all_forms(tmp_path_factory.mktemp("nuclei"))
    model = tmp_path_factory.mktemp("model") / "nuclei.zip"
    words = ["--steps", "100", "--validate_every", "50"]
    report = ["--output_report", str(model.with_name("report.html"))]
    assert main(["train", str(folder), str(model), *WORDS, *words, *report]) == 0
    return folder, model


def test_a_short_training_finds_nuclei_that_it_has_not_seen(trained):
    _, model = trained
    card = read_card(model)
    assert card.classes.names == TYPES
    assert card.metrics["pq"] > 0.5
    assert min(card.metrics[f"pq {name}"] for name in TYPES) > 0.5
    page = ET.fromstring(model.with_name("report.html").read_text(encoding="utf-8"))
    told = " ".join(" ".join(page.itertext()).split())
    assert "HoVer-Net (light) on mobilenet_v2, 2 types" in told
    assert "PQ of lymphocyte" in told


def test_nuclei_that_touch_are_separate_on_the_slide_and_of_their_types(trained, tmp_path):
    _, model = trained
    rgb, instances, _ = paint_nuclei(99)
    Image.fromarray(rgb).save(tmp_path / "new.png")
    words = ["segment", str(tmp_path / "new.png"), "--model", str(model), "--slide_mpp", "0.5"]
    words += ["--tissue", "off", "--min_area_um2", "0", "--overlay", str(tmp_path / "overlay.png")]
    assert main([*words, "--annotation", str(tmp_path / "new.anot")]) == 0
    layers = json.loads((tmp_path / "new.anot").read_text())
    assert {layer["name"] for layer in layers} >= set(TYPES)
    found = sum(len(layer["elements"]) for layer in layers)
    assert 0.75 * instances.max() < found < 1.15 * instances.max()


def test_two_processes_learn_what_one_learns(tmp_path):
    slides = three_squares(tmp_path)
    options = {"classes": "nucleus", "network": "hovernet", "network_options": "decoder_width=8"}
    options |= {"depth_multiplier": 0.1, "patch_size": 48, "batch_size": 4, "steps": 2, "gpu": -1}
    options |= {"slow_start_step": 0, "validate_every": 2, "ema_decay": 0}
    # Adam would turn the least differences of small gradients into steps of either sign.
    options |= {"optimizer": "momentum", "learning_rate": 0.001}
    models = [tmp_path / str(count) / "model.zip" for count in range(3)]
    workers = ",".join(free_addresses(2))
    # Few steps find nothing, which has no SQ: that is no reason for a card or a page to fail.
    page = tmp_path / "report.html"
    commands = [start_training(slides, models[2], options, "--output_report", page)]
    commands += [
        start_training(slides, model, options, "--workers", workers, "--worker-index", str(worker))
        for worker, model in enumerate(models[:2])
    ]
    with running(*commands) as processes:
        ends = [(process.communicate(timeout=600)[1], process.returncode) for process in processes]
    assert [code for _, code in ends] == [0, 0, 0], ends
    assert "sq" not in read_card(models[2]).metrics
    assert "PQ" in page.read_text(encoding="utf-8")
    one, two = (load_bundle(models[number]).network for number in (2, 0))
    for alone, shared in zip(one.weights, two.weights, strict=True):
        np.testing.assert_allclose(shared, alone, atol=2e-3, err_msg=alone.path)
