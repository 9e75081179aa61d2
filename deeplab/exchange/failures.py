"""What fails, one thing after the other: each is named, and the others go on."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from deeplab.errors import (
    AccessDeniedError,
    AnnotationError,
    ServerError,
    SlideError,
    UnreachableError,
)

log = logging.getLogger(__name__)

MOST_OF_SERVER = 3  # of the server, one after the other, after which it is not asked any more


class Failures:
    """The sentences on what failed, in order."""

    def __init__(self) -> None:
        self.sentences: list[str] = []
        self._of_server = 0

    @contextmanager
    def sparing(self, name: str) -> Iterator[None]:
        """Take down, under a name, that the block fails for what is wrong with one thing.

        Raises:
            AccessDeniedError, UnreachableError: these are no fault of one thing.
            ServerError: the server has failed again and again.
        """
        try:
            yield
            self._of_server = 0
        except (AccessDeniedError, UnreachableError):
            raise
        except (AnnotationError, SlideError) as error:
            self._take_down(f"{name}: {error.problem}")
        except ServerError as error:
            self._of_server += 1
            if self._of_server == MOST_OF_SERVER:
                raise
            self._take_down(f"{name}: {error}")

    def _take_down(self, sentence: str) -> None:
        log.warning("%s", sentence)
        self.sentences.append(sentence)
