"""Every request takes paths as texts, as `Path` or as any other `os.PathLike`."""

import dataclasses
import importlib
import pkgutil
import typing
from pathlib import Path, PurePath

import pytest

from deeplab import config
from deeplab.config.requests import SegmentRequest

# What each request cannot do without, paths as texts.
LEAST = {
    "AverageRequest": {"source": "models", "output_model": "m.zip"},
    "ClassifyRequest": {"slide": "s", "model": "m.zip", "output_table": "t.csv"},
    "CompareRequest": {"old": "a.csv", "new": "b.csv"},
    "ConvertRequest": {"source": "a", "output": "b"},
    "DetectionRequest": {"reference": "a", "prediction": "b"},
    "DoctorRequest": {},
    "EnsembleRequest": {"models": ("a.zip", "b.zip"), "output": "m.zip"},
    "EvaluateRequest": {"reference": "a", "output_table": "t.csv"},
    "ExportAnnotationsRequest": {"source": "a", "output": "b.zip"},
    "ExportRequest": {"model": "m.zip", "format": "onnx", "output": "m.onnx"},
    "FeaturesRequest": {"source": "a", "output_table": "t.csv"},
    "FromLabelsRequest": {"source": "a", "output_model": "m.zip", "classes": ("a", "b")},
    "GateRequest": {"model": "a.zip", "classifier": "b.zip", "output": "m.zip"},
    "ImportRequest": {"source": "a", "output": "m.zip"},
    "IngestRequest": {"source": "5f" * 12, "api_url": "https://host/api/v1"},
    "PatchesRequest": {"source": "a", "output": "b", "classes": ("a",)},
    "PrepareRequest": {"models": ("a.zip",)},
    "PseudoMaskRequest": {"source": "a", "model": "m.zip", "output": "b"},
    "SegmentRequest": {"slide": "s", "model": "m.zip", "output_table": "t.csv"},
    "StageRequest": {"prediction": "a", "output_lesions": "t.csv"},
    "TrainRequest": {
        "source": "a",
        "output_model": "m.zip",
        "classes": ("a",),
        "valid_slide_path": "v",
    },
    "UnpackRequest": {"source": "a", "output": "b"},
}
NAMED = ("slide", "source", "reference", "prediction")  # by a path, or by an id of a server


def requests():
    """Return the requests of the room, by name."""
    modules = [
        importlib.import_module(f"{config.__name__}.{each.name}")
        for each in pkgutil.iter_modules(config.__path__)
    ]
    found = {name: kind for module in modules for name, kind in vars(module).items()}
    return {
        name: kind
        for name, kind in found.items()
        if name.endswith("Request") and name != "ChannelRequest"  # a part of others, without paths
    }


def path_fields():
    for name, kind in requests().items():
        for field, hint in typing.get_type_hints(kind).items():
            is_named = hint is str and field in NAMED and name != "IngestRequest"  # an id only
            if is_named or Path in (hint, *typing.get_args(hint)):
                yield pytest.param(kind, field, hint, id=f"{name}-{field}")


def test_every_request_is_looked_at():
    assert set(LEAST) == set(requests())


@pytest.mark.parametrize(("request_of", "field", "hint"), list(path_fields()))
@pytest.mark.parametrize("given", [str, Path, PurePath])
def test_a_path_is_what_its_field_says_however_it_was_given(
    request_of, field, hint, given, tmp_path
):
    path = tmp_path / "new"
    value, wanted = given(path), str(path) if hint is str else path
    if typing.get_origin(hint) is tuple:
        value, wanted = (value, value), (path, path)
    assert getattr(request_of(**LEAST[request_of.__name__] | {field: value}), field) == wanted


def test_what_is_not_asked_for_stays_so():
    request = SegmentRequest(**LEAST["SegmentRequest"])
    assert request.output_mask is None
    assert dataclasses.replace(request, output_mask="a.tif").output_mask == Path("a.tif")
