"""A task takes its token from the environment, which no process list shows."""

import os
import sys
import types
from pathlib import Path

import pytest

from deeplab_cli.main import main

ADDRESS = "http://host/api/v1"
IN_ENVIRONMENT, IN_COMMAND = "of-the-environment", "of-the-command"


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What the engine is asked, and the variable as it finds it."""
    monkeypatch.chdir(tmp_path)
    Path("slide.svs").touch()
    Path("model.zip").touch()
    monkeypatch.setenv("DEEPLAB_GIRDER_TOKEN", IN_ENVIRONMENT)
    requests = []

    def segment_each(request, _progress, **_) -> str:
        requests.append((request, os.environ.get("DEEPLAB_GIRDER_TOKEN")))
        return request.token

    stub = types.ModuleType("deeplab.inference.segment_each")
    stub.segment_each = segment_each
    monkeypatch.setitem(sys.modules, stub.__name__, stub)
    return requests


OPTIONS = ["--model", "model.zip", "--annotation", "out.json"]
ITEM = "5" * 24


@pytest.mark.parametrize(
    ("words", "token"),
    [
        ([ITEM, "--girderApiUrl", ADDRESS], IN_ENVIRONMENT),
        ([ITEM, "--girderApiUrl", ADDRESS, "--girderToken", IN_COMMAND], IN_COMMAND),
        (["slide.svs"], ""),
    ],
)
def test_the_token_of_a_command_comes_before_that_of_the_environment(asked, capsys, words, token):
    assert main(["segment", *words, *OPTIONS]) == 0
    ((request, variable),) = asked
    assert request.token == token
    assert variable is None, "what it starts would have it, too"
    out, err = capsys.readouterr()
    assert token == "" or token not in out + err  # no message has it, not even the summary
