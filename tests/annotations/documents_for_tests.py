"""Annotations of HistomicsUI as parsed JSON, read as from a file."""

import json
import tempfile
from pathlib import Path

from deeplab.annotations.formats.format import Reading
from deeplab.annotations.formats.girder_json import read_girder_json


def read_documents(documents, **reading):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "documents.json")
        path.write_text(json.dumps(documents))
        return read_girder_json(path, Reading(**reading))
