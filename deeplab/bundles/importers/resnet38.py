"""What the weights of ResNet38-d are called in its files: PyTorch's, and MXNet's first ones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from deeplab.bundles.importers.hovernet_names import Rule
from deeplab.bundles.importers.stored_tensors import StoredTensors

_UNIT = r"backbone\.(b\d(?:_\d)?)"
RESNET38: tuple[Rule, ...] = (
    (r"backbone\.conv1a", "conv1a"),
    (rf"{_UNIT}\.(branch\w+)", r"\1.conv_\2"),
    (rf"{_UNIT}\.(branch\w+)\.norm", r"\1.bn_\2"),
    (r"backbone\.bn7\.norm", "bn7"),
    (r"logits", "fc8"),
)
# MXNet counts the first unit of a block as "a", and the others from "b1" on.
_MXNET = re.compile(
    r"(?:arg:|aux:)?(?P<kind>res|bn|conv|linear)(?P<block>\d+)(?:(?P<first>a)|b(?P<unit>\d))?"
    r"(?:_(?P<branch>branch\w+?))?_(?P<what>weight|gamma|beta|moving_mean|moving_var|bias)"
)
_KINDS: Mapping[str, str] = MappingProxyType(
    {
        "weight": "weight",
        "bias": "bias",
        "gamma": "weight",
        "beta": "bias",
        "moving_mean": "running_mean",
        "moving_var": "running_var",
    }
)
SIGN = "res7a_branch2b2_weight"  # a name that no other of MXNet's networks of this width has


def with_pytorch_names(tensors: StoredTensors) -> StoredTensors:
    """Return the tensors of MXNet's ResNet38 under the names of its PyTorch port; others as are.

    ImageNet's classes, `linear1000`, keep their name: no network here has that layer.
    """
    if not any(name.removeprefix("arg:") == SIGN for name in tensors.shapes):
        return tensors
    names = {_pytorch_name(name): name for name in tensors.shapes}
    return replace(
        tensors,
        shapes={ours: tensors.shapes[theirs] for ours, theirs in names.items()},
        read=lambda name: tensors.read(names[name]),
    )


def _pytorch_name(name: str) -> str:
    match = _MXNET.fullmatch(name)
    if match is None or match["kind"] == "linear":
        return name
    what = _KINDS[match["what"]]
    if match["kind"] == "conv":
        return f"conv{match['block']}a.{what}"
    if match["branch"] is None:
        return f"bn{match['block']}.{what}"
    unit = f"b{match['block']}" + (f"_{match['unit']}" if match["unit"] else "")
    layer = "conv" if match["kind"] == "res" else "bn"
    return f"{unit}.{layer}_{match['branch']}.{what}"
