"""Finding slides and annotations, and splitting them by patient."""

import gzip
import json
import zipfile
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from deeplab.errors import ConfigError, SourceError
from deeplab.exchange.samples import find_samples
from tests.girder_for_tests import FOLDER, ITEM, fake_girder

SQUARE = {
    "name": "glomerulus",
    "elements": [
        {
            "type": "polyline",
            "closed": True,
            "points": [[1, 1, 0], [9, 1, 0], [9, 9, 0], [1, 9, 0]],
        }
    ],
}


def picture(path):
    Image.fromarray(np.full((20, 20, 3), 200, np.uint8)).save(path)


def test_slides_are_found_with_the_annotation_beside_them(tmp_path):
    picture(tmp_path / "TCGA-A1.01.2.png")  # dots in a name are part of it
    (tmp_path / "TCGA-A1.01.2.json").write_text(json.dumps([SQUARE]))
    picture(tmp_path / "alone.png")
    (tmp_path / "notes.txt").write_text("not a slide")
    (sample,) = find_samples(str(tmp_path), classes=("glomerulus",)).samples
    assert sample.name == "TCGA-A1.01.2.png"
    assert sample.load().layer("glomerulus").shapes[0].polygon.area == 64


def test_a_mask_beside_a_picture_is_its_annotation_and_no_slide(tmp_path):
    picture(tmp_path / "a.png")
    mask = np.zeros((20, 20), np.uint8)
    mask[2:5, 2:6], mask[10:12, 10:12] = 1, 255
    Image.fromarray(mask).save(tmp_path / "a.mask.png")
    (sample,) = find_samples(str(tmp_path), classes=("nuclei",)).samples
    annotations = sample.load()
    assert annotations.layer("nuclei").shapes[0].polygon.area == 12
    assert annotations.layer("ignore").shapes[0].polygon.area == 4


def test_a_list_names_slide_annotation_scale_patient_and_side(tmp_path):
    picture(tmp_path / "a.png")
    (tmp_path / "a.xml.json").write_text(json.dumps([SQUARE]))
    (tmp_path / "list.csv").write_text(
        "slide,annotation,mpp,patient,split\na.png,a.xml.json,0.25,P1,validation\n"
    )
    (sample,) = find_samples(str(tmp_path / "list.csv"), classes=("glomerulus",)).samples
    assert (sample.mpp, sample.patient, sample.split) == (0.25, "P1", "validation")


@pytest.mark.parametrize(
    ("text", "error", "sentence"),
    [
        ("slide,label\n", ConfigError, "must be slide, annotation and"),
        ("slide,annotation\nno.png,no.json\n", SourceError, "line 2: there is no file"),
        ("slide,annotation,split\na.png,a.json,test\n", ConfigError, "must be train, validation"),
        ("slide,annotation,mpp\na.png,a.json,fine\n", ConfigError, "must be a number"),
        ("slide,annotation\n", SourceError, "holds no slide; files"),
        ("slide,annotation\na.png,a.json,more\n", SourceError, "more cells than columns"),
        ("slide,annotation\na.png\n", SourceError, "holds no slide with annotations"),
        ("slide,annotation,mpp\na.png,a.json,nan\n", ConfigError, "a number of um per pixel"),
        ("slide,annotation\n\udcff\n", SourceError, "a CSV in UTF-8"),
    ],
)
def test_a_bad_list_is_one_clear_sentence(tmp_path, text, error, sentence):
    picture(tmp_path / "a.png")
    (tmp_path / "a.json").write_text(json.dumps([SQUARE]))
    (tmp_path / "list.csv").write_text(text, errors="surrogateescape")
    with pytest.raises(error, match=sentence):
        find_samples(str(tmp_path / "list.csv"), classes=("glomerulus",))


def test_a_spreadsheet_s_list_may_have_semicolons_and_two_slides_of_one_name(tmp_path):
    for case in ("one", "two"):
        (tmp_path / case).mkdir()
        picture(tmp_path / case / "a.png")
        (tmp_path / case / "a.json").write_text(json.dumps([SQUARE]))
    (tmp_path / "list.csv").write_text(
        "Slide;Annotation\r\none/a.png;one/a.json\r\ntwo/a.png;two/a.json\r\n;\r\n",
        encoding="utf-8-sig",
    )
    found = find_samples(str(tmp_path / "list.csv"), classes=("glomerulus",))
    assert [sample.name for sample in found.samples] == ["one/a.png", "two/a.png"]


def test_a_thumbnail_of_a_scan_is_no_slide_and_the_slide_s_whole_name_will_do(tmp_path):
    (tmp_path / "a.1.svs").touch()
    picture(tmp_path / "a.1.jpg")
    (tmp_path / "a.1.svs.geojson").touch()
    (tmp_path / "b.SVS").touch()
    (tmp_path / "b.XML").touch()
    (tmp_path / "._b.SVS").touch()
    (tmp_path / "c.svs").touch()
    found = find_samples(str(tmp_path), classes=("glomerulus",))
    assert [sample.name for sample in found.samples] == ["a.1.svs", "b.SVS"]
    assert [(entry.name, entry.why) for entry in found.left_out] == [
        ("c.svs", "has no annotation beside it")
    ]


