import json
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
import shapely
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from deeplab.annotations.formats.format import Reading, Writing
from deeplab.annotations.formats.masks import read_mask, write_mask
from deeplab.annotations.raster.rasterize import draw
from deeplab.annotations.shapes import Annotations, Layer, Shape
from deeplab.annotations.trace.outlines import trace
from deeplab.errors import AnnotationError
from deeplab.geometry.frames import Mpp, WorkFrame

LABELS = hnp.arrays(
    np.uint8,
    st.tuples(st.integers(1, 14), st.integers(1, 14)),
    elements=st.sampled_from([0, 0, 1, 1, 2, 3]),
)
NAMES = st.lists(st.text(min_size=1).filter(str.strip), min_size=3, max_size=3, unique=True)
SQUARES = np.zeros((600, 700), np.uint8)
SQUARES[100:520, 30:690] = 1
SQUARES[200:300, 300:400] = 0
SQUARES[210:220, 310:320] = 7


def layers_of(labels, names, colours=((1, 2, 3), (4, 5, 6), (7, 8, 9))):
    traced = trace(labels)
    return tuple(
        Layer(name, colour, tuple(Shape(t.polygon) for t in traced if t.label == value))
        for value, (name, colour) in enumerate(zip(names, colours, strict=True), start=1)
    )


def drawn(annotations, labels):
    frame = WorkFrame(1, 1, labels.shape[1], labels.shape[0], 1)
    values = {name: value for value, name in enumerate(annotations.names, start=1)}
    return draw(annotations, values, frame.box, frame)


@pytest.mark.parametrize("suffix", [".tif", ".png"])
@settings(max_examples=40)
@given(LABELS, NAMES)
def test_pixels_names_colours_and_size_are_read_again(tmp_path_factory, suffix, labels, names):
    path = tmp_path_factory.mktemp("mask") / f"a{suffix}"
    given_ = Annotations(layers_of(labels, names), mpp=Mpp(0.25, 0.5))
    height, width = labels.shape
    write_mask(path, given_, Writing(width_level0=width, height_level0=height))
    again = read_mask(path)
    assert [(la.name, la.colour) for la in again.layers] == [
        (la.name, la.colour) for la in given_.layers
    ]
    np.testing.assert_array_equal(drawn(again, labels), labels)
    assert again.attributes == {"width_level0": width, "height_level0": height}
    assert (again.mpp.x, again.mpp.y) == pytest.approx((0.25, 0.5), rel=1e-4)


def test_levels_halve_and_hold_no_label_that_was_not_there(tmp_path):
    path = tmp_path / "a.tif"
    layers = (
        Layer("a", (9, 0, 0), tuple(Shape(t.polygon) for t in trace(SQUARES) if t.label == 1)),
        Layer("z", (0, 9, 0), (Shape(shapely.box(310, 210, 320, 220)),)),
    )
    write_mask(
        path,
        Annotations(layers, mpp=Mpp.square(0.5)),
        Writing(width_level0=700, height_level0=600),
    )
    with tifffile.TiffFile(path) as tiff:
        levels = tiff.series[0].levels
        assert [level.shape for level in levels] == [(600, 700), (300, 350), (150, 175)]
        assert all(level.keyframe.tile == (256, 256) for level in levels)
        values = [set(np.unique(level.asarray())) for level in levels]
        assert values == [{0, 1, 2}] * 3
        assert tiff.pages.first.resolution == (20000, 20000)
        assert levels[1].keyframe.resolution == (10000, 10000)
        assert tiff.pages.first.colormap[:, 1].tolist() == [9 * 257, 0, 0]
        table = json.loads(tiff.pages.first.description)["labels"]
    assert [(row["value"], row["name"]) for row in table] == [(1, "a"), (2, "z")]


def test_a_coarser_mask_lies_over_the_whole_slide_again(tmp_path):
    path = tmp_path / "a.tif"
    square = Annotations(
        (Layer("a", (9, 0, 0), (Shape(shapely.box(80, 160, 400, 240)),)),), mpp=Mpp.square(0.25)
    )
    write_mask(path, square, Writing(width_level0=1001, height_level0=640, mask_mpp=2.0))
    assert tifffile.imread(path).shape == (80, 126)
    again = read_mask(path)
    assert again.layers[0].shapes[0].polygon.equals(shapely.box(80, 160, 400, 240))
    assert again.attributes == {"width_level0": 1001, "height_level0": 640}
    assert again.mpp.x == pytest.approx(0.25)


def test_a_scale_of_a_mask_needs_that_of_the_slide(tmp_path):
    with pytest.raises(AnnotationError, match="um per pixel is not known"):
        write_mask(tmp_path / "a.tif", Annotations(()), Writing(mask_mpp=2.0))


