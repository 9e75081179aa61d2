"""Pixelmaps of HistomicsUI become shapes where their label image is at hand."""

import json

import jsonschema
import numpy as np
import pytest
import shapely
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from deeplab.annotations.formats.format import Reading
from deeplab.annotations.formats.girder_json import read_girder_json
from deeplab.annotations.formats.pixelmap import CLEAR, only_image
from deeplab.errors import AnnotationError
from tests.annotations.documents_for_tests import read_documents
from tests.annotations.girder_schema import load_schema

ITEM = "5f" * 12
CATEGORIES = [
    {"label": "default", "fillColor": "rgba(0, 0, 0, 0)", "strokeColor": "rgb(0, 0, 0)"},
    {"label": "Tumor, Übergang", "fillColor": "rgba(200, 10, 20, 0.5)"},
    {"fillColor": "#00ff00"},
]
# Six regions in two rows; the last two numbers are above 255 and 65,535.
REGIONS = np.array([[0, 1, 2], [3, 300, 70_000]])
VALUES = {0: 0, 1: 1, 2: 1, 3: 2, 300: 0, 70_000: 2}


def pixelmap(**changes):
    values = [VALUES.get(region, 0) for region in range(REGIONS.max() + 1)]
    own = {"values": values, "categories": CATEGORIES, "boundaries": False}
    element = {"type": "pixelmap", "girderId": ITEM, **own, **changes}
    schema = load_schema()
    if schema is not None and not changes.get("values"):
        jsonschema.Draft6Validator(schema).validate({"name": "a", "elements": [element]})
    return {"name": "superpixels", "elements": [element]}


def as_colours(regions):
    return np.dstack([regions >> shift & 255 for shift in (0, 8, 16)]).astype(np.uint8)


def label_image(path, regions, **options):
    """Every region 20 pixels square, as HistomicsTK writes them unless `options` say otherwise."""
    large = np.kron(regions, np.ones((20, 20), int))
    options = {"tile": (16, 16), "compression": "lzw", "predictor": True} | options
    tifffile.imwrite(path, as_colours(large), photometric="rgb", metadata=None, **options)
    return path


def outlines(annotations):
    return {layer.name: [each.polygon for each in layer.shapes] for layer in annotations.layers}


def expect(found, moved=lambda x0, y0, x1, y1: shapely.box(x0, y0, x1, y1)):
    assert list(found) == ["superpixels", "Tumor, Übergang", "category 3"]
    (tumor,), both = found["Tumor, Übergang"], found["category 3"]
    assert tumor.equals(moved(20, 0, 60, 20)), "regions of one category grow together"
    assert [
        shape.equals(box)
        for shape, box in zip(both, [moved(0, 20, 20, 40), moved(40, 20, 60, 40)], strict=True)
    ] == [True, True]


@pytest.mark.parametrize("options", [{}, {"tile": None, "compression": None, "predictor": None}])
def test_regions_of_a_category_are_the_shapes_of_a_layer(tmp_path, options):
    image = label_image(tmp_path / "labels.tiff", REGIONS, **options)
    (tmp_path / "a.anot").write_text(json.dumps([pixelmap()]))
    read = read_girder_json(
        tmp_path / "a.anot", Reading(spill=tmp_path, label_image=lambda _: image)
    )
    expect(outlines(read))
    assert [layer.colour for layer in read.layers[1:]] == [(200, 10, 20), (0, 255, 0)]
    assert read.remarks == ()


def test_numbers_are_halved_where_each_region_has_an_edge_of_its_own(tmp_path):
    doubled = REGIONS * 2
    large = np.kron(doubled, np.ones((20, 20), int))
    large[:, ::20] += 1
    large[::20, 1::20] += 1
    tifffile.imwrite(tmp_path / "a.tiff", as_colours(large), photometric="rgb")
    document = pixelmap(boundaries=True)
    expect(outlines(read_documents(document, label_image=lambda _: tmp_path / "a.tiff")))


def test_numbers_may_be_in_one_channel(tmp_path):
    large = np.kron(REGIONS, np.ones((20, 20), int)).astype(np.uint32)
    tifffile.imwrite(tmp_path / "a.tiff", large)
    expect(outlines(read_documents(pixelmap(), label_image=lambda _: tmp_path / "a.tiff")))


