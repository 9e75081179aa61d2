"""The page of a folder is served whole, and lets a browser load and ask nothing from elsewhere."""

import re

import pytest

pytest.importorskip("girder")

from pytest_girder.assertions import assertStatus, assertStatusOk

from girder_deeplab.histomicsui import TEMPLATE
from girder_deeplab.pages import FOLDER, PAGE, TYPES

pytestmark = pytest.mark.plugin("deeplab")


def served(server, path):
    answer = server.request(f"/deeplab/{path}", isJson=False)
    assertStatusOk(answer)
    return answer, b"".join(answer.body).decode()


def test_every_file_of_the_page_is_served_as_what_it_is(server):
    assert {each.name for each in FOLDER.iterdir()} == {*TYPES, TEMPLATE}
    for name, kind in TYPES.items():
        answer, text = served(server, f"page/{name}")
        assert answer.headers["Content-Type"].replace(" ", "") == f"{kind};charset=utf-8"
        assert text == (FOLDER / name).read_text()


def test_the_page_loads_its_own_files_only(server):
    answer, text = served(server, "page")
    assert text == (FOLDER / PAGE).read_text()
    loaded = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert sorted(loaded) == ["page/page.css", "page/page.js"]
    policy = dict(
        each.strip().split(" ", 1) for each in answer.headers["Content-Security-Policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert set(policy.values()) == {"'none'", "'self'"}
    assert "style=" not in text  # which the policy forbids
    assert "<script>" not in text


def test_there_are_no_other_files(server):
    for name in ("pages.py", "..%2Fpages.py", "page.map"):
        assertStatus(server.request(f"/deeplab/page/{name}", isJson=False), 404)


@pytest.mark.parametrize("name", [each for each in TYPES if each.endswith(".js")])
def test_no_text_of_people_becomes_markup(name):
    script = (FOLDER / name).read_text()
    for markup in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert markup not in script
