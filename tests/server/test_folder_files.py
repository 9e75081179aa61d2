"""Files go up in pieces and come down whole."""

from __future__ import annotations

import json

import pytest

from deeplab.errors import AccessDeniedError, ServerError
from deeplab.server import client
from deeplab.server.folder_files import (
    check_folder_writable,
    download_file,
    download_item,
    named_items,
    remove_item,
    upload_file,
)
from deeplab.server.items import ItemFile
from tests.girder_for_tests import FOLDER, ITEM, Shelf, zipped

CONTENT = bytes(range(256)) * 40


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(client, "PIECE_BYTES", 3000)


def upload(session, tmp_path, after_piece=lambda: None):
    path = tmp_path / "a.bin"
    path.write_bytes(CONTENT)
    return upload_file(session, FOLDER, path, name="a.zip", after_piece=after_piece)


def test_what_went_up_comes_down_again(girder, session, tmp_path):
    shelf, pieces = Shelf(girder), []
    item_id = upload(session, tmp_path, lambda: pieces.append(shelf.names()))
    assert pieces == [[], [], [], ["a.zip"]]
    (item,) = named_items(session, FOLDER, "a")
    assert (item.id, item.size_bytes) == (item_id, len(CONTENT))
    download_item(session, item, tmp_path / "b.bin", limit_bytes=len(CONTENT))
    assert (tmp_path / "b.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("fault", [500, 502, "drop", "half"])
@pytest.mark.parametrize("request_number", [1, 2, 4])
def test_an_upload_that_breaks_goes_on_where_the_server_is(
    girder, session, tmp_path, fault, request_number
):
    shelf = Shelf(girder)
    girder.faults = [*[None] * request_number, fault]
    item_id = upload(session, tmp_path)
    assert shelf.items == {item_id: ("a.zip", CONTENT)}


def test_an_upload_that_breaks_again_and_again_ends_and_leaves_no_item(girder, session, tmp_path):
    shelf = Shelf(girder)
    girder.faults = [None, None, *[500, None] * 50]
    with pytest.raises(ServerError, match=r"^upload of a\.zip: "):
        upload(session, tmp_path)
    assert shelf.names() == []


def test_an_upload_can_be_given_up(girder, session, tmp_path):
    shelf = Shelf(girder)

    def enough():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        upload(session, tmp_path, enough)
    assert shelf.names() == []


def test_items_are_found_by_the_beginning_of_their_name(girder, session):
    shelf = Shelf(girder)
    for name in ("b-2", "a-1", "b-1", "c"):
        shelf.put(name, b"x")
    assert [item.name for item in named_items(session, FOLDER, "b-")] == ["b-1", "b-2"]


def test_more_than_is_allowed_is_not_fetched(girder, session, tmp_path):
    Shelf(girder).put("a", CONTENT)
    (item,) = named_items(session, FOLDER, "a")
    with pytest.raises(ServerError, match="more than 100 bytes"):
        download_item(session, item, tmp_path / "b", limit_bytes=100)
    assert not (tmp_path / "b").exists()


def test_a_download_that_breaks_is_begun_again(girder, session, tmp_path):
    Shelf(girder).put("a", CONTENT)
    (item,) = named_items(session, FOLDER, "a")
    girder.faults = [None, "half", "drop"]
    download_item(session, item, tmp_path / "b", limit_bytes=len(CONTENT))
    assert (tmp_path / "b").read_bytes() == CONTENT


@pytest.mark.parametrize("name", ["Größe.xml", "ø/x.xml", "1°.json"])
def test_a_file_whose_name_girder_cannot_send_comes_in_a_zip(girder, session, tmp_path, name):
    girder.routes["resource/download"] = lambda query: (
        ("application/zip", zipped([("item/ß.xml", b"other"), (f"item/{name}", b"right")]))
        if json.loads(query["resources"]) == {"item": [ITEM]}
        else 400
    )
    file = ItemFile(id="7c" * 12, name=name, size_bytes=5, item_id=ITEM)
    download_file(session, file, tmp_path / "b", limit_bytes=1000)
    assert (tmp_path / "b").read_bytes() == b"right"
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


@pytest.mark.parametrize("sent", [b"no zip", b"PK", zipped([("item/ß.xml", b"longer")])])
def test_a_zip_that_does_not_hold_the_file_is_an_error(girder, session, tmp_path, sent):
    girder.routes["resource/download"] = ("application/zip", sent)
    file = ItemFile(id="7c" * 12, name="ß.xml", size_bytes=5, item_id=ITEM)
    with pytest.raises(ServerError, match="file ß.xml: "):
        download_file(session, file, tmp_path / "b", limit_bytes=1000)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.xml", "Größe.xml".replace("ß", "ss"), "🔬 é.xml", "日本.xml"])
def test_a_file_of_any_other_name_comes_as_it_is(girder, session, tmp_path, name):
    girder.routes[f"file/{ITEM}/download"] = ("application/xml", b"right")
    file = ItemFile(id=ITEM, name=name, size_bytes=5, item_id=ITEM)
    download_file(session, file, tmp_path / "b", limit_bytes=1000)
    assert (tmp_path / "b").read_bytes() == b"right"


def test_what_is_removed_twice_is_gone(girder, session):
    shelf = Shelf(girder)
    shelf.put("a", CONTENT)
    (item,) = named_items(session, FOLDER, "a")
    remove_item(session, item)
    remove_item(session, item)
    assert shelf.names() == []


def test_a_folder_that_may_only_be_read_is_refused(girder, session):
    Shelf(girder, access=0)
    with pytest.raises(AccessDeniedError, match="ask its owner for write access"):
        check_folder_writable(session, FOLDER)
    Shelf(girder)
    check_folder_writable(session, FOLDER)
