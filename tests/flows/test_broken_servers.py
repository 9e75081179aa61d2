"""A server that breaks down midway: one sentence, nothing half written, nothing half put there."""

from __future__ import annotations

import pytest

from deeplab.server import annotations, session, transport
from deeplab.server.session import Patience
from deeplab_cli.main import main
from tests.girder_for_tests import FOLDER, ITEM, TOKEN, Raw, fake_girder, raw
from tests.girder_scene import furnish

QUICK = Patience(first_wait_s=0.005, longest_wait_s=0.01, total_s=0.05)
PAGE = b"<html>\x1b[2J\x07 sign in <script>"
BROKEN = {
    "401": raw(PAGE, "text/html", 401),
    "403": raw(b'{"message": "no \\u001b[31m"}', status=403),
    "502": raw(PAGE, "text/html", 502),
    "503": raw(PAGE, "text/html", 503, Retry_After="99999"),
    "html": raw(PAGE, "text/html"),
    "elsewhere": raw(b"", status=302, Location="https://elsewhere.example/login"),
    "cut": raw(b"[", length=1000),
    "silent": Raw([]),
    "drips": Raw([b"HTTP/1.1 200 OK\r\n", *([b"A"] * 20)], 0.05),
}
FLOWS = {
    "features": ("features", FOLDER, "--pixels", "off", "--csv", "a.csv", "--xlsx", "a.xlsx"),
    "evaluate": ("evaluate", ITEM, "--table", "a.csv", "--report", "a.html"),
    "ingest": ("ingest", FOLDER),
    "export": ("export-annotations", FOLDER, "a.zip"),
}
ASKED = {"features": 26, "evaluate": 11, "ingest": 10, "export": 6}


@pytest.fixture
def girder(monkeypatch):
    monkeypatch.setattr(session, "Patience", lambda: QUICK)
    monkeypatch.setattr(annotations, "HURRIED", QUICK)
    with fake_girder() as girder:
        girder.board = furnish(girder)
        yield girder


@pytest.fixture
def run(girder, capfd, monkeypatch, tmp_path):
    """Runs a flow in an empty folder: its code, its last line, and the files that are there."""
    monkeypatch.chdir(tmp_path)

    def run(flow):
        code = main([*FLOWS[flow], "--girderApiUrl", girder.url, "--girderToken", TOKEN])
        said = capfd.readouterr()
        assert TOKEN not in said.out + said.err
        assert (said.out + said.err).replace("\n", "").isprintable()
        lines = said.err.strip().splitlines()
        return code, lines[-1] if lines else "", sorted(path.name for path in tmp_path.iterdir())

    return run


@pytest.mark.parametrize("flow", FLOWS)
def test_a_server_that_is_well_is_asked_as_often_as_these_tests_count(girder, run, flow):
    assert run(flow)[0] == 0
    assert len(girder.asked) == ASKED[flow]


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("flow", FLOWS)
def test_a_server_that_breaks_down_midway_leaves_one_sentence(
    girder, run, flow, broken, monkeypatch
):
    if broken == "drips":
        monkeypatch.setattr(transport, "READ_S", 0.3)
    layers = dict(girder.board.layers)
    healthy = ASKED[flow] // 2
    girder.change = lambda _, reply: reply if len(girder.asked) <= healthy else BROKEN[broken]
    code, line, files = run(flow)
    assert (code, files) == (2, [])
    assert line.startswith("error: ")
    if broken in ("401", "403"):
        assert "start this again with the new token" in line
    if broken == "elsewhere":
        assert "the token does not go there" in line
    assert girder.board.layers == layers


@pytest.mark.parametrize("flow", ["features", "evaluate", "ingest"])
def test_a_server_that_dies_while_it_takes_layers_keeps_none(girder, run, flow):
    """It takes what is posted, and no answer comes back; then it is well again."""
    layers, answers = dict(girder.board.layers), []

    def change(path, reply):
        answers.append(path)
        is_post = len(girder.posted) == 1 and answers.count("lost") == 0
        if is_post:
            answers.append("lost")
        return Raw([]) if is_post else reply

    girder.change = change
    code, line, files = run(flow)
    assert (code, files) == (2, [])
    assert "what had arrived was taken back" in line
    assert girder.board.layers == layers


@pytest.mark.parametrize(
    "name", ["../../x.tiff", "C:\\con.tiff", "", "x" * 10_000, "a\x1b[2Jb\r\n", "\ud800"]
)
@pytest.mark.parametrize("flow", FLOWS)
def test_any_name_is_safe_in_files_tables_and_lines(girder, run, flow, name):
    for item in girder.routes["item"]({"folderId": FOLDER}):
        if item["_id"] == ITEM:
            item["name"] = name
    girder.routes[f"item/{ITEM}"]["name"] = name
    code, line, files = run(flow)
    if flow == "ingest":  # the file beside it is now that of no slide
        assert (code, line.startswith("error: there is no file of annotations")) == (2, True)
    else:
        assert code == 0, line
        assert set(files) <= set(FLOWS[flow])


def test_a_slide_that_changes_while_it_is_read_counts_for_nothing(girder, run):
    layers = dict(girder.board.layers)

    def change(path, reply):
        if "/zxy/" in path:
            girder.routes[f"item/{ITEM}"]["largeImage"] = {"fileId": "2a" * 12}
        return reply

    girder.change = change
    code, line, files = run("features")
    assert (code, files) == (2, [])
    assert "a.tiff has changed while it was read" in line
    assert girder.board.layers == layers


def test_two_slides_that_look_alike_are_told_apart(girder, run, tmp_path):
    twin = "2a" * 12
    listed = girder.routes["item"]({"folderId": FOLDER})
    listed.append({**listed[0], "_id": twin})
    girder.board.add(twin)
    for place, reply in dict(girder.routes).items():
        girder.routes.setdefault(place.replace(ITEM, twin), reply)
    girder.board.put(twin, dict(girder.board.of(ITEM)[0]["annotation"]))
    assert run("features")[0] == 0
    table = (tmp_path / "a.csv").read_text(encoding="utf-8")
    assert "a.tiff," in table
    assert f"a.tiff ({twin})" in table
