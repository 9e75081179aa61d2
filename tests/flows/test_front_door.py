"""The command as people and Girder run it: exit codes, one sentence, nothing half written."""

import os
import resource
import signal
import subprocess
import sys
import time

import pytest

from tests.flows.models_for_tests import balanced_model
from tests.pace import at_this_pace
from tests.slides_for_tests import tissue, write_tiff

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    rgb = tissue(2500, 2100)[0]
    return write_tiff(tmp_path_factory.mktemp("slide") / "slide.tiff", rgb, levels=2)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    rgb = tissue(2500, 2100)[0]
    return balanced_model(tmp_path_factory.mktemp("model") / "model.zip", rgb[:257, :257])


def command(*words, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "deeplab_cli.entry", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def words(slide, model, folder):
    return (
        *("segment", slide, "--model", model, "--runtime", "tensorflow", "--tissue", "off"),
        *("--annotation", folder / "a.anot", "--table", folder / "a.csv"),
    )


def test_a_segmentation_reports_its_progress_to_slicer_and_what_it_found(slide, model, tmp_path):
    process = command(*words(slide, model, tmp_path))
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "<filter-start>" in out
    assert "<filter-progress>1" in out
    assert "tumour: " in out
    assert "computing on" in err
    assert {p.name for p in tmp_path.iterdir()} == {"a.anot", "a.csv"}


def test_sigterm_ends_a_run_within_ten_seconds_and_leaves_nothing(slide, model, tmp_path):
    # Tiles of the smallest size make the run long enough to be stopped in its midst.
    process = command(*words(slide, model, tmp_path), "--tile-size", "113", "--halo", "48")
    for line in process.stdout:
        if "filter-progress" in line:
            break
    process.send_signal(signal.SIGTERM)
    begun = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert time.monotonic() - begun < at_this_pace(10)
    assert "cancelled; nothing was written" in err
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_one_sentence_and_leaves_nothing(slide, model, tmp_path):
    def no_more_than_50_kb():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    process = command(
        *words(slide, model, tmp_path),
        preexec_fn=no_more_than_50_kb,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    _, err = process.communicate(timeout=300)
    assert process.returncode == 2, err
    assert [line for line in err.splitlines() if line.startswith("error: cannot write")]
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"--model": "none.zip"}, "inputModelFile must be a file that exists"),
        ({"--tile-size": "20"}, "patch_size must be at least 65"),
        ({"--region": "1,2,3"}, "region"),
        ({"--runtime": "abacus"}, "runtime must be one of auto, tensorflow, openvino"),
    ],
)
def test_a_bad_value_is_one_sentence_on_standard_error(slide, model, tmp_path, changed, sentence):
    extra = [word for pair in changed.items() for word in pair]
    process = command(*words(slide, model, tmp_path), *extra)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert sentence in err
    assert len(err.strip().splitlines()) == 1
    assert not out
    assert not list(tmp_path.iterdir())


def test_a_slide_that_is_no_slide_is_refused_without_starting_tensorflow(model, tmp_path):
    text = tmp_path / "notes.svs"
    text.write_text("not a slide")
    out = tmp_path / "out"
    process = command(*words(text, model, out))
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert err.startswith("error: notes.svs")
    assert not out.exists()
