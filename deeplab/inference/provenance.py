"""Where an annotation comes from: model, settings, versions, written into its attributes."""

from __future__ import annotations

from dataclasses import asdict
from uuid import uuid4

from deeplab import __version__
from deeplab.bundles.card import Card
from deeplab.config.classify_request import ClassifyRequest
from deeplab.config.requests import SegmentRequest
from deeplab.files import file_digest
from deeplab.geometry.frames import WorkFrame
from deeplab.slides.slide import Slide

_NOT_TOLD = {"token", "api_url"}


def provenance(
    task: str,
    request: SegmentRequest | ClassifyRequest,
    card: Card,
    slide: Slide,
    frame: WorkFrame,
    runtime: str,
    unlike: str = "",
) -> dict[str, object]:
    """Attributes by the convention of HistomicsTK's tasks: cli, version, params, and our own.

    `run` is another one at each call: what says the same was put there together. `unlike` says in
    what the slide is unlike those that the model learnt from.
    """
    params = {
        name: value if isinstance(value, int | float | str | bool | None) else str(value)
        for name, value in asdict(request).items()
        if name not in _NOT_TOLD
    }
    return {
        "cli": task,
        "version": __version__,
        "run": uuid4().hex,
        "params": params,
        "model": {
            "name": request.model.name,
            "sha256": file_digest(request.model),
            "family": card.family,
            "classes": list(card.classes.names),
            "trained_on": card.trained_on,
            "demonstration": card.demonstration,
            "notice": card.notice,
        },
        "slide": {
            "name": slide.name,
            "reader": slide.reader,
            "mpp": slide.mpp.mean,
            **({"channels": [each.to_json() for each in slide.seen]} if slide.seen else {}),
            **({"unlike": unlike} if unlike else {}),
        },
        "work_mpp": frame.work_mpp,
        "runtime": runtime,
    }
