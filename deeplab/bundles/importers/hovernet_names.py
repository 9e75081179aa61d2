"""Which variable of HoVer-Net's checkpoints is which weight of ours, and how it lies there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rule = tuple[str, str]  # pattern of a layer of ours, and what it is called there

_UNIT = r"backbone\.d(\d)\.unit_(\d+)"
_DENSE = r"decoder\.(\w\w)\.(u\d)\.dense"


@dataclass(frozen=True, slots=True, kw_only=True)
class HoVerNetNames:
    """The names of one program's checkpoints, and the order of their kernels' sides.

    Attributes:
        rules: From our layers to theirs, batch norms among them.
        kinds: From our weights' names to what stands behind a layer's.
        to_kernel: Axes of their kernels in the order of ours: height, width, in, out.
        sign: A variable that every one of them has.
        ignored: Pattern of variables that say nothing of the network.
    """

    rules: tuple[Rule, ...]
    kinds: Mapping[str, str]
    to_kernel: tuple[int, int, int, int]
    sign: str
    ignored: str

    def name_of(self, weight: str) -> str:
        """Return what our weight `<layer>/<weight>` is called.

        Raises:
            KeyError: no rule speaks of its layer.
        """
        layer, _, kind = weight.rpartition("/")
        for pattern, template in self.rules:
            if match := re.fullmatch(pattern, layer):
                return match.expand(template) + self.kinds[kind]
        raise KeyError(weight)

    def shape_of(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape that a weight of ours has there."""
        if len(shape) != 4:
            return shape
        return tuple(shape[self.to_kernel.index(axis)] for axis in range(4))

    def to_ours(self, value: NDArray[Any]) -> NDArray[np.float32]:
        """Return a value as our weight has it."""
        value = value.astype(np.float32)
        return value.transpose(self.to_kernel) if value.ndim == 4 else value


PYTORCH = HoVerNetNames(
    rules=(
        (r"backbone\.conv0", "conv0./"),
        (r"backbone\.conv0\.norm", "conv0.bn"),
        (rf"{_UNIT}\.(conv\d)", r"d\1.units.\2.\3"),
        (rf"{_UNIT}\.(conv\d|preact)\.norm", r"d\1.units.\2.\3/bn"),
        (r"backbone\.d(\d)\.shortcut", r"d\1.shortcut"),
        (r"backbone\.d(\d)\.norm", r"d\1.blk_bna.bn"),
        (r"decoder\.bottom", "conv_bot"),
        (r"(decoder\.\w\w\.u\d\.conv[af])", r"\1"),
        (rf"{_DENSE}\.unit_(\d+)\.(conv\d)", r"decoder.\1.\2.dense.units.\3.\4"),
        (rf"{_DENSE}\.unit_(\d+)\.conv1\.norm", r"decoder.\1.\2.dense.units.\3.conv1/bn"),
        (rf"{_DENSE}\.unit_(\d+)\.preact\.norm", r"decoder.\1.\2.dense.units.\3.preact_bna/bn"),
        (rf"{_DENSE}\.norm", r"decoder.\1.\2.dense.blk_bna.bn"),
        (r"decoder\.(\w\w)\.u0\.norm", r"decoder.\1.u0.bn"),
        (r"logits\.(\w\w)", r"decoder.\1.u0.conv"),
    ),
    kinds=MappingProxyType(
        {
            "kernel": ".weight",
            "bias": ".bias",
            "gamma": ".weight",
            "beta": ".bias",
            "moving_mean": ".running_mean",
            "moving_variance": ".running_var",
        }
    ),
    to_kernel=(2, 3, 1, 0),
    sign="conv0./.weight",
    ignored=r".*\.num_batches_tracked|upsample2x\.unpool_mat",
)
TENSORFLOW = HoVerNetNames(
    rules=(
        (r"backbone\.conv0", "conv0/"),
        (r"backbone\.conv0\.norm", "conv0/bn/"),
        (rf"{_UNIT}\.(conv\d)", r"group\1/block\2/\3/"),
        (rf"{_UNIT}\.(conv\d|preact)\.norm", r"group\1/block\2/\3/bn/"),
        (r"backbone\.d(\d)\.shortcut", r"group\1/block0/convshortcut/"),
        (r"backbone\.d(\d)\.norm", r"group\1/bnlast/bn/"),
        (r"decoder\.bottom", "conv_bot/"),
        (r"decoder\.(\w\w)\.(u\d)\.(conv[af])", r"\1/\2/\3/"),
        (rf"{_DENSE}\.unit_(\d+)\.(conv\d)", r"\1/\2/dense/blk/\3/\4/"),
        (rf"{_DENSE}\.unit_(\d+)\.conv1\.norm", r"\1/\2/dense/blk/\3/conv1/bn/"),
        (rf"{_DENSE}\.unit_(\d+)\.preact\.norm", r"\1/\2/dense/blk/\3/preact_bna/bn/"),
        (rf"{_DENSE}\.norm", r"\1/\2/dense/blk_bna/bn/"),
        (r"decoder\.(\w\w)\.u0\.norm", r"preact_out_\1/bn/"),
        (r"logits\.(\w\w)", r"conv_out_\1/"),
    ),
    kinds=MappingProxyType(
        {
            "kernel": "W:0",
            "bias": "b:0",
            "gamma": "gamma:0",
            "beta": "beta:0",
            "moving_mean": "mean/EMA:0",
            "moving_variance": "variance/EMA:0",
        }
    ),
    to_kernel=(0, 1, 2, 3),
    sign="conv0/W:0",
    ignored=r"linear/.*|(global_step|learning_rate)[^/]*|.*/(Adam|Momentum)[^/]*",
)
PROGRAMS = (PYTORCH, TENSORFLOW)
