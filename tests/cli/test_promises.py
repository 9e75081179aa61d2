"""Words and numbers that the forms say have a meaning of their own are taken as they say."""

import re
from pathlib import Path

import pytest

from deeplab_cli.binding import bind
from deeplab_cli.command import parser_of
from deeplab_cli.forms import read_spec
from deeplab_cli.import_checkpoint import COMMAND as IMPORT
from deeplab_cli.main import TASKS, main

PAGE = Path(__file__).parents[2] / "docs/reference/tasks.md"
# "0: as the slide says", "...; empty: all", "none: no pyramid"; not "inside of them: ...".
PROMISE = re.compile(r"(?:^|[;.,] )(none|empty|auto|off|-?\d+(?:\.\d+)?): ", re.IGNORECASE)
SUGGESTED = {("TrainNetwork", "patch_size"): 512}  # what the request has in the place of 0
ID = "0123456789abcdef01234567"
SERVER = {"girderApiUrl": "http://localhost/api/v1", "girderToken": "t"}
# What each task cannot do without; "." is there.
NEEDED = {
    "SegmentWSI": {
        "inputImageFile": ".",
        "inputModelFile": ".",
        "outputAnnotationFile": "a.anot",
    },
    "ClassifyPatches": {
        "inputImageFile": ".",
        "inputModelFile": ".",
        "output_table": "t.csv",
    },
    "TrainNetwork": {"inputFolder": ".", "classes": "tumor", "output_model": "m.zip"},
    "TrainFromLabels": {"inputFolder": ".", "classes": "tumor", "output_model": "m.zip"},
    "AverageModels": {"inputFolder": ".", "output_model": "m.zip"},
    "ConvertAnnotations": {"inputAnnotationFile": ".", "outputFile": "a.xml"},
    "IngestAperioXML": {"inputFolder": ID, **SERVER},
    "ExportAperioXML": {"inputFolder": ID, "outputFile": "a.zip", **SERVER},
    "EvaluateSegmentation": {"inputImageFile": ".", "output_report": "r.html"},
    "ExtractFeaturesFromAnnotations": {"inputImageFile": ".", "output_table": "t.csv"},
}


def promises() -> list[tuple[str, str, str]]:
    """Task, parameter and word of every promise on the page of the tasks."""
    found, task = [], ""
    for line in PAGE.read_text().splitlines():
        if match := re.match(r"## (\w+): ", line):
            task = match[1]
        elif line.startswith("| `"):
            name, *_, text = (cell.strip(" `") for cell in line.strip("|").split("|"))
            found += [(task, name, word.lower()) for word in PROMISE.findall(text)]
    return found


def test_the_page_makes_promises_of_every_kind():
    words = {word for _, _, word in promises()}
    assert {"none", "empty", "auto", "off", "0", "-1"} <= words
    assert len(promises()) > 35


@pytest.mark.parametrize(("name", "parameter", "word"), promises())
def test_what_a_form_promises_is_taken(name: str, parameter: str, word: str):
    (task,) = [task for task in TASKS if task.name == name]
    text = "" if word == "empty" else word
    given = {**NEEDED[name], parameter: text}
    request = bind(read_spec(name), task.request, task.fields, given)
    value = getattr(request, task.fields.get(parameter, parameter))
    if word in ("none", "empty"):
        assert not value
    elif word in ("auto", "off"):
        assert value == word
    else:
        assert float(value or 0) == SUGGESTED.get((name, parameter), float(word))


@pytest.mark.parametrize("word", ["none", "None", "empty", "[]"])
def test_a_list_of_numbers_may_be_none_on_the_command_line(tmp_path: Path, capsys, word: str):
    (tmp_path / "s").mkdir()
    words = ["train", str(tmp_path / "s"), str(tmp_path / "m.zip"), "--classes", "tumor"]
    assert main([*words, "--atrous_rates", word, "--class_weights", word]) == 2
    assert "holds no slide" in capsys.readouterr().err


def test_a_class_may_be_called_none():
    given = {**NEEDED["TrainNetwork"], "classes": "none,empty"}
    (task,) = [task for task in TASKS if task.name == "TrainNetwork"]
    request = bind(read_spec("TrainNetwork"), task.request, task.fields, given)
    assert request.classes == ("none", "empty")


@pytest.mark.parametrize(
    ("words", "rates", "grid", "stride"),
    [
        ("--atrous-rates none --multi-grid none --decoder-output-stride none", (), (), None),
        ("--atrous-rates 6,12,18 --multi-grid 1 2 4", (6, 12, 18), (1, 2, 4), None),
        ("--atrous-rates 6, 12 --decoder-output-stride 4", (6, 12), (), 4),
    ],
)
def test_an_import_takes_none_and_commas(words: str, rates, grid, stride):
    asked = parser_of(IMPORT).parse_args(["m.ckpt", *words.split(), "--output", "m.zip"])
    request = IMPORT.request(asked)
    assert (request.atrous_rates, request.multi_grid) == (rates, grid)
    assert request.decoder_output_stride == stride


@pytest.mark.parametrize("number", ["9" * 400, "-" + "9" * 400, "9" * 5000, "1e300"])
def test_a_whole_number_that_nothing_holds_is_one_short_sentence(tmp_path: Path, capsys, number):
    words = ["train", str(tmp_path), str(tmp_path / "m.zip"), "--classes", "tumor"]
    assert main([*words, f"--steps={number}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: steps must be a")
    assert len(line) < 600
    (tmp_path / "a.toml").write_text(f"steps = 0x{'f' * 5000}\n")
    assert main([*words, "--config", str(tmp_path / "a.toml")]) == 2
    assert "steps must be a number of fewer digits" in capsys.readouterr().err
