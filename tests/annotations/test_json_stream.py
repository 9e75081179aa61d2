"""JSON of any size is read value by value, and never one that is nested without end."""

import io
import json
from contextlib import contextmanager

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deeplab.annotations.json_stream import MAX_DEPTH, _Shallow, values
from deeplab.errors import AnnotationError

# What could be taken for a bracket or for the end of a string.
TEXTS = st.text(st.sampled_from('[]{}"\\\n/ä🔬u')) | st.text()
DOCUMENTS = st.recursive(
    TEXTS | st.none() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
)


def read_in_pieces(text, size):
    guarded = _Shallow(io.BytesIO(text), "a.json")
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
