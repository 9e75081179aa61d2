"""Slides of any name go through every task, and a name that fits two slides is taken for neither."""

import csv
import json
import os
import shutil
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from openpyxl import load_workbook

from deeplab.names import shown_name
from deeplab.slides.slide import open_slide
from deeplab_cli.main import main
from tests.data.folders import square, write_slide

pytestmark = pytest.mark.slow

LESION = [square(10, 10, 20), square(60, 60, 30)]
NAMES = {
    b"m\xfcller": r"m\xfcller",  # of an old share; no UTF-8
    "Größe 🔬 漢字".encode(): "Größe 🔬 漢字",
    b"two\nlines": r"two\x0alines",
    b"tab\tcr\rbell\x07\x1b[31m": r"tab\x09cr\x0dbell\x07\x1b[31m",
    b"-first": "-first",
    b"100%s {} {0} $x_1$ a^b": "100%s {} {0} $x_1$ a^b",
    b"=1+1": "=1+1",
    b"q\"uote'<b>&amp;": "q\"uote'<b>&amp;",
    b"n" * 240: "n" * 240,
}


@pytest.fixture
def run(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)

    def asked(*words, code=0):
        ended = main([str(word) for word in words])
        out, err = capfd.readouterr()
        assert ended == code, err
        assert "Traceback" not in err
        assert "Warning" not in err
        return out + err

    return asked


@pytest.fixture
def odd(tmp_path):
    """A folder of slides of odd names with annotations, and of things that are no files."""
    folder = tmp_path / "odd"
    folder.mkdir()
    model = write_slide(tmp_path / "model.tiff", lesion=LESION)
    for name in NAMES:
        for path in (model, model.with_suffix(".json")):
            shutil.copyfile(path, folder / (os.fsdecode(name) + path.suffix))
    (folder / "folder.svs").mkdir()
    (folder / "nowhere.tiff").symlink_to("none.tiff")
    (folder / "device.tiff").symlink_to("/dev/zero")
    os.mkfifo(folder / "pipe.svs")
    os.mkfifo(folder / "pipe.json")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(folder / "socket.svs"))
    return folder


SHOWN = {f"{shown}.tiff" for shown in NAMES.values()}


def test_slides_of_any_name_are_counted(odd, run):
    said = run("train", odd, "m.zip", "--classes", "lesion", "--dry-run", "--patch_size", 65)
    named = {line.split("  ")[0] for line in said.splitlines()}
    assert named >= SHOWN
    assert f"{len(NAMES) - 2} slides to learn from, 2 held out, 0 left out" in said


def test_slides_of_any_name_are_measured(odd, run):
    words = ("--csv", "o.csv", "--xlsx", "o.xlsx", "--report", "o.html", "--annotation", "o.zip")
    said = run("features", odd, *words, "--pixels", "off")
    assert f"{len(NAMES)} slides measured" in said
    with Path("o.csv").open(encoding="utf-8", newline="") as file:
        slides = {row["slide"].removeprefix("'") for row in csv.DictReader(file)}
    assert slides == SHOWN
    book = load_workbook("o.xlsx", read_only=True)
    (_, *rows) = book["slides"].iter_rows(values_only=True)
    assert {str(row[0]).removeprefix("'") for row in rows if row[0]} >= SHOWN
    page = Path("o.html").read_text(encoding="utf-8")
    assert r"m\xfcller.tiff" in page
    with zipfile.ZipFile("o.zip") as packed:
        assert len({*packed.namelist()}) == len(NAMES)
        for name in packed.namelist():
            json.loads(packed.read(name).decode())


def test_slides_of_any_name_are_compared_and_given_out(odd, run):
    said = run("evaluate", odd, odd, "--report", "e.html", "--table", "e.csv")
    assert f"compared with the reference: {len(NAMES)} slides" in said
    assert r"m\xfcller.tiff" in Path("e.html").read_text(encoding="utf-8")
    with Path("e.csv").open(encoding="utf-8", newline="") as file:
        assert {row["slide"].removeprefix("'") for row in csv.DictReader(file)} >= SHOWN
    run("export-annotations", odd, "all.zip")
    with zipfile.ZipFile("all.zip") as packed:
        assert len({*packed.namelist()}) == len(NAMES)
        assert "m_xfcller.tiff.xml" in packed.namelist()


def test_results_may_have_any_name(odd, run):
    slide = odd / os.fsdecode(b"m\xfcller.tiff")
    drawn, back = slide.with_suffix(".json"), os.fsdecode(b"\xfc.geojson")
    run("convert", drawn, back)
    assert json.loads(Path(back).read_text(encoding="utf-8"))["features"]
    report = os.fsdecode(b"r\xfc\n.html")
    run("evaluate", drawn, back, "--report", report, "--slide", slide)
    assert r"m\xfcller.json" in Path(report).read_text(encoding="utf-8")
    run("features", slide, "--csv", os.fsdecode(b"t\xfc.csv"), "--pixels", "off")


