"""The command line of a task, made from its form; all values are collected as text."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import NoReturn

from deeplab.errors import DeeplabError
from deeplab_cli.forms import Parameter, Spec, spec_text

CONFIG = "config"


class UsageError(DeeplabError):
    """The command line is not one the task understands."""


class TaskParser(argparse.ArgumentParser):
    """Parses one task's command line; each option takes exactly one value.

    `--flag=value` and `--flag value` are the same, whatever sign the value begins with: plain
    argparse takes the region `-1,-1,-1,-1` for an option.
    """

    def __init__(self, spec: Spec, fields: Mapping[str, str], *, prog: str) -> None:
        super().__init__(
            prog=prog,
            usage=_usage(prog, spec),
            description=f"{spec.title}. {spec.help}",
            allow_abbrev=False,
            argument_default=argparse.SUPPRESS,
        )
        self._taking_value: set[str] = set()
        self.add_argument("--version", action="version", version=f"{spec.name} {spec.version}")
        self.add_argument(
            "--xml", action=_PrintForm, nargs=0, const=spec.name, help="print the form and stop"
        )
        self._add_option([f"--{CONFIG}"], CONFIG, "<file>", "a TOML file of these settings")
        parameters = spec.parameters
        for parameter in sorted(
            (p for p in parameters if p.index is not None), key=lambda p: p.index or 0
        ):
            self.add_argument(parameter.name, nargs="?", help=_escaped(parameter.help))
        flags = flags_of(parameters, fields)
        for group in spec.groups:
            section = self.add_argument_group(group.label, _escaped(group.help))
            for parameter in group.parameters:
                if parameter.index is None:
                    section.add_argument(
                        *flags[parameter.name],
                        dest=parameter.name,
                        metavar=_metavar(parameter),
                        help=_help(parameter),
                    )
                    self._taking_value.update(flags[parameter.name])

    def _add_option(self, flags: Sequence[str], name: str, metavar: str, text: str) -> None:
        self.add_argument(*flags, dest=name, metavar=metavar, help=text)
        self._taking_value.update(flags)

    def values(self, argv: Sequence[str]) -> dict[str, str]:
        """What the command line gives, by parameter.

        Raises:
            UsageError: an option is unknown or lacks its value.
        """
        return vars(self.parse_args(self._joined(argv)))

    def error(self, message: str) -> NoReturn:
        """Raise the sentence instead of printing the usage and ending the process."""
        raise UsageError(f"{message}; see {self.prog} --help")

    def _joined(self, argv: Sequence[str]) -> list[str]:
        """`argv` with each option and its value made one word."""
        joined: list[str] = []
        words = iter(argv)
        for word in words:
            if word == "--":
                return [*joined, word, *words]
            if word not in self._taking_value:
                joined.append(word)
                continue
            value = next(words, None)
            if value is None or value in self._taking_value:
                self.error(f"{word} needs a value")
            joined.append(f"{word}={value}")
        return joined


class _PrintForm(argparse.Action):
    """Prints the form of the task and stops."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,  # noqa: ARG002  argparse's signature
        values: object,  # noqa: ARG002
        option_string: str | None = None,  # noqa: ARG002
    ) -> None:
        print(spec_text(str(self.const)), end="")
        parser.exit()


def _usage(prog: str, spec: Spec) -> str:
    places = [parameter.name for parameter in spec.parameters if parameter.index is not None]
    return " ".join([prog, *places, "[--setting value ...]"])


def flags_of(parameters: Sequence[Parameter], fields: Mapping[str, str]) -> dict[str, list[str]]:
    """The flags of each parameter: the form's own, then the short words people type.

    A parameter is also called as its field of the request, with hyphens, and an output without
    "output": `--outputAnnotationFile`, `--output-annotation`, `--annotation`.
    """
    taken = {f"--{parameter.name}" for parameter in parameters} | {"--help", "--xml", "--version"}
    flags = {parameter.name: [f"--{parameter.name}"] for parameter in parameters}
    for parameter in parameters:
        word = fields.get(parameter.name, parameter.name).replace("_", "-")
        for flag in (f"--{word}", f"--{word.removeprefix('output-')}"):
            if flag not in taken:
                taken.add(flag)
                flags[parameter.name].append(flag)
    return flags


def _metavar(parameter: Parameter) -> str:
    return "{" + ",".join(parameter.choices) + "}" if parameter.choices else f"<{parameter.kind}>"


def _help(parameter: Parameter) -> str:
    shown = f" (default: {parameter.default})" if parameter.default else ""
    return _escaped(parameter.help + shown)


def _escaped(text: str) -> str:
    return text.replace("%", "%%")