@pytest.mark.parametrize(
    "reading",
    [
        Reading(width_level0=2800, height_level0=2400),
        Reading(mpp=Mpp.square(0.25)),
    ],
)
def test_the_slide_tells_the_scale_of_another_programs_mask(tmp_path, reading):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, SQUARES, resolution=(9980, 9980), resolutionunit="CENTIMETER")
    again = read_mask(path, reading)
    assert again.layer("class 7").shapes[0].polygon.equals(shapely.box(1240, 840, 1280, 880))


@pytest.mark.parametrize(
    ("size", "mpp", "is_right"),
    [
        ((20, 10), None, True),
        ((20, 10), Mpp(0.5, 0.25), True),
        ((20, 20), Mpp(0.25, 0.5), True),  # square in um
        ((133, 67), None, True),  # a fifteenth, rounded up
        ((20, 20), None, False),
        ((10, 20), Mpp.square(0.5), False),
    ],
)
def test_a_mask_that_has_not_the_shape_of_the_slide_is_of_another(tmp_path, size, mpp, is_right):
    path = tmp_path / "a.png"
    Image.new("L", size, 1).save(path)
    reading = Reading(width_level0=2000, height_level0=1000, mpp=mpp)
    if is_right:
        (shape,) = read_mask(path, reading).layers[0].shapes
        assert shape.polygon.bounds == (0, 0, 2000, 1000)
    else:
        with pytest.raises(AnnotationError, match="not the shape of the slide of 2000 x 1000"):
            read_mask(path, reading)


