"""`deeplab prepare`: no run after it converts its model, and none loads TensorFlow."""

import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

from deeplab.inference.conversions import CACHE_VARIABLE
from deeplab_cli.main import main
from tests.slides_for_tests import tissue, write_tiff

pytest.importorskip("openvino")
NUCLEI = Path(str(files("deeplab") / "demonstration/nuclei.zip"))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.slow
def test_a_prepared_model_is_not_converted_again(cache, tmp_path, capfd):
    assert main(["prepare", str(NUCLEI)]) == 0
    said = capfd.readouterr()
    assert f"{NUCLEI}: OpenVINO " in said.out
    assert "converting nuclei.zip" in said.err
    (kept,) = cache.iterdir()
    slide = write_tiff(tmp_path / "a.tiff", tissue(400, 300)[0])
    cache.chmod(0o500)
    try:
        words = ["segment", str(slide), "--model", str(NUCLEI)]
        words += ["--annotation", str(tmp_path / "a.anot"), "--tissue", "off"]
        done = subprocess.run(
            [sys.executable, "-m", "deeplab_cli.entry", *words],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    finally:
        cache.chmod(0o700)
    assert done.returncode == 0, done.stderr
    assert "predicting by OpenVINO" in done.stderr
    assert "converting" not in done.stderr
    assert list(cache.iterdir()) == [kept]


def test_what_cannot_be_kept_is_not_prepared(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "file" / "cache"))
    assert main(["prepare", str(NUCLEI)]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"error: cannot write {tmp_path}/file/cache: nothing can be kept there; "
        f"let {CACHE_VARIABLE} name another folder"
    )


def test_a_file_that_is_no_model_is_refused(cache, tmp_path, capsys):
    no_model = tmp_path / "model.zip"
    no_model.write_bytes(b"PK")
    assert main(["prepare", str(NUCLEI), str(no_model)]) == 2
    assert f"model {no_model}" in capsys.readouterr().err
    assert not cache.exists()
