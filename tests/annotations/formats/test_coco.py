import json

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from deeplab.annotations.formats.coco import read_coco, write_coco
from deeplab.annotations.formats.format import Reading, Writing
from deeplab.annotations.formats.hole_free import hole_free_parts
from deeplab.annotations.formats.table import format_of
from deeplab.annotations.raster.rasterize import draw
from deeplab.annotations.shapes import Annotations, Layer, Shape
from deeplab.annotations.trace.outlines import trace
from deeplab.errors import AnnotationError
from deeplab.geometry.frames import Mpp, WorkFrame

MASKS = hnp.arrays(
    np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 1)
)


def document(annotations, images=({"id": 4, "file_name": "a.png", "width": 50, "height": 40},)):
    categories = [{"id": 9, "name": "cell", "supercategory": "x", "color": [1, 2, 3]}]
    return {"images": list(images), "annotations": annotations, "categories": categories}


def write(path, *annotations, **more):
    path.write_text(json.dumps(document(annotations, **more)))
    return path


def one(**found):
    return {"id": 1, "image_id": 4, "category_id": 9, "iscrowd": 0} | found


def run_lengths(mask):
    """Counts down the columns, background first, worked out pixel by pixel."""
    counts, value = [0], 0
    for pixel in mask.T.ravel().tolist():
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return counts


def compressed(counts):
    """COCO's text of counts, as its documentation tells it."""
    text = ""
    for place, count in enumerate(counts):
        left = count - counts[place - 2] if place > 2 else count
        while True:
            bits, left = left & 31, left >> 5
            done = left == (-1 if bits & 16 else 0)
            text += chr(48 + bits + (0 if done else 32))
            if done:
                break
    return text


def pixels(annotations, shape):
    frame = WorkFrame(1, 1, shape[1], shape[0], 1)
    return draw(annotations, {"cell": 1}, frame.box, frame)


@pytest.mark.parametrize("form", [list, compressed])
@settings(max_examples=80)
@given(mask=MASKS)
def test_run_lengths_are_the_pixels_they_were_made_of(tmp_path_factory, form, mask):
    path = tmp_path_factory.mktemp("coco") / "a.json"
    runs = {"size": list(mask.shape), "counts": form(run_lengths(mask))}
    np.testing.assert_array_equal(
        pixels(read_coco(write(path, one(segmentation=runs))), mask.shape), mask
    )


@settings(max_examples=60)
@given(MASKS)
def test_parts_without_holes_are_the_shape_and_grow_together_again(mask):
    for traced in trace(mask):
        parts = hole_free_parts(traced.polygon)
        assert not any(part.interiors for part in parts)
        assert sum(part.area for part in parts) == pytest.approx(traced.polygon.area)
        assert shapely.union_all(parts).equals(traced.polygon)


def test_slanted_outlines_with_many_holes_come_back_but_for_rounding(tmp_path):
    disc = shapely.Point(100.3, 99.7).buffer(90)
    for x in range(40, 170, 13):
        disc -= shapely.Point(x + 0.37, 100 + x / 7).buffer(4.1)
    write_coco(tmp_path / "a.json", Annotations((Layer("cell", (1, 2, 3), (Shape(disc),)),)))
    (shape,) = read_coco(tmp_path / "a.json").layers[0].shapes
    assert len(shape.polygon.interiors) == len(disc.interiors) == 10
    assert shapely.symmetric_difference(shape.polygon, disc).area < 1e-6


@settings(max_examples=40)
@given(
    st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=3, unique=True),
    st.dictionaries(
        st.text(),
        st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        max_size=3,
    ).filter(lambda d: not {"score", "iscrowd"} & d.keys()),
    st.floats(0.1, 1e5),
)
def test_names_colours_properties_scale_and_outlines_are_read_again(
    tmp_path_factory, names, words, x
):
    path = tmp_path_factory.mktemp("coco") / "a.json"
    outline = shapely.Polygon([(x, 0.1), (x + 7, 3), (x + 2, 9.3)])
    layers = tuple(
        Layer(name, (place, 2, 3), (Shape(outline, words),), "said")
        for place, name in enumerate(names)
    )
    write_coco(path, Annotations((*layers, Layer("no\tone", (0, 0, 0), ())), mpp=Mpp(0.25, 0.5)))
    again = read_coco(path)
    assert [(la.name, la.colour, la.description) for la in again.layers[:-1]] == [
        (la.name, la.colour, la.description) for la in layers
    ]
    assert not again.layers[-1].shapes
    assert again.mpp == Mpp(0.25, 0.5)
    assert all(
        shape.properties == words and shape.polygon.equals(outline)
        for la in again.layers
        for shape in la.shapes
    )
    assert format_of(path).name == "coco"


