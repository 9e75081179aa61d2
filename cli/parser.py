"""The command line of a task, made from its form; all values are collected as text."""

from __future__ import annotations

import argparse
import re
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import NoReturn

from deeplab.errors import DeeplabError
from deeplab_cli.forms import Parameter, Spec, spec_text
from deeplab_cli.hidden import bare_flag, is_harmless

CONFIG = "config"
_EXPLICIT = re.compile(r"ignored explicit argument .*", re.DOTALL)
_FLAG = re.compile(r"--[A-Za-z][\w-]*|-[A-Za-z]")


class UsageError(DeeplabError):
    """The command line is not one the task understands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CliAliases:
    """What people type besides the form's own names.

    Attributes:
        fields: field of the request by parameter, where they are called differently.
        flags: parameter by further flag that means the same.
        removed: what to do instead, by flag of the program before this one that has no counterpart.
        words: parameters that may also stand without their flags, after those of the form's places.
        many: pattern of the words that a parameter's flag takes as one list, while they match.
        more_words: parameter that takes the words left over, as if they stood with commas.
    """

    fields: Mapping[str, str] = field(default_factory=dict)
    flags: Mapping[str, str] = field(default_factory=dict)
    removed: Mapping[str, str] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    many: Mapping[str, str] = field(default_factory=dict)
    more_words: str = ""


class SentenceParser(argparse.ArgumentParser):
    """A parser that raises one sentence, and repeats no value in it that may be a secret."""

    def parsed(self, argv: Sequence[str]) -> argparse.Namespace:
        """Return what the words give.

        Raises:
            UsageError: they are not as they must be.
        """
        asked, unknown = self.parse_known_args(argv)
        if unknown:
            self.error(unknown_words(unknown, self._option_string_actions))
        return asked

    def error(self, message: str) -> NoReturn:
        """Raise the sentence instead of printing the usage and ending the process."""
        said = _EXPLICIT.sub("takes no value", message)
        raise UsageError(f"{said}; see {self.prog} --help")


class TaskParser(SentenceParser):
    """Parses one task's command line; each option takes exactly one value.

    One that is true or false is true without: at the end, or before another. `--flag=value` and
    `--flag value` are the same, whatever sign the value begins with: plain argparse takes the
    region `-1,-1,-1,-1` for an option. Words without a flag are the parameters that have a place
    and were not given by theirs.
    """

    def __init__(self, spec: Spec, aliases: CliAliases, *, prog: str) -> None:
        super().__init__(
            prog=prog,
            usage=" ".join([prog, *places_of(spec, aliases), "[--setting value ...]"]),
            description=f"{spec.title}. {spec.help}",
            allow_abbrev=False,
            argument_default=argparse.SUPPRESS,
        )
        self._aliases, self._taking_value, self._switches = aliases, set[str](), set[str]()
        self._places = places_of(spec, aliases)
        self.add_argument("--version", action="version", version=f"{spec.name} {spec.version}")
        self.add_argument(
            "--xml", action=_PrintForm, nargs=0, const=spec.name, help="print the form and stop"
        )
        self.add_argument(f"--{CONFIG}", metavar="<file>", help="a TOML file of these settings")
        self._taking_value.add(f"--{CONFIG}")
        flags = flags_of(spec.parameters, aliases)
        self._many = {flag: p for name, p in aliases.many.items() for flag in flags[name]}
        self._about = {flag: p.help for p in spec.parameters for flag in flags[p.name]}
        for group in spec.groups:
            section = self.add_argument_group(group.label, _escaped(group.help))
            for parameter in group.parameters:
                section.add_argument(
                    *flags[parameter.name],
                    dest=parameter.name,
                    action=_Parts if parameter.kind.endswith("-vector") else "store",
                    metavar=_metavar(parameter),
                    help=_help(parameter),
                )
                self._taking_value.update(flags[parameter.name])
                if parameter.kind == "boolean":
                    self._switches.update(flags[parameter.name])

    def values(self, argv: Sequence[str]) -> dict[str, str]:
        """Return what the command line gives, by parameter.

        Raises:
            UsageError: an option is unknown, without counterpart or lacks its value.
        """
        options, words = self._sorted(argv)
        given: dict[str, str] = vars(self.parsed(options))
        places = [name for name in self._places if name not in given]
        given |= zip(places, words, strict=False)
        left = words[len(places) :]
        if left and not self._aliases.more_words:
            self.error(unknown_words(left, ()))
        if left:
            before = given.get(self._aliases.more_words)
            given[self._aliases.more_words] = ",".join([before, *left] if before else left)
        return given

    def _sorted(self, argv: Sequence[str]) -> tuple[list[str], list[str]]:
        """The options of `argv`, each made one word with its value, and the words without one."""
        options: list[str] = []
        places: list[str] = []
        words = deque(argv)
        while words:
            word = words.popleft()
            flag = word.partition("=")[0]
            if word == "--":
                places += words
                words.clear()
            elif flag in self._aliases.removed:
                self.error(f"{flag} has no counterpart: {self._aliases.removed[flag]}")
            elif word in self._taking_value:
                options.append(f"{word}={self._value(word, words)}")
            else:
                (options if word.startswith("-") and word != "-" else places).append(word)
        return options, places

    def _value(self, flag: str, words: deque[str]) -> str:
        """Return the value of an option, taken off the words after it."""
        if flag in self._switches and (not words or words[0].startswith("-")):
            return "true"
        if not words or words[0] in self._taking_value:
            about = self._about.get(flag, "").partition(". ")[0].rstrip(".")
            self.error(f"{flag} needs a value" + (f" ({about})" if about else ""))
        taken = [words.popleft()]
        pattern = self._many.get(flag)
        while pattern and words and re.fullmatch(pattern, words[0]):
            taken.append(words.popleft())
        return ",".join(taken)


class _Parts(argparse.Action):
    """A list that is given in parts, flag after flag, is the list of all of them."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002  argparse's signature
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,  # noqa: ARG002
    ) -> None:
        before = getattr(namespace, self.dest, None)
        setattr(namespace, self.dest, values if before is None else f"{before},{values}")


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


