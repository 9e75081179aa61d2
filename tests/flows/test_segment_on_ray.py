"""A folder of slides is segmented by a cluster of Ray, whatever becomes of its workers."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deeplab.errors import DeviceError
from deeplab.inference import segment_on_ray
from deeplab_cli.main import main
from tests.flows.models_for_tests import balanced_model
from tests.processes_for_tests import running
from tests.slides_for_tests import tissue, write_tiff

pytestmark = pytest.mark.slow

NAMES = ("a", "b", "c")
QUICK = ("--runtime", "tensorflow", "--tissue", "off", "--patch_size", "129", "--gpu", "-1")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return balanced_model(tmp_path_factory.mktemp("model") / "m.zip", tissue(257, 257)[0])


@pytest.fixture
def slides(tmp_path):
    folder = tmp_path / "slides"
    folder.mkdir()
    for seed, name in enumerate(NAMES):
        write_tiff(folder / f"{name}.tiff", tissue(300, 300, seed=seed)[0], levels=1)
    return folder


def words_for(slides, model, out, *more):
    named = ("--model", model, "--annotation", out / "{slide}.anot")
    return [str(word) for word in ("segment", slides, *named, *QUICK, *more)]


def start(words):
    return subprocess.Popen(
        [sys.executable, "-m", "deeplab_cli.entry", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def workers_of(driver):
    """The processes of Ray that segment for a driver of a cluster of its own."""
    found, parents = [], {driver}
    for _ in range(3):  # driver, raylet, workers
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                text = status.read_text()
                command = status.with_name("cmdline").read_bytes()
            except OSError:
                continue
            number, parent = int(status.parent.name), int(text.rpartition(")")[2].split()[1])
            if parent in parents:
                parents.add(number)
                if command.startswith(b"ray::_segment"):
                    found.append(number)
    return set(found)


def shapes(path):
    return [len(layer["elements"]) for layer in json.loads(path.read_text())]


def test_slides_are_segmented_by_a_cluster_whose_worker_is_killed(slides, model, tmp_path):
    (slides / "broken.svs").write_bytes(b"no slide at all")
    out = tmp_path / "out"
    with running(start(words_for(slides, model, out, "--ray", "local", "--ray_cores", "1"))) as [
        run
    ]:
        until = time.monotonic() + 300
        while not (workers := workers_of(run.pid)) and time.monotonic() < until:
            time.sleep(0.05)
        os.kill(workers.pop(), signal.SIGKILL)
        said, _ = run.communicate(timeout=600)
    assert run.returncode == 2, said
    assert "1 of 4 slides could not be segmented: " in said
    assert "broken.svs" in said
    assert sorted(path.name for path in out.iterdir()) == [f"{name}.anot" for name in NAMES]
    alone = tmp_path / "alone"
    assert main(words_for(slides / "b.tiff", model, alone)) == 0
    assert shapes(alone / "b.anot") == shapes(out / "b.anot")
    assert sum(shapes(out / "b.anot"))


def test_a_run_goes_on_with_the_slides_that_are_not_done(slides, model, tmp_path, capsys):
    words = words_for(slides, model, tmp_path / "out", "--skip_done", "true")
    assert main(words) == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    lost = tmp_path / "out/b.anot"
    lost.unlink()
    assert main(words) == 0
    assert "1 slide was segmented, 2 slides before" in capsys.readouterr().out
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    assert after.keys() == before.keys()
    assert {path for path in after if after[path] != before[path]} == {lost}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--ray", "127.0.0.1:1"), "no Ray cluster answers at 127.0.0.1:1"),
        (("--ray", "a cluster"), "ray must be local, auto or host:port, but is 'a cluster'"),
        (("--ray_cores", "-1"), "ray_cores must be at least 0"),
    ],
)
def test_one_sentence_on_a_cluster_that_is_not_there(slides, model, tmp_path, capsys, more, said):
    assert main(words_for(slides, model, tmp_path / "out", *more)) == 2
    assert said in capsys.readouterr().err


def test_one_slide_needs_no_cluster(slides, model, tmp_path, capsys):
    assert main(words_for(slides / "a.tiff", model, tmp_path, "--ray", "auto")) == 2
    assert "ray must be left away where one slide is segmented" in capsys.readouterr().err


def test_without_ray_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setattr(segment_on_ray, "find_spec", lambda _: None)
    with pytest.raises(DeviceError, match=r"install histomics-deeplab\[ray\]"):
        next(segment_on_ray.segment_on_ray({"a": _Asked()}, None))


class _Asked:
    ray = "auto"
