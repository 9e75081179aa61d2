import pytest

from deeplab.config import models
from deeplab.models.backbones.table import BACKBONES
from tests.models import backbone_contract as contract


def usual_stride(name: str) -> int:
    return models.ONLY_OUTPUT_STRIDE.get(name, 16)


def test_the_config_offers_the_rows_of_the_table():
    assert tuple(BACKBONES) == models.BACKBONES


def test_the_config_knows_the_output_strides_of_the_table():
    for name, row in BACKBONES.items():
        only = models.ONLY_OUTPUT_STRIDE.get(name)
        assert tuple(row.channels) == ((only,) if only else models.OUTPUT_STRIDES)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "output_stride"),
    [(name, at) for name, row in BACKBONES.items() for at in row.channels],
)
def test_maps_have_their_strides_and_channels(name: str, output_stride: int):
    contract.check_maps_have_their_strides_and_channels(BACKBONES[name], output_stride)


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("name", BACKBONES)
def test_it_runs_in_half_precision(name: str, policy: str):
    contract.check_it_runs_in_half_precision(BACKBONES[name], usual_stride(name), policy)


@pytest.mark.parametrize(("name", "rates"), models.MULTI_GRID_RATES.items())
def test_a_multi_grid_multiplies_the_rates_of_the_last_block(name: str, rates: int):
    contract.check_a_multi_grid_multiplies_the_rates_of_the_last_block(BACKBONES[name], rates)


@pytest.mark.slow
@pytest.mark.parametrize("name", BACKBONES)
def test_every_weight_learns_and_has_a_name_of_its_own(name: str):
    contract.check_every_weight_learns_and_has_a_name_of_its_own(
        BACKBONES[name], usual_stride(name)
    )
