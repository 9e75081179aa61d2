"""Folders of small slides with annotations beside them, painted in code."""

import json
from pathlib import Path

import numpy as np

from deeplab.config.train_request import TrainRequest
from tests.slides_for_tests import PINK, write_tiff


def square(x, y, side, **more):
    points = [[x, y, 0], [x + side, y, 0], [x + side, y + side, 0], [x, y + side, 0]]
    return {"type": "polyline", "closed": True, "points": points, **more}


def document(**layers):
    """HistomicsUI JSON; a layer's elements by its name."""
    return json.dumps([{"name": name, "elements": found} for name, found in layers.items()])


def write_slide(path, *, side=128, mpp=0.5, **layers):
    """A pink slide and, if any layer is given, its annotation beside it."""
    rgb = np.full((side, side, 3), PINK, np.uint8)
    write_tiff(path, rgb, mpp=mpp, tile=64, compression="deflate")
    if layers:
        path.with_suffix(".json").write_text(document(**layers))
    return path


def request(source, *classes, **settings):
    out = settings.pop("output_model", Path("never-written.zip"))
    given = {"patch_size": 65, "work_mpp": 0.5, "validation_fraction": 0.0} | settings
    return TrainRequest(source=str(source), output_model=out, classes=classes, **given)