def test_items_of_a_girder_folder_may_say_their_patient_split_and_scale():
    item = {"_id": "0a" * 12, "name": "a.svs", "folderId": FOLDER, "size": 1}
    item |= {"largeImage": {"fileId": "0b" * 12}}
    item |= {"meta": {"Patient": 17, "split": "Validation", "mpp": "0.25", "other": [1]}}
    heads = [{"_id": "7b" * 12, "annotation": {"name": "lesion"}}]
    with fake_girder(routes={"item": [item], "annotation": heads}) as girder:
        found = find_samples(FOLDER, login=girder.login)
    (sample,) = found.samples
    assert (sample.patient, sample.split, sample.mpp) == ("17", "validation", 0.25)


def test_a_missing_source_is_one_clear_sentence(tmp_path):
    with pytest.raises(SourceError, match="there is no folder or list file"):
        find_samples(str(tmp_path / "none"), classes=("glomerulus",))


def test_a_folder_without_annotated_slides_is_one_clear_sentence(tmp_path):
    picture(tmp_path / "a.png")
    with pytest.raises(SourceError, match="holds no slide with annotations beside it"):
        find_samples(str(tmp_path), classes=("glomerulus",))


def test_one_slide_is_a_source(tmp_path):
    for name in ("a", "b"):
        picture(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.json").write_text(json.dumps([SQUARE]))
    (sample,) = find_samples(str(tmp_path / "b.png")).samples
    assert sample.name == "b.png"


def test_one_item_of_a_server_is_a_source():
    item = {"_id": ITEM, "name": "a.svs", "folderId": FOLDER, "size": 1}
    item |= {"largeImage": {"fileId": "0b" * 12}}
    heads = [{"_id": "7b" * 12, "annotation": {"name": "lesion"}}]
    routes = {"item": 400, f"file/{ITEM}": 400, f"item/{ITEM}": item, "annotation": heads}
    with fake_girder(routes=routes) as girder:
        (sample,) = find_samples(ITEM, login=girder.login).samples
    assert (sample.name, sample.slide) == ("a.svs", ITEM)


GEOJSON = json.dumps(
    {
        "type": "Feature",
        "properties": {"classification": "glomerulus"},
        "geometry": {"type": "Polygon", "coordinates": [[[1, 1], [9, 1], [9, 9], [1, 9], [1, 1]]]},
    }
).encode()
COCO = json.dumps(
    {
        "images": [{"id": n, "file_name": f"{n}.png"} for n in range(3)],
        "categories": [{"id": 1, "name": "glomerulus"}],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 1, "segmentation": [[0, 0, n, 0, n, n]]}
            for n in (1, 2)
        ],
    }
).encode()


def zipped(name, content):
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, content)
    return file.getvalue()


@pytest.mark.parametrize(
    ("slide", "name", "content"),
    [
        ("a.png", "a.geojson.gz", gzip.compress(GEOJSON)),
        ("a.png", "a.GeoJSON.GZ", gzip.compress(GEOJSON)),
        ("a.png", "a.zip", zipped("a.geojson", GEOJSON)),
        ("a.png", "a.png.geojson.zip", zipped("b.json", GEOJSON)),
        ("a.ome.tif", "a.geojson", GEOJSON),
        ("a.ome.tif", "a.ome.geojson", GEOJSON),
        ("a.ome.tif", "a.ome.tif.geojson", GEOJSON),
        ("Gef\u00e4\u00df.png", "Gefa\u0308\u00df.geojson", GEOJSON),
        ("Gefa\u0308\u00df.png", "Gef\u00e4\u00df.geojson", GEOJSON),
        ("a.png", "a.coco", COCO.replace(b"1.png", b"a.png")),
    ],
)
def test_what_lies_beside_a_slide_may_be_packed_and_called_in_many_ways(
    tmp_path, slide, name, content
):
    picture(tmp_path / "picture.png")
    (tmp_path / "picture.png").rename(tmp_path / slide)
    (tmp_path / name).write_bytes(content)
    (sample,) = find_samples(str(tmp_path)).samples
    assert sample.name == slide
    assert sample.load().shape_count == 1


def test_one_file_of_a_list_is_for_all_slides_that_it_names(tmp_path):
    for n in (1, 2):
        picture(tmp_path / f"{n}.png")
    (tmp_path / "all.json").write_bytes(COCO)
    (tmp_path / "list.csv").write_text("slide,annotation\n1.png,all.json\n2.png,all.json\n")
    found = find_samples(str(tmp_path / "list.csv")).samples
    areas = [sample.load().layers[0].shapes[0].polygon.area for sample in found]
    assert areas == [0.5, 2]


