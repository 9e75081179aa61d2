"""HistomicsUI loads our script: with HistomicsUI's own page on Girder 3, as static content on 5."""

import re
from types import SimpleNamespace
from urllib.parse import urljoin

import pytest

pytest.importorskip("girder")

from girder import plugin
from pytest_girder.assertions import assertStatusOk

from girder_deeplab import marks
from girder_deeplab.histomicsui import load_script
from girder_deeplab.pages import FOLDER, SCRIPT

pytestmark = pytest.mark.plugin("deeplab")
IS_GIRDER_5 = hasattr(plugin, "registerPluginStaticContent")
FOR_GIRDER_3 = pytest.mark.skipif(IS_GIRDER_5, reason="HistomicsUI has no release for Girder 5")
FOR_GIRDER_5 = pytest.mark.skipif(not IS_GIRDER_5, reason="Girder 3 has no such content")


def text_of(answer):
    assertStatusOk(answer)
    return b"".join(answer.body).decode()


@FOR_GIRDER_3
@pytest.mark.parametrize("path", ["/histomics", "/hui"])
def test_the_page_of_histomicsui_loads_the_script_after_its_own(server, path):
    page = text_of(server.request(path, prefix="", isJson=False))
    assert "new girder.plugins.histomicsui.App(" in page
    *own, ours = re.findall(r'<script src="([^"?]*)', page)
    assert own[-1].endswith(".min.js")
    script = text_of(server.request(urljoin(path, ours), prefix="", isJson=False))
    assert script == (FOLDER / SCRIPT).read_text()


@FOR_GIRDER_3
def test_the_page_of_girder_itself_stays_as_it_is(server):
    assert SCRIPT not in text_of(server.request("/girder", prefix="", isJson=False))


@FOR_GIRDER_3
def test_a_server_without_histomicsui_starts_as_well(server, monkeypatch):
    monkeypatch.setattr(plugin, "getPlugin", lambda _name: None)
    load_script({"serverRoot": SimpleNamespace()})


@FOR_GIRDER_5
def test_the_script_is_static_content_of_the_plugin(server):
    answer = server.request("/system/plugin_static_files")
    assertStatusOk(answer)
    assert any(f"plugin_static/deeplab/{SCRIPT}" in each for each in answer.json["js"])


def test_the_script_looks_for_the_mark_where_it_is():
    script = (FOLDER / SCRIPT).read_text()
    assert f'NEXT_LAYER = "{marks.NEXT_REGIONS}"' in script
    assert f"attributes?.{marks.CORRECTED}" in script
    assert f"mark?.{marks.WITHIN} " in script
