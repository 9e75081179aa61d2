"""What makes two trainings the same, so that one may go on where the other stopped."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict

from deeplab.config.train_request import TrainRequest

# Where results go, where the work is done and with what rights change nothing of what is learnt.
_NOT_LEARNT_FROM = {
    "output_model", "output_report", "post_worst", "dry_run", "api_url", "token",
    "work_folder", "checkpoint_minutes", "checkpoint_folder",
    "gpu", "num_clones", "workers", "worker_index",
}  # fmt: skip


def agreed_settings(request: TrainRequest) -> str:
    """The settings in which two runs must agree, as text.

    An initial model counts by its content: a job's copy of it lies in another place every time.
    """
    settings = {k: v for k, v in asdict(request).items() if k not in _NOT_LEARNT_FROM}
    model = request.initial_model
    if model is not None and model.is_file():
        with model.open("rb") as file:
            settings["initial_model"] = hashlib.file_digest(file, "sha256").hexdigest()
    return json.dumps(settings, default=str, indent=1, sort_keys=True)
