"""The loss of nuclei is HoVer-Net's own where its conventions are asked for."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from deeplab.config.train_request import LossSettings
from deeplab.models.hovernet.losses import nuclei_loss
from deeplab.models.loss import loss_terms
from tests.golden.golden_files import each_golden
from tests.models.hovernet_for_tests import NucleiConfig

NAMES = {
    "np_bce": "np cross entropy",
    "np_dice": "np Dice",
    "tp_bce": "tp cross entropy",
    "tp_dice": "tp Dice",
    "hv_mse": "hv",
    "hv_msge": "hv gradient",
}
Arrays = dict[str, NDArray[Any]]


def terms_of(targets: Arrays, maps: Arrays) -> dict[str, float]:
    """Each term of the loss of a batch."""
    config = NucleiConfig(
        convention="original", gradients="cross_axis", type_count=maps["tp"].shape[-1] - 1
    )
    loss = nuclei_loss(config, LossSettings(dice_weight=1))
    totals = loss.weights(targets, 0).numpy().sum(axis=0)
    terms = loss_terms(loss.errors(targets, maps, 0), totals).numpy()
    return dict(zip(loss.terms, terms, strict=True))


def as_one_patch(arrays: Arrays) -> Arrays:
    """The patches of a batch one below the other: Dice is then that of the batch."""
    return {name: array.reshape(1, -1, *array.shape[2:]) for name, array in arrays.items()}


@each_golden("hovernet", "losses")
def test_original_losses(golden: Path):
    with np.load(golden) as file:
        arrays = dict(file)
    targets = {branch: arrays[f"true_{branch}"] for branch in ("np", "hv", "tp")}
    probability = arrays["prob_np"].astype(np.float64)
    maps = {
        "np": np.log(np.stack([1 - probability, probability], axis=-1)).astype(np.float32),
        "hv": arrays["pred_hv"],
        "tp": arrays["logits_tp"],
    }
    terms = terms_of(targets, maps)
    of_batch = terms_of(as_one_patch(targets), as_one_patch(maps))
    for theirs, ours in NAMES.items():
        value = (of_batch if ours.endswith("Dice") else terms)[ours]
        assert value == pytest.approx(float(arrays[theirs]), rel=1e-5), ours
