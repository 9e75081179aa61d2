"""The census and the refusals of a training, through the command, without TensorFlow."""

import os
import subprocess
import sys
from collections import defaultdict

import numpy as np
import pytest
from PIL import Image

from tests.data.folders import square, write_slide

pytestmark = pytest.mark.slow

LESION = [square(10, 10, 20)]
MAIN = """
import sys
from deeplab_cli.main import main
code = main()
heavy = {"tensorflow", "keras"} & {name.partition(".")[0] for name in sys.modules}
sys.exit(99 if heavy else code)
"""


def train(folder, *words, classes="lesion"):
    listed = folder / "slides" / "list.csv"
    source = listed if listed.exists() else "slides"
    command = [sys.executable, "-c", MAIN, "train", source, "model.zip", "--classes", classes]
    return subprocess.run(
        [*command, "--patch_size", "65", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
    )


@pytest.fixture
def folder(tmp_path):
    """A folder to work in; slides lie in its folder `slides`."""
    (tmp_path / "slides").mkdir()
    return tmp_path


def slide(folder, name, **how):
    return write_slide(folder / "slides" / name, **how)


def refused(answer, folder, before):
    """The one line of a refusal that left nothing behind."""
    assert answer.returncode == 2, answer.stderr
    assert sorted(folder.rglob("*")) == before
    (line,) = [line for line in answer.stderr.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in answer.stderr
    return line.removeprefix("error: ")


def test_a_dry_run_prints_the_census_and_writes_nothing(folder):
    for n in range(5):
        slide(folder, f"case.{n}.tiff", lesion=LESION, vesel=LESION)
    slide(folder, "bare.tiff")
    before = sorted(folder.rglob("*"))
    answer = train(folder, "--dry-run", classes="lesion,vessel")
    assert answer.returncode == 0, answer.stderr
    assert sorted(folder.rglob("*")) == before
    lines = answer.stdout.splitlines()
    head = next(line for line in lines if line.startswith("slide "))
    assert head.split() == ["slide", "pixels", "um/px", "side", "lesion", "n", "lesion", "mm2"]
    assert sum(line.startswith("case.") for line in lines) == 5
    assert "4 slides to learn from, 1 held out, 1 left out" in lines
    assert "left out: bare.tiff has no annotation beside it" in lines
    assert "nobody drew vessel; did you mean vesel?" in lines


def test_a_dry_run_of_folds_shows_all_of_them_and_says_a_remark_once(folder):
    for n in range(5):
        slide(folder, f"case.{n}.tiff")
        mask = np.zeros((128, 128), np.uint8)
        mask[10:30, 10:30] = 255
        Image.fromarray(mask).save(folder / "slides" / f"case.{n}.mask.png")
    answer = train(folder, "--folds", "3", "--dry-run")
    assert answer.returncode == 0, answer.stderr
    lines = answer.stdout.splitlines()
    assert [line.split()[5] for line in lines if "128 x 128" in line] == list("11223")
    assert "5 slides in 3 folds, 0 left out" in lines
    assert "fold 1 holds out 2 slides of 2 patients (lesion 2 objects) and learns from 3" in lines
    assert (answer.stdout + answer.stderr).count("the value 255 is taken for lesion") == 1


def patients_by(folder, *words):
    """The patients of CAMELYON17's slides by the side or fold that a dry run says they are in."""
    for patient in (4, 17, 84):
        for node in range(3):
            slide(folder, f"patient_{patient:03}_node_{node}.tif", lesion=LESION)
    answer = train(folder, *words, "--dry-run")
    assert answer.returncode == 0, answer.stderr
    rows = [line.split() for line in answer.stdout.splitlines() if "128 x 128" in line]
    assert len(rows) == 9
    by_place = defaultdict(set)
    for name, *_, patient, place, _objects, _area in rows:
        assert name.startswith(patient), "the census names the patient of each slide"
        by_place[place].add(patient)
    return by_place


@pytest.mark.parametrize("centres", [(), ("--train_centers", "-1")])
def test_the_nodes_of_a_patient_are_on_one_side_without_centres_to_hold_out(folder, centres):
    by_side = patients_by(folder, *centres, "--val_split", "0.4")
    assert sorted(map(len, by_side.values())) == [1, 2], by_side
    assert not by_side["train"] & by_side["validation"]


def test_the_nodes_of_a_patient_are_in_one_fold(folder):
    by_fold = patients_by(folder, "--folds", "3")
    assert sorted(map(len, by_fold.values())) == [1, 1, 1], by_fold


def test_dry_run_before_another_flag_is_true(folder):
    slide(folder, "a.tiff", lesion=LESION)
    assert train(folder, "--dry-run", "--work-mpp", "0.5").returncode == 0


def listed(folder, *rows):
    (folder / "slides" / "list.csv").write_text(
        "\n".join(["slide,annotation,patient,split", *rows])
    )


def empty(folder):
    return ()


def no_listed_class(folder):
    slide(folder, "a.tiff", artery=LESION)
    slide(folder, "b.tiff", nerve=LESION)
    return ()


def misspelt(folder):
    slide(folder, "a.tiff", lesions=LESION)
    return ()


def patch_larger_than_slide(folder):
    slide(folder, "a.tiff", lesion=LESION)
    return ("--patch_size", "513")


def patient_on_both_sides(folder):
    for name in "ab":
        slide(folder, f"{name}.tiff", lesion=LESION)
    listed(folder, "a.tiff,a.json,P1,train", "b.tiff,b.json,P1,validation")
    return ()


def slide_on_both_sides(folder):
    slide(folder, "a.tiff", lesion=LESION)
    listed(folder, "a.tiff,a.json,,train", "a.tiff,a.json,,validation")
    return ()


def nothing_to_learn_from(folder):
    slide(folder, "a.tiff", lesion=LESION)
    listed(folder, "a.tiff,a.json,,validation")
    return ()


def scaleless(folder):
    slide(folder, "a.tiff", mpp=None, lesion=LESION)
    return ()


def bad_alias(folder):
    return ("--aliases", "x=nothing")


def bad_colour(folder):
    return ("--colours", "reddish")


BAD = {
    empty: "slides holds no slide; files of these kinds count: ",
    no_listed_class: "no slide has a shape of lesion (there are: artery, nerve)",
    misspelt: "no slide has a shape of lesion; did you mean lesions? (there are: lesions)",
    patch_larger_than_slide: "a patch of 513 x 513 pixels is larger than every slide",
    patient_on_both_sides: "patient P1 is in both splits; put all slides of a patient in one",
    slide_on_both_sides: "a.tiff and a.tiff are in both splits, but are the same file",
    nothing_to_learn_from: "all slides are held out for validation; give some of them the split",
    scaleless: "a.tiff does not state its microns per pixel; give slide_mpp",
    bad_alias: "aliases must be name=class, with one of the classes, but is 'x=nothing'",
    bad_colour: "colours must be #rrggbb or rgb(r, g, b), but is 'reddish'",
}


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.__name__)
def test_bad_input_is_one_sentence_and_nothing_is_written(folder, bad):
    words = bad(folder)
    before = sorted(folder.rglob("*"))
    answer = train(folder, *words, "--dry-run")
    assert refused(answer, folder, before).startswith(BAD[bad])


def test_a_training_refuses_the_same_before_it_writes(folder):
    slide(folder, "a.tiff", lesion=LESION)
    before = sorted(folder.rglob("*"))
    command = [sys.executable, "-m", "deeplab_cli.entry", "train", "slides", "model.zip"]
    answer = subprocess.run(
        [*command, "--classes", "lesion,vessel", "--patch_size", "65"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    line = refused(answer, folder, before)
    assert line == "no slide to learn from has a shape of vessel (there are: lesion)"


def test_one_more_bad_slide_is_no_reason_not_to_look(folder):
    slide(folder, "a.tiff", lesion=LESION)
    (folder / "slides" / "b.tiff").write_bytes(np.random.default_rng(0).bytes(500))
    (folder / "slides" / "b.json").write_text("[]")
    answer = train(folder, "--dry-run")
    assert answer.returncode == 0
    assert "left out: b.tiff " in answer.stdout


def test_an_alias_that_no_layer_has_is_said(folder):
    for n in range(3):
        slide(folder, f"{n}.tiff", lesion=LESION)
    answer = train(folder, "--dry-run", "--aliases", "lezion=lesion,Lesion=lesion")
    assert answer.returncode == 0, answer.stderr
    assert "no layer has the first name of the alias lezion=lesion\n" in answer.stdout
    assert "alias Lesion" not in answer.stdout
