"""Packed files of annotations are read as what is in them, and never unpack without end."""

import gzip
import zipfile

import pytest
import shapely

from deeplab.annotations.files import read_annotations, read_file
from deeplab.annotations.formats import unpack
from deeplab.annotations.formats.format import Reading, Writing
from deeplab.annotations.formats.table import FORMATS, named
from deeplab.annotations.shapes import Annotations, Layer, Shape
from deeplab.errors import AnnotationError

FORMS = pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)


def write(path, form, edge=20):
    shape = Shape(shapely.box(0, 0, edge, 9))
    form.write(path, Annotations((Layer("a", (1, 2, 3), (shape,)),)), Writing())
    return path


def zipped(path, **files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/").replace("_dot_", "."), content)
    return path


def edges(path, **reading):
    read = read_annotations(path, Reading(**reading))
    return [shape.polygon.bounds[2] for layer in read.layers for shape in layer.shapes]


@FORMS
@pytest.mark.parametrize("called", ["a.zip", "a{}.zip", "a{}"])
def test_a_zip_of_one_file_is_read_whatever_it_is_called(tmp_path, form, called):
    plain = write(tmp_path / f"b{form.suffixes[0]}", form)
    path = tmp_path / called.format(form.suffixes[0])
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(plain, f"folder/{plain.name}")
        archive.writestr("__MACOSX/._b.xml", "rubbish")
        archive.writestr("read me.txt", "rubbish")
    found = read_file(path)
    assert found.format is form
    assert found.annotations.shape_count == 1


@FORMS
@pytest.mark.parametrize("called", ["a{}.gz", "a{}"])
def test_what_gzip_packed_is_read_whatever_it_is_called(tmp_path, form, called):
    content = write(tmp_path / f"b{form.suffixes[0]}", form).read_bytes()
    path = tmp_path / called.format(form.suffixes[0])
    path.write_bytes(gzip.compress(content))
    assert read_file(path).format is form


@pytest.mark.parametrize("name", ["geojson", "asap"])
def test_json_and_xml_under_gzip_need_no_suffix(tmp_path, name):
    content = write(tmp_path / "b", named(name)).read_bytes()
    (tmp_path / "a.gz").write_bytes(gzip.compress(content))
    assert edges(tmp_path / "a.gz") == [20]


def test_of_several_files_that_of_the_slide_is_read(tmp_path):
    one, other = (write(tmp_path / "b", named("geojson"), edge).read_text() for edge in (10, 30))
    path = zipped(tmp_path / "all.zip", **{"a.geojson": one, "b.svs.geojson": other})
    assert edges(path, slide="a.svs") == [10]
    assert edges(path, slide="b.svs") == [30]
    with pytest.raises(AnnotationError, match="has 2 files of annotations inside.*none is called"):
        edges(path, slide="c.svs")
    own = zipped(tmp_path / "a.zip", **{"a.geojson": one, "b.geojson": other})
    assert edges(own) == [10]


def test_a_file_without_a_name_is_no_annotation(tmp_path):
    source = write(tmp_path / "a.geojson", named("geojson"))
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(source, "a.geojson")
        archive.writestr("nameless", "x")
    # Python ends a name at its first zero.
    path.write_bytes(path.read_bytes().replace(b"nameless", b"\0ameless"))
    assert read_annotations(path).shape_count == 1


def test_sentences_are_about_the_file_that_was_given(tmp_path):
    path = zipped(tmp_path / "a.zip", **{"b.geojson": "[3"})
    with pytest.raises(AnnotationError) as caught:
        edges(path)
    assert str(caught.value).startswith(f"{path} (b.geojson): is not JSON")


def bomb(path):
    path.write_bytes(gzip.compress(bytes(unpack.SMALL_BYTES * 2)))
    return path


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda path: zipped(path, **{"read me.txt": "x"}), "has no file of annotations inside"),
        (lambda path: zipped(path, **{"a.json": bytes(2 << 26)}), "unpacks to more than 64 MiB"),
        (bomb, "unpacks to more than 64 MiB"),
        (lambda path: path.write_bytes(b"PK\3\4rubbish"), "cannot be unpacked"),
        (lambda path: path.write_bytes(b"\x1f\x8brubbish"), "cannot be unpacked"),
        (lambda path: path.write_bytes(gzip.compress(b"[]" * 999)[:-12]), "cannot be unpacked"),
        (lambda path: path.write_bytes(gzip.compress(gzip.compress(b"[]"))), "without suffix"),
        (lambda path: path.write_bytes(b"plain"), "files of type .zip are not read"),
    ],
)
def test_what_cannot_be_unpacked_is_refused_in_a_sentence(tmp_path, make, sentence):
    make(tmp_path / "a.zip")
    with pytest.raises(AnnotationError, match=sentence):
        edges(tmp_path / "a.zip")


def test_encrypted_zips_and_other_packers_are_named(tmp_path):
    path = zipped(tmp_path / "a.zip", **{"a.json": "[]"})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1
    content[6] |= 1
    path.write_bytes(content)
    with pytest.raises(AnnotationError, match="is encrypted; save it without a password"):
        edges(path)
    (tmp_path / "a.7z").write_bytes(b"7z")
    with pytest.raises(AnnotationError, match=r"type \.7z are not unpacked; give what is in it"):
        edges(tmp_path / "a.7z")


def test_what_one_unpacks_leaves_no_work_files(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    edges(zipped(tmp_path / "a.zip", **{"a.json": "[]"}))
    assert list((tmp_path / "scratch").iterdir()) == []
