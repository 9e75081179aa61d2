"""What the plugin says of models is what the engine says, of which it imports nothing."""

import ast
from pathlib import Path

from deeplab.bundles.card import CARD_NAME, FORMAT
from deeplab.config import families
from deeplab_cli.main import TASKS

CARDS = Path(__file__).parents[2] / "plugin/girder_deeplab/cards.py"


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
