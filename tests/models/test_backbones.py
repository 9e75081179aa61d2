import pytest

from deeplab.config.backbones import BACKBONES
from deeplab.models.backbones.table import BUILD
from tests.models import backbone_contract as contract


def usual_stride(name: str) -> int:
    return BACKBONES[name].only_stride or 16


def test_every_backbone_of_which_facts_are_known_can_be_built():
    assert tuple(BUILD) == tuple(BACKBONES)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "output_stride"),
    [(name, at) for name, row in BACKBONES.items() for at in row.channels],
)
def test_maps_have_their_strides_and_channels(name: str, output_stride: int):
    contract.check_maps_have_their_strides_and_channels(name, output_stride)


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("name", BACKBONES)
def test_it_runs_in_half_precision(name: str, policy: str):
    contract.check_it_runs_in_half_precision(name, usual_stride(name), policy)


@pytest.mark.parametrize(
    ("name", "rates"), [(n, f.multi_grid_rates) for n, f in BACKBONES.items() if f.multi_grid_rates]
)
def test_a_multi_grid_multiplies_the_rates_of_the_last_block(name: str, rates: int):
    contract.check_a_multi_grid_multiplies_the_rates_of_the_last_block(name, rates)


@pytest.mark.slow
@pytest.mark.parametrize("name", BACKBONES)
def test_every_weight_learns_and_has_a_name_of_its_own(name: str):
    contract.check_every_weight_learns_and_has_a_name_of_its_own(name, usual_stride(name))