def test_what_is_written_is_what_coco_asks_for(tmp_path):
    square = Annotations((Layer("a", (1, 2, 3), (Shape(shapely.box(2, 3, 6, 9)),)),))
    write_coco(tmp_path / "s.json", square, Writing(width_level0=100, height_level0=80))
    found = json.loads((tmp_path / "s.json").read_text())
    assert found["images"] == [{"id": 1, "file_name": "s", "width": 100, "height": 80}]
    (annotation,) = found["annotations"]
    assert annotation["bbox"] == [2, 3, 4, 6]
    assert annotation["area"] == 24
    assert len(annotation["segmentation"][0]) == 8
    assert (annotation["image_id"], annotation["category_id"], annotation["iscrowd"]) == (1, 1, 0)


def test_parts_boxes_scores_and_crowds_are_read(tmp_path):
    parts = [[0, 0, 4, 0, 4, 4, 0, 4], [4, 0, 8, 0, 8, 4, 4, 4], [20, 20, 24, 20, 24, 24]]
    path = write(
        tmp_path / "a.json",
        one(segmentation=parts, score=0.5, iscrowd=1),
        one(segmentation=[], bbox=[1, 2, 3, 4]),
        one(segmentation=[[1, 1, 2, 2]]),
    )
    again = read_coco(path)
    first, box = again.layers[0].shapes  # one annotation is one object
    outlines = sorted(first.parts, key=lambda each: each.bounds)
    assert outlines[0].equals(shapely.box(0, 0, 8, 4))
    assert outlines[1].area == 8
    assert first.properties == {"score": 0.5, "iscrowd": 1}
    assert box.polygon.equals(shapely.box(1, 2, 4, 6))
    assert len(again.remarks) == 1


@pytest.mark.parametrize(
    ("names", "slide", "read"),
    [
        (["a.tif", "b.tif"], "b.tif", "b.tif"),
        (["a.png", "b.png"], "b.svs", "b.png"),
        (["images/a.tif", "images\\b.tif"], "b.tif", "images\\b.tif"),
        (["A.TIF", "B.TIF"], "b.tif", "B.TIF"),
        (["a.tif", "a.svs"], "a.svs", "a.svs"),
        (["Gefa\u0308\u00df.tif", "b.tif"], "Gef\u00e4\u00df.tif", "Gefa\u0308\u00df.tif"),
        (["a.tif", "b.tif"], "c.tif", ""),
        (["1/a.tif", "2/a.tif"], "a.tif", ""),
    ],
)
def test_of_several_pictures_that_of_the_slide_is_read(tmp_path, names, slide, read):
    images = [{"id": at, "file_name": name} for at, name in enumerate(names, start=4)]
    square = [[0, 0, 4, 0, 4, 4]]
    found = [one(segmentation=square, image_id=image["id"]) for image in images]
    path = write(tmp_path / "all.json", *found, images=images)
    if read:
        again = read_coco(path, Reading(slide=slide))
        assert again.shape_count == 1
        assert again.remarks == (f"of 2 pictures {read!r} was read",)
    else:
        with pytest.raises(AnnotationError, match=r"none of which has the file_name .* call it so"):
            read_coco(path, Reading(slide=slide))


def test_the_one_picture_is_taken_for_the_slide_and_it_is_said(tmp_path):
    images = [{"id": 4, "file_name": "a.png"}]
    path = write(tmp_path / "a.json", one(segmentation=[[0, 0, 4, 0, 4, 4]]), images=images)
    assert read_coco(path, Reading(slide="a.svs")).remarks == ()
    said = read_coco(path, Reading(slide="b.svs")).remarks
    assert said == ("the picture 'a.png' was taken for 'b.svs'",)


