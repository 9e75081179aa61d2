"""Rooms say in one line what they are, and ARCHITECTURE.md repeats it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLAN = ROOT / "ARCHITECTURE.md"
ROOMS = sorted(path.parent for path in (ROOT / "deeplab").glob("*/__init__.py"))
ALL = sorted([*(ROOT / "deeplab").glob("*/**/__init__.py"), *(ROOT / "cli").rglob("__init__.py")])

# Rooms that use Keras choose its settings before any of their modules loads it.
WITH_KERAS = {"models", "bundles", "inference", "training"}
BEFORE_KERAS = ["from deeplab.keras_start import choose_keras", "choose_keras()"]


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
