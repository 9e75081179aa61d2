"""Files of tensors: PyTorch's, new and old, safetensors, NumPy's and MXNet's."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np

from deeplab.bundles.importers.tensor_files import is_tensor_file, open_tensor_file
from tests.bundles import torch_for_tests as torch
from tests.bundles.test_mxnet_file import LAYOUTS, file_bytes
from tests.fuzz.harness import Target

STATE = {
    "conv0./.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    "conv0.bn.weight": np.arange(3, dtype=np.float16),
    "conv0.bn.num_batches_tracked": np.array(1, np.int64),
}


def write_seeds(folder: Path) -> list[Path]:
    """Write a file of each kind."""
    arrays = dict(enumerate(STATE.values()))
    entries = {name: torch.of_array(key, array) for key, (name, array) in enumerate(STATE.items())}
    whole = torch.network(
        "Net", _parameters=torch.table(entries), _modules=torch.table({"inner": b"N"})
    )
    seeds = [
        torch.write_state(folder / "new.tar", STATE, wrap="desc"),
        torch.write_state(folder / "old.pth", STATE, legacy=True),
        torch.write_zip(folder / "net.pt", whole, {k: a.tobytes() for k, a in arrays.items()}),
        folder / "a.safetensors",
        folder / "a.npz",
    ]
    array = STATE["conv0./.weight"]
    place = {"dtype": "F32", "shape": array.shape, "data_offsets": [0, array.nbytes]}
    table = json.dumps({"w": place}).encode()
    seeds[3].write_bytes(struct.pack("<Q", len(table)) + table + array.tobytes())
    np.savez(seeds[4], **{"conv0/W:0": array})
    for layout in LAYOUTS:
        seeds.append(folder / f"{layout}.params")
        seeds[-1].write_bytes(file_bytes({"arg:conv0_weight": array}, layout))
    return seeds


def parse(path: Path) -> object:
    """Read all tensors, as an import does."""
    if not is_tensor_file(path):
        return None
    with open_tensor_file(path) as tensors:
        return [tensors.read(name) for name in tensors.shapes]


TARGET = Target(name="torch_file", seeds=write_seeds, parse=parse)
