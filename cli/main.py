"""The command `deeplab`, which is also the entry point of the image."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from deeplab import __version__
from deeplab.errors import OutputError
from deeplab_cli.AverageModels.AverageModels import TASK as AVERAGE
from deeplab_cli.ClassifyPatches.ClassifyPatches import TASK as CLASSIFY
from deeplab_cli.command import Command, run_command
from deeplab_cli.compare import COMMAND as COMPARE
from deeplab_cli.ConvertAnnotations.ConvertAnnotations import TASK as CONVERT
from deeplab_cli.doctor import COMMAND as DOCTOR
from deeplab_cli.ensemble import COMMAND as ENSEMBLE
from deeplab_cli.EvaluateSegmentation.EvaluateSegmentation import TASK as EVALUATE
from deeplab_cli.export import COMMAND as EXPORT
from deeplab_cli.ExportAperioXML.ExportAperioXML import TASK as EXPORT_ANNOTATIONS
from deeplab_cli.ExtractFeaturesFromAnnotations.ExtractFeaturesFromAnnotations import (
    TASK as FEATURES,
)
from deeplab_cli.forms import list_text, read_spec
from deeplab_cli.froc import COMMAND as FROC
from deeplab_cli.gate import COMMAND as GATE
from deeplab_cli.import_checkpoint import COMMAND as IMPORT_CHECKPOINT
from deeplab_cli.IngestAperioXML.IngestAperioXML import TASK as INGEST
from deeplab_cli.patches import COMMAND as PATCHES
from deeplab_cli.prepare import COMMAND as PREPARE
from deeplab_cli.pseudo_masks import COMMAND as PSEUDO_MASKS
from deeplab_cli.SegmentWSI.SegmentWSI import TASK as SEGMENT
from deeplab_cli.stage import COMMAND as STAGE
from deeplab_cli.streams import speaking
from deeplab_cli.task import FAILED, Task, run_task
from deeplab_cli.TrainFromLabels.TrainFromLabels import TASK as TRAIN_FROM_LABELS
from deeplab_cli.TrainNetwork.TrainNetwork import TASK as TRAIN
from deeplab_cli.unpack import COMMAND as UNPACK

TASKS: tuple[Task[Any], ...] = (
    SEGMENT,
    CLASSIFY,
    TRAIN,
    TRAIN_FROM_LABELS,
    AVERAGE,
    CONVERT,
    INGEST,
    EXPORT_ANNOTATIONS,
    EVALUATE,
    FEATURES,
)
COMMANDS: tuple[Command[Any], ...] = (
    IMPORT_CHECKPOINT,
    EXPORT,
    ENSEMBLE,
    GATE,
    UNPACK,
    PREPARE,
    PATCHES,
    PSEUDO_MASKS,
    STAGE,
    FROC,
    COMPARE,
    DOCTOR,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Answer `argv` (the process's own words by default) and return the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    with speaking(words):
        try:
            code = _answer(words)
            sys.stdout.flush()
        except OutputError as error:  # nobody takes what is printed
            print(f"error: {error}", file=sys.stderr)
            return FAILED
        return code


def _answer(words: Sequence[str]) -> int:
    word = words[0] if words else ""
    if word == "--list_cli":
        print(list_text(), end="")
        return 0
    if word in ("--version", "-V"):
        print(f"deeplab {__version__}")
        return 0
    if word in ("--help", "-h"):
        print(_help())
        return 0
    if not word:
        print(_help(), file=sys.stderr)
        return FAILED
    return _run(word, words[1:])


def _run(word: str, words: Sequence[str]) -> int:
    """Run the task or the command of that name on its words and return the exit code."""
    for task in TASKS:
        if word in (task.name, task.command):
            return run_task(task, words, prog=f"deeplab {word}")
    for command in COMMANDS:
        if word == command.name:
            return run_command(command, words)
    names = [f"{task.command} ({task.name})" for task in TASKS]
    names += [command.name for command in COMMANDS]
    known = [name for task in TASKS for name in (task.command, task.name)]
    known += [command.name for command in COMMANDS]
    # A word that is like no task may be a token that stands in a wrong place.
    said = f" {word!r}" if get_close_matches(word, known) else " of that name"
    print(f"error: there is no task{said}; the tasks are {', '.join(names)}", file=sys.stderr)
    return FAILED


def _help() -> str:
    lines = [f"deeplab {__version__}: whole-slide segmentation", "", "usage: deeplab TASK ...", ""]
    for task in TASKS:
        spec = read_spec(task.name)
        lines += [f"  {task.command}, {task.name}", f"      {spec.help}"]
    for command in COMMANDS:
        lines += [f"  {command.name}", f"      {command.help}"]
    lines += [
        "",
        "deeplab TASK --help   the settings of a task",
        "deeplab TASK --xml    its form, for Slicer and Girder",
        "deeplab --list_cli    the tasks of this image, for Girder",
        "deeplab --version",
    ]
    return "\n".join(lines)
