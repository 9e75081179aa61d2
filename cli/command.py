"""A command of the console alone: no slide server needs it, so it has no form."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from deeplab_cli.hidden import Secrets
from deeplab_cli.machine import NETWORK, check_machine
from deeplab_cli.parser import SentenceParser
from deeplab_cli.task import harmless, logged, run_and_report

Request = TypeVar("Request")


class CommandParser(SentenceParser):
    """Parses a command's words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command(Generic[Request]):
    """One command.

    Attributes:
        name: the word people type.
        help: what it does, a sentence.
        add_arguments: gives a parser its options.
        request: what the engine is asked, of what was parsed.
        run: the engine; loads it when called; returns the lines to print.
    """

    name: str
    help: str
    add_arguments: Callable[[CommandParser], None]
    request: Callable[[argparse.Namespace], Request]
    run: Callable[[Request], str]


def names_of(text: str) -> tuple[str, ...]:
    """Return the names in a word, which has commas between them."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def parser_of(command: Command[Request]) -> CommandParser:
    """Return the parser of a command's words."""
    parser = CommandParser(
        prog=f"deeplab {command.name}", description=command.help, allow_abbrev=False
    )
    command.add_arguments(parser)
    return parser


def run_command(command: Command[Request], argv: Sequence[str]) -> int:
    """Run `command` on its words and return the exit code, which is as a task's."""

    def work(_: Secrets) -> None:
        request = command.request(parser_of(command).parsed(argv))
        check_machine(NETWORK)
        with logged():
            summary = command.run(request)
        print(harmless(summary), flush=True)

    return run_and_report(work, argv=argv)