def test_one_file_in_the_folder_is_for_all_slides_that_it_names(tmp_path):
    for n in range(4):
        picture(tmp_path / f"{n}.png")
    (tmp_path / "_annotations.coco.json").write_bytes(COCO)
    (tmp_path / "1.json").write_text(json.dumps([SQUARE]))  # which goes before
    (tmp_path / "settings.json").write_text('{"version": 1}')
    found = find_samples(str(tmp_path))
    assert [sample.name for sample in found.samples] == ["0.png", "1.png", "2.png"]
    loaded = [sample.load() for sample in found.samples]
    assert [each.shape_count for each in loaded] == [0, 1, 1]
    assert loaded[1].layers[0].shapes[0].polygon.area == 64
    assert loaded[2].layers[0].shapes[0].polygon.area == 2
    assert [left.name for left in found.left_out] == ["3.png"]


def zip_of_files():
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("1.geojson", "in/2.PNG.geojson", "notes.txt"):
            archive.writestr(name, GEOJSON)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("all.json.gz", gzip.compress(COCO)),
        ("all.coco.zip", zipped("all.coco", COCO)),
        ("all.zip", zipped("annotations/instances.json", COCO)),
        ("export.zip", zip_of_files()),
        ("all.json", COCO.replace(b'"1.png"', b'"C:\\\\scans\\\\1.PNG"')),
    ],
)
def test_one_file_for_a_folder_may_be_packed_or_a_zip_of_several(tmp_path, name, content):
    for n in (1, 2, 3):
        picture(tmp_path / f"{n}.png")
    (tmp_path / name).write_bytes(content)
    found = find_samples(str(tmp_path))
    assert [sample.name for sample in found.samples] == ["1.png", "2.png"]
    assert [sample.load().shape_count for sample in found.samples] == [1, 1]


def test_a_slide_that_two_files_list_is_left_out_and_said(tmp_path):
    for n in (1, 2):
        picture(tmp_path / f"{n}.png")
    (tmp_path / "both.json").write_bytes(COCO)
    (tmp_path / "other.json").write_bytes(COCO.replace(b"2.png", b"3.png"))
    found = find_samples(str(tmp_path))
    assert [sample.name for sample in found.samples] == ["2.png"]
    (left,) = found.left_out
    assert (left.name, left.why.startswith("is listed in both.json and other.json; ")) == (
        "1.png",
        True,
    )


def test_a_list_may_write_letters_in_other_characters_than_the_disk(tmp_path):
    picture(tmp_path / "Gefa\u0308\u00df.png")
    (tmp_path / "Gefa\u0308\u00df.json").write_text(json.dumps([SQUARE]))
    text = "slide,annotation\nGef\u00e4\u00df.png,Gef\u00e4\u00df.json\n"
    (tmp_path / "list.csv").write_text(text, encoding="utf-8")
    (sample,) = find_samples(str(tmp_path / "list.csv")).samples
    assert sample.load().shape_count == 1


def test_what_was_looked_for_is_named_where_nothing_is_found(tmp_path):
    picture(tmp_path / "a.png")
    with pytest.raises(SourceError, match=r"looked for, .*\.geojson, .*\.ndpa, each also .*\.mask"):
        find_samples(str(tmp_path))


def test_it_is_said_which_of_several_files_is_read(tmp_path, caplog):
    for name in ("a", "b"):
        picture(tmp_path / f"{name}.png")
        for suffix in ("json", "geojson"):
            (tmp_path / f"{name}.{suffix}").write_text(json.dumps([SQUARE]))
    find_samples(str(tmp_path))
    (said,) = [record.getMessage() for record in caplog.records]
    assert said == (
        "of several files of annotations one is read: a.png: a.geojson, not a.json; and so of 1 more"
    )


@pytest.mark.parametrize("name", ["a.geojson.bz2", "a.mask.bmp", "a.txt", "a.png.npy"])
def test_a_file_called_after_a_slide_that_is_not_read_is_named(tmp_path, name):
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png")
    (tmp_path / "b.json").write_text(json.dumps([SQUARE]))
    (tmp_path / name).write_text("")
    (left,) = find_samples(str(tmp_path)).left_out
    assert left.why == (
        f"has no annotation beside it; {name} is not of a kind that is read as such"
    )


def test_a_folder_called_as_an_annotation_is_named(tmp_path):
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png")
    (tmp_path / "b.json").write_text(json.dumps([SQUARE]))
    (tmp_path / "a.geojson").mkdir()
    (left,) = find_samples(str(tmp_path)).left_out
    assert left.why == "has no annotation beside it; a.geojson is a folder"


@pytest.mark.parametrize("stray", ["b.geojson", "B.xml.gz", "b.mask.png", "b.svs.anot"])
def test_an_annotation_that_is_called_after_no_slide_is_said(tmp_path, caplog, stray):
    picture(tmp_path / "a.png")
    for name in ("a.json", stray, "z.xml", "model.zip", "all.json"):
        (tmp_path / name).write_text(json.dumps([SQUARE]))
    find_samples(str(tmp_path))
    (said,) = [record.getMessage() for record in caplog.records]
    assert said == f"{stray} is called after no slide of the folder, nor are 1 more"
    caplog.clear()
    find_samples(str(tmp_path / "a.png"))  # the folder's other files are not meant
    assert not caplog.records
