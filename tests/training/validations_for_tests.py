"""Validations made up of planted label maps, without a network."""

import numpy as np

from deeplab.evaluation.semantic import Confusion
from deeplab.geometry.frames import Mpp, WorkBox, WorkFrame
from deeplab.training.validation.results import Region, Validation, ValidationScore

SIDE = 64


def region(errors, *, slide="a", at=(0, 0), ignored=0, frame=None, truth_label=1, predicted=2):
    """A region of SIDE x SIDE whose first `errors` pixels of `truth_label` are predicted wrongly."""
    truth = np.full((SIDE, SIDE), truth_label, np.uint8)
    prediction = truth.copy()
    prediction.flat[:errors] = predicted
    truth.flat[truth.size - ignored :] = 255
    tally = Confusion(3)
    tally.add(truth, prediction)
    return Region.of(
        slide,
        frame or WorkFrame.over(4096, 4096, Mpp.square(0.5), 0.5),
        WorkBox(*at, SIDE, SIDE),
        tally=tally,
        judged_px=tally.pixels,
        prediction={"labels": prediction},
    )


def validation(regions, *, step=100):
    """Regions and the scores of their slides."""
    names = dict.fromkeys(piece.slide for piece in regions)
    scores = []
    for name in names:
        own = [piece for piece in regions if piece.slide == name]
        scores.append(
            ValidationScore(
                slide=name,
                tally=sum((piece.tally for piece in own), Confusion(3)),
                work_mpp=0.5,
                chosen_px=len(own) * SIDE**2,
                region_px=len(own) * SIDE**2,
            )
        )
    return Validation(step=step, nothing=Confusion(3), slides=tuple(scores), regions=tuple(regions))
