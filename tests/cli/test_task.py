"""A task ends with the right code, one line, and without secrets."""

import logging
import sys
import types
from pathlib import Path

import pytest

from deeplab.errors import BundleError
from deeplab_cli.main import main


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    Path("slide.svs").touch()
    Path("model.zip").touch()
    return ["segment", "slide.svs", "--model", "model.zip", "--annotation", "out.json"]


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch):
    def use(segment_each) -> None:
        stub = types.ModuleType("deeplab.inference.segment_each")
        stub.segment_each = segment_each
        monkeypatch.setitem(sys.modules, stub.__name__, stub)

    return use


def test_a_task_that_did_its_work_prints_its_summary(words, engine, capsys):
    def segment_each(request, progress, **_) -> str:
        progress("predict", 1, 1)
        return f"segmented {request.slide}"

    engine(segment_each)
    assert main(words) == 0
    out = capsys.readouterr().out
    assert out.endswith("segmented slide.svs\n")
    assert "<filter-progress>1.0000</filter-progress>" in out


def test_what_the_engine_logs_is_seen_during_the_run_only(words, engine, capsys):
    log = logging.getLogger("deeplab.inference.segment")

    def segment_each(request, progress, **_) -> str:
        log.info("runs on the CPU")
        return ""

    engine(segment_each)
    assert main(words) == 0
    log.info("after the run")
    assert capsys.readouterr().err == "INFO: runs on the CPU\n"


def test_what_is_logged_is_seen_once_though_a_library_shows_all_logs(words, engine, capsys):
    root = logging.getLogger()
    handler = logging.StreamHandler(sys.stderr)

    def segment_each(request, progress, **_) -> str:
        root.addHandler(handler)  # as TensorFlow does when it is imported
        logging.getLogger("deeplab.inference.segment").info("runs on the CPU")
        return ""

    engine(segment_each)
    try:
        assert main(words) == 0
    finally:
        root.removeHandler(handler)
    assert capsys.readouterr().err == "INFO: runs on the CPU\n"


def test_bad_input_is_one_line_and_exit_2(words, engine, capsys):
    def segment_each(request, progress, **_) -> str:
        raise BundleError(request.model, "is not a zip file\nat all")

    engine(segment_each)
    assert main(words) == 2
    assert capsys.readouterr().err == "error: model model.zip is not a zip file at all\n"


def test_bad_numbers_do_not_reach_the_engine(words, engine, capsys):
    def segment_each(request, progress, **_) -> str:
        pytest.fail("the engine was called")

    engine(segment_each)
    assert main([*words, "--tile_size", "3"]) == 2
    assert capsys.readouterr().err == "error: patch_size must be at least 65, but is 3\n"


def test_a_defect_is_shown_whole_with_exit_1_and_without_the_token(words, engine, capsys):
    def segment_each(request, progress, **_) -> str:
        raise KeyError(request.token)

    engine(segment_each)
    assert main([*words, "--girderToken", "s3cret"]) == 1
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "KeyError" in err
    assert "s3cret" not in err


def test_the_command_line_goes_before_the_file(words, engine):
    seen = []

    def segment_each(request, progress, **_) -> str:
        seen.append((request.batch_size, request.tissue))
        return ""

    engine(segment_each)
    Path("s.toml").write_text('batch_size = 3\ntissue = "off"\n')
    assert main([*words, "--config", "s.toml", "--batch-size", "2"]) == 0
    assert seen == [(2, "off")]


def test_a_file_with_an_unknown_setting_is_refused(words, engine, capsys):
    Path("s.toml").write_text("batchsize = 3\n")
    assert main([*words, "--config", "s.toml"]) == 2
    assert "must be one of" in capsys.readouterr().err
