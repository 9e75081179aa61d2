"""Lists of types: what is told is taken, what is not is said, whatever the file."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deeplab.annotations.formats.type_info import (
    LONGEST_NAME,
    MOST_TYPES,
    parse_type_info,
    read_type_info,
    tell_types,
)
from deeplab.annotations.shapes import Annotations, Layer
from deeplab.config.classes import PALETTE
from deeplab.errors import AnnotationError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)
KEYS = st.integers(-1, 300).map(str) | st.text(max_size=12)
ROWS = JSON | st.tuples(st.text(max_size=4), st.lists(st.integers(-9, 300), max_size=4)).map(list)


def test_what_is_told_is_told_again():
    drawn = Annotations((Layer("a", (1, 2, 3), ()), Layer("b", PALETTE[1], ())))
    told = json.loads(json.dumps(tell_types(drawn)))
    info = parse_type_info(told)
    assert info.types == {1: ("a", (1, 2, 3)), 2: ("b", PALETTE[1])}
    assert info.problems == ()


@given(JSON | st.dictionaries(KEYS, ROWS))
def test_whatever_a_list_holds_each_entry_is_a_type_or_a_problem(given):
    info = parse_type_info(given)
    rows = given if isinstance(given, dict) else {"": None}
    assert len(info.types) + len(info.problems) >= (1 if rows else 0)
    assert len(info.problems) <= len(rows)
    for number, (name, colour) in info.types.items():
        assert number >= 0
        assert name.strip()
        assert colour is None or all(type(each) is int and 0 <= each <= 255 for each in colour)
        assert (colour is None) == any(f"type {number} no colour" in p for p in info.problems)


def test_a_type_without_colour_keeps_its_name_and_is_a_problem():
    info = parse_type_info({"1": ["a", None], "2": ["b", [1, 2, True]]})
    assert info.types == {1: ("a", None), 2: ("b", None)}
    assert [each.startswith("tells of type") for each in info.problems] == [True, True]


def test_no_list_is_too_long():
    info = parse_type_info({str(n): ["x" * 999, [0, 0, 0]] for n in range(MOST_TYPES + 5)})
    assert len(info.types) == MOST_TYPES
    assert info.types[1] == ("x" * LONGEST_NAME, (0, 0, 0))
    assert info.problems == ("tells of more than 10,000 types",)


def test_a_file_that_is_none_is_one_sentence(tmp_path):
    path = tmp_path / "type_info.json"
    with pytest.raises(AnnotationError, match="there is no such file"):
        read_type_info(path)
    path.write_bytes(b"\xef\xbb\xbf" + b'{"1": ["a", [1, 2, 3]]}')  # as Notepad writes it
    assert read_type_info(path).types == {1: ("a", (1, 2, 3))}
    path.write_text("[" * 5000)
    with pytest.raises(AnnotationError) as caught:
        read_type_info(path)
    assert "\n" not in str(caught.value)
