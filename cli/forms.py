"""The task forms: Slicer Execution Model XML, the one place of parameters, defaults and help."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from slicer_cli_web.ctk_cli_adjustment import CLIModule

_HERE = Path(__file__).parent
_INSTALLED = _HERE / "specs"
FOLDER = _INSTALLED if _INSTALLED.is_dir() else _HERE.parent / "slicer_cli_spec"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One field of a form.

    Attributes:
        name: also its long flag, where it has no index.
        kind: type in the form, as "float-vector".
        index: place on the command line; None: it is given by its flag.
        help: what it is.
        default: as text; None: there is none.
        choices: of an enumeration, as text.
        is_output: a file that the task writes.
        is_id: a Girder server hands over the id, not a file.
    """

    name: str
    kind: str
    index: int | None
    help: str
    default: str | None
    choices: tuple[str, ...]
    is_output: bool
    is_id: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Parameters that stand together in a form."""

    label: str
    help: str
    parameters: tuple[Parameter, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """The form of one task."""

    name: str
    title: str
    help: str
    version: str
    groups: tuple[Group, ...]

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """All parameters, in the order of the form."""
        return tuple(parameter for group in self.groups for parameter in group.parameters)


def spec_text(name: str) -> str:
    """Return the XML of the task `name`."""
    return (FOLDER / f"{name}.xml").read_text(encoding="utf-8")


def list_text() -> str:
    """Return the JSON that tells slicer_cli_web which tasks there are."""
    return (FOLDER / "slicer_cli_list.json").read_text(encoding="utf-8")


def read_spec(name: str) -> Spec:
    """Return the form of the task `name`."""
    module = CLIModule(stream=io.BytesIO(spec_text(name).encode()))
    return Spec(
        name=name,
        title=module.title,
        help=module.description,
        version=module.version,
        groups=tuple(
            Group(
                label=group.label,
                help=group.description,
                parameters=tuple(
                    Parameter(
                        name=parameter.name,
                        kind=parameter.typ,
                        index=parameter.index,
                        help=parameter.description,
                        default=_as_text(parameter.default),
                        choices=tuple(str(element) for element in parameter.elements or ()),
                        is_output=parameter.channel == "output",
                        is_id=parameter.reference == "_girder_id_",
                    )
                    for parameter in group
                ),
            )
            for group in module
        ),
    )


def _as_text(default: object) -> str | None:
    """Return a default as it would stand on the command line."""
    if default is None:
        return None
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, list):
        return ",".join(_as_text(part) or "" for part in default)
    if isinstance(default, float):
        return f"{default:.12g}"
    return str(default)
