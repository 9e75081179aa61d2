"""What original programs computed, in files that are found where they lie or not at all.

The folder is `../shared/golden` beside this checkout, or the one that the environment variable
DEEPLAB_GOLDEN names. A test asks for the files of a family and kind, and so meets every one that
is there; a file that no test serves fails `test_golden_files.py`.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

SHARED = Path(__file__).parents[2].parent / "shared"
COMPLETE = SHARED / "golden"  # has files of every family; others may have those of one
GOLDEN = Path(os.environ.get("DEEPLAB_GOLDEN") or COMPLETE)
TORCH_TOOL = SHARED / "tools/golden_torch_checkpoint"
ABSENT = f"there are no files of what the original computed: {GOLDEN} is no folder"
NETWORK = "network"  # the kind of a file of a network's outputs, which does not name one
SERVED = {
    "dedl": (NETWORK, "classification loss and score"),
    "deeplab_keras": (NETWORK,),
    "efficientdet": (NETWORK,),
    "hovernet": (
        NETWORK,
        "detection and type metrics",
        "instance metrics",
        "losses",
        "post-processing",
        "training targets",
    ),
    "smp": (NETWORK,),
    "timm": (NETWORK,),
    "wsss": (NETWORK,),
}
needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason=ABSENT)


def golden_paths(family: str) -> list[Path]:
    """Return the files of a family, of whatever kind, in the order of their names."""
    return sorted((GOLDEN / family).rglob("*.npz"))


def meta_of(path: Path) -> dict[str, Any]:
    """Return what a file says of itself; nothing where it does not."""
    with np.load(path) as arrays:
        found: dict[str, Any] = json.loads(arrays["meta"].item()) if "meta" in arrays else {}
    return found


def kind_of(path: Path) -> str:
    """Return the kind of a file: what it names, "network" where it has outputs, else ""."""
    meta = meta_of(path)
    return str(meta.get("kind") or (NETWORK if "outputs" in meta else ""))


def variables_of(path: Path) -> list[str]:
    """Return the names of the variables of the network that a file is of, in order."""
    with np.load(path) as arrays:
        return [str(name) for name in arrays["names"]]


def each_golden(family: str, kind: str, *, having: str = "") -> pytest.MarkDecorator:
    """Parametrize a test, whose argument is `golden`, over the paths of all files of a kind.

    Of networks, where `having` is given, only those that have a variable of that name. Without the
    folder, or without a file of the kind in it, the test is skipped and says so.

    Raises:
        KeyError, ValueError: the kind is not listed in `SERVED`.
    """
    SERVED[family].index(kind)
    paths = [path for path in golden_paths(family) if kind_of(path) == kind]
    if having:
        paths = [path for path in paths if having in variables_of(path)]
    if not paths:
        which = f" with {having}" if having else ""
        why = f"{GOLDEN} holds no {kind} of {family}{which}" if GOLDEN.is_dir() else ABSENT
        skipped = pytest.param(GOLDEN, marks=pytest.mark.skip(reason=why))
        return pytest.mark.parametrize("golden", [skipped], ids=["none"])
    names = [str(path.relative_to(GOLDEN)) for path in paths]
    return pytest.mark.parametrize("golden", paths, ids=names)


def golden_image(meta: dict[str, Any]) -> NDArray[np.uint8]:
    """Return the picture that a network looked at, RGB (height, width, 3)."""
    y, x, height, width = meta["input"]["window"]
    with np.load(GOLDEN / meta["input"]["file"]) as arrays:
        image: NDArray[np.uint8] = next(iter(arrays.values()))
    return image[y : y + height, x : x + width]


def rebuild_checkpoint(golden: Path, to: Path, *options: str) -> Path:
    """Write the checkpoint that users of the original have; the suffix of `to` says which."""
    if not TORCH_TOOL.exists():
        pytest.skip(f"the tool that rebuilds checkpoints is not there: {TORCH_TOOL}")
    subprocess.run(
        [sys.executable, TORCH_TOOL, golden, to, *options], check=True, capture_output=True
    )
    return to
