"""A graph as it is written for OpenVINO."""

import pytest

from deeplab.inference.openvino_runtime import load_openvino, write_graph
from deeplab.models.registry import family_of
from tests.models.test_families import PATCHES

pytest.importorskip("openvino")


@pytest.mark.slow
def test_a_map_has_its_own_name_only(tmp_path):
    # Biases of 0 are left out, and what only names the sum then names the product, too.
    family = family_of(PATCHES)
    write_graph(family.predictor(family.build(PATCHES)), tmp_path / "graph.xml")
    model = load_openvino().Core().read_model(tmp_path / "graph.xml")
    assert [output.names for output in model.outputs] == [{"classes"}]
