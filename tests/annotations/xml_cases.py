"""Annotations that hypothesis draws for the XML formats, and how two of them are compared."""

import shapely
from hypothesis import strategies as st
from hypothesis.strategies import composite

from deeplab.annotations.shapes import Annotations, Layer, Mark, Shape
from deeplab.geometry.frames import Mpp

# XML holds neither surrogates nor control characters; readers take blanks off the ends of names.
words = (
    st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn")), min_size=1, max_size=20)
    | st.sampled_from(["a & <b> \"c\" 'd'", "Gefäß, rechts/links", "🧠 tumour", "]]>", "&amp;"])
).filter(lambda text: text.strip() == text)
colours = st.tuples(*[st.integers(0, 255)] * 3)
hundredths = st.integers(0, 300).map(lambda value: value / 100)
values = st.integers(-(10**9), 10**9) | st.floats(allow_nan=False, allow_infinity=False, width=32)


@composite
def shapes(draw, column):
    """A polygon with up to two holes in a cell of its own, maybe an island and one that covers holes."""
    left, top = 100 * column + draw(hundredths), draw(hundredths)
    outside = shapely.box(left, top, left + 60 + draw(hundredths), top + 50 + draw(hundredths))
    holes = [shapely.box(left + 5, top + 5, left + 20, top + 5 + 10 + draw(hundredths))]
    holes += [shapely.Polygon([(left + 30, top + 9), (left + 45, top + 9), (left + 33, top + 30)])]
    count = draw(st.integers(0, 2))
    text = draw(st.none() | words)
    whole = outside
    for hole in holes[:count]:
        whole = whole - hole
    found = [Shape(whole, {"text": text} if text else {})]
    if draw(st.booleans()):
        found.append(Shape(shapely.box(left + 4, top + 4, left + 33, top + 20)))  # over holes
    if count and draw(st.booleans()):
        found.append(Shape(shapely.box(left + 8, top + 7, left + 20, top + 12)))
    return found


@composite
def annotations(draw):
    layers = []
    for name in draw(st.lists(words, max_size=3, unique=True)):
        drawn = [draw(shapes(column)) for column in range(draw(st.integers(0, 3)))]
        places = draw(st.lists(st.tuples(hundredths, hundredths), max_size=3))
        marks = [Mark(shapely.Point(place)) for place in places]
        if draw(st.booleans()):
            marks.append(Mark(shapely.LineString([(1, 2), (3.25, 4)]), {"text": "1,2 µm"}))
        found = tuple(shape for some in drawn for shape in some)
        layers.append(Layer(name, draw(colours), found, draw(st.just("") | words), tuple(marks)))
    mpp = draw(st.none() | st.sampled_from([0.2527, 0.499, 1.0]))
    return Annotations(tuple(layers), mpp=Mpp.square(mpp) if mpp else None)


def assert_same_layers(found, expected):
    assert [(la.name, la.colour, la.description) for la in found.layers] == [
        (la.name, la.colour, la.description) for la in expected.layers
    ]
    for one, other in zip(found.layers, expected.layers, strict=True):
        for before, after in ((one.shapes, other.shapes), (one.marks, other.marks)):
            assert [dict(each.properties) for each in before] == [
                dict(each.properties) for each in after
            ]
        for shape, again in zip(one.shapes, other.shapes, strict=True):
            assert shape.polygon.symmetric_difference(again.polygon).area < 0.05 * 300
            assert abs(shape.polygon.area - again.polygon.area) < 2
            assert len(shape.polygon.interiors) == len(again.polygon.interiors)
        for mark, again in zip(one.marks, other.marks, strict=True):
            assert mark.geometry.equals_exact(again.geometry, 0.01)
