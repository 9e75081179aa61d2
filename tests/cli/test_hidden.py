"""No message shows a secret, whichever front door it was brought to and however it was misspelt."""

import logging
import sys
import types
from pathlib import Path

import pytest

from deeplab_cli.forms import read_spec
from deeplab_cli.hidden import Secrets, is_secret_name
from deeplab_cli.main import COMMANDS, TASKS, main

SECRET = "s3cretWord"  # noqa: S105  it is one to hide
TOKEN = "k8Jh3bQ9" * 8
TYPED = ["slide.svs", "--model", "model.zip", "--annotation", "o.anot"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("slide.svs").touch()
    Path("model.zip").touch()


def said_by(words, capsys) -> str:
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert err.startswith("error: ")
    return out + err


@pytest.mark.parametrize(
    "words",
    [
        ["--girderTokn", SECRET],
        [f"--girderTokn={SECRET}"],
        ["--girder-tokens", SECRET],
        [f"--Token={SECRET}"],
        ["--apiKey", SECRET],
        [f"--girderToken{SECRET}"],
        [f"-t{SECRET}"],
        [f"--help={SECRET}"],
        [TOKEN],
        [f"--colour={TOKEN}"],
        ["--girderToken", "first", SECRET],
        ["--girderToken=", SECRET],
        ["--girderToken", SECRET, "--batch_size", SECRET],
        ["--girderToken", SECRET, "--inputModelFile", f"{SECRET}.zip"],
        ["--girderToken", SECRET, "--girderApiUrl", f"http://host/api/v1?token={SECRET}"],
        ["--girderApiUrl", f"https://me:{SECRET}@host/api/v1"],
    ],
)
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.command)
def test_no_task_repeats_a_secret(task, words, capsys):
    assert SECRET not in said_by([task.command, *TYPED, *words], capsys)
    if words[0].startswith("-"):  # else it stands where a slide does
        said = said_by([task.name, *words], capsys)
        assert SECRET not in said
        assert TOKEN not in said


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
@pytest.mark.parametrize("words", [["m", SECRET], ["m", "--girderToken", SECRET], [f"-t{SECRET}"]])
def test_no_command_repeats_a_secret(command, words, capsys):
    needed = ["--output", "o", "--format", "onnx"][: 4 if command.name == "export" else 2]
    assert SECRET not in said_by([command.name, *needed, *words], capsys)


@pytest.mark.parametrize("words", [[SECRET], [f"--girderToken={SECRET}"], [f"-{SECRET}"]])
def test_a_secret_in_the_place_of_the_task_is_not_repeated(words, capsys):
    assert SECRET not in said_by(words, capsys)


@pytest.mark.parametrize(
    "line",
    [
        f'girderToken = ["{SECRET}"]',
        f'girderToken = {{of = "{SECRET}"}}',
        f'girderToken = "{SECRET}"\nbatch_size = "{SECRET}"',
        f'girderTokn = "{SECRET}"',
        f"girderToken = {SECRET}",
        f'girderToken "{SECRET}"',
        f'girderApiUrl = ["https://me:{SECRET}@host"]',
    ],
)
def test_a_secret_in_a_file_of_settings_is_not_repeated(line, capsys):
    Path("settings.toml").write_text(line)
    assert SECRET not in said_by(["segment", *TYPED, "--config", "settings.toml"], capsys)


def test_a_secret_is_in_no_line_of_the_log_and_no_traceback(monkeypatch, capsys):
    stub = types.ModuleType("deeplab.inference.segment_each")

    def segment_each(request, progress, **_):
        progress(f"asks with {request.token}", 0, 1)
        logging.getLogger("deeplab.x").warning("GET https://me:pw1@host/?token=%s", request.token)
        raise KeyError(request.token, "https://me:pw2@host/", "?api_key=pw3")

    monkeypatch.setattr(stub, "segment_each", segment_each, raising=False)
    monkeypatch.setitem(sys.modules, stub.__name__, stub)
    assert main(["segment", *TYPED, "--girderToken", SECRET]) == 1
    out, err = capsys.readouterr()
    assert "Traceback" in err
    assert not [word for word in (SECRET, "pw1", "pw2", "pw3") if word in out + err]


def test_a_word_too_many_is_not_repeated_where_it_is_no_file(capsys):
    assert SECRET not in said_by(["segment", *TYPED, SECRET], capsys)


def test_what_is_no_secret_is_said(capsys):
    said = said_by(["segment", *TYPED, "other.svs", "--girderToken", SECRET], capsys)
    assert "unrecognized arguments: other.svs" in said
    said = said_by(["segment", "none.svs", "--model", "model.zip", "--girderToken", SECRET], capsys)
    assert "none.svs" in said
    given = Secrets(["--girderToken", "--model", "m.zip", "--classes", "a"])
    text = "see --model m.zip --classes a; the token is not valid; tokens: none; mean@host, 3 @ 4"
    assert given.hide(text) == text


def test_only_the_token_of_a_form_is_called_as_a_secret():
    names = {each.name for task in TASKS for each in read_spec(task.name).parameters}
    assert {name for name in names if is_secret_name(name)} == {"girderToken"}
