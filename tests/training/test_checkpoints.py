"""Checkpoints are whole or not there."""

import json
import resource
import signal
import zipfile

import numpy as np
import pytest

from deeplab.errors import OutputError, TrainingError
from deeplab.training.checkpoints import Checkpoint, Checkpoints
from deeplab.training.run import check_facts


def checkpoint(step, size=10):
    random = np.random.default_rng(step)
    arrays = {
        "weights/first/kernel": random.normal(0, 1, (3, size)).astype(np.float32),
        "step": np.asarray(step),
    }
    return Checkpoint(step=step, facts={"history": f"up to {step}"}, arrays=arrays)


def assert_same(one, other):
    assert one.step == other.step
    assert one.facts["history"] == other.facts["history"]
    assert one.arrays.keys() == other.arrays.keys()
    for name, array in one.arrays.items():
        assert array.dtype == other.arrays[name].dtype
        np.testing.assert_array_equal(array, other.arrays[name])


def test_what_is_saved_is_found_again(tmp_path):
    Checkpoints(tmp_path, 60).save(checkpoint(7))
    assert_same(checkpoint(7), Checkpoints(tmp_path, 60).newest())


def test_the_last_two_are_kept(tmp_path):
    kept = Checkpoints(tmp_path, 60)
    for step in (5, 10, 100):
        kept.save(checkpoint(step))
    assert len(list(tmp_path.iterdir())) == 2
    assert kept.newest().step == 100
    kept.remove()
    assert kept.newest() is None


@pytest.mark.parametrize("left", [0, 100, 300])
def test_a_damaged_one_is_passed_over_for_the_one_before(tmp_path, caplog, left):
    kept = Checkpoints(tmp_path, 60)
    kept.save(checkpoint(1))
    newest = kept.save(checkpoint(2))
    newest.write_bytes(newest.read_bytes()[:left])
    assert_same(checkpoint(1), kept.newest())
    assert f"{newest} is damaged" in caplog.text


def test_a_flipped_bit_is_noticed(tmp_path):
    kept = Checkpoints(tmp_path, 60)
    kept.save(checkpoint(1))
    newest = kept.save(checkpoint(2, size=1000))
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    assert kept.newest().step == 1


def rewrite(path, changes, packing=zipfile.ZIP_STORED):
    """Write the zip again with other content of some of its files, as if saved so."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()} | changes
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def patched(path, place, value):
    content = path.read_bytes()
    at = content.index(b"PK\x01\x02") + place  # of the list of files, at the end
    path.write_bytes(content[:at] + value + content[at + len(value) :])


FIRST = "weights/first/kernel.npy"


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: rewrite(path, {"facts.json": b""}),
        lambda path: rewrite(path, {"facts.json": b"\xff"}),
        lambda path: rewrite(path, {"facts.json": b"[" * 100_000}),
        lambda path: rewrite(path, {"facts.json": b"[]"}),
        lambda path: rewrite(path, {"facts.json": b"{}"}),
        lambda path: rewrite(path, {"facts.json": b'{"step": "2"}'}),
        lambda path: rewrite(path, {"facts.json": b'{"step": -2}'}),
        lambda path: rewrite(path, {"facts.json": b'{"step": %s}' % (b"9" * 5000)}),
        lambda path: rewrite(path, {FIRST: b""}),
        lambda path: rewrite(path, {FIRST: b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535}),
        lambda path: rewrite(path, {FIRST: b"\x93NUMPY\x01\x00\x10\x00" + b"9" * 16}),
        lambda path: rewrite(path, {"../x.npy": b""}),
        lambda path: rewrite(path, {"weights/first": b""}),
        lambda path: patched(path, 8, b"\x01\x00"),  # encrypted
        lambda path: patched(path, 10, b"\x0e\x00"),  # packed by LZMA
        lambda path: patched(path, 10, b"\x5d\x00"),  # packed as nobody can read
        lambda path: patched(path, 24, b"\xff" * 4),
        lambda path: patched(path, 42, b"\xff" * 4),
        lambda path: patched(path, 46, b"\xff\xfe\x00"),
    ],
)
def test_any_damage_is_passed_over_for_the_one_before(tmp_path, caplog, damage):
    kept = Checkpoints(tmp_path, 60)
    kept.save(checkpoint(1))
    newest = kept.save(checkpoint(2))
    damage(newest)
    assert_same(checkpoint(1), kept.newest())
    assert f"{newest} is damaged and passed over: " in caplog.text


def test_one_that_is_packed_again_is_as_good(tmp_path):
    newest = Checkpoints(tmp_path, 60).save(checkpoint(2))
    rewrite(newest, {}, zipfile.ZIP_LZMA)
    assert_same(checkpoint(2), Checkpoints(tmp_path, 60).newest())


def refuse(found):
    if found.step == 2:
        raise TrainingError("of another network")


def test_one_that_cannot_be_gone_on_from_is_passed_over(tmp_path, caplog):
    kept = Checkpoints(tmp_path, 60)
    for step in (1, 2):
        kept.save(checkpoint(step))
    assert_same(checkpoint(1), kept.newest(refuse))
    assert "passed over: of another network" in caplog.text


@pytest.mark.parametrize(
    "changes",
    [
        {"settings": "[]"},
        {"settings": None},
        {"settings": "[" * 100_000},
        {"slides": 7},
        {"recent": None},
        {"recent": ["a"]},
        {"recent": [[1.0]]},
        {"recent": [10**400]},
        {"hard": "x"},
        {"history": "{}"},
        {"history": json.dumps({"steps": [{"step": "1"}], "checks": []})},
        {"history": json.dumps({"steps": [], "checks": [{"step": 1, "counts": [[10**40]]}]})},
        {"history": json.dumps({"steps": [], "checks": [{"step": None, "counts": [[1]]}]})},
    ],
)
def test_facts_that_no_run_saved_are_told(changes):
    history = json.dumps({"steps": [], "checks": []})
    facts = {"settings": "{}", "slides": "", "history": history, "recent": [], "hard": None}
    assert check_facts(facts, "{}") == ""
    with pytest.raises(TrainingError, match="damaged"):
        check_facts({**facts, **changes}, "{}")


@pytest.fixture
def small_disk():
    """Files of more than 100,000 bytes cannot be written."""
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, handler)


def test_one_that_cannot_be_written_is_one_sentence_and_those_before_stay(tmp_path, small_disk):
    kept = Checkpoints(tmp_path, 60)
    for step in (1, 2):
        kept.save(checkpoint(step))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(
        OutputError, match=r"cannot write .*checkpoint-000000003.zip: File too large"
    ):
        kept.save(checkpoint(3, size=100_000))
    assert sorted(tmp_path.iterdir()) == before
    assert_same(checkpoint(2), kept.newest())


def test_one_is_due_when_its_time_has_come(tmp_path):
    assert Checkpoints(tmp_path, 0).is_due
    assert not Checkpoints(tmp_path, 60).is_due


def test_what_a_killed_process_left_half_written_is_removed(tmp_path):
    (tmp_path / ".checkpoint-000000003.abcd.zip").write_bytes(b"half")
    Checkpoints(tmp_path, 60).save(checkpoint(4))
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-000000004.zip"]
