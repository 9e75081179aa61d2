"""The focal loss and the figures of DEDL's classification."""

from pathlib import Path

import numpy as np
import pytest

from deeplab.config.patch_classifier import PatchClassifierConfig
from deeplab.config.train_request import LossSettings
from deeplab.evaluation.patch_tally import PatchTally
from deeplab.models.patch_classifier.losses import patch_loss
from tests.golden.golden_files import each_golden, meta_of


@each_golden("dedl", "classification loss and score")
def test_the_focal_loss_and_the_score_are_the_originals(golden: Path):
    meta = meta_of(golden)
    with np.load(golden) as arrays:
        logits, truth = arrays["logits"], arrays["target"]
    config = PatchClassifierConfig(
        classes=truth.shape[1], crop_size=64, problem="multi_label", backbone="resnet_18"
    )
    settings = LossSettings(loss="focal", class_weights=tuple(meta["class_weights"]))
    loss = patch_loss(config, settings)
    targets = {"classes": truth, "known": np.ones(len(truth), np.float32)}
    errors = np.asarray(loss.errors(targets, {"classes": logits}, 0)).sum()
    assert errors / np.asarray(loss.weights(targets, 0)).sum() == pytest.approx(
        meta["focal"], rel=1e-5
    )
    tally = PatchTally.of_scores(1 / (1 + np.exp(-logits)), truth, exclusive=False)
    right, wrong, missed = (int(each.sum()) for each in tally.decided(None))
    assert (right, wrong, missed) == (meta["tp"], meta["fp"], meta["fn"])
    _, recall, f1 = tally.micro()
    assert recall == pytest.approx(meta["score_called_f1"], abs=1e-6)
    assert f1 == pytest.approx(meta["real_f1"], abs=1e-6)