def unknown_words(words: Sequence[str], flags: Iterable[str]) -> str:
    """Return the sentence on words that no parser understood, with the flag that may be meant.

    Values are not repeated, and words only where they could be names of files: what stands in a
    wrong place may be a token.
    """
    known, said = list(flags), []
    for word in words:
        flag = _FLAG.match(word)
        if flag:
            shown = bare_flag(flag.group())
            near = get_close_matches(shown, known, 1)
            said.append(shown + (f" (did you mean {near[0]}?)" if near else ""))
        else:
            said.append(word if is_harmless(word) else "a word that is not repeated here")
    return f"unrecognized arguments: {' '.join(said)}"


def places_of(spec: Spec, aliases: CliAliases) -> list[str]:
    """Return the parameters that may stand without a flag, in their order."""
    placed = [parameter for parameter in spec.parameters if parameter.index is not None]
    return [p.name for p in sorted(placed, key=lambda p: p.index or 0)] + list(aliases.words)


def flags_of(parameters: Sequence[Parameter], aliases: CliAliases) -> dict[str, list[str]]:
    """Return the flags of each parameter: the form's own, then the words people type.

    A parameter is also called as its field of the request, with hyphens or without, and an output
    that has no place without "output": `--outputAnnotationFile`, `--output-annotation`,
    `--annotation`.
    """
    flags = {parameter.name: [f"--{parameter.name}"] for parameter in parameters}
    taken = {"--help", "--xml", "--version", *(flag for own in flags.values() for flag in own)}
    for parameter in parameters:
        name = aliases.fields.get(parameter.name, parameter.name)
        words = (
            [name.replace("_", "-"), name] if name != parameter.name else [name.replace("_", "-")]
        )
        if parameter.index is None and parameter.name not in aliases.words:
            words.append(words[0].removeprefix("output-"))
        further = [f"--{word}" for word in words]
        further += [flag for flag, own in aliases.flags.items() if own == parameter.name]
        for flag in further:
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
