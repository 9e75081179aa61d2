"""JSON of any size is read value by value, and never one that is nested without end."""

import io
import json
from contextlib import contextmanager

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deeplab.annotations.formats import json_stream
from deeplab.annotations.formats.json_stream import MAX_DEPTH, _Bounded, _Mended, values
from deeplab.errors import AnnotationError

# What could be taken for a bracket or for the end of a string.
TEXTS = st.text(st.sampled_from('[]{}"\\\n/ä🔬u')) | st.text()
DOCUMENTS = st.recursive(
    TEXTS | st.none() | st.floats(allow_nan=False, allow_infinity=False),  # JSON has neither
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
)


def read_in_pieces(text, size):
    guarded = _Bounded(io.BytesIO(text), "a.json")
    return b"".join(iter(lambda: guarded.read(size), b""))


def depth_of(value):
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return isinstance(value, dict | list) + max(map(depth_of, inner), default=0)


@contextmanager
def too_deep(deep):
    if not deep:
        yield
        return
    with pytest.raises(AnnotationError, match="nested too deeply"):
        yield


@given(DOCUMENTS, st.booleans(), st.integers(1, 9), st.integers(-8, 8))
@example('\\"[', False, 1, 0)
@example(["\\", {'"': "]"}], True, 2, 1)
def test_what_is_nested_too_deeply_is_never_handed_on_and_all_else_is(
    document, in_ascii, size, more
):
    around = max(MAX_DEPTH - depth_of(document) + more, 0)
    inner = json.dumps(document, ensure_ascii=in_ascii).encode()
    text = b"[" * around + inner + b"]" * around
    with too_deep(around + depth_of(document) > MAX_DEPTH):
        assert read_in_pieces(text, size) == text


def test_brackets_in_words_are_not_counted_and_numbers_stay_what_they_are(tmp_path):
    entries = ["[" * 1000 + "\\", '{"' * 1000, 3, 2.5, True, None]
    (tmp_path / "a.json").write_text(json.dumps(entries))
    read = list(values(tmp_path / "a.json", "item"))
    assert read == entries
    assert [type(each) for each in read] == [type(each) for each in entries]


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":'])
def test_depth_is_counted_over_lists_and_objects(tmp_path, opening):
    (tmp_path / "a.json").write_text(opening * (MAX_DEPTH + 1))
    with pytest.raises(AnnotationError, match="nested too deeply"):
        list(values(tmp_path / "a.json", "item"))


NO_NUMBERS = ("NaN", "-Infinity", "Infinity", "nan", "-inf", "1e999", "-1E+400", "9" * 400)
WHOLE = ("9223372036854775807", "9223372036854775808", "-9223372036854775809")
NUMBERS = st.sampled_from([*NO_NUMBERS, *WHOLE, "1e5", "-0.5", "0.1234567890123456789"])


@given(st.lists(NUMBERS, min_size=1), DOCUMENTS, st.integers(1, 9))
def test_numbers_that_json_has_not_are_mended_and_strings_stay_what_they_are(
    numbers, document, size
):
    words = json.dumps([document, "NaN 1e999 \\"])
    text = f'[{words}, {{"a": [{", ".join(numbers)}]}}, {words}]'
    mended = _Mended(io.BytesIO(text.encode()), "a.json")
    found = json.loads(b"".join(iter(lambda: mended.read(size), b"")))
    assert found[0] == found[2] == json.loads(words)
    for number, kept in zip(numbers, found[1]["a"], strict=True):
        assert kept == ({} if number in NO_NUMBERS else pytest.approx(float(number)))


def test_values_before_and_after_a_number_that_is_none_come_once(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('[1, [2.5, NaN], "three", 4, Infinity, 99999999999999999999]')
    assert list(values(path, "item")) == [1, [2.5, {}], "three", 4, {}, 1e20]


@pytest.mark.parametrize("text", ['["{}"]', "[{}]"])
def test_a_text_or_a_number_without_end_is_refused(tmp_path, monkeypatch, text):
    monkeypatch.setattr(json_stream, "MAX_TEXT", 1 << 17)
    path = tmp_path / "a.json"
    path.write_text(text.replace("{}", "9" * (1 << 20)))
    with pytest.raises(AnnotationError, match="holds a (text|number) without end"):
        list(values(path, "item"))
