"""Sides that call things by other names are not compared in silence."""

import re
from pathlib import Path

import pytest

from deeplab_cli.main import main
from tests.data.folders import document, square, write_slide

THINGS = [square(10, 10, 30), square(60, 60, 40)]


@pytest.fixture
def evaluate(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_slide(tmp_path / "a.tiff")

    def run(reference, prediction, *words):
        for side, layers in (("r", reference), ("p", prediction)):
            Path(f"{side}.anot").write_text(document(**layers), encoding="utf-8")
        return ended("r.anot", "p.anot", "--slide", "a.tiff", *words)

    def ended(*words):
        code = main(["evaluate", *words, "--table", "t.csv"])
        said = capsys.readouterr()
        assert Path("t.csv").exists() == (code == 0)
        Path("t.csv").unlink(missing_ok=True)
        return code, said.out, said.err

    run.ended = ended
    return run


@pytest.mark.parametrize(
    ("reference", "prediction", "words", "alias"),
    [
        (["nuclei"], ["layer 1"], (), "layer 1=nuclei"),
        (["nuclei"], ["layer 1"], ("--classes", "nuclei"), "layer 1=nuclei"),
        (["Layer_1"], ["nuclei"], ("--classes", "nuclei"), "Layer_1=nuclei"),
        (["tumour cell"], ["tumour_cell"], (), "tumour_cell=tumour cell"),
        (["tumour", "stroma"], ["Stroma_", "x"], (), "Stroma_=stroma"),
        (["nuclei"], ["a,b"], (), '""a,b=nuclei""'),
    ],
)
def test_no_name_on_both_sides_is_said_with_the_alias_that_mends_it(
    evaluate, reference, prediction, words, alias
):
    sides = [dict.fromkeys(names, THINGS) for names in (reference, prediction)]
    code, _, err = evaluate(*sides, *words)
    assert code == 2
    assert "the reference has " + reference[0] in err
    assert f'--aliases "{alias}"' in err
    given = re.search(r'--aliases "(.*?)"; to count', err)[1].replace('""', '"')
    code, out, _ = evaluate(*sides, *words, "--aliases", given)
    assert code == 0
    assert "PQ 1.000" in out


def test_all_counts_as_wrong_where_that_is_asked_for(evaluate):
    code, out, err = evaluate({"nuclei": THINGS}, {"layer 1": THINGS}, "--unmatched", "go_on")
    assert code == 0
    assert "nuclei: Dice 0.000" in out
    assert out.index("no layer of the prediction has the name") < out.index("Dice")
    assert "no layer of the prediction has the name" in err
    asked = ("--classes", "tumour,stroma")  # both are known: the model found the other
    assert evaluate({"tumour": THINGS}, {"stroma": THINGS}, *asked)[0] == 0


@pytest.mark.parametrize(
    ("reference", "prediction"),
    [
        ({"nuclei": THINGS}, {"Nuclei ": THINGS}),  # case and blanks do not matter
        ({"nuclei": THINGS, "x": THINGS}, {"nuclei": THINGS, "y": THINGS}),
        ({"nuclei": THINGS}, {}),
        ({}, {"nuclei": THINGS}),
    ],
)
def test_sides_that_share_a_name_or_of_which_one_is_empty_are_compared(
    evaluate, reference, prediction
):
    code, out, err = evaluate(reference, prediction)
    assert code == 0, err
    assert "no layer of the prediction" not in out


def test_a_layer_to_ignore_is_no_name_of_a_class(evaluate):
    code, _, err = evaluate({"ignore": THINGS, "a": THINGS}, {"ignore": THINGS, "b": THINGS})
    assert code == 2
    assert "the reference has a, the prediction b;" in err


def test_an_alias_that_matches_nothing_is_said(evaluate):
    sides = {"nuclei": THINGS}, {"nuclei": THINGS}
    code, out, _ = evaluate(*sides, "--aliases", "layr 1=nuclei,Nuclei=nuclei")
    assert code == 0
    assert "No layer has the first name of the alias layr 1=nuclei." in out
    assert "alias Nuclei" not in out


def test_one_slide_of_several_with_other_names_is_said_first(evaluate, tmp_path):
    for side in ("ref", "found"):
        (tmp_path / side).mkdir()
        for slide in "abc":
            name = "layer 1" if (side, slide) == ("found", "c") else "nuclei"
            text = document(**{name: THINGS})
            (tmp_path / side / f"{slide}.json").write_text(text, encoding="utf-8")
    code, out, err = evaluate.ended("ref", "found", "--slide_mpp", "0.5")
    assert code == 0
    told = "c.json: no layer of the prediction has the name of one of the reference"
    assert out.index(told) < out.index("Dice")
    assert told in err
    assert '--aliases "layer 1=nuclei"' in out
    for path in (tmp_path / "found").iterdir():
        path.write_text(path.read_text().replace("nuclei", "layer 1"))
    code, _, err = evaluate.ended("ref", "found", "--slide_mpp", "0.5")
    assert code == 2
    assert "error: no layer of the prediction" in err


def test_where_nothing_is_drawn_on_either_side_the_named_classes_are_judged(evaluate):
    code, _, err = evaluate({}, {})
    assert code == 2
    assert "there is no layer to judge on any slide; name the classes" in err
    code, out, _ = evaluate({}, {}, "--classes", "nuclei")
    assert code == 0
    assert "nuclei: Dice –" in out
