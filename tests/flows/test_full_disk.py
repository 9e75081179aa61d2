"""A disk that is full, at whatever byte, is one sentence, and nothing is left of a result.

A limit on the size of a file stands in for the disk: it needs no rights, and any byte can be the
last one that fits.
"""

import resource
import tempfile
from contextlib import contextmanager

import numpy as np
import pytest
import shapely

from deeplab.annotations.formats.format import Writing
from deeplab.annotations.formats.table import FORMATS
from deeplab.annotations.shapes import Annotations, Layer, Shape
from deeplab.errors import OutputError
from deeplab.files import reason_of, scratch_folder
from deeplab_cli.main import main
from tests.data.folders import square, write_slide


@contextmanager
def room_for(size_bytes):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


BOXES = [shapely.box(9 * n, 9, 9 * n + 6, 15.5) for n in range(300)]
DRAWN = Annotations((Layer("a", (1, 2, 3), tuple(map(Shape, BOXES))),))
KINDS = [(each, suffix) for each in FORMATS for suffix in each.suffixes]


@pytest.mark.parametrize(("format_", "suffix"), KINDS, ids=lambda each: getattr(each, "name", each))
def test_a_file_of_annotations_that_does_not_fit_is_a_sentence(format_, suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    writing = Writing(width_level0=2800, height_level0=200)
    format_.write(path, DRAWN, writing)
    whole = path.stat().st_size
    path.unlink()
    ends = np.random.default_rng(0).integers(0, whole, 12)
    for size in (0, 1, whole // 2, whole - 1, *map(int, ends)):
        with room_for(size), pytest.raises(OutputError, match=r"cannot write .*: File too large"):
            format_.write(path, DRAWN, writing)
        assert list(tmp_path.iterdir()) == []


@pytest.fixture
def run(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    for name in ("a", "b"):
        write_slide(tmp_path / "in" / f"{name}.tiff", lesion=[square(10, 10, 20)])

    def under(size, *words):
        with room_for(size):
            code = main([str(word) for word in words])
        err = capsys.readouterr().err
        there = sorted(path.name for path in (tmp_path / "out").iterdir())
        if code:
            assert (code, there) == (2, []), err
            line = err.splitlines()[-1]
            assert line.startswith("error: cannot write ")
            assert line.endswith("File too large")
        return code

    return under


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ("features", "in", "--pixels", "off", "--xlsx", "out/o.xlsx"),
        ("features", "in", "--pixels", "off", "--csv", "out/o.csv"),
        ("features", "in", "--pixels", "off", "--report", "out/o.html", "--csv", "out/o.csv"),
        ("features", "in", "--pixels", "off", "--annotation", "out/o.zip"),
        ("evaluate", "in", "in", "--report", "out/o.html", "--table", "out/o.csv"),
        ("evaluate", "in", "in", "--annotation", "out/o.zip"),
        ("export-annotations", "in", "out/o.zip"),
    ],
)
def test_a_task_whose_results_do_not_fit_leaves_none(run, words):
    codes = [run(size, *words) for size in (30, 700, 2000, 5000, 9000, 10_000_000)]
    assert codes[0] == 2
    assert codes[-1] == 0


def test_no_place_for_temporary_files_is_a_sentence(monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/nowhere/at/all"])
    with (
        pytest.raises(OutputError, match="cannot write a temporary file: No usable temporary"),
        scratch_folder(),
    ):
        pass


def test_the_system_s_reason_is_told_where_a_library_names_it():
    assert reason_of(Exception("IO_ENOSPC")) == "No space left on device"
    assert reason_of(Exception("IO_WRITE")) == "IO_WRITE"
