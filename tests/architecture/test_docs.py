"""What the documentation says is so: links, commands, targets, parameters, errors, cards."""

import dataclasses
import inspect
import re
import runpy
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from deeplab import errors
from deeplab.bundles.card import Card
from deeplab.config.backbones import BACKBONES
from deeplab.exchange.beside import MASK, MASKS, PACKED, PLAIN
from deeplab.exchange.samples import COLUMNS
from deeplab_cli import binding
from deeplab_cli.command import parser_of
from deeplab_cli.forms import read_spec, spec_text
from deeplab_cli.main import COMMANDS as CONSOLE
from deeplab_cli.main import TASKS
from deeplab_cli.parser import TaskParser
from deeplab_cli.task import _with_config

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    ROOT / "ARCHITECTURE.md",
    ROOT / "plugin/README.md",
    *sorted(DOCS.rglob("*.md")),
]
EACH_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
LIGHT_WORDS = {"--help", "--xml", "--version", "--list_cli"}
IMAGE = "histomics-deeplab"


def fenced(page: Path) -> str:
    return "".join(match[2] for match in FENCE.finditer(page.read_text(encoding="utf-8")))


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """The names that a heading goes by in a link, as the usual viewers make them."""
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(prose(page)))
    return {heading.strip().replace(" ", "-") for heading in kept}


def commands(page: Path) -> Iterator[tuple[str, list[str]]]:
    """Every fenced command: "deeplab" or "docker", and the words of the task and after."""
    for line in fenced(page).replace("\\\n", " ").splitlines():
        try:
            words = shlex.split(line, comments=True)
        except ValueError:  # no shell: a table, a listing, JSON
            continue
        if words and Path(words[0]).name == "deeplab":
            yield "deeplab", words[1:]
        elif words[:2] == ["docker", "run"] and IMAGE in words:
            yield "docker", words[words.index(IMAGE) + 1 :]


COMMANDS = [(page.stem, *command) for page in PAGES for command in commands(page)]


@EACH_PAGE
def test_links_lead_to_what_is_there(page: Path):
    for link in LINK.findall(prose(page)):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@EACH_PAGE
def test_targets_of_make_are_in_the_makefile(page: Path):
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z-]+)", prose(page)))
    named |= set(re.findall(r"^make ([a-z-]+)", fenced(page), re.MULTILINE))
    assert named <= known


def test_the_documentation_shows_both_tasks_by_command_and_by_docker_run():
    shown = {(front, words[0]) for _, front, words in COMMANDS if words}
    assert shown >= {(f, w) for f in ("deeplab", "docker") for w in ("segment", "train")}


@pytest.mark.parametrize(("page", "front", "words"), COMMANDS)
def test_a_command_that_is_shown_is_one_that_the_task_accepts(page, front, words, monkeypatch):
    if set(words) & LIGHT_WORDS:
        assert words[-1] in LIGHT_WORDS
        return
    for command in CONSOLE:
        if words[0] == command.name:
            assert command.request(parser_of(command).parse_args(words[1:]))
            return
    monkeypatch.chdir(ROOT)
    # All is checked but whether slides and models are there.
    monkeypatch.setattr(binding, "_check_inputs", lambda *_: None)
    (task,) = (task for task in TASKS if words[0] in (task.name, task.command))
    spec = read_spec(task.name)
    given = TaskParser(spec, task.aliases, prog="deeplab").values(words[1:])
    given = _with_config(spec, task, given)
    assert isinstance(binding.bind(spec, task.request, task.fields, given), task.request)


def test_the_page_of_the_tasks_is_what_the_forms_make():
    made = runpy.run_path(str(DOCS / "make_reference.py"))
    assert made["PAGE"].read_text(encoding="utf-8") == made["reference"](), (
        "run: python docs/make_reference.py"
    )


