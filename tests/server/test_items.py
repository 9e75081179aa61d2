from __future__ import annotations

import girder_client
import pytest

from deeplab.errors import AccessDeniedError, ConfigError, ServerError
from deeplab.server import items
from deeplab.server.items import Item, ItemFile
from deeplab.server.session import Patience, Session
from tests.girder_for_tests import FOLDER, ITEM, fake_girder


def told(number, **more):
    return {"_id": f"{number:024x}", "name": f"{number}.svs", "folderId": FOLDER, "size": 9, **more}


def test_an_item_is_read():
    routes = {f"item/{ITEM}": told(7, largeImage={"fileId": ITEM})}
    with fake_girder(routes=routes) as girder, Session(girder.login) as session:
        assert items.get_item(session, ITEM) == Item(
            id=f"{7:024x}",
            name="7.svs",
            folder_id=FOLDER,
            size_bytes=9,
            is_large_image=True,
            image_file_id=ITEM,
        )


@pytest.mark.parametrize("bad", ["", "../user", "5F" * 12, ITEM + "/x", "5f" * 11])
def test_what_is_no_id_never_becomes_a_path(bad):
    with fake_girder() as girder, Session(girder.login) as session:
        with pytest.raises(ConfigError, match="24 hexadecimal digits"):
            items.get_item(session, bad)
        assert girder.asked == []


def test_all_items_of_a_folder_come_page_by_page(monkeypatch):
    monkeypatch.setattr(girder_client, "DEFAULT_PAGE_LIMIT", 3)
    everything = [told(n) for n in range(7)]

    def page(query):
        start = int(query["offset"])
        assert query["folderId"] == FOLDER
        return everything[start : start + int(query["limit"])]

    with fake_girder(routes={"item": page}) as girder, Session(girder.login) as session:
        names = [item.name for item in items.folder_items(session, FOLDER)]
    assert names == [f"{n}.svs" for n in range(7)]


def test_only_items_with_tiles_are_large_images():
    folder = [
        told(1),
        told(2, largeImage={"fileId": ITEM}),
        told(3, largeImage={"fileId": ITEM, "expected": True}),
    ]
    with fake_girder(routes={"item": folder}) as girder, Session(girder.login) as session:
        assert [item.name for item in items.large_image_items(session, FOLDER)] == ["2.svs"]


def test_the_files_of_an_item_are_listed():
    files = [{"_id": ITEM, "name": "a.svs", "size": 12}, {"_id": FOLDER, "name": "b.xml"}]
    with (
        fake_girder(routes={f"item/{ITEM}/files": files}) as girder,
        Session(girder.login) as session,
    ):
        assert items.item_files(session, ITEM) == [
            ItemFile(id=ITEM, name="a.svs", size_bytes=12, item_id=ITEM),
            ItemFile(id=FOLDER, name="b.xml", size_bytes=0, item_id=ITEM),
        ]


@pytest.mark.parametrize("reply", [None, [], {"name": "x"}, {"_id": "x/../y", "name": "n"}])
def test_an_answer_that_is_no_item_is_an_error(reply):
    with (
        fake_girder(routes={f"item/{ITEM}": reply}) as girder,
        Session(girder.login) as session,
        pytest.raises(ServerError, match="not an item"),
    ):
        items.get_item(session, ITEM)


def test_some_keys_of_metadata_are_set_and_asked_again_after_a_fault():
    routes = {f"item/{ITEM}/metadata": {}}
    with (
        fake_girder(routes=routes, faults=["drop", 503]) as girder,
        Session(girder.login, patience=Patience(first_wait_s=0.01)) as session,
    ):
        items.put_metadata(session, ITEM, {"a": {"b": 1.5}})
        assert girder.put[-1] == (f"item/{ITEM}/metadata", {"a": {"b": 1.5}})
        girder.routes[f"item/{ITEM}/metadata"] = 403
        with pytest.raises(AccessDeniedError, match="metadata of item"):
            items.put_metadata(session, ITEM, {})
