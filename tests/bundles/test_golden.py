"""Checkpoints of the original graph give the logits that it gave."""

import json
import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeplab.bundles.importers.tf1_architecture import GraphOptions
from deeplab.bundles.importers.tf1_checkpoint import import_tf1_checkpoint
from deeplab.bundles.load import load_bundle
from deeplab.models.dense.decode import predictor
from deeplab_cli.main import main
from tests.bundles.tf1_for_tests import write_checkpoint
from tests.golden.golden_files import GOLDEN, SHARED

TOOL = SHARED / "tools/golden_checkpoint"
pytestmark = pytest.mark.skipif(
    not (TOOL.exists() and GOLDEN.is_dir()),
    reason="the golden files of the original are not beside this repository",
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mobilenet_v2_aspp_dec", GraphOptions()),
        ("resnet_v1_50_beta", GraphOptions(multi_grid=(1, 2, 4))),
        ("xception_65", GraphOptions()),
    ],
)
def test_a_checkpoint_of_the_original_gives_its_logits_and_labels(
    name: str, options: GraphOptions, tmp_path: Path
):
    golden = GOLDEN / f"{name}/golden.npz"
    prefix = tmp_path / "model.ckpt-1"
    subprocess.run([sys.executable, TOOL, golden, prefix], check=True, capture_output=True)
    expected = np.load(golden)
    network = import_tf1_checkpoint(prefix, options).network
    image = next(iter(np.load(GOLDEN / "image_513.npz").values()))[None]
    logits = tf.function(network)(image)["semantic_logits"][0]
    np.testing.assert_allclose(logits, expected["logits"], atol=1e-3, rtol=0)
    labels = tf.function(predictor(network, tile=513))(image)["labels"][0]
    assert np.mean(labels == expected["labels"]) >= 0.999


RATES = "--atrous-rates 6 12 18"
HEAD = f"{RATES} --output-stride 16 --decoder-output-stride 4"
V3 = (
    "--output-stride 32 --decoder-output-stride 8 --image-pooling-crop-size 513 "
    "--image-pooling-stride 4 5 --aspp-filters 128 --no-concat-projection --aspp-squeeze-excite "
    "--decoder-sum-merge --decoder-filters 5 --decoder-output-is-logits"
)
# What no golden file is here for: the words of its import, the side and the logits of the graph.
NAMES_ONLY = [
    ("mobilenet_v2", "--output-stride 16", 513, 33),
    ("mobilenet_v3_large_seg", V3, 513, 65),
    ("mobilenet_v3_small_seg", V3, 513, 65),
    ("nas_hnasnet", f"{RATES} --output-stride 8 --decoder-output-stride 4", 513, 129),
    ("nas_pnasnet", HEAD, 513, 129),
    ("resnet_v1_18_beta", HEAD, 513, 129),
    ("resnet_v1_50", HEAD, 513, 129),
    ("resnet_v1_101_beta", f"{HEAD} --multi-grid 1 2 4", 513, 129),
    ("xception_41", HEAD, 513, 129),
    ("xception_65_512", HEAD, 512, 128),
    (
        "xception_65_os8",
        "--atrous-rates 12 24 36 --output-stride 8 --decoder-output-stride 4",
        513,
        129,
    ),
    ("xception_71", HEAD, 513, 129),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "words", "side", "logits"), NAMES_ONLY)
def test_a_checkpoint_of_every_variable_of_the_original_is_imported_whole(
    name: str, words: str, side: int, logits: int, tmp_path: Path
):
    lines = (GOLDEN / f"variables/{name}.tsv").read_text().splitlines()
    shapes = {n: tuple(json.loads(shape)) for n, shape in (line.split("\t") for line in lines)}
    write_checkpoint(tmp_path / "m", {n: np.ones(s, np.float32) for n, s in shapes.items()})
    model = tmp_path / "model.zip"
    given = f"--architecture {re.sub('_(512|os8)$', '', name)} {words} --crop-size {side}"
    given += f" --classes a,b,c,d,e --output {model}"
    assert main(["import-checkpoint", str(tmp_path / "m"), *given.split()]) == 0
    bundle = load_bundle(model)
    assert bundle.card.classes.names == ("b", "c", "d", "e")
    maps = bundle.network.compute_output_spec(keras.KerasTensor((1, side, side, 3), "uint8"))
    assert maps["semantic_logits"].shape == (1, logits, logits, 5)


def test_every_configuration_of_the_original_is_tried():
    listed = {path.stem for path in (GOLDEN / "variables").glob("*.tsv")}
    golden = {path.parent.name for path in GOLDEN.glob("*/golden.npz")}
    assert listed == golden | {name for name, *_ in NAMES_ONLY}
