#!/usr/bin/env python3
"""Write docs/reference/tasks.md from the task forms: python docs/make_reference.py."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

from deeplab_cli.forms import Group, Parameter, read_spec, spec_text
from deeplab_cli.main import TASKS
from deeplab_cli.parser import CliAliases, flags_of, places_of

PAGE = Path(__file__).parent / "reference" / "tasks.md"
HEAD = """\
# The tasks and their parameters

*Made from `slicer_cli_spec/` by `python docs/make_reference.py`; change the forms, not this page.*

On the command line each parameter but the first ones takes its flag and exactly one value: `--flag
value` or `--flag=value`; a yes-or-no parameter takes `true` or `false`, a list its values with
commas between them, a name that has a comma itself in quotes: `'"other, unsure",tumour'`. All
flags in one cell mean the same. `--config FILE` reads parameters from a TOML file, by the names of
the first column; what the command line says goes before what the file says. Girder's REST
interface knows the parameters by the same names. Those of DeepLab-WSI's forms and scripts that
mean the same are among them; what to use for the others ends each task.
"""


def reference() -> str:
    """The text of the page."""
    parts = [HEAD]
    for task in TASKS:
        spec = read_spec(task.name)
        flags, places = flags_of(spec.parameters, task.aliases), places_of(spec, task.aliases)
        bounds = dict(_bounds(task.name))
        parts.append(f"## {task.name}: `deeplab {task.command}`\n\n{spec.help}\n")
        parts.append(_usage(task.command, places))
        parts += [_table(group, flags, places, bounds) for group in spec.groups]
        parts += [_gone(task.aliases)] if task.aliases.removed else []
    return "\n".join(parts)


def _usage(command: str, places: list[str]) -> str:
    return f"Usage: `{' '.join(['deeplab', command, *places, '[--setting value ...]'])}`\n"


def _table(
    group: Group, flags: dict[str, list[str]], places: list[str], bounds: dict[str, str]
) -> str:
    lines = [
        f"### {group.label}",
        "",
        group.help,
        "",
        "| parameter | on the command line | type | default | values | what it is |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        _row(parameter, flags[parameter.name], places, bounds) for parameter in group.parameters
    ]
    return "\n".join([*lines, ""])


def _row(parameter: Parameter, flags: list[str], places: list[str], bounds: dict[str, str]) -> str:
    on_command_line = " ".join(f"`{flag}`" for flag in flags)
    if parameter.name in places:
        on_command_line = f"word {places.index(parameter.name) + 1}, or {on_command_line}"
    kind = f"{parameter.kind}, written" if parameter.is_output else parameter.kind
    choices = ", ".join(f"`{choice}`" for choice in parameter.choices)
    cells = [
        f"`{parameter.name}`",
        on_command_line,
        kind,
        f"`{parameter.default}`" if parameter.default else "",
        choices or bounds.get(parameter.name, ""),
        parameter.help,
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _gone(aliases: CliAliases) -> str:
    lines = [
        "### Without counterpart",
        "",
        "Of DeepLab-WSI and SURF-segmentation.",
        "",
        "| flag | instead |",
        "|---|---|",
    ]
    lines += [f"| `{flag}` | {instead} |" for flag, instead in sorted(aliases.removed.items())]
    return "\n".join([*lines, ""])


def _bounds(task: str) -> Iterator[tuple[str, str]]:
    """The bounds of each parameter that has some, in words."""
    root = ET.fromstring(spec_text(task))  # noqa: S314  our own form
    for parameter in root.iterfind("parameters/*[constraints]"):
        least = parameter.findtext("constraints/minimum")
        most = parameter.findtext("constraints/maximum")
        words = f"{least} to {most}" if most else f"{least} or more"
        yield parameter.findtext("name", ""), words


def main() -> int:
    """Write the page."""
    PAGE.write_text(reference(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
