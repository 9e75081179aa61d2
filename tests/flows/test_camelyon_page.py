"""The commands of docs/how-to/train-on-camelyon.md, on tiny painted slides of two patients."""

import csv
import re
import shlex
import subprocess
import sys
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import shapely

from deeplab.annotations.formats.asap_xml import write_asap_xml
from deeplab.annotations.shapes import Annotations, Layer, Shape
from tests.slides_for_tests import PINK, PURPLE, write_tiff
from tests.small_runs import TRAINING

PAGE = Path(__file__).parents[2] / "docs/how-to/train-on-camelyon.md"
FENCE = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
# The page's own words first: of a setting that is given twice the later value counts.
SMALL = {k: v for k, v in TRAINING.items() if k != "classes"} | {"steps": 4, "validate_every": 4}
SHELL = """set -e
deeplab() {{
    case "$1" in
        train) {python} -m deeplab_cli.entry "$@" {train} ;;
        segment) {python} -m deeplab_cli.entry "$@" --gpu -1 ;;
        patches) {python} -m deeplab_cli.entry "$@" --patch_size 64 ;;
        *) {python} -m deeplab_cli.entry "$@" ;;
    esac
}}
"""


@pytest.fixture
def published(tmp_path):
    """Five slides each of a patient of centre 0 and of one of centre 4, three of them annotated."""
    for name in ("images", "annotations"):
        (tmp_path / name).mkdir()
    for patient in (4, 84):
        for node in range(5):
            name = f"patient_{patient:03}_node_{node}"
            rgb = np.full((400, 400, 3), PINK, np.uint8)
            shapes = []
            if patient == 4 or node < 3:
                left = 40 * (node + 1)
                rgb[80:300, left : left + 100] = PURPLE
                shapes.append(Shape(shapely.box(left, 80, left + 100, 300)))
            write_tiff(tmp_path / "images" / f"{name}.tif", rgb, mpp=0.5)
            if shapes:
                layer = Layer("metastases", (255, 0, 0), tuple(shapes))
                write_asap_xml(tmp_path / "annotations" / f"{name}.xml", Annotations((layer,)))
    return tmp_path


@pytest.mark.slow
def test_the_commands_of_the_page_lead_from_slides_to_a_table_of_stages(published):
    train = shlex.join(str(w) for name, value in SMALL.items() for w in (f"--{name}", value))
    shell = SHELL.format(python=sys.executable, train=train)
    blocks = FENCE.findall(PAGE.read_text(encoding="utf-8"))
    assert len(blocks) == 6
    for block in blocks:
        done = subprocess.run(
            ["/bin/bash", "-c", shell + block],
            cwd=published, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, block + done.stdout[-3000:] + done.stderr[-3000:]
    stages = csv.DictReader(StringIO((published / "stages.csv").read_text(encoding="utf-8")))
    assert [row["patient"] for row in stages] == ["patient_004", "patient_084"]
    for name in ("lesions.csv", "froc.csv", "training.html", "report.html", "patches/list.csv"):
        assert (published / name).stat().st_size
    assert (published / "patches.zarr/images/.zarray").is_file()
