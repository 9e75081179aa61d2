from pathlib import Path

import pytest

from deeplab.config.classes import ClassList
from deeplab.config.train_request import TrainRequest
from deeplab.errors import ConfigError
from deeplab.training.train import network_config

CLASSES = ClassList.named(["glomerulus"])


def request(**knobs: object) -> TrainRequest:
    return TrainRequest(source="slides", classes=("glomerulus",), output_model=Path("m"), **knobs)


@pytest.mark.parametrize(
    ("knobs", "crop_size"),
    [
        ({"patch_size": 400}, 401),
        ({"patch_size": 513}, 513),
        ({"patch_size": 520, "output_stride": 32}, 545),
        ({"patch_size": 520, "output_stride": 8}, 529),
        # Its coarsest map has stride 32, though its last has 8.
        ({"patch_size": 520, "output_stride": 8, "backbone": "nas_hnasnet"}, 545),
    ],
)
def test_the_cells_of_every_map_fit_the_crop(knobs: dict[str, object], crop_size: int):
    assert network_config(request(**knobs), CLASSES).crop_size == crop_size


def test_a_network_has_the_knobs_of_the_request():
    config = network_config(
        request(backbone="nas_pnasnet", depth_multiplier=0.5, drop_path_keep_prob=0.8), CLASSES
    )
    assert (config.backbone, config.depth_multiplier) == ("nas_pnasnet", 0.5)
    assert config.drop_path_keep_prob == 0.8
    with pytest.raises(ConfigError, match="output_stride must be 8 for nas_hnasnet, but is 16"):
        network_config(request(backbone="nas_hnasnet"), CLASSES)
