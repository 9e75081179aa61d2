"""The command as a process: what Girder, Docker and a person call."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deeplab import __version__
from deeplab_cli.forms import spec_text

ROOT = Path(__file__).parents[2]
MAIN = [sys.executable, "-m", "deeplab_cli.entry"]


def run(*command: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=60, check=False)


def test_the_list_of_tasks_is_pure_json(tmp_path: Path):
    answer = run(*MAIN, "--list_cli", cwd=tmp_path)
    assert answer.returncode == 0
    assert {name: entry["type"] for name, entry in json.loads(answer.stdout).items()} == {
        "SegmentWSI": "python",
        "ClassifyPatches": "python",
        "TrainNetwork": "python",
        "TrainFromLabels": "python",
        "AverageModels": "python",
        "ConvertAnnotations": "python",
        "IngestAperioXML": "python",
        "ExportAperioXML": "python",
        "EvaluateSegmentation": "python",
        "ExtractFeaturesFromAnnotations": "python",
    }


@pytest.mark.parametrize(
    "name",
    [
        "SegmentWSI",
        "ClassifyPatches",
        "TrainNetwork",
        "TrainFromLabels",
        "AverageModels",
        "ConvertAnnotations",
        "IngestAperioXML",
        "ExportAperioXML",
        "EvaluateSegmentation",
        "ExtractFeaturesFromAnnotations",
    ],
)
def test_the_form_is_printed_as_it_is(tmp_path: Path, name: str):
    assert run(*MAIN, name, "--xml", cwd=tmp_path).stdout == spec_text(name)
    script = str(ROOT / "cli" / name / f"{name}.py")
    assert run(sys.executable, script, "--xml", cwd=tmp_path).stdout == spec_text(name)


def test_help_and_version_end_well():
    assert run(*MAIN, "--version").stdout == f"deeplab {__version__}\n"
    for words in (["--help"], ["segment", "--help"], ["TrainNetwork", "--help"]):
        answer = run(*MAIN, *words)
        assert (answer.returncode, answer.stderr) == (0, "")
        assert "usage: deeplab" in answer.stdout


@pytest.mark.parametrize(
    ("words", "start"),
    [
        (["segmentt"], "error: there is no task 'segmentt'; the tasks are segment (SegmentWSI)"),
        (["segment", "none.svs", "--model", "m"], "error: none.svs does not exist"),
        (["segment", "--colour", "red"], "error: unrecognized arguments: --colour"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_2(words: list[str], start: str):
    answer = run(*MAIN, *words)
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert answer.stderr.startswith(start)
    assert answer.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ["export", "pipe", "--format", "onnx", "--output", "o.onnx"],
        ["import-checkpoint", "/dev/zero", "--output", "o.zip"],
        ["convert", "a.xml", "o.json", "--config", "pipe"],
        ["convert", "pipe", "o.json"],
    ],
)
def test_no_command_waits_for_a_pipe_or_reads_a_device(tmp_path: Path, words: list[str]):
    os.mkfifo(tmp_path / "pipe")
    answer = run(*MAIN, *words, cwd=tmp_path)
    assert answer.returncode == 2
    assert " must be a plain file or a folder, but is " in answer.stderr
    assert answer.stderr.count("\n") == 1