def test_names_are_one_line_of_text_that_everything_can_write():
    for name, shown in NAMES.items():
        assert shown_name(os.fsdecode(name)) == shown
    assert shown_name("a\ud800b\u2028") == r"a\ud800b\u2028"
    assert shown_name("a\u202egpj.exe\u2069") == r"a\u202egpj.exe\u2069"


def test_an_open_slide_is_called_by_one_line(tmp_path):
    path = write_slide(tmp_path / os.fsdecode(b"two\nlin\xe9s.tiff"), lesion=LESION)
    with open_slide(path) as slide:
        assert slide.name == r"two\x0alin\xe9s.tiff"


@pytest.fixture
def twins(tmp_path):
    """A folder with two slides of one name, the annotation of both, and two slides besides."""
    folder = tmp_path / "twins"
    folder.mkdir()
    for name in ("a.tiff", "b.tiff", "c.tiff"):
        write_slide(folder / name, lesion=LESION)
    shutil.copyfile(folder / "b.tiff", folder / "a.svs")
    return folder


TOLD = "a.json was not taken, as it may be about a.svs or a.tiff; name it after one of them in full"


def test_an_annotation_of_two_slides_is_of_none_in_a_training(twins, run):
    words = ("m.zip", "--classes", "lesion", "--dry-run", "--patch_size", 65)
    said = run("train", twins, *words)
    assert f"left out: a.svs has none: {TOLD}, as a.svs.json" in said
    assert f"left out: a.tiff has none: {TOLD}" in said
    assert not {"a.svs", "a.tiff"} & {line.split()[0] for line in said.splitlines() if line}
    (twins / "a.json").rename(twins / "a.tiff.json")
    said = run("train", twins, *words)
    assert "left out: a.svs has no annotation beside it" in said
    assert "\na.tiff " in said


def test_an_annotation_of_two_slides_is_of_none_when_objects_are_measured_or_given_out(twins, run):
    said = run("features", twins, "--csv", "o.csv", "--pixels", "off")
    assert "2 slides measured" in said
    assert f"left out: a.svs: has none: {TOLD}" in said
    said = run("export-annotations", twins, "all.zip")
    assert f"a.tiff has none: {TOLD}" in said
    with zipfile.ZipFile("all.zip") as packed:
        assert packed.namelist() == ["b.tiff.xml", "c.tiff.xml"]


def test_an_annotation_of_two_slides_is_compared_on_none(twins, tmp_path, run):
    found = tmp_path / "found"
    found.mkdir()
    for name in ("a", "b"):
        shutil.copyfile(twins / f"{name}.json", found / f"{name}.json")
    said = run("evaluate", twins, found, "--table", "e.csv")
    assert "1 slide\n" in said
    assert f"a.json has none: {TOLD}" in said
    said = run("evaluate", twins / "a.json", found / "a.json", "--table", "e.csv", code=2)
    assert "slide must be named: a.json may be about a.svs or a.tiff" in said
    run(
        *("evaluate", twins / "a.json", found / "a.json", "--table", "e.csv"),
        "--slide",
        twins / "a.svs",
    )


def test_files_called_after_two_slides_in_full_are_two(twins, tmp_path, run):
    found = tmp_path / "found"
    found.mkdir()
    (twins / "a.json").rename(twins / "a.tiff.json")
    shutil.copyfile(twins / "b.json", twins / "a.svs.json")
    for slide in ("a.svs", "a.tiff"):
        shutil.copyfile(twins / f"{slide}.json", found / f"{slide}.json")
    assert "2 slides" in run("evaluate", twins, found, "--table", "e.csv")
    for slide in ("a.svs", "a.tiff", "b.tiff", "c.tiff"):
        (twins / slide).unlink()
    words = ("--table", "e.csv", "--slide_mpp", "0.5")
    assert "2 slides" in run("evaluate", twins, found, *words)
    (found / "a.svs.json").rename(found / "a.json")
    said = run("evaluate", twins, found, *words)
    assert "a.json has none: a.json was not taken, as it may be about a.svs or a.tiff" in said


def test_a_mask_as_it_is_given_out_is_found_again(tmp_path, run):
    write_slide(tmp_path / "a.tiff", lesion=LESION)
    for side in ("ref", "found"):
        (tmp_path / side).mkdir()
        size = ("--slide_width", 128, "--slide_height", 128, "--slide_mpp", 0.5)
        run("convert", "a.json", f"{side}/a.mask.tif", *size)
    said = run("evaluate", "ref", "found", "--table", "e.csv", "--slide", "a.tiff")
    assert "1 slide\n" in said
    assert "a.tiff" in Path("e.csv").read_text()


def test_a_file_is_called_after_its_slide_in_a_locale_of_ascii_too(odd, tmp_path):
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii",
              "PYTHONCOERCECLOCALE": "0"}  # fmt: skip
    answer = subprocess.run(
        [sys.executable, "-m", "deeplab_cli.entry", "export-annotations", odd, "Größe.zip"],
        cwd=tmp_path, env=os.environ | locale, capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    with zipfile.ZipFile(tmp_path / "Größe.zip") as packed:
        assert {"Größe 🔬 漢字.tiff.xml", "m_xfcller.tiff.xml"} <= {*packed.namelist()}
