"""Names, shapes and order of segmentation_models_pytorch's state dicts, of every listed network."""

import json
from pathlib import Path

import pytest

from deeplab.bundles.importers.smp_state import state_entries
from deeplab.config.channels import RGB, named_channels
from deeplab.config.unet import UNetConfig
from deeplab.config.unetplusplus import UNetPlusPlusConfig
from tests.golden.golden_files import GOLDEN

LISTS = sorted((GOLDEN / "smp/variables").glob("*.tsv"))
CONFIGS = {"unet": UNetConfig, "unetplusplus": UNetPlusPlusConfig}


@pytest.mark.skipif(not LISTS, reason=f"{GOLDEN} holds no lists of smp's variables")
@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.stem)
def test_a_state_dict_has_the_names_shapes_and_order_of_the_library(path: Path):
    arch, _, rest = path.stem.partition("_")
    encoder, _, depth = rest.rpartition("_d")
    rows = [line.split("\t")[:2] for line in path.read_text(encoding="utf-8").splitlines()]
    listed = [(name, tuple(json.loads(shape))) for name, shape in rows]
    config = CONFIGS[arch](
        label_count=2,
        backbone=encoder.replace("resnet", "resnet_"),
        depth=int(depth),
        attention="scse" if any("attention" in name for name, _ in listed) else "none",
        channels=named_channels(RGB.names[: listed[0][1][1]]),
    )
    assert [(entry.name, entry.shape) for entry in state_entries(config)] == listed
