"""The task form, the command and the request say the same."""

import dataclasses
import json
import logging
import re
import typing
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from slicer_cli_web.ctk_cli_adjustment import CLIModule

from deeplab import __version__
from deeplab.config.backbones import BACKBONES
from deeplab.config.families import learning_networks
from deeplab.config.patch_encoders import PATCH_ENCODERS
from deeplab.errors import ConfigError
from deeplab_cli.binding import bind
from deeplab_cli.forms import list_text, read_spec
from deeplab_cli.main import TASKS

ROOT = Path(__file__).parents[2]
FORMS = ROOT / "slicer_cli_spec"
BY_NAME = {task.name: task for task in TASKS}
WITH_FORM = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)


def form_of(name: str) -> ET.Element:
    return ET.parse(FORMS / f"{name}.xml").getroot()


def bounds():
    for task in TASKS:
        for parameter in form_of(task.name).iterfind("parameters/*[constraints]"):
            name = parameter.findtext("name", "")
            step = 1 if parameter.tag == "integer" else 0.05
            least = parameter.findtext("constraints/minimum")
            most = parameter.findtext("constraints/maximum")
            if least:
                yield pytest.param(task, name, f"{float(least) - step:g}", id=f"{task.name}-{name}")
            if most:
                yield pytest.param(
                    task, name, f"{float(most) + step:g}", id=f"{task.name}-{name}-most"
                )


@pytest.fixture
def least(tmp_path: Path) -> dict[str, dict[str, str]]:
    """What each task cannot do without."""
    for name in ("slide.svs", "model.zip"):
        (tmp_path / name).touch()
    slide, model, out = (str(tmp_path / name) for name in ("slide.svs", "model.zip", "out"))
    return {
        "SegmentWSI": {
            "inputImageFile": slide,
            "inputModelFile": model,
            "outputAnnotationFile": out,
        },
        "ClassifyPatches": {
            "inputImageFile": slide,
            "inputModelFile": model,
            "output_table": out,
        },
        "TrainNetwork": {"inputFolder": str(tmp_path), "output_model": out, "classes": "a"},
        "TrainFromLabels": {"inputFolder": str(tmp_path), "output_model": out, "classes": "a"},
        "AverageModels": {"inputFolder": str(tmp_path), "output_model": out},
        "ConvertAnnotations": {"inputAnnotationFile": slide, "outputFile": out},
        "IngestAperioXML": {"inputFolder": "5f" * 12, "girderApiUrl": "https://host/api/v1"},
        "ExportAperioXML": {"inputFolder": str(tmp_path), "outputFile": f"{out}.zip"},
        "EvaluateSegmentation": {"inputImageFile": slide, "output_report": out},
        "ExtractFeaturesFromAnnotations": {"inputImageFile": slide, "output_table": out},
    }


def test_every_task_has_its_form_and_is_listed():
    listed = json.loads(list_text())
    assert set(listed) == set(BY_NAME) == {path.stem for path in FORMS.glob("*.xml")}
    assert all(entry["desc-type"] == "xml" for entry in listed.values())


@WITH_FORM
def test_each_parameter_is_a_field_and_each_field_a_parameter(task):
    names = [parameter.name for parameter in read_spec(task.name).parameters]
    assert len(set(names)) == len(names)
    assert sorted(task.fields.get(name, name) for name in names) == sorted(
        field.name for field in dataclasses.fields(task.request)
    )


@WITH_FORM
def test_the_forms_defaults_make_the_requests_defaults(task, least):
    spec, given = read_spec(task.name), least[task.name]
    defaults = {p.name: p.default for p in spec.parameters if p.default is not None}
    assert bind(spec, task.request, task.fields, defaults | given) == bind(
        spec, task.request, task.fields, given
    )


@WITH_FORM
def test_a_default_stands_in_the_form_wherever_the_request_has_one(task):
    fields = {field.name: field for field in dataclasses.fields(task.request)}
    for parameter in read_spec(task.name).parameters:
        field = fields[task.fields.get(parameter.name, parameter.name)]
        has_value = field.default not in (None, "", (), dataclasses.MISSING)
        assert bool(parameter.default) == has_value or parameter.kind == "region", parameter.name


@WITH_FORM
def test_choices_are_those_of_the_request(task):
    types = typing.get_type_hints(task.request)
    for parameter in read_spec(task.name).parameters:
        hint = types[task.fields.get(parameter.name, parameter.name)]
        if typing.get_origin(hint) is typing.Literal:
            assert parameter.choices == typing.get_args(hint), parameter.name


@pytest.mark.parametrize(("task", "name", "text"), list(bounds()))
def test_the_request_refuses_what_lies_outside_the_forms_bounds(task, name, text, least):
    spec = read_spec(task.name)
    with pytest.raises(ConfigError) as caught:
        bind(spec, task.request, task.fields, least[task.name] | {name: text})
    assert caught.value.name == name


@WITH_FORM
def test_the_form_is_one_that_slicer_cli_web_reads_without_a_warning(task, caplog):
    with caplog.at_level(logging.WARNING):
        module = CLIModule(str(FORMS / f"{task.name}.xml"))
    assert not caplog.records
    assert all(p.description and p.label for p in module.parameters())
    assert module.version == __version__


@WITH_FORM
def test_a_result_has_a_suffix_before_a_person_gives_it_a_name(task):
    # HistomicsUI makes up a name with the first of the suffixes, which a bar stands between.
    for parameter in form_of(task.name).iterfind("parameters/*[channel='output']"):
        suffixes = parameter.get("fileExtensions", "").split("|")
        assert all(re.fullmatch(r"\.[a-z]+", suffix) for suffix in suffixes), suffixes


@WITH_FORM
def test_a_person_sees_three_fields_first(task):
    root = form_of(task.name)
    plain = [group for group in root.iterfind("parameters") if group.get("advanced") != "true"]
    assert [len(group.findall("*[name]")) for group in plain] == [3]


@WITH_FORM
def test_slides_are_handed_over_as_ids_and_no_other_input_stands_in_for_them(task):
    # Girder ties what a task uploads to the first positional input that it downloads, and
    # HistomicsUI would put an uploaded annotation on that: on the model, if it were positional.
    inputs = [p for p in read_spec(task.name).parameters if not p.is_output]
    assert [p.index for p in inputs if p.index is not None] == [0] * any(p.is_id for p in inputs)
    assert all(p.is_id for p in inputs if p.index is not None or p.kind in ("image", "directory"))


@WITH_FORM
def test_the_server_is_named_by_the_parameters_that_girder_fills(task):
    kinds = {p.name: (p.kind, p.default) for p in read_spec(task.name).parameters}
    if not any(p.is_id for p in read_spec(task.name).parameters):
        assert "girderToken" not in kinds  # the worker brings its files
        return
    assert kinds["girderApiUrl"] == kinds["girderToken"] == ("string", "")


@pytest.mark.parametrize(
    ("name", "rows"), [("backbone", BACKBONES | PATCH_ENCODERS), ("network", learning_networks())]
)
def test_networks_of_the_form_are_those_that_can_be_built(name: str, rows: Mapping[str, object]):
    spec = read_spec("TrainNetwork")
    (parameter,) = (p for p in spec.parameters if p.name == name)
    assert parameter.choices == tuple(rows)
