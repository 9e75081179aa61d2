"""A U-Net from the command: trained, said in the report and card, and segmented with."""

import numpy as np
import pytest
import tifffile

from deeplab.bundles.read import read_card
from deeplab_cli.main import main
from tests.flows.training_command import start_training, three_squares

pytestmark = pytest.mark.slow

TRAINING = {
    "classes": "lesion",
    "backbone": "mobilenet_v2",
    "depth_multiplier": 0.25,
    "patch_size": 64,
    "batch_size": 4,
    "work_mpp": 0.5,
    "steps": 60,
    "slow_start_step": 5,
    "learning_rate": 1e-2,
    "augment": 0.2,
}
OPTIONS = "depth=3,decoder_channels=32 16 16,attention=scse"


@pytest.mark.parametrize("network", ["unet", "unetplusplus"])
def test_a_network_is_trained_and_segments_alike_in_tiles_of_any_size(tmp_path, network):
    slides, model, report = three_squares(tmp_path), tmp_path / "m.zip", tmp_path / "report.html"
    asked = TRAINING | {"network": network, "network_options": OPTIONS, "output_report": report}
    process = start_training(str(slides), str(model), asked)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    config = read_card(model).config
    assert (config.depth, config.attention, config.decoder_channels) == (3, "scse", (32, 16, 16))
    assert config.describe() in report.read_text(encoding="utf-8")
    masks = []
    for side in (288, 320):
        mask = tmp_path / f"{side}.tiff"
        words = ["--model", model, "--output_mask", mask, "--tile_size", side]
        assert main(["segment", str(slides / "0.tiff"), *map(str, words)]) == 0
        masks.append(tifffile.imread(mask))
    assert np.mean(masks[0] == masks[1]) > 0.999
    square = masks[0][45:95, 55:125]
    assert np.mean(square == 1) > 0.8
    assert np.mean(masks[0] == 1) < 0.4
