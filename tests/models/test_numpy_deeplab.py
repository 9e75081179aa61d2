"""Our networks give what formulas of the original give, through a checkpoint under its names."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from deeplab.bundles.importers.tf1_architecture import GraphOptions
from deeplab.bundles.importers.tf1_checkpoint import import_tf1_checkpoint
from deeplab.models.outputs import SEMANTIC_LOGITS
from tests.bundles.tf1_for_tests import write_checkpoint
from tests.bundles.tiny_models import noise_tile
from tests.models.numpy_deeplab import Facts, Formulas, logits_of

TOLERANCE = 5e-4  # of the logits' standard deviation


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "side"),
    [("mobilenet_v2", 65), ("mobilenet_v2", 64), ("xception_41", 65), ("xception_41", 64)],
)
def test_a_checkpoint_gives_the_logits_of_the_formulas(backbone: str, side: int, tmp_path: Path):
    formulas, tile = Formulas(), noise_tile(side)
    expected = logits_of(formulas, backbone, tile[0])
    write_checkpoint(tmp_path / "m", formulas.variables)
    options = GraphOptions(atrous_rates=formulas.facts.rates, crop_size=side)
    network = import_tf1_checkpoint(tmp_path / "m", options).network
    logits = network(tile)[SEMANTIC_LOGITS][0]
    assert logits.shape == (-(-side // 4), -(-side // 4), 3)
    np.testing.assert_allclose(logits, expected, atol=TOLERANCE * expected.std(), rtol=0)


@pytest.mark.parametrize(
    ("changed", "backbone"),
    [
        ({"backbone_epsilon": 1e-5}, "mobilenet_v2"),
        ({"head_epsilon": 1e-3}, "mobilenet_v2"),
        ({"rates": (1, 2, 4)}, "mobilenet_v2"),
        ({"pooling_first": False}, "mobilenet_v2"),
        ({"aspp_first": False}, "mobilenet_v2"),
        ({"align_corners": False}, "mobilenet_v2"),
        ({"same_padding": False}, "mobilenet_v2"),
        ({"input_scale": 1 / 127}, "mobilenet_v2"),
        pytest.param({"explicit_padding": False}, "xception_41", marks=pytest.mark.slow),
    ],
)
def test_the_formulas_would_notice(changed: dict[str, object], backbone: str):
    tile = noise_tile(64)[0]
    right = logits_of(Formulas(), backbone, tile)
    wrong = logits_of(Formulas(replace(Facts(), **changed)), backbone, tile)
    assert np.abs(wrong - right).max() > 10 * TOLERANCE * right.std()
