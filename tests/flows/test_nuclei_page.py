"""The commands of docs/how-to/train-for-nuclei.md run as they stand there, for fewer steps."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from PIL import Image

from deeplab.bundles.read import read_card
from deeplab_cli.main import main
from tests.flows.nuclei_for_tests import TYPES, nuclei_in_all_forms, paint_nuclei

PAGE = Path(__file__).parents[2] / "docs/how-to/train-for-nuclei.md"
BLOCK = re.compile(r"^```(?:sh|text)\n(.*?)^```", re.MULTILINE | re.DOTALL)
FEWER = ["--steps", "2", "--batch_size", "2", "--validate_every", "2", "--gpu", "-1"]


def commands():
    """The words of each command of the page, without the program's name."""
    blocks = BLOCK.findall(PAGE.read_text(encoding="utf-8").replace("\\\n", " "))
    lines = [shlex.split(line) for block in blocks for line in block.splitlines()]
    assert {words[0] for words in lines} == {"deeplab"}
    return [words[1:] for words in lines]


@pytest.mark.slow
def test_the_commands_of_the_page_run(tmp_path, monkeypatch, capsys):
    (tmp_path / "nuclei").mkdir()
    nuclei_in_all_forms(tmp_path / "nuclei", 1)
    Image.fromarray(paint_nuclei(9)[0]).save(tmp_path / "new.png")
    monkeypatch.chdir(tmp_path)
    count, learn, segment, published = commands()
    assert main(count) == 0
    assert "epithelial:" in capsys.readouterr().out
    assert main([*learn, *FEWER, "--depth_multiplier", "0.35"]) == 0
    assert read_card(tmp_path / "nuclei.zip").classes.names == TYPES
    assert "PQ" in (tmp_path / "nuclei.html").read_text(encoding="utf-8")
    assert main(segment) == 0
    made = {path.name for path in tmp_path.glob("new.*")}
    assert made == {"new.png", "new.anot", "new.geojson", "new.overlay.png", "new.csv"}
    # Of the large network the settings only: then its patches are larger than these pictures.
    (tmp_path / "ImageNet-ResNet50-Preact_pytorch.tar").touch()
    capsys.readouterr()
    assert main([*published, "--slide_mpp", "0.25", "--dry-run"]) == 2
    assert "a patch of 256 x 256 pixels is larger than every slide" in capsys.readouterr().err
