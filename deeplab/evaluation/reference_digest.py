"""What a prediction was held against, as a word by which two evaluations are known to be alike."""

from __future__ import annotations

import hashlib

import shapely

from deeplab.config.evaluate_request import EvaluateRequest
from deeplab.evaluation.slide_score import Case

LETTERS = 16  # of the digest: enough to tell the references of one slide apart


def reference_digest(case: Case, request: EvaluateRequest) -> str:
    """Return a digest of what a slide's prediction is held against.

    It is the same for two predictions whose figures may be compared: those of one reference, within
    the same regions, by the same rules. The order in which shapes are stored changes nothing.
    """
    found = hashlib.sha256()
    names = case.truth.names
    rules = (request.border_um, request.min_iou, request.centroid_um, case.field.frame.work_mpp)
    # A class that only the prediction has lies over nothing of the reference.
    classes = [name for name in case.classes if name in names]
    others = [name for name in (request.ignore_class, request.region_layer) if name in names]
    found.update(repr((rules, classes, others)).encode())
    for name in (*classes, *others):
        shapes = case.truth.layer(name).shapes
        found.update(f"{name} {len(shapes)}".encode())
        for outline in sorted(shapely.to_wkb(shape.polygon) for shape in shapes):
            found.update(outline)
    if request.regions and case.regions is not None:
        for outline in sorted(map(shapely.to_wkb, case.regions)):
            found.update(outline)
    return found.hexdigest()[:LETTERS]
