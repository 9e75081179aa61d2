"""`deeplab compare` from the front door: two tables of evaluations in, differences out."""

import csv

import numpy as np
import pytest
import shapely

from deeplab.annotations.files import write_annotations
from deeplab.annotations.shapes import Annotations, Layer, Shape
from deeplab.evaluation.figures import COLUMNS, IDENTITY
from deeplab.geometry.frames import Mpp
from deeplab_cli.main import main

SLIDES = 12


def run(capsys, *words):
    code = main([str(word) for word in words])
    out, err = capsys.readouterr()
    return code, out + err


def rows_of(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def table(path, dices, *, name="tumour", metric="dice", references=None):
    """A table with a figure of each slide, by the slides' names; an older one without references."""
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(COLUMNS if references is None else (*COLUMNS, *IDENTITY))
        for slide, value in dices.items():
            identity = () if references is None else ("", references.get(slide, ""), "")
            rows.writerow(("slide", slide, name, "", metric, value, "", "", *identity))
        rows.writerow(("pooled", "", name, "", metric, 0.5, "", ""))
    return path


def dices(shift=0.0, seed=0, count=SLIDES):
    random = np.random.default_rng(0)
    own = np.random.default_rng(seed).normal(0, 0.02, count)
    return {f"s{n}": v for n, v in enumerate(random.uniform(0.3, 0.8, count) + shift + own)}


@pytest.mark.parametrize(
    ("shift", "verdict"), [(0.1, "better"), (-0.1, "worse"), (0.0, "no difference that these")]
)
def test_a_difference_on_each_slide_is_seen_whatever_slides_differ(
    tmp_path, capsys, shift, verdict
):
    old, new = dices(), dices(shift, seed=1)
    words = [table(tmp_path / "old.csv", old), table(tmp_path / "new.csv", new)]
    code, said = run(capsys, "compare", *words, "--table", tmp_path / "d.csv")
    assert code == 0, said
    assert f"{SLIDES} slides that both models were evaluated on" in said
    assert f": {verdict}" in said
    (row,) = rows_of(tmp_path / "d.csv")
    changes = [new[slide] - old[slide] for slide in old]
    assert (row["class"], row["metric"], row["slides"]) == ("tumour", "dice", str(SLIDES))
    assert float(row["old"]) == pytest.approx(np.mean(list(old.values())))
    assert float(row["difference"]) == pytest.approx(np.mean(changes))
    # Percentiles of means of slides drawn again lie about 1.96 standard errors from the mean.
    error = np.std(changes) / SLIDES**0.5
    for bound, side in (("low", -1), ("high", 1)):
        expected = np.mean(changes) + side * 1.96 * error
        assert float(row[bound]) == pytest.approx(expected, abs=0.3 * error)


def test_slides_and_figures_of_one_table_only_are_named_and_do_not_count(tmp_path, capsys):
    old = table(tmp_path / "old.csv", {"a": 0.5, "b": "", "c": 0.4, "d": 0.9})
    new = table(tmp_path / "new.csv", {"a": 0.6, "b": 0.9, "c": 0.4, "e": 0.1})
    code, said = run(capsys, "compare", old, new, "--table", tmp_path / "d.csv")
    assert code == 0, said
    assert "2 slides that both" in said
    assert "not compared, as only one table has them: b, d and e" in said
    (row,) = rows_of(tmp_path / "d.csv")
    assert (row["slides"], row["old"], row["new"]) == ("2", "0.45", "0.5")
    assert float(row["difference"]) == pytest.approx(0.05)


def test_slides_that_were_held_against_different_references_do_not_count(tmp_path, capsys):
    old = table(
        tmp_path / "old.csv", {"a": 0.5, "b": 0.2, "c": 0.4}, references={"a": "1", "b": "2"}
    )
    new = {"a": 0.6, "b": 0.9, "c": 0.4}
    words = (old, table(tmp_path / "new.csv", new, references={"a": "1", "b": "3", "c": "4"}))
    code, said = run(capsys, "compare", *words, "--table", tmp_path / "d.csv")
    assert code == 0, said
    assert "2 slides that both" in said
    assert "not compared, as the two were held against different references, or by" in said
    (row,) = rows_of(tmp_path / "d.csv")
    assert (row["slides"], row["old"], row["new"]) == ("2", "0.45", "0.5")
    unlike = table(tmp_path / "new.csv", {"b": 0.9}, references={"b": "3"})
    code, said = run(capsys, "compare", old, unlike)
    assert code == 2
    assert (
        "new.csv were held against different references, or by other rules; evaluate both" in said
    )


def test_the_tables_of_two_evaluations_are_compared(tmp_path, capsys):
    for folder in ("drawn", "old", "new"):
        (tmp_path / folder).mkdir()
    for number in range(4):
        for folder, width in (("drawn", 100), ("old", 60 + number), ("new", 90 + number)):
            shapes = (Shape(shapely.box(0, 0, width, 100)),)
            annotations = Annotations((Layer("a", (255, 0, 0), shapes),), mpp=Mpp.square(1.0))
            write_annotations(tmp_path / folder / f"{number}.anot", annotations)
    for folder in ("old", "new"):
        words = (tmp_path / "drawn", tmp_path / folder, "--table", tmp_path / f"{folder}.csv")
        code, said = run(capsys, "evaluate", *words)
        assert code == 0, said
    code, said = run(capsys, "compare", tmp_path / "old.csv", tmp_path / "new.csv")
    assert code == 0, said
    (line,) = [line for line in said.splitlines() if "a, dice" in line]
    assert line.endswith(": better")
    expected = [2 * (w + n) / (w + n + 100) for w in (60, 90) for n in range(4)]
    assert f"{np.mean(expected[:4]):.3f} and now {np.mean(expected[4:]):.3f}" in line


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda path: path.write_text("a,b\n1,2\n"), "new.csv is not a table that evaluate wrote"),
        (lambda path: path.write_bytes(b"\xff\xfe\x00"), "new.csv is not a table that evaluate"),
        (lambda path: path.unlink(), "there is no file"),
        (lambda path: table(path, {"z": 0.5}), "are of different slides"),
        (lambda path: table(path, dices(), name="b"), "are of different classes"),
        (lambda path: table(path, {"s0": "much"}), "new.csv is not a table that evaluate wrote"),
    ],
)
def test_one_sentence_on_tables_that_cannot_be_compared(tmp_path, capsys, change, said):
    old, new = (table(tmp_path / f"{name}.csv", dices()) for name in ("old", "new"))
    change(new)
    code, text = run(capsys, "compare", old, new, "--table", tmp_path / "d.csv")
    assert code == 2
    assert said in text
    assert not (tmp_path / "d.csv").exists()


def test_a_table_that_is_read_is_not_written_over(tmp_path, capsys):
    old, new = (table(tmp_path / f"{name}.csv", dices()) for name in ("old", "new"))
    before = old.read_bytes()
    code, said = run(capsys, "compare", old, new, "--table", old)
    assert code == 2, said
    assert old.read_bytes() == before
