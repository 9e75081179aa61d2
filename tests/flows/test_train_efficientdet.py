"""An EfficientDet from the command: trained, said in the report and card, and segmented with."""

import numpy as np
import pytest
import tifffile

from deeplab.bundles.read import read_card
from deeplab_cli.main import main
from tests.flows.training_command import start_training, three_squares

pytestmark = pytest.mark.slow

TRAINING = {
    "classes": "lesion",
    "network": "efficientdet_seg",
    "network_options": "fpn_filters=16,fpn_cells=1,batch_norm_decay=0.9",
    "patch_size": 128,
    "batch_size": 4,
    "work_mpp": 0.5,
    "steps": 160,
    "slow_start_step": 5,
    "learning_rate": 1e-2,
    "augment": 0.2,
}


# A minute or two on a machine that has nothing else to do.
@pytest.mark.timeout(1500)
def test_a_network_is_trained_and_segments_alike_in_tiles_of_any_size(tmp_path):
    slides, model, report = three_squares(tmp_path), tmp_path / "m.zip", tmp_path / "report.html"
    process = start_training(str(slides), str(model), TRAINING | {"output_report": report})
    _, errors = process.communicate(timeout=1200)
    assert process.returncode == 0, errors
    card = read_card(model)
    assert (card.config.size, card.config.fpn_cells, card.config.fusion) == ("d0", 1, "relu")
    assert card.halo == 512  # three cells of the coarsest map and half a crop, in whole cells
    assert card.config.describe() in report.read_text(encoding="utf-8")
    masks = []
    for side in (1152, 1280):
        mask = tmp_path / f"{side}.tiff"
        words = ["--model", model, "--output_mask", mask, "--tile_size", side]
        assert main(["segment", str(slides / "0.tiff"), *map(str, words)]) == 0
        masks.append(tifffile.imread(mask))
    assert np.mean(masks[0] == masks[1]) > 0.999
    square = masks[0][45:95, 55:125]
    assert np.mean(square == 1) > 0.8
    assert np.mean(masks[0] == 1) < 0.4


def test_a_patch_of_another_side_is_one_sentence(tmp_path, capsys):
    slides = three_squares(tmp_path)
    words = ["--classes", "lesion", "--network", "efficientdet_seg", "--patch_size", "1000"]
    assert main(["train", str(slides), str(tmp_path / "m.zip"), *words]) == 2
    said = capsys.readouterr().err
    assert "patch_size must be a multiple of 128 for EfficientDet-D0" in said
    assert len(said.strip().splitlines()) == 1
