"""Checkpoints of the original graph give the logits that it gave."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from deeplab.bundles.importers.tf1_checkpoint import (
    GraphOptions,
    import_tf1_checkpoint,
    infer_config,
)
from deeplab.bundles.importers.tf1_names import tf1_name
from deeplab.bundles.weights import named_weights
from deeplab.models.deeplabv3plus.decode import predictor
from deeplab.models.deeplabv3plus.network import build

SHARED = Path(__file__).parents[2].parent / "shared"
TOOL = SHARED / "tools/golden_checkpoint"
pytestmark = pytest.mark.skipif(
    not TOOL.exists(), reason="the golden files of the original are not beside this repository"
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
    golden = SHARED / f"golden/{name}/golden.npz"
    prefix = tmp_path / "model.ckpt-1"
    subprocess.run([sys.executable, TOOL, golden, prefix], check=True, capture_output=True)
    expected = np.load(golden)
    network = import_tf1_checkpoint(prefix, options).network
    image = next(iter(np.load(SHARED / "golden/image_513.npz").values()))[None]
    logits = tf.function(network)(image)["semantic_logits"][0]
    np.testing.assert_allclose(logits, expected["logits"], atol=1e-3, rtol=0)
    labels = tf.function(predictor(network, tile=513))(image)["labels"][0]
    assert np.mean(labels == expected["labels"]) >= 0.999


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mobilenet_v2", GraphOptions()),
        ("resnet_v1_18_beta", GraphOptions()),
        ("resnet_v1_50", GraphOptions()),
        ("resnet_v1_101_beta", GraphOptions(multi_grid=(1, 2, 4))),
        ("xception_41", GraphOptions()),
        ("xception_65_os8", GraphOptions(output_stride=8)),
        ("xception_71", GraphOptions()),
    ],
)
def test_the_network_inferred_has_every_variable_of_the_original(name: str, options: GraphOptions):
    lines = (SHARED / f"golden/variables/{name}.tsv").read_text().splitlines()
    shapes = {n: tuple(json.loads(shape)) for n, shape in (line.split("\t") for line in lines)}
    config = infer_config(shapes, options, Path(name))
    assert name.startswith(config.backbone)
    ours = named_weights(build(config))
    assert {tf1_name(n, config.backbone): tuple(v.shape) for n, v in ours.items()} == shapes
