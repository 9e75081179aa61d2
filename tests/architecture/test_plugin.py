"""What the plugin says of models is what the engine says, of which it imports nothing."""

import ast
import re
import runpy
from pathlib import Path

import numpy as np
import pytest

from deeplab.annotations.formats.girder_json import CORRECTED
from deeplab.bundles.card import CARD_NAME, FORMAT, MADE_OF
from deeplab.config import families
from deeplab.config.evaluate_request import BACKGROUND
from deeplab.evaluation import figures, model_comparison, reference_digest
from deeplab.evaluation.bootstrap import Resampling, interval_of_slides
from deeplab.exchange.maker import WITHIN
from deeplab.inference.next_regions import LAYER
from deeplab_cli.main import TASKS

PLUGIN = Path(__file__).parents[2] / "plugin/girder_deeplab"
CARDS = PLUGIN / "cards.py"


def constants(path):
    """Return the names that a module gives plain values, and these."""
    found = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.Assign):
            continue
        try:
            value = ast.literal_eval(node.value)
        except ValueError:
            continue
        for target in node.targets:
            is_several = isinstance(target, ast.Tuple)
            pairs = zip(target.elts, value, strict=True) if is_several else [(target, value)]
            found |= {name.id: each for name, each in pairs}
    return found


def test_the_plugin_knows_what_uses_which_models():
    said = constants(CARDS)
    assert (said["CARD_NAME"], said["FORMAT"]) == (CARD_NAME, FORMAT)
    by_command = {task.command: task.name for task in TASKS}
    assert said["SEGMENT"] == by_command["segment"]
    assert said["CLASSIFY"] == by_command["classify"]
    classify = {name for name, task in families.TASKS.items() if task == "classify"}
    assert set(said["CLASSIFIERS"]) == classify


def test_the_plugin_reads_what_a_model_is_made_of_where_the_engine_writes_it():
    for fact in MADE_OF:
        assert f'training.get("{fact}")' in CARDS.read_text(encoding="utf-8")


def test_the_plugin_marks_layers_where_the_engine_looks_for_it():
    said = constants(PLUGIN / "marks.py")
    assert (said["CORRECTED"], said["WITHIN"]) == (CORRECTED, WITHIN)
    assert said["NEXT_REGIONS"] == LAYER


def test_the_plugin_reads_tables_as_the_engine_writes_them():
    said = constants(PLUGIN / "tables.py")
    for name in ("COLUMNS", "IDENTITY", "SLIDE", "MEAN"):
        assert said[name] == getattr(figures, name), name
    assert said["BACKGROUND"] == BACKGROUND
    assert tuple(said["FIGURES"]) == model_comparison.SHOWN
    source = (PLUGIN / "tables.py").read_text(encoding="utf-8")
    assert f're.compile("[0-9a-f]{{{reference_digest.LETTERS}}}")' in source


@pytest.mark.parametrize("count", [1, 2, 3, 12, 40])
@pytest.mark.parametrize("shift", [0, 0.5, -0.5])
def test_the_plugin_compares_models_as_the_engine_does(count, shift):
    random = np.random.default_rng(count)
    old = random.uniform(0, 1, count)
    new = old + random.normal(shift, 0.1, count)
    found = runpy.run_path(str(PLUGIN / "paired.py"))["difference"](old.tolist(), new.tolist())
    change = interval_of_slides(new - old, Resampling())
    np.testing.assert_array_equal((found.low, found.high), (change.low, change.high))
    assert found.change == pytest.approx(change.value)
    expected = model_comparison.Difference(
        class_name="a", metric="dice", slides=count, old=old.mean(), new=new.mean(), change=change
    )
    assert (found.slides, found.old, found.new) == (count, old.mean(), new.mean())
    assert found.verdict == expected.verdict


def routes():
    """Yield method and path of each route of the plugin, parts that vary as in "model/:id"."""
    for module in sorted(PLUGIN.glob("*.py")):
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "route":
                method, parts = (ast.literal_eval(each) for each in node.args[:2])
                yield method.lower(), "/".join(parts)


def test_each_route_is_driven_on_the_whole_stack():
    stack = Path(__file__).parents[1] / "stack"
    asked = "\n".join(path.read_text(encoding="utf-8") for path in stack.glob("test_*.py"))
    # Of a batch the tests know the path.
    asked = asked.replace('f"{path}', 'f"deeplab/batch/{id}').replace(
        "(path)", '("deeplab/batch/{id}")'
    )
    found = dict.fromkeys(routes())
    assert len(found) > 20
    for method, path in found:
        if path.startswith("page"):
            continue  # which the browser asks for
        parts = (r"\{[^}]*\}" if part.startswith(":") else part for part in path.split("/"))
        request = rf'\.{method}\(\s*f?"deeplab/{"/".join(parts)}"'
        assert re.search(request, asked), f"no test of the stack asks {method} deeplab/{path}"
