"""Results that appear whole or not at all."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deeplab.config.convert_request import ConvertRequest
from deeplab.errors import AnnotationError, ConfigError, OutputError
from deeplab.files import (
    all_or_none,
    check_spared,
    check_writable,
    safe_name,
    scratch_folder,
    whole_file,
)


def test_a_file_appears_when_the_block_ends_well(tmp_path):
    path = tmp_path / "new/folder/a.txt"
    with whole_file(path) as draft:
        draft.write_text("whole")
        assert draft.suffix == ".txt"
        assert not path.exists()
    assert path.read_text() == "whole"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


def test_after_an_error_the_old_file_is_as_it_was(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def interrupted():
        with whole_file(path) as draft:
            draft.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("kind", [AnnotationError, OutputError])
def test_a_sentence_on_a_draft_names_the_result(tmp_path, kind):
    def write(draft):
        raise kind(draft, "has too many layers")

    with pytest.raises(kind) as caught, all_or_none({tmp_path / "a.tif": write}):
        pass
    assert str(tmp_path / "a.tif") in str(caught.value)
    assert "unfinished" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_what_the_system_refuses_is_one_sentence(tmp_path):
    with pytest.raises(OutputError, match="No space left"), whole_file(tmp_path / "a.txt"):
        raise OSError(28, os.strerror(28))


def test_a_result_is_as_readable_as_any_file_of_the_user(tmp_path):
    with whole_file(tmp_path / "a.txt") as draft:
        draft.write_text("x")
    (tmp_path / "b.txt").write_text("x")
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "b.txt").stat().st_mode


def test_a_scratch_folder_vanishes_with_all_in_it(tmp_path):
    with scratch_folder(tmp_path) as folder:
        (folder / "deep").mkdir()
        (folder / "deep/file").write_text("x")
    assert not list(tmp_path.iterdir())


def test_a_place_is_checked_without_making_anything(tmp_path):
    check_writable(tmp_path / "not/yet/there.txt")
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="is not a folder"):
        check_writable(tmp_path / "file/a.txt")
    with pytest.raises(OutputError, match="it is a folder"):
        check_writable(tmp_path)
    with pytest.raises(OutputError, match="File name too long"):
        check_writable(tmp_path / ("a" * 300))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="no plain file"):
        check_writable(tmp_path / "pipe")


def test_a_file_that_is_read_is_refused_for_a_result_by_whatever_path(tmp_path):
    (tmp_path / "a").mkdir()
    check_spared([tmp_path / "b.json"], [tmp_path / "a.json"])
    with pytest.raises(OutputError, match="it is read for the result"):
        check_spared([tmp_path / "a/../a.json"], [tmp_path / "a.json"])


def test_links_in_a_circle_are_a_place_as_any_other(tmp_path):
    circle = tmp_path / "circle.json"
    circle.symlink_to("circle.json")
    check_spared([circle], [tmp_path / "a.json"])
    request = {"source": tmp_path / "a.json", "output": circle}
    assert ConvertRequest(**request).output == circle
    with pytest.raises(ConfigError, match="another file than the one that is read"):
        ConvertRequest(**request | {"source": circle})


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("TCGA.01, Größe 🔬.svs", "TCGA.01, Größe 🔬.svs"),
        ("../../x.xml", "_._.._x.xml"),
        ("/etc/passwd", "_etc_passwd"),
        ("C:\\a|b?.xml", "C__a_b_.xml"),
        ("a\nb\u202ec\ud800", "a_b_c_"),
        (".hidden", "_hidden"),
        ("...", "_"),
        ("", "_"),
        ("con.xml", "_con.xml"),
        ("a. ", "a"),
        ("u\u0308.xml", "ü.xml"),
    ],
)
def test_a_name_from_elsewhere_becomes_one_of_a_file(name, safe):
    assert safe_name(name) == safe


@given(st.text(max_size=400))
def test_a_safe_name_is_always_one_file_in_its_folder_and_safe_again(name):
    safe = safe_name(name)
    assert Path(safe).name == safe != ".."
    assert len(safe.encode()) < 200
    assert safe_name(safe) == safe


def test_a_long_name_keeps_its_suffix():
    assert safe_name("ü" * 300 + ".geojson").endswith("ü.geojson")
