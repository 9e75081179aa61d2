"""Pictures of numbered objects: a shape a number, exact; told from masks of classes, never unsaid."""

import numpy as np
import pytest
import shapely
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from deeplab.annotations.files import read_file
from deeplab.annotations.formats.format import Reading, Writing
from deeplab.annotations.formats.instance_images import read_instances, write_instances
from deeplab.annotations.raster.rasterize import fill_polygon
from deeplab.annotations.shapes import Annotations, Layer, Shape
from deeplab.annotations.trace.instances import trace_ids
from deeplab.errors import AnnotationError
from deeplab.geometry.frames import Mpp
from deeplab.label_map import InstanceTable

IDS = st.sampled_from([0, 1, 2, 70_000, 4_294_967_295])
MAPS = arrays(np.uint32, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=IDS)
TOUCHING = np.zeros((20, 30), np.uint16)  # two nuclei side by side, and one in two places
TOUCHING[2:8, 2:8], TOUCHING[2:8, 8:14] = 4, 5
TOUCHING[12:15, 2:5], TOUCHING[12:15, 20:24] = 9, 9


def painted(shapes, size):
    found = np.zeros(size, np.uint32)
    for number, polygon in shapes:
        mask = np.zeros(size, np.uint8)
        fill_polygon(mask, polygon, 1)
        assert not found[mask > 0].any()
        found[mask > 0] = number
    return found


def saved(path, ids):
    if path.suffix == ".png":
        Image.fromarray(ids).save(path)
    else:
        tifffile.imwrite(path, ids, tile=(16, 16))
    return path


@given(ids=MAPS)
def test_what_was_traced_and_drawn_again_is_what_it_was(ids):
    shapes = list(trace_ids(ids).finish())
    numbers = [each.number for each in shapes]
    assert sorted(numbers) == sorted(set(np.unique(ids).tolist()) - {0})
    assert all(each.polygon.is_valid for each in shapes)
    np.testing.assert_array_equal(painted(shapes, ids.shape), ids)


