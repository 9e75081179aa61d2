"""A segmentation that is killed goes on by the same command, and ends as one that was left alone."""

import json
import signal
import subprocess
import sys
import time

import pytest

from deeplab_cli.main import main
from local_stack.girder_site import MODELS
from tests.processes_for_tests import running
from tests.slides_for_tests import tissue, write_tiff

pytestmark = pytest.mark.slow

# Of labels and of objects, in tiles of which a small slide has several.
SIDES = {"nuclei.zip": 705, "nuclei_instances.zip": 1024}


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    path = tmp_path_factory.mktemp("slide") / "a.tiff"
    return write_tiff(path, tissue(1800, 1500)[0], mpp=0.25, compression="deflate")


def elements(path):
    layers = json.loads(path.read_text())
    return [(each["name"], each["elements"]) for each in layers]


@pytest.mark.parametrize(("model", "side"), SIDES.items(), ids=SIDES)
def test_a_killed_segmentation_goes_on_after_the_tiles_that_are_done(
    slide, tmp_path, capsys, model, side
):
    work = tmp_path / "work"

    def words(name):
        result = str(tmp_path / f"{name}.anot")
        asked = ["segment", str(slide), "--model", str(MODELS / model), "--annotation", result]
        return [*asked, "--gpu", "-1", "--tile_size", str(side), "--tissue", "off"]

    assert main(words("alone")) == 0
    again = [*words("broken"), "--work_folder", str(work)]
    command = [sys.executable, "-m", "deeplab_cli.entry", *again]
    with running(subprocess.Popen(command, stderr=subprocess.DEVNULL)) as (process,):
        deadline = time.monotonic() + 120
        while len(list(work.rglob("*.npz"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    kept = len(list(work.rglob("*.npz")))
    assert kept >= 2
    assert not (tmp_path / "broken.anot").exists(), "it had ended before it was killed"
    capsys.readouterr()
    assert main(again) == 0
    assert f"going on after {kept} tiles" in capsys.readouterr().err
    assert elements(tmp_path / "broken.anot") == elements(tmp_path / "alone.anot")
    assert list(work.rglob("*.npz")) == []


def test_what_was_kept_for_other_settings_is_left_alone(slide, tmp_path):
    work, result = tmp_path / "work", tmp_path / "a.anot"
    old = work / ("0" * 32) / "0,0,0,0,9,9.npz"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"of another run")
    words = ["segment", str(slide), "--model", str(MODELS / "nuclei.zip"), "--gpu", "-1"]
    words += ["--annotation", str(result), "--region", "0,0,300,300", "--work_folder", str(work)]
    assert main(words) == 0
    assert [each for each in work.rglob("*") if each.is_file()] == [old]
