"""`deeplab doctor` says what tasks lack here, one thing after the other."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import large_image_source_tiff
import numpy as np
import pytest

from deeplab.server.session import Patience
from deeplab_cli.main import main
from tests.girder_for_tests import ITEM, fake_girder, item_routes
from tests.slides_for_tests import PINK, write_tiff

MODEL = Path(__file__).parents[2] / "deeplab/demonstration/nuclei.zip"


@pytest.fixture
def slide(tmp_path):
    return write_tiff(tmp_path / "a.tiff", np.full((300, 200, 3), PINK, np.uint8), mpp=0.5)


@pytest.fixture
def girder(slide):
    """A server with the slide, to which its user may write."""
    source = large_image_source_tiff.TiffFileTileSource
    routes = item_routes(
        lambda encoding, style: source(str(slide), encoding=encoding, style=style), name=slide.name
    )
    routes[f"item/{ITEM}"] = {**routes[f"item/{ITEM}"], "_accessLevel": 1}
    routes |= {"annotation": [], "user/me": {"login": "anna"}}
    with fake_girder(routes=routes | {"system/version": {"release": "3.2.18"}}) as girder:
        yield girder


def look(capsys, *words):
    """The exit code, what is printed, and the sentence at the end."""
    code = main(["doctor", *map(str, words)])
    said = capsys.readouterr()
    return code, said.out.splitlines(), said.err


def on(girder):
    return ["--slide", ITEM, "--api-url", girder.url, "--token", girder.login.token]


def test_a_machine_is_looked_at_with_a_slide_and_a_model(slide, capsys):
    code, lines, _ = look(capsys, "--slide", slide, "--model", MODEL)
    assert code == 0
    assert [line[:4] for line in lines[:-1]] == ["ok  "] * 4
    assert "nuclei.zip is a deeplabv3plus of nuclei" in lines[2]
    assert "a.tiff, 200 x 300 pixels of 0.5 um" in lines[3]
    assert lines[-1] == "tasks can run here"


def test_a_server_is_looked_at(girder, capsys):
    code, lines, _ = look(capsys, *on(girder))
    assert code == 0
    assert lines[2].startswith("ok  server: 127.0.0.1 answers in ")
    assert lines[2].endswith("Girder 3.2.18")
    assert lines[3] == "ok  token: anna's"
    assert "a.tiff, 200 x 300" in lines[4]
    assert lines[5] == "ok  results: layers can be put on the slide, which has 0"


@pytest.mark.parametrize(
    ("path", "reply", "what", "sentence"),
    [
        ("user/me", None, "token", "it is nobody's, or has expired; log in and take a new one"),
        ("system/version", 404, "server", "its version"),
        (f"item/{ITEM}/tiles", 400, "slide", "the server answered 400"),
        ("annotation", 403, "results", "no right"),
    ],
)
def test_what_a_server_lacks_is_said_and_hides_nothing_else(
    girder, capsys, path, reply, what, sentence
):
    girder.routes[path] = reply
    code, lines, error = look(capsys, *on(girder))
    assert code == 2
    (amiss,) = [line for line in lines if line.startswith("NO ")]
    assert amiss.startswith(f"NO  {what}: ")
    assert sentence in amiss
    assert len(lines) == 6
    assert f"see above: {what}" in error
    assert girder.login.token not in "".join([*lines, error])


def test_a_slide_that_may_only_be_read_is_said(girder, capsys):
    girder.routes[f"item/{ITEM}"]["_accessLevel"] = 0
    code, lines, _ = look(capsys, *on(girder))
    assert code == 2
    assert lines[-1].startswith("NO  results: the token may not write to the slide")


def test_a_server_that_is_not_there_is_said_soon(capsys, monkeypatch):
    monkeypatch.setattr("deeplab.inference.doctor.HURRIED", Patience(total_s=0.1))
    code, lines, _ = look(capsys, "--api-url", "http://127.0.0.1:9/api/v1", "--token", "x")
    assert code == 2
    assert [line.split(":")[0] for line in lines[2:]] == ["NO  server", "NO  token"]


def test_a_full_disk_is_said(capsys, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1e9))
    code, lines, _ = look(capsys)
    assert code == 2
    assert "has 1.0 GB free, and large slides take 5; let TMPDIR be a folder with more" in lines[1]


def test_a_gpu_that_is_wanted_is_missed(capsys, monkeypatch):
    monkeypatch.setattr("tensorflow.config.list_physical_devices", lambda _: [])
    code, lines, _ = look(capsys, "--gpu")
    assert code == 2
    assert "there is no GPU; build the image with DEVICE=gpu" in lines[0]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--slide", "/a.svs", "--api-url", "http://h/api/v1"], "slide must be the id of"),
        (["--token", "abc"], "token must be given with api_url"),
    ],
)
def test_what_does_not_go_together_is_said(capsys, words, sentence):
    code, lines, error = look(capsys, *words)
    assert (code, lines) == (2, [])
    assert sentence in error
