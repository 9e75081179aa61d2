"""Rooms say in one line what they are, and ARCHITECTURE.md repeats it."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from deeplab.config.families import CONFIGS

ROOT = Path(__file__).parents[2]
PLAN = ROOT / "ARCHITECTURE.md"
ROOMS = sorted(path.parent for path in (ROOT / "deeplab").glob("*/__init__.py"))
ALL = sorted([*(ROOT / "deeplab").glob("*/**/__init__.py"), *(ROOT / "cli").rglob("__init__.py")])

# Rooms that use Keras choose its settings before any of their modules loads it.
WITH_KERAS = {"models", "bundles", "inference", "training"}
BEFORE_KERAS = ["from deeplab.keras_start import choose_keras", "choose_keras()"]

# Where families stand side by side, the default of the form, the request of an importer, and the
# rooms of files, in which hovernet is a format of annotations.
LISTS_OF_FAMILIES = (
    "config/families.py",
    "config/network_settings.py",
    "config/import_request.py",
    "models/readings.py",
    "models/registry.py",
    "annotations/",
    "exchange/",
)

WRITTEN_IN = ("deeplab", "cli", "plugin", "docker", "benchmarks")
QUESTIONS = ("What ", "Whether ", "How ", "Where ", "When ", "Why ", "Which ", "Who ")
PROPERTIES = {"property", "cached_property"}  # whose docstrings are those of values


def caption(room: Path) -> str:
    text = ast.get_docstring(ast.parse((room / "__init__.py").read_text(encoding="utf-8")))
    return (text or "").partition("\n")[0]


@pytest.mark.parametrize("path", ALL, ids=lambda path: str(path.parent.relative_to(ROOT)))
def test_a_room_opens_with_its_caption_and_nothing_else(path: Path):
    _, *more = ast.parse(path.read_text(encoding="utf-8")).body
    assert [ast.unparse(each) for each in more] == (
        BEFORE_KERAS if path.parent.name in WITH_KERAS and path.parent in ROOMS else []
    )
    assert caption(path.parent).endswith(".")


@pytest.mark.skipif(not PLAN.exists(), reason="ARCHITECTURE.md is not written yet")
@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_the_plan_of_the_house_repeats_each_caption(room: Path):
    plan = " ".join(PLAN.read_text(encoding="utf-8").split())
    assert room.name in plan
    assert caption(room) in plan


def functions_of(path: Path) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef) and not any(
            ast.unparse(each) in PROPERTIES for each in node.decorator_list
        ):
            yield node


def test_docstrings_of_functions_open_with_what_they_do():
    """ "Return whether ...", not "Whether ...": of what is called, the first word is a verb."""
    questions = [
        f"{path.relative_to(ROOT)}:{function.lineno} {function.name}"
        for room in WRITTEN_IN
        for path in sorted((ROOT / room).rglob("*.py"))
        for function in functions_of(path)
        if (ast.get_docstring(function) or "").startswith(QUESTIONS)
    ]
    assert not questions


def test_only_its_own_files_say_the_name_of_a_family():
    """Engines, rooms and tasks serve every family: they neither load nor name one."""
    others = tuple(f"deeplab/{path}" for path in LISTS_OF_FAMILIES)
    called = {name: config.__name__.removesuffix("Config") for name, config in CONFIGS.items()}
    for name, network in called.items():
        # A name that only begins like this one is another family's, and looked for as that.
        longer = [
            each.removeprefix(network)
            for each in called.values()
            if each != network and each.startswith(network)
        ]
        said = re.compile(rf"\b{name}\b|{network}" + "".join(f"(?!{rest})" for rest in longer))
        own = (f"deeplab/models/{name}/", f"deeplab/config/{name}.py", "deeplab/bundles/importers/")
        for path in [*(ROOT / "deeplab").rglob("*.py"), *(ROOT / "cli").rglob("*.py")]:
            place = path.relative_to(ROOT).as_posix()
            if not place.startswith((*own, *others)):
                assert not said.search(path.read_text(encoding="utf-8")), (name, place)


def test_a_public_class_has_a_name_of_its_own():
    """One name is one thing, so that a reader who meets it knows which is meant."""
    places: dict[str, list[str]] = defaultdict(list)
    for path in sorted((ROOT / "deeplab").rglob("*.py")):
        for part in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(part, ast.ClassDef) and not part.name.startswith("_"):
                places[part.name].append(path.relative_to(ROOT).as_posix())
    assert {name: where for name, where in places.items() if len(where) > 1} == {}