def test_of_several_pictures_one_is_to_be_named(tmp_path):
    images = [{"id": 4, "file_name": "a.png"}, {"id": 5, "file_name": "b.png"}]
    square = [[0, 0, 4, 0, 4, 4]]
    path = write(
        tmp_path / "a.json",
        one(segmentation=square),
        one(segmentation=square, image_id=5),
        images=images,
    )
    with pytest.raises(AnnotationError, match=r"about 2 pictures; choose one of a\.png, b\.png"):
        read_coco(path)
    assert read_coco(path, Reading(image="b.png")).shape_count == 1
    with pytest.raises(AnnotationError, match=r"not about 'c\.png', only about a\.png, b\.png"):
        read_coco(path, Reading(image="c.png"))


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        ({"category_id": 3}, "annotation 1 is of category 3"),
        ({"segmentation": [[0, 0, 1]]}, "is not a list x, y, x, y"),
        ({"segmentation": [[0, 0, 1, "a", 3, 3]]}, "a point that is not a number"),
        ({"segmentation": [[0, 0, 1, 1e300, 3, 3]]}, "not on a slide"),
        ({"segmentation": "x"}, "neither outline nor runs"),
        ({"segmentation": {"counts": [1]}}, "have no size"),
        ({"segmentation": {"size": [4, 4], "counts": [1, 2]}}, "do not add up to 4 x 4"),
        ({"segmentation": {"size": [4, 4], "counts": [17, -1]}}, "do not add up to 4 x 4"),
        ({"segmentation": {"size": [4, 4], "counts": ["1"]}}, "not whole numbers"),
        ({"segmentation": {"size": [4, 4], "counts": "\x01"}}, "text is not one of run lengths"),
        ({"segmentation": {"size": [4, 4], "counts": "o" * 99}}, "text is not one of run lengths"),
        ({"segmentation": {"size": [4, 4], "counts": "o"}}, "cut short"),
        (
            {"segmentation": {"size": [320_000, 320_000], "counts": [0, 320_000**2]}},
            "span 320000 x 320000",
        ),
        (
            {"segmentation": {"size": [4, 10**400], "counts": [0, 16]}},
            "is NaN or infinite, not a number",
        ),
    ],
)
def test_bad_objects_are_refused_in_a_sentence(tmp_path, found, sentence):
    with pytest.raises(AnnotationError, match=sentence):
        read_coco(write(tmp_path / "a.json", one(**found)))


def test_a_small_object_on_a_huge_canvas_is_read_in_little_memory(tmp_path):
    side = 300_000
    counts = [side * 200_000 + 5, 10, side - 10, 10, side * (side - 200_001) - 15]
    path = write(tmp_path / "a.json", one(segmentation={"size": [side, side], "counts": counts}))
    (shape,) = read_coco(path).layers[0].shapes
    assert shape.polygon.equals(shapely.box(200_000, 5, 200_002, 15))


def test_an_object_of_very_many_holes_is_cut_in_no_more_parts_than_it_needs():
    places = 10 * np.stack(np.meshgrid(np.arange(60), np.arange(60)), -1).reshape(-1, 1, 2) + 3
    holes = places + np.array([[0, 0], [0, 4], [4, 4], [4, 0]])
    holed = shapely.Polygon(shapely.box(0, 0, 605, 605).exterior, list(holes))
    parts = hole_free_parts(holed)
    assert len(parts) == 61  # a cut through each column of holes
    assert not any(part.interiors for part in parts)
    assert shapely.union_all(parts).equals(holed)


@pytest.mark.parametrize(
    ("of_picture", "of_category"),
    [("4", 9), (4, "9"), ("4", "9")],
    ids=["picture", "category", "both"],
)
def test_an_id_may_be_a_number_here_and_text_there(tmp_path, of_picture, of_category):
    box = one(bbox=[0, 0, 5, 4], image_id=of_picture, category_id=of_category)
    (layer,) = read_coco(write(tmp_path / "a.json", box)).layers
    assert [shape.polygon.area for shape in layer.shapes] == [20]


def test_what_is_of_a_picture_that_is_not_listed_is_said(tmp_path):
    boxes = [one(bbox=[0, 0, 5, 4]), one(bbox=[0, 0, 9, 9], image_id=5)]
    found = read_coco(write(tmp_path / "a.json", *boxes))
    assert found.shape_count == 1
    assert found.remarks == ("1 left out: annotation of a picture that the file does not list",)
    other = {"id": 5, "file_name": "b.png"}
    images = [{"id": 4, "file_name": "a.png"}, other]
    found = read_coco(write(tmp_path / "a.json", *boxes, images=images), Reading(image="a.png"))
    assert not any("does not list" in remark for remark in found.remarks)


def test_an_outline_need_not_be_in_a_list_of_outlines(tmp_path):
    flat = one(segmentation=[0, 0, 5, 0, 5, 4, 0, 4])
    (layer,) = read_coco(write(tmp_path / "a.json", flat)).layers
    assert [shape.polygon.area for shape in layer.shapes] == [20]
