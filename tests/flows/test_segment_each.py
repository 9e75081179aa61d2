"""A folder or a list of slides and a bundle in, results of each slide out."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from deeplab.errors import SourceError
from deeplab.inference import tensorflow_runtime
from deeplab.inference.segment_each import find_slides, names_of
from deeplab_cli.main import main
from tests.flows.models_for_tests import balanced_model
from tests.slides_for_tests import tissue, write_tiff

SIDE = 300
NAMES = ("a", "b c")
QUICK = ["--runtime", "tensorflow", "--tissue", "off", "--patch_size", "129"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return balanced_model(tmp_path_factory.mktemp("model") / "m.zip", tissue(257, 257)[0])


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slides")
    for seed, name in enumerate(NAMES):
        write_tiff(folder / f"{name}.tiff", tissue(SIDE, SIDE, seed=seed)[0], levels=1)
    return folder


def segment(source, model, out, *words):
    named = ["--annotation", str(out / "{slide}.anot"), *words]
    return main(["segment", str(source), "--model", str(model), *named, *QUICK])


def elements(path):
    return sum(len(layer["elements"]) for layer in json.loads(path.read_text()))


def test_each_slide_of_a_folder_has_its_results_by_a_model_loaded_once(
    slides, model, tmp_path, monkeypatch, capsys
):
    loaded = []
    load = tensorflow_runtime.load_bundle
    monkeypatch.setattr(
        tensorflow_runtime, "load_bundle", lambda path: loaded.append(path) or load(path)
    )
    more = ("--table", f"{tmp_path}/t/{{slide}}.csv", "--timings", f"{tmp_path}/s/{{slide}}.json")
    assert segment(slides, model, tmp_path, *more) == 0
    assert loaded == [model]
    first, second = (json.loads((tmp_path / "s" / f"{name}.json").read_text()) for name in NAMES)
    assert first["stages"]["start"] > second["stages"]["start"]  # the process's, counted once
    assert first["stages"]["load"] > second["stages"]["load"]
    there = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    assert there == {
        f"{folder}{name}{suffix}"
        for name in NAMES
        for folder, suffix in (("", ".anot"), ("t/", ".csv"), ("s/", ".json"))
    }
    alone = tmp_path / "alone.anot"
    words = ["--model", str(model), "--annotation", str(alone), *QUICK]
    assert main(["segment", str(slides / "b c.tiff"), *words]) == 0
    assert elements(alone) == elements(tmp_path / "b c.anot") > 0
    assert "2 slides were segmented" in capsys.readouterr().out


def test_what_fails_is_named_and_the_rest_is_done(slides, model, tmp_path, capsys):
    mixed = tmp_path / "mixed"
    shutil.copytree(slides, mixed)
    (mixed / "aa.svs").write_bytes(b"no slide at all")
    write_tiff(mixed / "coarse.tiff", tissue(SIDE, SIDE)[0], levels=1, mpp=8.0)
    assert segment(mixed, model, tmp_path) == 2
    *_, last = capsys.readouterr().err.splitlines()
    assert last.startswith("error: 2 of 4 slides could not be segmented: ")
    assert "aa.svs" in last
    assert "coarse.tiff: " in last
    assert sorted(path.name for path in tmp_path.glob("*.anot")) == ["a.anot", "b c.anot"]


@pytest.mark.parametrize(
    "text",
    [
        "{slides}/a.tiff\n\n{slides}/b c.tiff\n",
        "slide,mpp\n{slides}/a.tiff,0.5\n{slides}/b c.tiff,\n",
        "mpp;slide\r\n0.5;{slides}/a.tiff\r\n;{slides}/b c.tiff\r\n",
    ],
)
def test_a_list_names_slides_and_their_um_per_pixel(slides, tmp_path, text):
    listed = tmp_path / "list.txt"
    listed.write_text(text.format(slides=slides))
    found = find_slides(listed)
    assert [slide.path.name for slide in found] == ["a.tiff", "b c.tiff"]
    assert {slide.mpp for slide in found} <= {0.0, 0.5}


def linked(slides, tmp_path):
    """A folder of both slides and a link to each of them, by names before and behind theirs."""
    folder = tmp_path / "folder"
    shutil.copytree(slides, folder)
    (folder / "0.tiff").symlink_to(folder / "a.tiff")
    (folder / "z.tiff").symlink_to("b c.tiff")
    return folder


def test_a_slide_that_is_listed_again_by_any_path_is_segmented_once(slides, tmp_path, caplog):
    linked(slides, tmp_path)
    listed = tmp_path / "list.csv"
    rows = ["b c.tiff,", "../folder/b c.tiff,0.5", "0.tiff,", "a.tiff,", "b c.tiff,0.5"]
    listed.write_text("slide,mpp\n" + "".join(f"folder/{row}\n" for row in rows))
    found = [(slide.path.name, slide.mpp) for slide in find_slides(listed)]
    assert found == [("b c.tiff", 0.5), ("a.tiff", 0.0)]
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith("slides that are there already were passed over: ")
    assert said.count("b c.tiff") == 2
    assert "0.tiff" in said
    assert "a.tiff" not in said


def test_a_link_beside_its_slide_is_no_further_slide(slides, tmp_path, caplog):
    found = find_slides(linked(slides, tmp_path))
    assert [slide.path.name for slide in found] == ["a.tiff", "b c.tiff"]
    (said,) = [record.getMessage() for record in caplog.records]
    assert all(name in said for name in ("0.tiff", "z.tiff"))


def test_two_scales_for_one_slide_are_one_sentence(slides, tmp_path):
    listed = tmp_path / "list.csv"
    listed.write_text(f"slide,mpp\n{slides}/a.tiff,0.5\n{slides}/../{slides.name}/a.tiff,0.25\n")
    with pytest.raises(SourceError, match=r"gives .*a\.tiff 0\.25 and 0\.5 um per pixel"):
        find_slides(listed)


def test_slides_that_are_all_different_are_said_nothing_of(slides, caplog):
    assert len(find_slides(slides)) == 2
    assert not caplog.records


def test_a_list_may_write_letters_in_other_characters_than_the_disk(slides, tmp_path):
    shutil.copy(slides / "a.tiff", tmp_path / "Ma\u0308rz.tiff")
    (tmp_path / "list.txt").write_text("M\u00e4rz.tiff", encoding="utf-8")
    found = find_slides(tmp_path / "list.txt")
    assert [slide.path for slide in found] == [tmp_path / "Ma\u0308rz.tiff"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("nowhere.svs", "line 1: there is no file"), ("\n", "there is no slide in")],
)
def test_a_list_that_names_nothing_is_one_sentence(tmp_path, text, sentence):
    listed = tmp_path / "list.txt"
    listed.write_text(text)
    with pytest.raises(SourceError, match=sentence):
        find_slides(listed)


def test_pictures_and_masks_of_slides_are_no_slides(slides, tmp_path):
    folder = tmp_path / "folder"
    shutil.copytree(slides, folder)
    for name in ("a.png", "a.mask.png", "own.png"):
        Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(folder / name)
    found = [slide.path.name for slide in find_slides(folder)]
    assert found == ["a.tiff", "b c.tiff", "own.png"]


def test_slides_of_one_stem_have_results_of_their_own(slides, model, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    shutil.copy(slides / "a.tiff", folder / "a.tif")
    shutil.copy(slides / "b c.tiff", folder / "a.tiff")
    assert segment(folder, model, tmp_path) == 0
    assert sorted(path.name for path in tmp_path.glob("*.anot")) == ["a.tif.anot", "a.tiff.anot"]


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a.svs", "b.svs"], ["a", "b"]),
        (["a.svs", "a.ndpi", "b.svs"], ["a.svs", "a.ndpi", "b"]),
        (["a.svs", "a.ndpi", "a.svs.tiff"], ["/a.svs", "a.ndpi", "a.svs.tiff"]),
        (["a/x/s.svs", "b/x/s.svs"], ["a_x_s.svs", "b_x_s.svs"]),
        (["a/b_c.svs", "a_b/c.svs", "d/c.svs"], ["b_c", "a_b_c.svs", "d_c.svs"]),
    ],
)
def test_no_two_slides_share_a_name_for_their_results(paths, names):
    found = names_of([Path(path) for path in paths])
    for name, wanted in zip(found, names, strict=True):
        # A name with all of its folders begins with those of this machine.
        assert name.endswith(wanted.replace("/", "_")) if "/" in wanted else name == wanted


@given(st.lists(st.text("aAb._/", min_size=1, max_size=6), min_size=1, max_size=6, unique=True))
def test_names_of_results_are_never_alike_or_paths(texts):
    names = names_of([Path("/slides", text.strip("/") or "a") for text in texts])
    assert len({name.casefold() for name in names}) == len(names)
    assert not [name for name in names if "/" in name]


def test_one_name_for_all_results_is_refused_with_one_that_would_do(
    slides, model, tmp_path, capsys
):
    words = ["--model", str(model), "--geojson", str(tmp_path / "all.geojson"), *QUICK]
    assert main(["segment", str(slides), *words]) == 2
    assert f"{tmp_path}/{{slide}}.geojson" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
