"""large_image's tifffile source, which leaves files open, also those that it then refuses."""

from __future__ import annotations

from contextlib import contextmanager
from functools import wraps
from unittest.mock import patch

from large_image_source_tifffile import TifffileFileTileSource


@contextmanager
def tiff_sources_closed():
    """Close in the end what the source opened meanwhile.

    Else the collector does, with a warning, in whatever test it happens to run.
    """
    made = []
    start = TifffileFileTileSource.__init__

    @wraps(start)
    def kept(source, *given, **options):
        made.append(source)
        start(source, *given, **options)

    try:
        with patch.object(TifffileFileTileSource, "__init__", kept):
            yield
    finally:
        for source in made:
            if opened := getattr(source, "_tf", None):
                opened.close()