def test_the_page_of_the_errors_names_each_with_its_meaning():
    page = " ".join((DOCS / "reference/errors.md").read_text(encoding="utf-8").split())
    for name, kind in inspect.getmembers(errors, inspect.isclass):
        if issubclass(kind, errors.DeeplabError):
            assert f"`{name}`" in page
            assert inspect.getdoc(kind).partition("\n")[0].rstrip(".") in page


def test_the_page_of_the_card_names_each_entry():
    page = (DOCS / "reference/model-card.md").read_text(encoding="utf-8")
    entries = {field.name for field in dataclasses.fields(Card)}
    for entry in entries | {"format", "format_version", "family"}:
        assert f"`{entry}`" in page


def test_the_page_of_training_names_what_lies_beside_a_slide_and_the_columns_of_a_list():
    page = (DOCS / "how-to/train-on-your-slides.md").read_text(encoding="utf-8")
    for name in (*PLAIN, *PACKED, ".png", *COLUMNS, f"{MASK}.png"):
        assert f"{name}`" in page


def test_the_tutorial_of_training_calls_each_field_as_the_panel_does():
    page = prose(DOCS / "tutorial/train-from-twelve-slides.md")
    spec = read_spec("TrainNetwork")
    labels = set(re.findall(r"<label>(.+)</label>", spec_text("TrainNetwork")))
    others = {"Analyses", "Submit", *(task.name for task in TASKS)}
    named = set(re.findall(r"(?<![*\w])\*{1,2}([A-Z][\w ]+)\*{1,2}(?![*\w])", page))
    assert len(named & labels) > 10
    assert named <= labels | others
    for parameter in spec.parameters:
        if parameter.index is not None:
            assert parameter.name not in page, "the panel shows labels, not names"


def test_every_defect_of_the_ancestor_has_a_test_named_after_it():
    page = (DOCS / "explanation/defects-of-the-ancestor.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \|.*`(tests/[\w/]+\.py)` \|$", page, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 13))
    for number, path in rows:
        assert f"def test_defect_{number}_" in (ROOT / path).read_text(encoding="utf-8"), number


def test_the_page_of_old_models_names_each_option_of_the_import():
    page = (DOCS / "how-to/bring-an-old-model.md").read_text(encoding="utf-8")
    (command,) = (command for command in CONSOLE if command.name == "import-checkpoint")
    for action in parser_of(command)._actions:
        for flag in action.option_strings:
            assert f"`{flag}" in page or f"{flag} " in page or flag in LIGHT_WORDS | {"-h"}, flag


def test_the_page_of_the_backbones_has_a_row_for_each():
    page = (DOCS / "reference/backbones.md").read_text(encoding="utf-8")
    for name in BACKBONES:
        assert page.count(f"| {name} |") == 2


def test_the_page_of_annotations_names_each_ending_and_each_field_that_a_person_sees():
    page = (DOCS / "how-to/annotations-in-and-out.md").read_text(encoding="utf-8")
    for suffix in (*PLAIN, *PACKED):
        assert f"{suffix}`" in page, suffix
    for mask in MASKS[:2]:
        assert f"{MASK}{mask}`" in page
    for name in ("IngestAperioXML", "ExportAperioXML"):
        labels = re.findall(r"<label>(.+)</label>", spec_text(name))[1:4]
        assert all(f"**{label}**" in page for label in labels), labels


def test_the_page_of_measuring_calls_each_field_as_the_panel_does():
    page = (DOCS / "how-to/measure-objects.md").read_text(encoding="utf-8")
    labels = re.findall(r"<label>(.+)</label>", spec_text("ExtractFeaturesFromAnnotations"))
    panel = page.partition("## How to read")[0]
    named = set(re.findall(r"(?<![*\w])\*{1,2}([A-Z][\w ]+)\*{1,2}(?![*\w])", panel))
    others = {"Analyses", "ExtractFeaturesFromAnnotations", "Submit", "Metadata", "Metadata Plot"}
    assert set(labels[1:4]) <= named
    assert named <= {*labels, *others} | {"Include data from other items in the same\nfolder"}
