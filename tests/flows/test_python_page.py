"""The Python of docs/reference/python.md runs as it stands there."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import shapely

from deeplab.annotations.files import read_annotations, write_annotations
from deeplab.annotations.shapes import Annotations, Layer, Shape
from tests.slides_for_tests import tissue, write_svs

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/reference/python.md"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_the_code_of_the_page_runs(tmp_path, monkeypatch, capsys):
    (code,) = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    shutil.copy(ROOT / "deeplab/demonstration/nuclei.zip", tmp_path)
    write_svs(tmp_path / "slide.svs", tissue(600, 560, seed=2)[0])
    layer = Layer(name="nuclei", colour=(0, 0, 255), shapes=[Shape(shapely.box(9, 9, 99, 99))])
    write_annotations(tmp_path / "drawn.geojson", Annotations((layer,)))
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(compile(code, str(PAGE), "exec"), names)  # noqa: S102  our own page
    assert capsys.readouterr().out.startswith("1 layer drawn; Dice 0.")
    height, width = names["pixels"].shape[:2]
    assert names["labels"].shape == names["objects"].shape == (height, width)
    assert len(read_annotations(tmp_path / "found.geojson").layers) == len(names["found"].layers)
    assert np.array_equal(names["labels"] > 0, names["objects"] > 0)
