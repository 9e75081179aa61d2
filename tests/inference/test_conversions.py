"""Graphs are converted once, by another process, and kept where they can be."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from deeplab.bundles.read import read_card
from deeplab.config.views import View
from deeplab.errors import BundleError, DeviceError
from deeplab.inference import conversions
from deeplab.inference.conversions import (
    ANSWERS,
    CACHE_VARIABLE,
    GRAPH,
    MOST_COMPILED,
    converted,
    keep_compiled,
    keep_verdict,
    read_answers,
    read_compiled,
    read_verdict,
)
from deeplab.inference.openvino_runtime import OpenVino
from deeplab.inference.predictor import GraphSpec
from deeplab.inference.runtime import start_predictor
from deeplab.inference.trial import trial_tiles
from deeplab.models.outputs import CONFIDENCE, LABELS

pytest.importorskip("openvino")

NUCLEI = Path(str(files("deeplab") / "demonstration/nuclei.zip"))
SPEC = GraphSpec(model=NUCLEI, maps=(LABELS,), views=(View(),), trial_side=161)
# What a run from the second one on loads, and where it spends its time.
SECOND_RUN = """
import sys
from pathlib import Path
import numpy as np
from deeplab.bundles.read import read_card
from deeplab.inference.predictor import GraphSpec
from deeplab.inference.runtime import start_predictor
import json
spec = GraphSpec.from_json(json.loads(sys.argv[1]))
predictor = start_predictor(spec, read_card(spec.model), tile=257, gpu=-1, runtime=sys.argv[2])
maps = predictor.predict(np.full((1, 257, 257, 3), 200, np.uint8))
print(predictor.runtime, maps["labels"].shape, "tensorflow" in sys.modules)
"""


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache in which nothing is kept yet."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def quick(monkeypatch):
    """A conversion that writes little; gives the list of what was converted."""
    made = []

    def convert(spec, folder):
        made.append(spec)
        for name in (GRAPH, conversions.WEIGHTS):
            (folder / name).write_bytes(b"x" * 1000)
        conversions.write_answers(folder, np.zeros((1, 2, 2, 3), np.uint8), {"labels": np.ones(3)})

    monkeypatch.setattr(conversions, "_convert", convert)
    return made


def second_run(spec, runtime="auto"):
    return subprocess.run(
        [sys.executable, "-c", SECOND_RUN, json.dumps(spec.to_json()), runtime],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_a_run_does_not_load_tensorflow_where_openvino_computes(cache, tmp_path):
    for _ in range(2):
        done = second_run(SPEC)
        assert done.returncode == 0, done.stderr
        runtime, _, loaded = done.stdout.rstrip().rpartition(" ")
        assert loaded == "False"
        assert runtime.startswith("OpenVINO")
    assert done.stderr == ""
    (kept,) = cache.iterdir()
    assert len(list(kept.glob("verdict-*.json"))) == 1


@pytest.mark.slow
def test_what_a_model_is_refused_for_is_said_by_the_process_that_asked(cache, tmp_path):
    damaged = tmp_path / "damaged.zip"
    broken = bytearray(NUCLEI.read_bytes())
    broken[len(broken) // 2] ^= 255
    damaged.write_bytes(broken)
    done = second_run(replace(SPEC, model=damaged))
    assert f"BundleError: model {damaged}" in done.stderr.splitlines()[-1]
    assert not list(cache.iterdir())


def test_the_kept_one_is_taken_again(cache, quick):
    with converted(SPEC) as first:
        assert first.parent == cache
    with converted(SPEC) as second:
        assert second == first
    assert quick == [SPEC]
    tiles, maps = read_answers(first)
    assert tiles.shape == (1, 2, 2, 3)
    assert maps["labels"].tolist() == [1, 1, 1]


def test_another_model_or_another_question_is_another_graph(cache, quick, tmp_path):
    other = tmp_path / "other.zip"
    shutil.copy(NUCLEI, other)
    same = replace(SPEC, model=other)
    other_model = tmp_path / "another.zip"
    other_model.write_bytes(NUCLEI.read_bytes() + b"\0")
    asked = [
        SPEC,
        same,
        replace(SPEC, model=other_model),
        replace(SPEC, maps=(LABELS, CONFIDENCE)),
        replace(SPEC, views=(View(mirrored=True),)),
        replace(SPEC, trial_side=129),
    ]
    for spec in asked:
        with converted(spec):
            pass
    assert quick == [SPEC, *asked[2:]]


@pytest.mark.parametrize("name", [GRAPH, conversions.WEIGHTS, ANSWERS, "sizes.json"])
def test_what_is_kept_and_not_whole_is_made_anew(cache, quick, name):
    with converted(SPEC) as kept:
        (kept / name).write_bytes((kept / name).read_bytes()[:5])
    with converted(SPEC) as again:
        assert (again / GRAPH).stat().st_size == 1000
    with converted(SPEC):
        pass
    assert quick == [SPEC, SPEC]


def test_without_a_cache_that_can_be_written_it_is_made_for_this_run(monkeypatch, quick, tmp_path):
    monkeypatch.setenv(CACHE_VARIABLE, "/dev/null/cache")
    for _ in range(2):
        with converted(SPEC) as folder:
            assert (folder / GRAPH).is_file()
            keep_verdict(folder, "f32")
        assert not folder.exists()
    assert quick == [SPEC, SPEC]


def test_a_model_of_several_files_is_not_kept(cache, quick, tmp_path):
    with converted(replace(SPEC, model=tmp_path)) as folder:
        assert (folder / GRAPH).is_file()
    assert not cache.exists()


def test_what_was_used_longest_ago_makes_room(cache, quick, monkeypatch):
    specs = [replace(SPEC, trial_side=side) for side in (129, 161, 193)]
    kept = []
    for spec in specs[:2]:
        with converted(spec) as folder:
            kept.append(folder)
    with converted(specs[0]):
        pass
    held = sum(path.stat().st_size for path in kept[0].iterdir())
    monkeypatch.setattr(conversions, "MOST_BYTES", 2 * held + 100)
    with converted(specs[2]) as folder:
        kept.append(folder)
    assert [each.exists() for each in kept] == [True, False, True]


def test_a_verdict_is_of_one_kind_of_processor(cache, quick, monkeypatch):
    with converted(SPEC) as folder:
        assert read_verdict(folder) is None
        keep_verdict(folder, "")
        assert read_verdict(folder) == ""
        monkeypatch.setattr(conversions, "processor", lambda: "another")
        assert read_verdict(folder) is None
        keep_verdict(folder, "f32")
        assert read_verdict(folder) == "f32"
        for file in folder.glob("verdict-*"):
            file.write_text('{"precision": "f64"}')
        assert read_verdict(folder) is None


@pytest.mark.slow
def test_a_compiled_graph_is_taken_again_and_a_damaged_one_made_anew(cache, monkeypatch):
    compiled = []
    compile_graph = OpenVino.compiled
    monkeypatch.setattr(
        OpenVino, "compiled", lambda *asked: compiled.append(asked[1:]) or compile_graph(*asked)
    )
    card, tiles = read_card(NUCLEI), trial_tiles(257)[:1]
    asked = {"card": card, "tile": 257, "gpu": -1, "runtime": "openvino"}
    first = start_predictor(SPEC, **asked)
    compiled.clear()
    again = start_predictor(SPEC, **asked)
    assert not compiled
    (file,) = cache.rglob("*.blob")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    anew = start_predictor(SPEC, **asked)
    assert [each[0] for each in compiled] == [257]
    assert len(file.read_bytes()) == len(whole)
    for other in (again, anew):
        assert other.runtime == first.runtime
        for name, values in first.predict(tiles).items():
            np.testing.assert_array_equal(other.predict(tiles)[name], values)


def test_of_compiled_graphs_those_used_last_are_kept(cache, quick, monkeypatch):
    with converted(SPEC) as folder:
        for number in range(MOST_COMPILED):
            for file in folder.glob("*.blob"):  # each is older than the next
                os.utime(file, (file.stat().st_mtime - 10,) * 2)
            keep_compiled(folder, str(number), b"x%d" % number)
        assert read_compiled(folder, "0") == b"x0"  # which uses it
        keep_compiled(folder, "another", b"y")
        kinds = [*map(str, range(MOST_COMPILED)), "another"]
        assert [kind for kind in kinds if read_compiled(folder, kind) is None] == ["1"]
        monkeypatch.setattr(conversions, "processor", lambda: "of another kind")
        assert read_compiled(folder, "another") is None


def test_where_openvino_does_not_agree_tensorflow_computes_and_openvino_is_refused(
    cache, monkeypatch
):
    monkeypatch.setattr("deeplab.inference.runtime.read_verdict", lambda _folder: "")
    monkeypatch.setattr(
        "deeplab.inference.runtime.converted", lambda _spec: nullcontext(Path("none"))
    )
    card = read_card(NUCLEI)
    chosen = start_predictor(SPEC, card, tile=129, gpu=-1, runtime="auto")
    assert chosen.runtime == "TensorFlow"
    with pytest.raises(DeviceError, match="answers differ from TensorFlow's"):
        start_predictor(SPEC, card, tile=129, gpu=-1, runtime="openvino")


def test_a_process_that_is_killed_while_it_converts_is_told_of(cache, monkeypatch, tmp_path):
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    killed = tmp_path / "killed"
    killed.write_text("#!/bin/sh\nkill -9 $$\n")
    killed.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(killed))
    with pytest.raises(DeviceError, match=r"signal 9.*enough memory"), converted(SPEC):
        pass
    assert not [path for path in cache.iterdir() if path.name.startswith("deeplab")]


def test_an_ordinary_sentence_of_that_process_is_raised_here(cache, monkeypatch, tmp_path):
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    refusing = tmp_path / "refusing"
    refusing.write_text(
        '#!/bin/sh\necho words before\necho \'["BundleError", "a", "is none"]\'\nexit 2\n'
    )
    refusing.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(refusing))
    with pytest.raises(BundleError, match="model a is none"), converted(SPEC):
        pass
