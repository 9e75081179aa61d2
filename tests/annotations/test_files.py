import numpy as np
import pytest
import shapely
from PIL import Image

from deeplab.annotations.files import read_annotations
from deeplab.annotations.formats.aperio_xml import write_aperio_xml
from deeplab.annotations.formats.format import Reading
from deeplab.annotations.formats.geojson import write_geojson
from deeplab.annotations.formats.girder_json import write_girder_json
from deeplab.annotations.shapes import Annotations, Layer, Shape
from deeplab.errors import AnnotationError

ANNOTATIONS = Annotations((Layer("a", (9, 8, 7), (Shape(shapely.box(1, 2, 5, 4)),)),))


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.json", write_girder_json),
        ("a.anot", write_girder_json),
        ("a.JSON", write_geojson),
        ("a.b.geojson", write_geojson),
        ("a.xml", write_aperio_xml),
    ],
)
def test_each_format_is_known_by_name_and_content(tmp_path, name, write):
    write(tmp_path / name, ANNOTATIONS)
    (layer,) = read_annotations(tmp_path / name).layers
    assert (layer.name, layer.colour) == ("a", (9, 8, 7))
    assert layer.shapes[0].polygon.equals(shapely.box(1, 2, 5, 4))


def test_masks_take_the_names_given(tmp_path):
    Image.fromarray(np.ones((2, 3), np.uint8)).save(tmp_path / "a.png")
    (layer,) = read_annotations(tmp_path / "a.png", Reading(classes=["tumour"])).layers
    assert layer.name == "tumour"
    assert layer.shapes[0].polygon.equals(shapely.box(0, 0, 3, 2))


@pytest.mark.parametrize("name", ["a.json", "a.geojson", "a.xml", "a.png"])
def test_missing_empty_and_binary_files_are_refused_in_one_sentence(tmp_path, name):
    path = tmp_path / name
    with pytest.raises(AnnotationError, match="there is no such file"):
        read_annotations(path)
    for content in (b"", b"\x00\xff\xfe\x01", b"PK\x03\x04"):
        path.write_bytes(content)
        with pytest.raises(AnnotationError) as caught:
            read_annotations(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)


def test_a_folder_and_an_unknown_suffix_are_refused(tmp_path):
    (tmp_path / "a.json").mkdir()
    with pytest.raises(AnnotationError, match="is a folder"):
        read_annotations(tmp_path / "a.json")
    with pytest.raises(AnnotationError, match=r"type \.csv are not read"):
        read_annotations(tmp_path / "a.csv")


def test_a_layer_whose_name_is_blank_is_called_by_its_place(tmp_path):
    blank = Annotations((*ANNOTATIONS.layers, Layer(" ", (1, 2, 3), ANNOTATIONS.layers[0].shapes)))
    write_geojson(tmp_path / "a.geojson", blank)
    again = read_annotations(tmp_path / "a.geojson")
    assert again.names == ("a", "layer 2")
    write_girder_json(tmp_path / "a.anot", again)
    assert read_annotations(tmp_path / "a.anot").names == ("a", "layer 2")
