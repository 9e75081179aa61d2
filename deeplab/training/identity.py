"""What makes two trainings the same, so that one may go on where the other stopped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import shapely

from deeplab.bundles.checkpoint_files import index_beside
from deeplab.config.train_request import TrainRequest
from deeplab.data.truth import AnnotatedSlide, Polygons
from deeplab.files import file_digest, real_place

# Where results go, where and in how much memory the work is done, with what rights, and which
# of the models on the way is kept, change nothing of what is learnt. Nor does who chose a setting.
_NOT_LEARNT_FROM = {
    "output_model", "output_report", "post_worst", "dry_run", "api_url", "token",
    "validate_every", "early_stopping", "keep", "compare_without_companion",
    "work_folder", "checkpoint_minutes", "checkpoint_folder",
    "gpu", "num_clones", "workers", "worker_index", "reduce_precision", "rematerialisation",
    "hours", "fixed", "plan",
}  # fmt: skip

# Settings that older versions did not have: left out where they are as those versions were, so that
# a training goes on from its checkpoints of before.
_ADDED_LATER = (
    "network",
    "network_options",
    "channels",
    "intensity_window",
    "untyped_layer",
    "initial_encoder",
    "recipe",
    "freeze_encoder_steps",
    "companion",
    "companion_activation",
    "companion_learning_rate",
    "folds",
    "fold",
    "label_map",
    "label_path",
    "mask_values",
    "label_sets",
    "valid_slide_path",
    "valid_label_path",
    "train_centers",
    "val_centers",
    "resolution",
    "data_sampler",
    "bb_downsample",
    "batch_tumor_ratio",
    "least_colour_spread",
    "corrected_only",
)


def agreed_settings(request: TrainRequest, within: Path | None = None) -> str:
    """Return the settings in which two runs must agree, as text.

    An initial model or encoder counts by its content: a job's copy of it lies in another place
    every time.

    Args:
        request: of a run.
        within: the work folder of a command of which the run is a part: what lies in it counts by
            its place there, as that of another job is elsewhere.
    """
    settings = {k: v for k, v in asdict(request).items() if k not in _NOT_LEARNT_FROM}
    for name in _ADDED_LATER:
        if settings[name] == TrainRequest.__dataclass_fields__[name].default:
            del settings[name]
    if request.decay_steps:
        del settings["steps"]  # the learning rate does not depend on where this run ends
    for name in ("initial_model", "initial_encoder"):
        model: Path | None = getattr(request, name)
        # Of a checkpoint the index, which has a check sum of every tensor.
        content = model and (index_beside(model) or model)
        if content is not None and (found := file_digest(content)):
            settings[name] = found
    for name in ("source", "label_path", "valid_slide_path", "valid_label_path"):
        if within and settings.get(name):
            place, folder = real_place(Path(settings[name])), real_place(within)
            if place.is_relative_to(folder):
                settings[name] = str(place.relative_to(folder))
    return json.dumps(settings, default=str, indent=1, sort_keys=True)


def difference(settings: str, others: str) -> str:
    """The first setting in which two texts of `agreed_settings` differ, "" where there is none."""
    one, other = json.loads(settings), json.loads(others)
    for name in sorted(one.keys() | other.keys()):
        if one.get(name) != other.get(name):
            return f"{name} is {one.get(name)!r} and not {other.get(name)!r}"
    return ""


def digest(slides: Sequence[AnnotatedSlide]) -> str:
    """Return a digest of which slides there are and what was drawn on them."""
    found = hashlib.sha256()
    for slide in slides:
        size = (slide.slide.width_level0, slide.slide.height_level0)
        found.update(repr((slide.name, size)).encode())
        _add_shapes(found, slide.shapes)
        for name, label_set in slide.label_sets.items():
            found.update(name.encode())
            _add_shapes(found, label_set.shapes)
    return found.hexdigest()


def _add_shapes(found: hashlib._Hash, shapes: Mapping[int, Polygons]) -> None:
    for label, polygons in sorted(shapes.items()):
        found.update(str(label).encode())
        for outline in shapely.to_wkb(polygons):
            found.update(outline)
