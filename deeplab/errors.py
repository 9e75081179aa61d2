"""Every error this library raises on purpose.

DeeplabError
├── ConfigError              a setting has a value it cannot have          (ValueError)
├── SlideError               something about one slide
│   ├── SlideNotFoundError   there is no such slide                        (FileNotFoundError)
│   ├── UnreadableSlideError the slide is there but cannot be read
│   ├── ScaleError           um per pixel is missing, or not what the model was trained for
│   └── ChannelError         a channel that the model sees is missing, or its values do not fit
├── AnnotationError          a file of annotations is not what it claims to be
├── BundleError              a model file is not a model, or not one that can be used here
├── CheckpointError          a checkpoint of another program does not fit the network
├── ServerError              the Girder server refused or failed
│   ├── AccessDeniedError    the token has no right to what was asked
│   ├── UnknownIdError       the server has nothing of that id
│   └── UnreachableError     the server does not answer at all
├── SourceError              a folder or list of slides cannot be used
├── TrainingError            training cannot start or go on
├── DeviceError              the device or runtime asked for is not there
├── MachineError             the machine gives too little memory, threads or files
└── OutputError              a result cannot be written                    (OSError)

Each holds its facts as attributes and makes one sentence of them: what is wrong, where, what to do.
A task prints that sentence and exits with 2; any other exception is a defect, shown whole, exit 1.
"""

from __future__ import annotations

from pathlib import Path

from deeplab.names import shown_name, without_surrogates

LONGEST_VALUE = 400  # letters of what was given that a sentence repeats


class DeeplabError(Exception):
    """Anything this library raises on purpose."""


class ConfigError(DeeplabError, ValueError):
    """A setting has a value it cannot have."""

    def __init__(self, name: str, value: object, must: str) -> None:
        super().__init__(name, value, must)
        self.name, self.value, self.must = name, value, must

    def __str__(self) -> str:
        if "token" in self.name.lower():  # whoever reads the log must not have it
            return f"{self.name} must be {self.must}; what was given is not repeated"
        value = str(self.value) if isinstance(self.value, Path) else self.value
        try:
            shown = repr(value)
        except (ValueError, RecursionError):  # a number of more digits than Python writes
            shown = f"a {type(value).__name__} that is too long to show"
        if len(shown) > LONGEST_VALUE:
            shown = f"{shown[:LONGEST_VALUE]}... ({len(shown):,} letters)"
        return f"{self.name[:LONGEST_VALUE]} must be {self.must}, but is {shown}"


class SlideError(DeeplabError):
    """Something about one slide; `slide` is the name or path the user gave."""

    def __init__(self, slide: str | Path, problem: str) -> None:
        super().__init__(slide, problem)
        self.slide, self.problem = shown_name(str(slide)), without_surrogates(problem)

    def __str__(self) -> str:
        return f"{self.slide} {self.problem}"


class SlideNotFoundError(SlideError, FileNotFoundError):
    """There is no such slide."""


class UnreadableSlideError(SlideError):
    """The slide is there but cannot be read, or not all of it."""


class ScaleError(SlideError):
    """The slide's um per pixel is missing, or not what the model was trained for."""


class ChannelError(SlideError):
    """The slide lacks a channel that a model sees, or its values do not fit the window."""


class AnnotationError(DeeplabError):
    """A file of annotations is not what it claims to be, or names an unknown class."""

    def __init__(self, source: str | Path, problem: str) -> None:
        super().__init__(source, problem)
        self.source, self.problem = shown_name(str(source)), without_surrogates(problem)

    def __str__(self) -> str:
        return f"{self.source}: {self.problem}"


class BundleError(DeeplabError):
    """A model file is not a model, or not one that can be used here."""

    def __init__(self, bundle: str | Path, problem: str) -> None:
        super().__init__(bundle, problem)
        self.bundle, self.problem = shown_name(str(bundle)), without_surrogates(problem)

    def __str__(self) -> str:
        return f"model {self.bundle} {self.problem}"


class CheckpointError(BundleError):
    """A checkpoint of another program does not fit the network."""


class ServerError(DeeplabError):
    """The Girder server refused or failed; `what` is what was asked of it, never with a token."""

    def __init__(self, what: str, problem: str) -> None:
        super().__init__(what, problem)
        self.what, self.problem = what, problem

    def __str__(self) -> str:
        return f"{self.what}: {self.problem}"


class AccessDeniedError(ServerError):
    """The token has no right to what was asked."""


class UnknownIdError(ServerError):
    """The server has nothing of that id."""


class UnreachableError(ServerError):
    """The server does not answer at all: no single thing that was asked for is to blame."""


class SourceError(DeeplabError):
    """A folder or list of slides cannot be used."""


class TrainingError(DeeplabError):
    """Training cannot start or go on."""


class DeviceError(DeeplabError):
    """The device or runtime asked for is not there."""


class MachineError(DeeplabError):
    """The machine gives a process too little memory, threads or files."""


class OutputError(DeeplabError, OSError):
    """A result cannot be written."""

    def __init__(self, path: str | Path, problem: str) -> None:
        super().__init__(str(path), problem)
        self.path, self.problem = shown_name(str(path)), without_surrogates(problem)

    def __str__(self) -> str:
        return f"cannot write {self.path}: {self.problem}"