@given(ids=MAPS, factor=st.sampled_from([1, 300]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_across_tiles_too(monkeypatch, ids, factor):
    wide = np.repeat(np.repeat(ids, factor // 2 + 1, 0), 2, 1)
    with monkeypatch.context() as patch:
        patch.setattr("deeplab.annotations.trace.instances.TILE", 5)
        shapes = list(trace_ids(wide).finish())
    np.testing.assert_array_equal(painted(shapes, wide.shape), wide)


@pytest.mark.parametrize("name", ["a.instances.png", "a.instances.tif", "a.tif", "a.png"])
def test_touching_objects_stay_apart_and_one_number_in_two_places_is_one_object(tmp_path, name):
    read = read_file(saved(tmp_path / name, TOUCHING), Reading(classes=["nucleus"])).annotations
    assert read.names == ("nucleus",)
    shapes = list(read.layers[0].shapes)
    assert sorted(shape.polygon.area for shape in shapes) == [21, 36, 36]
    assert sorted(len(shape.parts) for shape in shapes) == [1, 1, 2]
    assert read.attributes == {"width_level0": 30, "height_level0": 20}
    said = [remark for remark in read.remarks if "are taken for objects, one each" in remark]
    assert len(said) == (0 if "instances" in name else 1)


@pytest.mark.parametrize("kind", [">u4", "<i4", "<f4", "<f8", "<i8"])
@pytest.mark.parametrize("name", ["a.instances.tif", "a.tif"])
def test_numbers_of_32_bits_and_more_are_those_they_are(tmp_path, name, kind):
    ids = np.where(TOUCHING > 0, TOUCHING * np.int64(1_000_000), 0).astype(kind)
    tifffile.imwrite(tmp_path / name, ids, byteorder=kind[0])
    read = read_file(tmp_path / name, Reading(classes=["nucleus"])).annotations
    areas = sorted(shape.polygon.area for shape in read.layer("nucleus").shapes)
    assert areas == [21, 36, 36]


@pytest.mark.parametrize(
    ("ids", "classes", "objects"),
    [
        (TOUCHING, (), True),
        (TOUCHING, ("a", "b"), False),  # a mask is asked for, with values that have no name
        (TOUCHING.astype(np.uint8), (), False),
        ((TOUCHING > 4).astype(np.uint16), (), False),  # one value
        (np.arange(300, dtype=np.uint16).reshape(15, 20), ("a", "b"), True),
        (np.tile(np.array([[0, 1], [2, 0]], np.uint16), (9, 9)), (), False),  # all over the place
    ],
)
def test_what_has_no_name_is_told_by_its_values(tmp_path, ids, classes, objects):
    read = read_file(saved(tmp_path / "a.tif", ids), Reading(classes=classes)).annotations
    assert any("are taken for objects" in remark for remark in read.remarks) == objects
    assert ("objects" in read.names) == objects


def test_more_numbers_than_a_name_are_refused_in_eight_bits_with_what_to_do(tmp_path):
    ids = np.arange(200, dtype=np.uint8).reshape(10, 20)
    with pytest.raises(AnnotationError, match=r"call it NAME\.instances\.tif"):
        read_file(saved(tmp_path / "a.tif", ids))
    read = read_file(saved(tmp_path / "a.instances.tif", ids)).annotations
    assert read.shape_count == 199


def test_types_are_those_of_most_pixels_of_the_picture_beside(tmp_path):
    types = np.zeros(TOUCHING.shape, np.uint8)
    types[2:8, 2:8], types[2:8, 8:10], types[2:8, 10:14] = 1, 1, 2
    saved(tmp_path / "a.types.png", types)
    read = read_file(saved(tmp_path / "a.instances.png", TOUCHING)).annotations
    layers = {layer.name: [shape.polygon.area for shape in layer.shapes] for layer in read.layers}
    assert layers == {"type 1": [36], "type 2": [36], "objects": [21]}
    assert not read.remarks, "they are where they belong"
    (tmp_path / "type_info.json").write_text('{"1": ["epithelium", [1, 2, 3]]}')
    read = read_file(tmp_path / "a.instances.png").annotations
    assert read.layer("epithelium").colour == (1, 2, 3)
    saved(tmp_path / "a.types.png", types[:5])
    with pytest.raises(AnnotationError, match="has 30 x 5 pixels, but the objects 30 x 20"):
        read_file(tmp_path / "a.instances.png")


def test_what_is_written_has_levels_a_scale_and_a_table(tmp_path):
    boxes = [Shape(shapely.box(x, 0, x + 10, 300)) for x in range(0, 600, 10)]
    layers = (Layer("a", (1, 2, 3), boxes[:50], "said"), Layer("none", (0, 0, 0), ()))
    drawn = Annotations((*layers, Layer("b", (4, 5, 6), boxes[50:])), mpp=Mpp(0.25, 0.5))
    path = tmp_path / "a.instances.tif"
    write_instances(path, drawn, Writing())
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        assert (page.dtype, page.shape, page.tilewidth) == (np.uint32, (300, 600), 256)
        assert page.subifds is not None
        assert len(page.subifds) == 2
        ids = page.asarray()
        table = InstanceTable.parse(page.description)
    assert ids[0, ::10].tolist() == list(range(1, 61))
    told = [(row.name, row.first, row.last) for row in table.rows]
    assert told == [("a", 1, 50), ("none", 51, 50), ("b", 51, 60)]
    again = read_file(path)
    assert again.format.name == "instances"
    assert [len(layer.shapes) for layer in again.annotations.layers] == [50, 0, 10]
    assert again.annotations.mpp.x == pytest.approx(0.25)
    path.rename(tmp_path / "b.tif")  # its table says what it is
    assert read_file(tmp_path / "b.tif").format.name == "instances"


def test_a_png_is_not_written(tmp_path):
    drawn = Annotations((Layer("a", (1, 2, 3), (Shape(shapely.box(0, 0, 5, 5)),)),))
    with pytest.raises(AnnotationError, match=r"give \.tif"):
        write_instances(tmp_path / "a.png", drawn)


@pytest.mark.parametrize(
    "table",
    [
        '{"instances": [{"name": "a", "colour": [0, 0, 0], "first": 0, "last": 3}]}',
        '{"instances": [{"name": "a", "colour": [0, 0, 999], "first": 1, "last": 3}]}',
        '{"instances": 3}',
        "[" * 10_000,
    ],
)
def test_a_table_that_says_what_cannot_be_is_passed_over(tmp_path, table):
    path = tmp_path / "a.instances.tif"
    tifffile.imwrite(path, TOUCHING, description=table, metadata=None)
    assert read_instances(path).names == ("objects",)


def test_what_numbers_no_objects_is_refused(tmp_path):
    path = tmp_path / "a.instances.tif"
    tifffile.imwrite(path, np.full((9, 9), -1, np.int32))
    with pytest.raises(AnnotationError, match="holds -1; objects are numbered from 1 on"):
        read_file(path)
    tifffile.imwrite(path, np.full((9, 9), np.nan, np.float32))
    with pytest.raises(AnnotationError, match="holds nan; objects are numbered from 1 on"):
        read_file(path)
    tifffile.imwrite(path, np.random.default_rng(0).integers(0, 9, (9, 9, 3)).astype(np.uint8))
    with pytest.raises(AnnotationError, match="in colours"):
        read_file(path)
