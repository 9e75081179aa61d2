"""What the process says on standard output and error: whatever the terminal, without secrets."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO, cast

from deeplab.errors import OutputError
from deeplab.names import without_surrogates
from deeplab_cli.hidden import Secrets


class SafeStream(io.TextIOBase):
    r"""A text stream that writes to another what that can show, without secrets.

    Letters that the other's encoding does not have are written as Python writes them: µ as "\xb5".
    A stream that is closed takes everything and shows nothing.
    """

    encoding = "utf-8"

    def __init__(self, stream: TextIO | None, name: str, secrets: Secrets) -> None:
        super().__init__()
        self._stream, self._name, self._secrets = stream, name, secrets
        self.encoding = getattr(stream, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        """Write the text.

        Raises:
            OutputError: nobody takes it: a full disk, a pipe whose reader is gone. Not of standard
            error.
        """
        if self._stream is None:
            return len(text)
        hidden = self._secrets.hide(text)
        if not hidden.isascii():
            shown = without_surrogates(hidden)
            hidden = shown.encode(self.encoding, "backslashreplace").decode(self.encoding)
        try:
            self._stream.write(hidden)
        except OSError as error:
            self._give_up(error)
        return len(text)

    def flush(self) -> None:
        """Hand over what was written.

        Raises:
            OutputError: nobody takes it.
        """
        if self._stream is None:
            return
        try:
            self._stream.flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError, /) -> None:
        raise OutputError(self._name, error.strerror or str(error)) from error

    def close(self) -> None:
        """Leave the stream written to open: it is the process's."""

    def isatty(self) -> bool:
        """Return whether a person may be looking."""
        return self._stream is not None and self._stream.isatty()

    def fileno(self) -> int:
        """Number of the stream written to."""
        if self._stream is None:
            raise io.UnsupportedOperation("fileno")
        return self._stream.fileno()


class LastStream(SafeStream):
    """Standard error, which nothing is behind: what it does not take is not said."""

    def _give_up(self, _error: OSError, /) -> None:
        self._stream = None


@contextmanager
def speaking(words: Sequence[str]) -> Iterator[Secrets]:
    """Standard output and error are safe in the block; `words` may hold secrets."""
    secrets, out, err = Secrets(words), sys.stdout, sys.stderr
    sys.stdout = cast("TextIO", SafeStream(out, "the standard output", secrets))
    sys.stderr = cast("TextIO", LastStream(err, "the standard error", secrets))
    try:
        yield secrets
    finally:
        sys.stdout, sys.stderr = out, err