KINDS = [
    {"tile": (64, 128), "compression": "lzw"},
    {"tile": (16, 16)},
    {"rowsperstrip": 7, "compression": "deflate"},
    {"rowsperstrip": 1000},
    {"rowsperstrip": 1000, "byteorder": ">"},
    {"rowsperstrip": 50, "compression": "packbits", "photometric": "miniswhite"},
    {"tile": (256, 256), "compression": "zlib", "predictor": True},
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_masks_of_other_programs_are_read_pixel_by_pixel(tmp_path, kind, dtype):
    path = tmp_path / "a.tif"
    order = {"byteorder": kind.get("byteorder", "<")}
    more = {key: value for key, value in kind.items() if key != "byteorder"}
    tifffile.imwrite(path, SQUARES.astype(dtype), **order, **more)
    again = read_mask(path, Reading(classes=["tumour", "empty"]))
    assert again.names == ("tumour", "empty", "class 7")
    expected = np.select([SQUARES == 1, SQUARES == 7], [1, 3]).astype(np.uint8)
    np.testing.assert_array_equal(drawn(again, SQUARES), expected)


def test_of_several_pictures_the_largest_is_read_and_255_is_ignored(tmp_path):
    path = tmp_path / "a.tif"
    big = np.where(SQUARES == 7, 255, SQUARES).astype(np.uint8)
    with tifffile.TiffWriter(path) as writer:
        writer.write(big[::2, ::2], tile=(64, 64))
        writer.write(big, tile=(64, 64))
    again = read_mask(path, Reading(ignore="unsure"))
    assert again.names == ("class 1", "unsure")
    assert again.attributes["width_level0"] == 700


def test_grey_in_colours_and_sixteen_bits_are_masks(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.dstack([SQUARES] * 3), photometric="rgb", tile=(64, 64))
    assert read_mask(path).names == ("class 1", "class 7")
    tifffile.imwrite(path, SQUARES.astype(np.uint16) * 300, rowsperstrip=7)
    with pytest.raises(AnnotationError, match="If it numbers objects, call it NAME.instances.tif"):
        read_mask(path, Reading(classes=["a", "b"]))


@pytest.mark.parametrize("white", [255, 300, 65535])
@pytest.mark.parametrize("suffix", [".tif", ".png"])
@pytest.mark.parametrize(
    ("classes", "taken"), [([], "class 1"), (["tumour"], "tumour"), (["a", "b"], "ignore")]
)
def test_a_white_of_sixteen_bits_is_a_mask_and_called_as_it_is_stored(
    tmp_path, white, suffix, classes, taken
):
    path = tmp_path / f"a{suffix}"
    values = (SQUARES > 0) * np.uint16(white)
    if suffix == ".png":
        Image.fromarray(values).save(path)
    else:
        tifffile.imwrite(path, values, rowsperstrip=7)
    read = read_mask(path, Reading(classes=classes))
    assert [layer.name for layer in read.layers if layer.shapes] == [taken]
    assert read.remarks[0].startswith(f"the value {white} is taken for {taken},")


def test_whole_numbers_are_labels_where_they_are_kept_as_fractions(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", SQUARES.astype(np.float32))
    tifffile.imwrite(tmp_path / "b.tif", SQUARES)
    reading = Reading(classes=tuple("abcdefg"))
    floats, whole = (read_mask(tmp_path / name, reading) for name in ("a.tif", "b.tif"))
    assert floats.names == whole.names == reading.classes
    np.testing.assert_array_equal(drawn(floats, SQUARES), drawn(whole, SQUARES))


def test_a_mask_of_two_values_is_one(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", SQUARES == 1)
    assert read_mask(tmp_path / "a.tif").names == ("class 1",)


@pytest.mark.parametrize(
    ("pixels", "options", "sentence"),
    [
        (np.zeros((30, 30, 5), np.uint8), {"photometric": "rgb"}, "a picture of 5 channels"),
        (np.eye(3, dtype=np.uint8)[None], {"photometric": "rgb"}, "3 channels in colours"),
        (np.full((30, 30), 0.5, np.float32), {}, "pixels of type float32 with fractions"),
        (np.full((30, 30), np.nan, np.float32), {}, "pixels of type float32 with fractions"),
        (np.zeros((30, 30), np.complex64), {}, "pixels of type complex64; labels are whole"),
        (
            np.tile(np.array([[300, 1]], np.uint16), (30, 30)),  # lines of two classes
            {},
            "holds the value 300 beside others; labels go from 0 to 255",
        ),
        (np.full((30, 30), -3, np.int16), {}, "holds the value -3"),
        (np.zeros((32, 32), np.uint8), {"compression": "jpeg"}, "compressed as JPEG"),
    ],
)
def test_what_is_no_mask_is_refused_in_a_sentence(tmp_path, pixels, options, sentence):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, **options)
    with pytest.raises(AnnotationError, match=sentence):
        read_mask(path)


def claim(path, width, height, tile, bytes_of_tile=b"x"):
    """A TIFF of one tile that says it is `width` x `height`."""
    tags = [
        *((256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 8), (262, 3, 1)),
        *((277, 3, 1), (322, 4, tile), (323, 4, tile), (324, 4, 8), (325, 4, len(bytes_of_tile))),
    ]
    start = 8 + len(bytes_of_tile)
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    head = b"II*\0" + struct.pack("<I", start)
    path.write_bytes(head + bytes_of_tile + struct.pack("<H", len(tags)) + entries + bytes(4))
    return path


@pytest.mark.parametrize(
    ("width", "height", "tile", "sentence"),
    [
        (320_000, 320_000, 256, "has 320000 x 320000 pixels; masks may have"),
        (2**31, 16, 16, "has 2147483648 x 16 pixels"),
        (200_000, 200_000, 200_000, "parts of 200000 x 200000 pixels that can be read whole only"),
        (200_000, 200_000, 256, "is cut short"),
        (0, 5, 16, "has 0 x 5 pixels"),
    ],
)
def test_a_canvas_that_is_claimed_takes_no_memory(tmp_path, width, height, tile, sentence):
    path = claim(tmp_path / "a.tif", width, height, tile)
    tracemalloc.start()
    with pytest.raises(AnnotationError, match=sentence):
        read_mask(path)
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


def test_a_tile_that_unpacks_to_more_than_it_is_or_to_nothing_is_damage(tmp_path):
    for content in (zlib.compress(bytes(10**7)), b"rubbish"):
        path = claim(tmp_path / "a.tif", 16, 16, 16, content)
        with pytest.raises(AnnotationError, match="is damaged: its pixels cannot be read"):
            read_mask(path)


def test_cut_files_and_others_are_refused_in_a_sentence(tmp_path):
    path = tmp_path / "a.tif"
    with pytest.raises(AnnotationError, match="there is no such file"):
        read_mask(path)
    path.write_bytes(b"not a picture")
    with pytest.raises(AnnotationError, match="is not a TIFF that can be read"):
        read_mask(path)
    noise = np.random.default_rng(0).integers(0, 9, (300, 300), np.uint8)
    tifffile.imwrite(path, noise, tile=(64, 64), compression="deflate")
    whole = path.read_bytes()
    for size in (10, 300, 2000, len(whole) // 2, len(whole) - 5):
        path.write_bytes(whole[:size])
        with pytest.raises(AnnotationError, match="cut short|cannot be read|is not a TIFF"):
            read_mask(path)


def test_more_layers_than_values_and_a_canvas_beyond_all_are_refused(tmp_path):
    many = Annotations(tuple(Layer(f"c{i}", (0, 0, 0), ()) for i in range(255)))
    with pytest.raises(AnnotationError, match="255 layers; a label mask has values for 254"):
        write_mask(tmp_path / "a.tif", many)
    far = Annotations((Layer("a", (0, 0, 0), (Shape(shapely.box(0, 0, 9e7, 9e7)),)),))
    for name in ("a.tif", "a.png"):
        with pytest.raises(AnnotationError, match="90000000 x 90000000 pixels are more than"):
            write_mask(tmp_path / name, far)
        assert not (tmp_path / name).exists()


def test_what_is_ignored_keeps_its_value(tmp_path):
    layers = (
        Layer("ignore", (5, 5, 5), (Shape(shapely.box(0, 0, 9, 9)),)),
        Layer("a", (1, 1, 1), (Shape(shapely.box(2, 2, 4, 4)),)),
    )
    for name in ("a.tif", "a.png"):
        write_mask(tmp_path / name, Annotations(layers))
        assert read_mask(tmp_path / name).names == ("ignore", "a")
        with Image.open(tmp_path / name) as image:
            assert np.array(image)[[0, 3], [0, 3]].tolist() == [255, 1]


def test_a_table_that_is_none_is_passed_over(tmp_path):
    path = tmp_path / "a.tif"
    row = '{"labels": [{"value": 1, "name": "a", "colour": [0, 0, %s]}], "scale_x": %s%s}'
    odd = [row % ("1e999", 1, ""), row % (0, "1e308", ""), row % (0, "9" * 400, "")]
    odd += [row % (0, 1, f', "width_level0": {width}') for width in (-5, "9" * 400, "true")]
    for text in ("[1]", '{"labels": [{"value": 1}]}', '{"labels": 5}', "words", "[" * 5000, *odd):
        tifffile.imwrite(path, SQUARES, description=text, metadata=None)
        assert read_mask(path).names == ("class 1", "class 7")


@pytest.mark.parametrize("name", ["", " ", "a\ud800"])
def test_a_name_in_a_table_that_nothing_can_be_called_is_replaced(tmp_path, name):
    path = tmp_path / "a.tif"
    text = json.dumps({"labels": [{"value": 1, "name": name, "colour": [0, 0, 0]}]})
    tifffile.imwrite(path, SQUARES, description=text, metadata=None)
    assert read_mask(path).names[0] == ("a?" if name.strip() else "class 1")


@pytest.mark.slow
def test_a_mask_of_a_gigapixel_is_written_and_read_in_bounded_memory(tmp_path):
    path = tmp_path / "a.tif"
    squares = tuple(
        Shape(shapely.box(x, y, x + 300, y + 300))
        for x in range(0, 32_000, 1000)
        for y in range(0, 32_000, 1000)
    )
    tracemalloc.start()
    write_mask(
        path,
        Annotations((Layer("a", (0, 0, 0), squares),)),
        Writing(width_level0=32_768, height_level0=32_768),
    )
    again = read_mask(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert again.shape_count == 1024
    assert peak < 300_000_000


def test_a_unit_of_several_values_is_none(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, SQUARES, resolution=(9980, 9980), resolutionunit="CENTIMETER")
    with tifffile.TiffFile(path) as tiff:
        place = tiff.pages[0].tags["ResolutionUnit"].offset
    content = bytearray(path.read_bytes())
    content[place + 4] = 2  # how many values there are
    path.write_bytes(content)
    assert read_mask(path).mpp is None


def test_a_png_that_is_called_a_tiff_is_read_by_what_it_is(tmp_path):
    Image.fromarray(SQUARES).save(tmp_path / "a.mask.tif", format="PNG")
    assert read_mask(tmp_path / "a.mask.tif").shape_count == 2


def test_of_a_stack_no_page_is_taken_in_silence(tmp_path):
    path = tmp_path / "a.mask.tif"
    tifffile.imwrite(path, np.stack([SQUARES, SQUARES.T.copy().T]), photometric="minisblack")
    with pytest.raises(AnnotationError, match=r"holds 2 pictures of 700 x 600 pixels, of which a"):
        read_mask(path)


def test_smaller_levels_are_no_stack(tmp_path):
    path = tmp_path / "a.mask.tif"
    with tifffile.TiffWriter(path) as tiff:
        for step in (1, 2, 4):
            tiff.write(SQUARES[::step, ::step], photometric="minisblack", metadata=None)
    assert read_mask(path).shape_count == 2


@pytest.mark.parametrize("way", [2, 3, 6, 8])
def test_a_turned_mask_is_refused(tmp_path, way):
    path = tmp_path / "a.mask.tif"
    tifffile.imwrite(path, SQUARES, extratags=[(274, "H", 1, way, False)])
    with pytest.raises(AnnotationError, match=rf"turned or mirrored \(orientation {way}\)"):
        read_mask(path)


def test_soft_edges_of_a_mask_of_black_and_white_are_refused_not_ignored(tmp_path):
    soft = np.where(SQUARES == 1, 255, 0).astype(np.uint8)
    soft[99] = soft[100] // 2  # a row of 127
    Image.fromarray(soft).save(tmp_path / "a.mask.png")
    with pytest.raises(AnnotationError, match=r"holds 2 values \(127, 255\) .* without smoothing"):
        read_mask(tmp_path / "a.mask.png", Reading(classes=["tumour"]))
