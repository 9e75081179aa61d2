"""Within a limit on memory a slide is segmented in smaller tiles, and the same is found."""

import subprocess
import sys

import numpy as np
import pytest
import tifffile

from local_stack.girder_site import MODELS
from tests.slides_for_tests import tissue, write_tiff

pytest.importorskip("openvino")
LIMIT_GB = 1.0
RUN = """
import sys
from pathlib import Path
from deeplab_cli.main import main
code = main(sys.argv[1:])
print(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
sys.exit(code)
"""


def segmented(slide, folder, limit_gb):
    """The mask, the most memory that was held, GB, and what was said."""
    mask = folder / "mask.tiff"
    words = ["segment", str(slide), "--model", str(MODELS / "nuclei_instances.zip"), "--gpu", "-1"]
    words += ["--mask", str(mask), "--tissue", "off", "--memory_limit", str(limit_gb)]
    words += ["--runtime", "openvino", "--annotation", str(folder / "a.anot")]
    done = subprocess.run(
        [sys.executable, "-c", RUN, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    peak_gb = int(done.stdout.split()[-1]) * 1024 / 1e9
    return tifffile.imread(mask), peak_gb, done.stderr


@pytest.mark.slow
def test_less_memory_is_taken_and_the_same_is_found(tmp_path):
    slide = write_tiff(tmp_path / "a.tiff", tissue(2400, 1800)[0], mpp=0.4, compression="deflate")
    segmented(slide, tmp_path, 0)  # converts the model, which takes memory of its own
    found, peak_gb, said = segmented(slide, tmp_path, 0)
    assert "of memory suffice" not in said
    assert peak_gb > LIMIT_GB
    again, peak_gb, said = segmented(slide, tmp_path, LIMIT_GB)
    assert f"{LIMIT_GB:.2g} GB of memory suffice for tiles of" in said
    assert peak_gb <= LIMIT_GB
    assert found.any()
    assert np.mean(again == found) > 0.998
