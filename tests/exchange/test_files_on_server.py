"""Which files on a server are about which slides."""

import json
import tempfile
from pathlib import Path

import pytest

from deeplab.errors import SourceError
from deeplab.exchange.files_on_server import find_files
from deeplab.server.session import Session
from tests.girder_for_tests import FOLDER, SlideFolder


@pytest.fixture
def folder(girder):
    return SlideFolder(girder)


def found(girder, any_id=FOLDER):
    with Session(girder.login) as session, tempfile.TemporaryDirectory() as folder:
        files = find_files(session, any_id, Path(folder))
    return files, {(each.slide.name, each.name) for each in files.files}


def test_all_files_of_a_slide_are_found_and_those_of_others_are_not(girder, folder):
    for name in ("TCGA.01.svs", "TCGA.02.svs", "TCGA.svs"):
        folder.slide(name)
    beside = ["TCGA.01.xml", "TCGA.01.svs.XML", "TCGA.01.geojson", "TCGA.01.mask.tif"]
    for name in (*beside, "TCGA.xml", "TCGA.03.xml", "TCGA.02.txt", "TCGA.02.png"):
        folder.file(name, b"x")
    _, pairs = found(girder)
    assert pairs == {("TCGA.01.svs", name) for name in beside} | {("TCGA.svs", "TCGA.xml")}


def test_a_mask_of_which_the_server_has_made_an_image_is_no_slide(girder, folder):
    folder.slide("a.svs")
    folder.slide("a.mask.tif")
    files, pairs = found(girder)
    assert [slide.name for slide in files.slides] == ["a.svs"]
    assert pairs == {("a.svs", "a.mask.tif")}


def test_further_files_in_the_item_of_a_slide_are_found(girder, folder):
    slide = folder.slide("a.svs")
    for name in ("any name.xml", "notes.txt", "thumbnail.png", "b.mask.png"):
        folder.file(name, b"x", item=slide)
    _, pairs = found(girder)
    assert pairs == {("a.svs", "a.svs/any name.xml"), ("a.svs", "a.svs/b.mask.png")}


@pytest.mark.parametrize("of", ["item", "file"])
def test_one_slide_is_asked_for_by_its_item_or_its_file(girder, folder, of):
    slide = folder.slide("a.svs")
    folder.slide("b.svs")
    folder.file("a.xml", b"x")
    folder.file("b.xml", b"x")
    any_id = slide if of == "item" else folder.items[slide]["largeImage"]["fileId"]
    files, pairs = found(girder, any_id)
    assert [each.name for each in files.slides] == ["a.svs"]
    assert pairs == {("a.svs", "a.xml")}


def test_a_name_that_fits_two_slides_is_not_guessed_about(girder, folder):
    folder.slide("a.ndpi")
    folder.slide("a.svs")
    folder.slide("b.png")
    folder.slide("b.svs")
    for name in ("a.xml", "a.svs.xml", "b.xml"):
        folder.file(name, b"x")
    files, pairs = found(girder)
    assert pairs == {("a.svs", "a.svs.xml"), ("b.svs", "b.xml")}, "a picture yields to its scan"
    (sentence,) = files.unclear
    assert sentence.startswith("a.xml was not taken, as it may be about a.ndpi or a.svs; name it")
    assert sentence.endswith("in full, as a.ndpi.xml")


def test_a_second_upload_of_a_name_is_not_passed_over_in_silence(girder, folder):
    folder.slide("a.svs")
    for name in ("a.xml", "a.xml (1)", "b.xml (1)", "a (1).xml"):
        folder.file(name, b"x", file_name=name.removesuffix(" (1)"))
    files, pairs = found(girder)
    assert pairs == {("a.svs", "a.xml")}
    (sentence,) = files.unclear
    assert sentence.startswith("a.xml (1) was not taken;")
    assert sentence.endswith("remove the one that is out of date and call the other a.xml")


def test_of_two_files_of_one_name_in_an_item_the_newer_counts(girder, folder):
    slide = folder.slide("a.svs")
    for _ in range(2):
        folder.file("x.xml", b"x", item=slide)
    newer = girder.routes[f"item/{slide}/files"][-1]
    newer["created"] = "2026-01-02"
    girder.routes[f"item/{slide}/files"].reverse()
    files, _ = found(girder)
    assert [each.file.id for each in files.files] == [newer["_id"]]
    assert files.unclear == [
        "an older a.svs/x.xml was not taken, as there is a newer one; remove the older"
    ]


def test_what_is_no_slide_is_one_clear_sentence(girder, folder):
    xml = folder.file("a.xml", b"x")
    with pytest.raises(SourceError, match="holds no slide, only 1 other items"):
        found(girder)
    with pytest.raises(SourceError, match="a.xml is no slide; choose its slide or the folder"):
        found(girder, xml)


COCO = json.dumps({"images": [{"id": n, "file_name": f"{n}.svs"} for n in "ab"]}).encode()


def test_a_file_called_after_no_slide_is_about_those_that_it_lists(girder, folder):
    for name in ("a.svs", "b.svs", "c.svs"):
        folder.slide(name)
    folder.file("all.json", COCO)
    folder.file("settings.json", b'{"version": 1}')
    folder.file("model.zip", b"PK\3\4")
    folder.file("b.xml", b"x")
    files, pairs = found(girder)
    assert pairs == {("a.svs", "all.json"), ("b.svs", "all.json"), ("b.svs", "b.xml")}
    assert files.unclear == []
    of_b = next(number for number, item in folder.items.items() if item["name"] == "b.svs")
    assert found(girder, of_b)[1] == {("b.svs", "all.json"), ("b.svs", "b.xml")}


def test_a_file_that_cannot_be_looked_into_is_named_and_the_others_are_found(girder, folder):
    folder.slide("a.svs")
    folder.file("a.xml", b"x")
    item = folder.file("all.json", COCO)
    (file,) = girder.routes[f"item/{item}/files"]
    girder.routes[f"file/{file['_id']}/download"] = 404
    files, pairs = found(girder)
    assert pairs == {("a.svs", "a.xml")}
    (said,) = files.unclear
    assert said.startswith("all.json was not looked into: the server answered 404")
