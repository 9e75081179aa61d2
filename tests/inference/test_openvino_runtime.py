"""A graph as it is written for OpenVINO."""

import os

import pytest

from deeplab.inference import openvino_runtime
from deeplab.inference.openvino_runtime import OpenVino, load_openvino, write_graph
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


@pytest.mark.slow
@pytest.mark.parametrize("cores", [1, os.cpu_count()])
def test_threads_are_bound_to_cores_only_where_all_of_the_machine_is_theirs(
    tmp_path, monkeypatch, cores
):
    # Else those of several processes share the first cores.
    monkeypatch.setattr(openvino_runtime, "usable_cores", lambda: cores)
    family = family_of(PATCHES)
    write_graph(family.predictor(family.build(PATCHES)), tmp_path / "graph.xml")
    graph = OpenVino(tmp_path / "graph.xml")
    compiled = graph.compiled(PATCHES.tiling.round_up(PATCHES.crop_size), "f32")
    for one in (compiled, graph.restored(compiled.exported(), "f32")):
        if cores < os.cpu_count():
            assert one._model.get_property("ENABLE_CPU_PINNING") is False
            assert one._model.get_property("INFERENCE_NUM_THREADS") == cores
        else:
            assert one._model.get_property("INFERENCE_NUM_THREADS") in (0, cores)