def test_the_image_is_moved_by_its_own_pixels_then_widened(tmp_path):
    image = label_image(tmp_path / "labels.tiff", REGIONS)
    transform = {"xoffset": 3, "yoffset": 5, "matrix": [[4, 0], [0, 2]]}
    read = read_documents(pixelmap(transform=transform), label_image=lambda _: image)
    expect(
        outlines(read),
        lambda x0, y0, x1, y1: shapely.box(4 * (x0 + 3), 2 * (y0 + 5), 4 * (x1 + 3), 2 * (y1 + 5)),
    )


def test_regions_without_a_value_are_nothing(tmp_path):
    image = label_image(tmp_path / "labels.tiff", REGIONS)
    read = read_documents(pixelmap(values=[0, 1]), label_image=lambda _: image)
    assert [len(layer.shapes) for layer in read.layers] == [0, 1, 0]


def test_without_its_label_image_a_pixelmap_is_left_out_and_said_which_is_wanted():
    read = read_documents(pixelmap())
    assert read.shape_count == 0
    assert read.remarks == (
        f"1 left out: pixelmap of the label image {ITEM} on the server; give it as label_image",
    )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"values": [0, 3]}, "values that are of none of its 3 categories"),
        ({"values": [-1]}, "values that are of none"),
        ({"values": [0.5]}, "are not whole numbers"),
        ({"values": [[1], 2]}, "are not whole numbers"),
        ({"values": [True]}, "are not whole numbers"),
        ({"values": [10**12]}, "values that are of none"),
        ({"values": [10**30]}, "are not whole numbers"),
        ({"values": [1], "transform": {"matrix": [[1, 0]]}}, "not two rows of two numbers"),
        ({"values": [1], "transform": {"matrix": [[1, 1], [1, 1]]}}, "leaves nothing"),
        ({"values": [1], "transform": {"xoffset": "1"}}, "the transform of element 1"),
        ({"values": [1], "categories": [{}] * 300}, "more categories than 255"),
    ],
)
def test_what_is_no_pixelmap_is_one_sentence(tmp_path, changes, sentence):
    image = label_image(tmp_path / "labels.tiff", REGIONS)
    with pytest.raises(AnnotationError, match=sentence) as caught:
        read_documents(pixelmap(**changes), label_image=lambda _: image)
    assert "\n" not in str(caught.value)


def test_each_pixelmap_has_its_own_image_unless_only_one_is_given(tmp_path):
    image = label_image(tmp_path / "labels.tiff", REGIONS)
    other = label_image(tmp_path / "other.tiff", REGIONS[:1, :2])
    both = [pixelmap(), pixelmap(girderId="6f" * 12)]
    read = read_documents(both, label_image={ITEM: image, "6f" * 12: other}.get)
    assert read.shape_count == 4
    with pytest.raises(AnnotationError, match=r"a\.anot: has pixelmaps of 2 label images; one is"):
        read_documents(both, label_image=only_image(image, "a.anot"))
    twice = read_documents([pixelmap(), pixelmap()], label_image=only_image(image, "a.anot"))
    assert twice.shape_count == 6


@pytest.mark.parametrize("channels", [2, 4])
def test_pictures_of_other_channels_are_refused(tmp_path, channels):
    tifffile.imwrite(tmp_path / "a.tiff", np.zeros((8, 8, channels), np.uint8), planarconfig=1)
    with pytest.raises(AnnotationError, match=f"of {channels} channels"):
        read_documents(pixelmap(), label_image=lambda _: tmp_path / "a.tiff")


@given(st.sampled_from(["0", "0.0", ".0", "0%", "00"]))
def test_clear_is_told_from_nearly_clear(none):
    assert CLEAR.fullmatch(f"rgba(1, 2, 3, {none})")
    for shown in ("rgba(1, 2, 3, 0.01)", "rgb(1, 2, 0)", "#00ff00", "#000", "#ffffff01"):
        assert not CLEAR.fullmatch(shown)
